const wanted = new URLSearchParams(location.search);
const states = [
  'connecting', 'pending', 'not-seen', 'verifying', 'verifying-longer', 'verifying-later', 'offline', 'confirmed', 'late',
  'expired', 'rejected', 'cancelled', 'reversed', 'unavailable',
];
document.documentElement.lang = wanted.get('lang') ?? 'es';
if (wanted.has('theme')) document.documentElement.className = wanted.get('theme');

function show(state, caption = state, className = '') {
  const figure = document.createElement('figure');
  figure.className = className;
  const label = document.createElement('figcaption');
  label.textContent = caption;
  const element = document.createElement('chasqui-status');
  element.setAttribute('state', state);
  figure.append(label, element);
  document.querySelector('main').append(figure);
}

for (const state of wanted.has('state') ? [wanted.get('state')] : states) show(state);
if (!wanted.has('state')) show('verifying', 'verifying, in a shop\'s own style', 'custom');
