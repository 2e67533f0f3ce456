// Nothing is being waited for: show the way to the order. Should the payer pay after all, the page turns by itself.
// Everything else on it works without this.
function showTheWay(show) {
  document.getElementById('order-link').hidden = !show;
}
addEventListener('chasqui:status', ({ detail }) => showTheWay(!['pending', 'verifying'].includes(detail.status)));
addEventListener('chasqui:unavailable', () => showTheWay(true));
