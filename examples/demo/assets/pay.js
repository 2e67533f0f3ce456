// Starts Khipu over this page. Its callback comes from the payer's browser and proves nothing: OK and WARNING mean that
// the payment may come, and <chasqui-status>, which watches all the while, says when it has. An ERROR changes the words
// beside it, never the status.
/* global Khipu */
const pay = document.getElementById('pay');

function say(what) {
  for (const words of document.querySelectorAll('[data-words]')) words.hidden = words.dataset.words !== what;
}

function ended({ result, continueUrl }) {
  if (result === 'CONTINUE') {
    location.assign(continueUrl);
  } else if (result === 'ERROR') {
    say('error');
    pay.hidden = false;
  } else {
    say('watching');
  }
}

function start() {
  // Without the library the payer pays at Khipu's page.
  if (typeof Khipu === 'undefined') return location.assign(pay.dataset.url);
  say('paying');
  pay.hidden = true;
  new Khipu().startOperation(pay.dataset.payment, ended, {
    modalOptions: { maxWidth: 450, maxHeight: 860 },
    options: { skipExitPage: true },
  });
}

pay.addEventListener('click', start);
// Who comes from the checkout has pressed the button already; who reloads the page may have paid.
if (performance.getEntriesByType('navigation')[0]?.type === 'navigate') start();
addEventListener('chasqui:status', ({ detail }) => {
  const { status, by } = detail;
  if (['verifying', 'confirmed'].includes(status)) {
    // Paid elsewhere, perhaps: in another tab, or at the bank itself.
    pay.hidden = true;
    say('watching');
  } else if (status !== 'pending' || by === 'khipu') {
    // OK can be followed by a rejection. The status has its own advice and its own link to resume.
    pay.hidden = true;
    say(undefined);
  }
  document.getElementById('order-link').hidden = ['pending', 'verifying'].includes(detail.status);
});
addEventListener('chasqui:unavailable', () => {
  document.getElementById('order-link').hidden = false;
});
