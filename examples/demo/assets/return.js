// The payment is settled: show the way to the order. Everything else on the page works without this.
addEventListener('chasqui:final', () => {
  document.getElementById('order-link').hidden = false;
});
