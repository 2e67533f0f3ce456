// Shows the link to the order while no confirmation is expected. The element updates if the payer still pays. The rest
// of the page works without this script.
function showTheWay(show) {
  document.getElementById('order-link').hidden = !show;
}
addEventListener('chasqui:status', ({ detail }) => showTheWay(!['pending', 'verifying'].includes(detail.status)));
addEventListener('chasqui:unavailable', () => showTheWay(true));
