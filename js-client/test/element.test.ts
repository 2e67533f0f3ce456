// @vitest-environment happy-dom
/** The element as a payer and a shop's page meet it. */
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { ChasquiStatusElement } from '../src/element.ts';
import { install } from '../src/install.ts';
import { languageOf, texts, type Language, type View } from '../src/texts.ts';
import { darkColours, lightColours, looks } from '../src/style.ts';
import { message, statusOf, token, tokenOf } from './payment.ts';
import { FakeSocket } from './socket.ts';

const views = Object.keys(looks) as View[];
const heard: CustomEvent[] = [];
let online: boolean;

beforeAll(() => {
  install('https://pay.example.com/js/chasqui.js');
  for (const type of ['chasqui:status', 'chasqui:final', 'chasqui:unavailable']) {
    document.addEventListener(type, (event) => heard.push(event as CustomEvent));
  }
  Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => online });
});

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', FakeSocket);
  FakeSocket.opened = [];
  heard.length = 0;
  online = true;
  sessionStorage.clear();
  document.documentElement.lang = 'es';
});

afterEach(() => {
  document.body.replaceChildren();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function show(attributes: Record<string, string> = { token }): Promise<ChasquiStatusElement> {
  const element = document.createElement('chasqui-status');
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  document.body.append(element);
  await Promise.resolve();
  return element;
}

const part = (element: Element, name: string): HTMLElement => element.shadowRoot!.querySelector(`[part~="${name}"]`)!;
const title = (element: Element): string => part(element, 'title').textContent;
const text = (element: Element): string => part(element, 'text').textContent;
const viewOf = (element: Element): string | undefined => part(element, 'card').getAttribute('part')?.split(' ')[1];

test('payer_sees_connecting_then_verifying_then_confirmed', async () => {
  const element = await show();
  expect(title(element)).toBe('Consultando tu pago');
  FakeSocket.newest.say(message('verifying'));
  expect(title(element)).toBe('Estamos verificando tu transferencia');
  expect(text(element)).toContain('No pagues de nuevo.');
  FakeSocket.newest.say(message('confirmed'));
  expect(title(element)).toBe('Pago confirmado');
  expect(text(element)).not.toContain('No pagues');
  expect(element.status).toEqual(statusOf('confirmed'));
});

test('element_that_the_script_finds_in_the_page_opens_one_socket', async () => {
  // An upgrade tells the attributes of an element that is in the document before it says that it is connected.
  const element = document.createElement('chasqui-status') as ChasquiStatusElement;
  Object.defineProperty(element, 'isConnected', { configurable: true, value: true });
  element.setAttribute('token', token);
  element.setAttribute('lang', 'en');
  element.connectedCallback();
  await Promise.resolve();
  expect(FakeSocket.opened).toHaveLength(1);
  element.disconnectedCallback();
});

test('events_bubble_out_with_the_status_and_final_comes_once', async () => {
  const element = await show();
  FakeSocket.newest.say(message('verifying'));
  FakeSocket.newest.say(message('verifying'));
  FakeSocket.newest.say(message('confirmed'));
  FakeSocket.newest.say(message('reversed'));
  expect(heard.map(({ type, detail }) => [type, detail])).toEqual([
    ['chasqui:status', statusOf('verifying')],
    ['chasqui:status', statusOf('confirmed')],
    ['chasqui:final', statusOf('confirmed')],
  ]);
  for (const event of heard) {
    expect(event.bubbles && event.composed).toBe(true);
    expect(event.target).toBe(element);
  }
});

test.each(['pending', 'verifying', 'expired', 'cancelled', 'rejected', 'confirmed', 'reversed'] as const)(
  'status_%s_has_its_own_view',
  async (name) => {
    const element = await show();
    FakeSocket.newest.say(message(name));
    expect(viewOf(element)).toBe(name);
  },
);

test('late_confirmation_says_so', async () => {
  const element = await show();
  FakeSocket.newest.say(message('expired'));
  FakeSocket.newest.say(message('confirmed', { late: true }));
  expect(viewOf(element)).toBe('late');
});

test('gateway_is_the_origin_of_the_script_or_the_attribute', async () => {
  await show();
  expect(FakeSocket.newest.url).toBe('wss://pay.example.com/v1/payments/zfxnocsow6mz/status');
  await show({ token, gateway: 'https://other.example.com' });
  expect(FakeSocket.newest.url).toBe('wss://other.example.com/v1/payments/zfxnocsow6mz/status');
});

test('token_comes_from_the_attribute_before_the_fragment', async () => {
  history.replaceState({ cart: 7 }, '', `/order#/done?x=1&chasqui=${tokenOf('abcdefghijkl')}`);
  await show();
  expect(FakeSocket.newest.url).toContain('/zfxnocsow6mz/');
  await show({});
  expect(FakeSocket.newest.url).toContain('/abcdefghijkl/');
  expect(location.hash).toBe('#/done?x=1');
  expect(history.state).toEqual({ cart: 7 });
});

test('without_any_token_a_neutral_text_and_the_event_and_never_an_error', async () => {
  vi.resetModules();
  history.replaceState(null, '', '/order');
  const fresh = await import('../src/element.ts');
  customElements.define('chasqui-without-token', fresh.ChasquiStatusElement);
  const element = document.createElement('chasqui-without-token');
  document.body.append(element);
  await vi.advanceTimersByTimeAsync(0);
  expect(viewOf(element)).toBe('unavailable');
  expect(text(element)).toBe('Aquí no podemos mostrarlo. Revisa tu correo o pregunta en la tienda.');
  expect(heard.map(({ type, detail }) => [type, detail])).toEqual([['chasqui:unavailable', {}]]);
  expect(FakeSocket.opened).toEqual([]);
});

test('refused_token_is_unavailable_with_its_code', async () => {
  const element = await show();
  FakeSocket.newest.drop(4404);
  expect(viewOf(element)).toBe('unavailable');
  expect(heard.map(({ type, detail }) => [type, detail])).toEqual([['chasqui:unavailable', { code: 4404 }]]);
});

/** Time passes on a connection that is well. */
function passes(ms: number): void {
  for (FakeSocket.newest.say('{}'); ms > 30_000; ms -= 30_000) {
    vi.advanceTimersByTime(30_000);
    FakeSocket.newest.say('{}');
  }
  vi.advanceTimersByTime(ms);
}

test('verification_has_three_stages_and_never_fails', async () => {
  const element = await show();
  FakeSocket.newest.say(message('verifying'));
  passes(59_999);
  expect(viewOf(element)).toBe('verifying');
  passes(1);
  expect(viewOf(element)).toBe('verifying-longer');
  passes(239_999);
  expect(viewOf(element)).toBe('verifying-longer');
  passes(1);
  expect(viewOf(element)).toBe('verifying-later');
  passes(86_400_000);
  expect(viewOf(element)).toBe('verifying-later');
  expect(FakeSocket.opened).toHaveLength(1);
  FakeSocket.newest.say(message('confirmed'));
  expect(viewOf(element)).toBe('confirmed');
});

test('gateway_that_cannot_be_reached_looks_like_patience_and_not_like_failure', async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('network')));
  const element = await show();
  for (let i = 0; i < 20; i++) {
    FakeSocket.newest.drop(1006);
    await vi.advanceTimersByTimeAsync(30_000);
  }
  expect(viewOf(element)).toBe('verifying-later');
  expect(heard).toEqual([]);
});

test('confirmed_payment_has_no_timed_stages', async () => {
  const element = await show();
  FakeSocket.newest.say(message('confirmed'));
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(600_000);
  expect(viewOf(element)).toBe('confirmed');
});

test('offline_is_said_while_it_lasts_and_not_over_a_final_status', async () => {
  const element = await show();
  FakeSocket.newest.say(message('verifying'));
  online = false;
  window.dispatchEvent(new Event('offline'));
  expect(title(element)).toBe('Sin conexión');
  expect(text(element)).toBe('No pagues de nuevo. Seguimos apenas vuelva.');
  online = true;
  window.dispatchEvent(new Event('online'));
  expect(viewOf(element)).toBe('verifying');
  FakeSocket.newest.say(message('confirmed'));
  online = false;
  window.dispatchEvent(new Event('offline'));
  expect(viewOf(element)).toBe('confirmed');
});

test('live_region_is_there_before_its_first_text', () => {
  const element = document.createElement('chasqui-status');
  element.setAttribute('token', token);
  document.body.append(element);
  const card = part(element, 'card');
  expect(title(element)).toBe('');
  expect(card.getAttribute('role')).toBe('status');
  expect(card.getAttribute('aria-live')).toBe('polite');
  expect(card.getAttribute('aria-atomic')).toBe('true');
  expect(part(element, 'icon').getAttribute('aria-hidden')).toBe('true');
});

test('same_news_does_not_touch_the_live_region_again', async () => {
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

test('strict_policy_is_respected_no_style_attribute_and_no_style_element', async () => {
  const element = await show();
  FakeSocket.newest.say(message('confirmed'));
  expect(element.shadowRoot!.querySelectorAll('[style],style,script')).toHaveLength(0);
  expect(element.shadowRoot!.adoptedStyleSheets).toHaveLength(1);
  expect(element.hasAttribute('style')).toBe(false);
});

test.each(views)('state_%s_can_be_shown_without_asking_anybody', async (view) => {
  for (const lang of ['es', 'en', 'pt'] as const) {
    const element = await show({ state: view, lang });
    const [expectedTitle, expectedText, advice] = texts[lang][view];
    expect(viewOf(element)).toBe(view);
    expect(title(element)).toBe(expectedTitle);
    expect(text(element)).toBe(advice ? `${advice} ${expectedText}` : expectedText);
    expect(part(element, 'card').lang).toBe(lang);
  }
  expect(FakeSocket.opened).toEqual([]);
  expect(heard).toEqual([]);
});

test('language_changes_with_its_attribute', async () => {
  const element = await show({ state: 'confirmed', lang: 'en-GB' });
  expect(title(element)).toBe('Payment confirmed');
  element.setAttribute('lang', 'pt-BR');
  expect(title(element)).toBe('Pagamento confirmado');
  element.removeAttribute('lang');
  expect(title(element)).toBe('Pago confirmado');
});

test('language_is_the_first_wish_that_can_be_met_else_spanish', () => {
  expect(languageOf(['en', 'es'])).toBe('en');
  expect(languageOf([null, '', 'PT-br'])).toBe('pt');
  expect(languageOf(['fr', 'de', 'en-US'])).toBe('en');
  expect(languageOf(['fr', undefined])).toBe('es');
});

test('whoever_may_have_paid_is_told_not_to_pay_again_and_nothing_frightens', () => {
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

test('element_that_is_removed_stops_and_moved_starts_again_without_repeating', async () => {
  const element = await show();
  FakeSocket.newest.say(message('verifying'));
  element.remove();
  expect(FakeSocket.newest.closed).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
  document.body.append(element);
  expect(FakeSocket.opened).toHaveLength(2);
  FakeSocket.newest.say(message('pending'));
  FakeSocket.newest.say(message('verifying'));
  expect(heard).toHaveLength(1);
  FakeSocket.newest.say(message('confirmed'));
  expect(heard.map(({ type }) => type)).toEqual(['chasqui:status', 'chasqui:status', 'chasqui:final']);
});

test('other_token_is_another_payment_from_the_start', async () => {
  const element = await show();
  FakeSocket.newest.say(message('confirmed'));
  element.setAttribute('token', tokenOf('abcdefghijkl'));
  await Promise.resolve();
  expect(element.status).toBeUndefined();
  expect(viewOf(element)).toBe('connecting');
  FakeSocket.newest.say(message('pending', { payment_id: 'abcdefghijkl' }));
  expect(viewOf(element)).toBe('pending');
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
