// @vitest-environment happy-dom
/** The element as seen by a payer and a shop's page. */
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { ChasquiStatusElement } from '../src/element.ts';
import { install } from '../src/install.ts';
import { languageOf, texts, type Language, type View } from '../src/texts.ts';
import { darkColours, lightColours, looks } from '../src/style.ts';
import { message, notSeen, statusOf, token, tokenOf } from './payment.ts';
import { FakeSocket } from './socket.ts';

const views = Object.keys(looks) as View[];
const events: CustomEvent[] = [];
let online: boolean;
let pages = 0;
/** The part of the browser's Navigation API that the element uses. */
let navigation: EventTarget;

beforeAll(() => {
  install('https://pay.example.com/js/chasqui.js');
  for (const type of ['chasqui:status', 'chasqui:final', 'chasqui:unavailable']) {
    document.addEventListener(type, (event) => events.push(event as CustomEvent));
  }
  Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => online });
});

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', FakeSocket);
  navigation = new EventTarget();
  vi.stubGlobal('navigation', navigation);
  FakeSocket.opened = [];
  events.length = 0;
  online = true;
  sessionStorage.clear();
  // Each test has its own page, because the module keeps the tokens of earlier pages.
  history.replaceState(null, '', `/page/${++pages}`);
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
const resumeOf = (element: Element): string | null => part(element, 'resume').getAttribute('href');
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
  // On an upgrade the attribute callbacks run before connectedCallback.
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
  expect(events.map(({ type, detail }) => [type, detail])).toEqual([
    ['chasqui:status', statusOf('verifying')],
    ['chasqui:status', statusOf('confirmed')],
    ['chasqui:final', statusOf('confirmed')],
  ]);
  for (const event of events) {
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

test('late_confirmation_has_its_own_view', async () => {
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

test('without_a_token_there_is_a_neutral_text_and_the_event_but_no_error', async () => {
  vi.resetModules();
  history.replaceState(null, '', '/order');
  const fresh = await import('../src/element.ts');
  customElements.define('chasqui-without-token', fresh.ChasquiStatusElement);
  const element = document.createElement('chasqui-without-token');
  document.body.append(element);
  await vi.advanceTimersByTimeAsync(0);
  expect(viewOf(element)).toBe('unavailable');
  expect(text(element)).toBe('Aquí no podemos mostrarlo. Revisa tu correo o pregunta en la tienda.');
  expect(events.map(({ type, detail }) => [type, detail])).toEqual([['chasqui:unavailable', {}]]);
  expect(FakeSocket.opened).toEqual([]);
});

test('own_content_is_shown_without_a_status', async () => {
  const element = await show();
  const own = document.createElement('p');
  own.textContent = 'La tienda recibió tu pago.';
  element.append(own);
  const shown = (): string => (part(element, 'card').hidden ? 'own' : 'card');
  const slot = element.shadowRoot!.querySelector('slot')!;
  element.setAttribute('lang', 'es');
  expect([viewOf(element), shown(), slot.hidden]).toEqual(['connecting', 'own', false]);
  FakeSocket.newest.say(message('verifying'));
  expect([viewOf(element), shown(), slot.hidden]).toEqual(['verifying', 'card', true]);
  FakeSocket.newest.drop(4401);
  expect([viewOf(element), shown(), slot.hidden]).toEqual(['unavailable', 'own', false]);
  own.remove();
  element.setAttribute('lang', 'en');
  expect([viewOf(element), shown(), slot.hidden]).toEqual(['unavailable', 'card', true]);
});

test('refused_token_is_unavailable_with_its_code', async () => {
  const element = await show();
  FakeSocket.newest.drop(4404);
  expect(viewOf(element)).toBe('unavailable');
  expect(events.map(({ type, detail }) => [type, detail])).toEqual([['chasqui:unavailable', { code: 4404 }]]);
});

/** Time passes on a working connection. */
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

test('verifying_by_khipu_continues_the_wait', async () => {
  const element = await show();
  FakeSocket.newest.say(message('verifying', { by: 'payer' }));
  passes(50_000);
  FakeSocket.newest.say(message('verifying', { version: 14, by: 'khipu' }));
  passes(10_000);
  expect(viewOf(element)).toBe('verifying-longer');
  // The payer tried again: a new wait begins.
  FakeSocket.newest.say(message('verifying', { version: 22, by: 'payer', at: '2026-11-22T06:40:00.000Z' }));
  expect(viewOf(element)).toBe('verifying');
});

test('payment_not_seen_by_khipu_has_its_own_view_and_can_be_resumed', async () => {
  for (const [lang, expected] of [
    ['es', ['Aún no vemos tu pago', 'Retomar el pago']],
    ['en', ['We do not see your payment yet', 'Resume the payment']],
    ['pt', ['Ainda não vemos seu pagamento', 'Retomar o pagamento']],
  ] as const) {
    const element = await show({ token, lang });
    FakeSocket.newest.say(message('verifying'));
    expect(resumeOf(element)).toBeNull();
    FakeSocket.newest.say(message('pending', notSeen));
    expect(viewOf(element)).toBe('not-seen');
    expect([title(element), part(element, 'resume').textContent]).toEqual(expected);
    expect(resumeOf(element)).toBe('https://khipu.com/payment/info/zfxnocsow6mz');
    FakeSocket.newest.say(message('verifying', { version: 14, by: 'khipu' }));
    expect(viewOf(element)).toBe('verifying');
    expect(resumeOf(element)).toBeNull();
    expect(part(element, 'resume').textContent).toBe('');
  }
});

test('payment_without_a_resume_url_has_no_link', async () => {
  const element = await show();
  FakeSocket.newest.say(message('pending', { ...notSeen, resume_url: 'javascript:alert(1)' }));
  expect(viewOf(element)).toBe('not-seen');
  expect(resumeOf(element)).toBeNull();
});

test.each(['rejected', 'cancelled', 'expired'] as const)('%s_is_shown_and_changes_if_the_payer_still_pays', async (name) => {
  const element = await show();
  FakeSocket.newest.say(message(name, { resume_url: 'https://khipu.com/payment/info/zfxnocsow6mz' }));
  expect(viewOf(element)).toBe(name);
  expect(resumeOf(element) !== null).toBe(name === 'rejected');
  expect(FakeSocket.newest.closed).toBe(false);
  passes(3_600_000);
  expect(viewOf(element)).toBe(name);
  FakeSocket.newest.say(message('verifying', { version: 22 }));
  FakeSocket.newest.say(message(name));
  expect(viewOf(element)).toBe('verifying');
  expect(resumeOf(element)).toBeNull();
  FakeSocket.newest.say(message('confirmed'));
  expect(viewOf(element)).toBe('confirmed');
  expect(FakeSocket.opened).toHaveLength(1);
  expect(events.map(({ type }) => type)).toEqual(['chasqui:status', 'chasqui:status', 'chasqui:status', 'chasqui:final']);
});

test('status_of_a_newer_gateway_is_neither_an_error_nor_final', async () => {
  const element = await show();
  FakeSocket.newest.say(message('pending', { status: 'on-hold', version: 19 }));
  expect(viewOf(element)).toBe('unavailable');
  expect(events.map(({ type }) => type)).toEqual(['chasqui:status']);
  FakeSocket.newest.say(message('confirmed'));
  expect(viewOf(element)).toBe('confirmed');
});

test('unreachable_gateway_shows_a_wait_and_not_a_failure', async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('network')));
  const element = await show();
  for (let i = 0; i < 20; i++) {
    FakeSocket.newest.drop(1006);
    await vi.advanceTimersByTimeAsync(30_000);
  }
  expect(viewOf(element)).toBe('verifying-later');
  expect(events).toEqual([]);
});

test('confirmed_payment_has_no_timed_stages', async () => {
  const element = await show();
  FakeSocket.newest.say(message('confirmed'));
  expect(vi.getTimerCount()).toBe(0);
  vi.advanceTimersByTime(600_000);
  expect(viewOf(element)).toBe('confirmed');
});

test('offline_is_shown_while_it_lasts_and_not_over_a_final_status', async () => {
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

test('removed_element_stops_and_moved_element_restarts_without_repeating', async () => {
  const element = await show();
  FakeSocket.newest.say(message('verifying'));
  element.remove();
  expect(FakeSocket.newest.closed).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
  document.body.append(element);
  expect(FakeSocket.opened).toHaveLength(2);
  FakeSocket.newest.say(message('pending'));
  FakeSocket.newest.say(message('verifying'));
  expect(events).toHaveLength(1);
  FakeSocket.newest.say(message('confirmed'));
  expect(events.map(({ type }) => type)).toEqual(['chasqui:status', 'chasqui:status', 'chasqui:final']);
});

test('other_token_starts_another_payment', async () => {
  const element = await show();
  FakeSocket.newest.say(message('confirmed'));
  element.setAttribute('token', tokenOf('abcdefghijkl'));
  await Promise.resolve();
  expect(element.status).toBeUndefined();
  expect(viewOf(element)).toBe('connecting');
  FakeSocket.newest.say(message('pending', { payment_id: 'abcdefghijkl' }));
  expect(viewOf(element)).toBe('pending');
});

test('newer_token_of_the_same_payment_does_not_take_its_status_back', async () => {
  const element = await show();
  FakeSocket.newest.say(message('verifying', { version: 22 }));
  const newer = `${token.slice(0, token.lastIndexOf('.'))}.bmV3ZXI`;
  element.setAttribute('token', newer);
  await Promise.resolve();
  expect(FakeSocket.opened).toHaveLength(2);
  FakeSocket.newest.say(message('rejected'));
  expect(viewOf(element)).toBe('verifying');
});

/** The target of the return hop: a page with the token in its fragment. */
function comeBackTo(page: string, payment: string): void {
  history.replaceState(null, '', `${page}#chasqui=${tokenOf(payment)}`);
}

/** A script changes the address, as a single-page application does. */
function go(page: string): void {
  history.pushState(null, '', page);
  navigation.dispatchEvent(new Event('currententrychange'));
}

const watched = (): (string | undefined)[] => FakeSocket.opened.map(({ url }) => url.split('/')[5]);

test('page_of_another_order_does_not_show_the_earlier_payment', async () => {
  comeBackTo('/orders/17', 'order-17');
  const element = await show({});
  FakeSocket.newest.say(message('verifying', { payment_id: 'order-17' }));
  go('/orders/18');
  await Promise.resolve();
  expect(FakeSocket.newest.closed).toBe(true);
  expect(element.status).toBeUndefined();
  expect(viewOf(element)).toBe('unavailable');
  FakeSocket.newest.say(message('confirmed', { payment_id: 'order-17' }));
  expect(viewOf(element)).toBe('unavailable');
  expect(events.at(-1)).toMatchObject({ type: 'chasqui:unavailable', detail: {} });
});

test('back_and_forward_between_two_orders_show_the_payment_of_each', async () => {
  comeBackTo('/orders/17', 'order-17');
  const element = await show({});
  FakeSocket.newest.say(message('verifying', { payment_id: 'order-17' }));
  go(`/orders/18#chasqui=${tokenOf('order-18')}`);
  FakeSocket.newest.say(message('rejected', { payment_id: 'order-18' }));
  expect(viewOf(element)).toBe('rejected');
  for (const [page, view, name] of [['17', 'connecting', 'verifying'], ['18', 'connecting', 'rejected']] as const) {
    history.replaceState(null, '', `/orders/${page}`);
    window.dispatchEvent(new Event('popstate'));
    await Promise.resolve();
    expect(viewOf(element)).toBe(view);
    FakeSocket.newest.say(message(name, { payment_id: `order-${page}` }));
    expect(viewOf(element)).toBe(name);
  }
  expect(watched()).toEqual(['order-17', 'order-18', 'order-17', 'order-18']);
});

test('fragment_alone_is_not_another_page', async () => {
  comeBackTo('/orders/17', 'order-17');
  const element = await show({});
  FakeSocket.newest.say(message('verifying', { payment_id: 'order-17' }));
  go('/orders/17#details');
  expect(viewOf(element)).toBe('verifying');
  expect(FakeSocket.opened).toHaveLength(1);
});

test('changed_address_is_detected_before_a_status_is_shown', async () => {
  comeBackTo('/orders/17', 'order-17');
  const element = await show({});
  history.pushState(null, '', '/orders/19');
  FakeSocket.newest.say(message('confirmed', { payment_id: 'order-17' }));
  await Promise.resolve();
  expect(viewOf(element)).toBe('unavailable');
  expect(events.map(({ type }) => type)).toEqual(['chasqui:unavailable']);
});

test('browser_without_the_navigation_api_detects_it_within_a_second', async () => {
  vi.stubGlobal('navigation', undefined);
  comeBackTo('/orders/17', 'order-17');
  const element = await show({});
  FakeSocket.newest.say(message('confirmed', { payment_id: 'order-17' }));
  history.pushState(null, '', '/orders/19');
  await vi.advanceTimersByTimeAsync(1_000);
  expect(viewOf(element)).toBe('unavailable');
  element.remove();
  expect(vi.getTimerCount()).toBe(0);
});

test('fixed_success_path_shows_the_newest_order_and_nothing_once_it_is_settled', async () => {
  comeBackTo('/checkout/onepage/success', 'order-1');
  const element = await show({});
  FakeSocket.newest.say(message('verifying', { payment_id: 'order-1' }));
  // The return of the second order changes the fragment of the open page.
  go(`/checkout/onepage/success#chasqui=${tokenOf('order-2')}`);
  expect(element.status).toBeUndefined();
  FakeSocket.newest.say(message('confirmed', { payment_id: 'order-2' }));
  expect(viewOf(element)).toBe('confirmed');
  expect(Object.keys(sessionStorage).filter((key) => key.includes('onepage'))).toEqual([]);
  // The element still shows it, …
  element.remove();
  document.body.append(element);
  await Promise.resolve();
  expect(viewOf(element)).toBe('confirmed');
  expect(watched()).toEqual(['order-1', 'order-2']);
  // … and a later visit shows nothing.
  go('/cart');
  go('/checkout/onepage/success');
  await Promise.resolve();
  expect(viewOf(element)).toBe('unavailable');
  expect(viewOf(await show({}))).toBe('unavailable');
  expect(FakeSocket.opened).toHaveLength(2);
});

test('reinserted_element_does_not_show_a_settled_order_on_another_visit', async () => {
  comeBackTo('/checkout/onepage/success', 'order-1');
  const element = await show({});
  FakeSocket.newest.say(message('confirmed', { payment_id: 'order-1' }));
  element.remove();
  await Promise.resolve();
  document.body.append(element);
  await Promise.resolve();
  expect(viewOf(element)).toBe('unavailable');
  expect(element.status).toBeUndefined();
});

test.each([
  [4401, true],
  [4404, true],
  [4403, false],
])('token_refused_with_%i_is_dropped_%s', async (code, dropped) => {
  comeBackTo('/orders/17', 'order-17');
  const element = await show({});
  FakeSocket.newest.drop(code);
  expect(viewOf(element)).toBe('unavailable');
  expect(sessionStorage.getItem('chasqui:/orders/17')).toBe(dropped ? null : tokenOf('order-17'));
  navigation.dispatchEvent(new Event('currententrychange'));
  await Promise.resolve();
  expect(events.map(({ type, detail }) => [type, detail])).toEqual([['chasqui:unavailable', { code }]]);
  expect(FakeSocket.opened).toHaveLength(1);
});

test('element_with_a_payment_attribute_shows_no_other', async () => {
  comeBackTo('/checkout/success', 'order-1');
  const element = await show({ payment: 'order-2' });
  expect(viewOf(element)).toBe('unavailable');
  expect(FakeSocket.opened).toEqual([]);
  expect(viewOf(await show({ payment: 'order-2', token: tokenOf('order-1') }))).toBe('unavailable');
  expect(FakeSocket.opened).toEqual([]);
  element.setAttribute('payment', 'order-1');
  await Promise.resolve();
  expect(watched()).toEqual(['order-1']);
  // The attribute names the payment, so a changed address does not matter.
  FakeSocket.newest.say(message('verifying', { payment_id: 'order-1' }));
  go('/checkout/success?tidy');
  expect(viewOf(element)).toBe('verifying');
  element.setAttribute('payment', 'order-2');
  await Promise.resolve();
  expect(viewOf(element)).toBe('unavailable');
  expect(FakeSocket.newest.closed).toBe(true);
});

test('token_attribute_is_not_bound_to_an_address', async () => {
  const element = await show();
  FakeSocket.newest.say(message('verifying'));
  go('/orders/18');
  expect(viewOf(element)).toBe('verifying');
  expect(FakeSocket.opened).toHaveLength(1);
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
