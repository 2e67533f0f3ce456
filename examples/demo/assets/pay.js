// Starts Khipu over this page. Its callback comes from the payer's browser and proves nothing: OK and WARNING mean that
// the payment may come, and <chasqui-status>, which watches all the while, says when it has. An ERROR changes the words
// beside it, never the status, and not even these once the status has its own advice.
/* global Khipu */
const pay = document.getElementById('pay');
/** Nothing is known of the payment but that it can be made. */
let isUnpaid = true;

function say(what) {
  for (const words of document.querySelectorAll('[data-words]')) words.hidden = words.dataset.words !== what;
}

function ended({ result, continueUrl }) {
  if (result === 'CONTINUE') {
    location.assign(continueUrl);
  } else if (isUnpaid) {
    say(result === 'ERROR' ? 'error' : 'watching');
    pay.hidden = result !== 'ERROR';
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
  isUnpaid = status === 'pending' && by !== 'khipu';
  if (!isUnpaid) {
    pay.hidden = true;
    // Paid elsewhere, perhaps: in another tab, or at the bank itself. Any other status, such as a rejection after OK, has
    // its own advice and its own link to resume.
    say(['verifying', 'confirmed'].includes(status) ? 'watching' : undefined);
  }
  document.getElementById('order-link').hidden = ['pending', 'verifying'].includes(detail.status);
});
addEventListener('chasqui:unavailable', () => {
  document.getElementById('order-link').hidden = false;
});
