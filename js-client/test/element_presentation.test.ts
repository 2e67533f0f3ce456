// @vitest-environment happy-dom
/** The element's texts, languages, colours, live region and focus. */
import { expect, test } from 'vitest';
import { darkColours, lightColours, looks } from '../src/style.ts';
import { languageOf, texts, type Language, type View } from '../src/texts.ts';
import { events, part, show, text, title, viewOf } from './element_page.ts';
import { message, token } from './payment.ts';
import { FakeSocket } from './socket.ts';

const views = Object.keys(looks) as View[];

test('live_region_is_there_before_its_first_text', () => {
  const element = document.createElement('chasqui-status');
  element.setAttribute('token', token);
  document.body.append(element);
  const region = part(element, 'card').parentElement!;
  expect(title(element)).toBe('');
  expect(region.getAttribute('role')).toBe('status');
  expect(region.getAttribute('aria-live')).toBe('polite');
  expect(region.getAttribute('aria-atomic')).toBe('true');
  expect(region.hidden).toBe(false);
  expect(part(element, 'icon').getAttribute('aria-hidden')).toBe('true');
});

test('repeated_status_does_not_change_the_live_region', async () => {
  const element = await show();
  FakeSocket.newest.say(message('verifying'));
  const node = part(element, 'title').firstChild;
  window.dispatchEvent(new Event('online'));
  FakeSocket.newest.say(message('verifying'));
  expect(part(element, 'title').firstChild).toBe(node);
});

test('focus_is_never_moved', async () => {
  const button = document.createElement('button');
  document.body.append(button);
  button.focus();
  await show();
  FakeSocket.newest.say(message('verifying'));
  FakeSocket.newest.say(message('confirmed'));
  expect(document.activeElement).toBe(button);
});

test('strict_policy_allows_no_style_attribute_and_no_style_element', async () => {
  const element = await show();
  FakeSocket.newest.say(message('confirmed'));
  expect(element.shadowRoot!.querySelectorAll('[style],style,script')).toHaveLength(0);
  expect(element.shadowRoot!.adoptedStyleSheets).toHaveLength(1);
  expect(element.hasAttribute('style')).toBe(false);
});

test.each(views)('state_%s_can_be_shown_without_a_request', async (view) => {
  for (const lang of ['es', 'en', 'pt'] as const) {
    const element = await show({ state: view, lang });
    const [expectedTitle, expectedText, advice] = texts[lang][view];
    expect(viewOf(element)).toBe(view);
    expect(title(element)).toBe(expectedTitle);
    expect(text(element)).toBe(advice ? `${advice} ${expectedText}` : expectedText);
    expect(part(element, 'card').lang).toBe(lang);
  }
  expect(FakeSocket.opened).toEqual([]);
  expect(events).toEqual([]);
});

test('language_changes_with_its_attribute', async () => {
  const element = await show({ state: 'confirmed', lang: 'en-GB' });
  expect(title(element)).toBe('Payment confirmed');
  element.setAttribute('lang', 'pt-BR');
  expect(title(element)).toBe('Pagamento confirmado');
  element.removeAttribute('lang');
  expect(title(element)).toBe('Pago confirmado');
});

test('language_is_the_first_supported_one_else_spanish', () => {
  expect(languageOf(['en', 'es'])).toBe('en');
  expect(languageOf([null, '', 'PT-br'])).toBe('pt');
  expect(languageOf(['fr', 'de', 'en-US'])).toBe('en');
  expect(languageOf(['fr', undefined])).toBe('es');
});

test('open_payment_advises_not_to_pay_again_and_no_text_alarms', () => {
  const again: Record<Language, RegExp> = { es: /no pagues de nuevo/i, en: /do not pay again/i, pt: /não pague de novo/i };
  for (const lang of ['es', 'en', 'pt'] as const) {
    for (const view of views) {
      const words = texts[lang][view].join(' ');
      expect(words).not.toMatch(/error|fail|fall[oó]|falhou|inválid|invalid/i);
      const open = !['confirmed', 'late', 'cancelled', 'reversed', 'unavailable'].includes(view);
      expect([view, again[lang].test(words)]).toEqual([view, open]);
    }
  }
});

test('colours_have_the_contrast_of_wcag_aa', () => {
  for (const colours of [lightColours, darkColours]) {
    const { surface, text, muted, accent, good, care, calm } = colours;
    for (const colour of [text, muted]) expect(contrast(colour, surface)).toBeGreaterThan(4.5);
    for (const colour of [accent, good, care, calm]) expect(contrast(colour, surface)).toBeGreaterThan(4.5);
  }
});

function contrast(a: string, b: string): number {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high! + 0.05) / (low! + 0.05);
}

function luminance(colour: string): number {
  const hex = colour.length === 4 ? colour.replace(/[^#]/g, '$&$&') : colour;
  const [r, g, b] = [1, 3, 5].map((at) => {
    const value = parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}
