// @vitest-environment happy-dom
/** What the element shows of a payment, and the events that it sends. */
import { expect, test, vi } from 'vitest';
import type { ChasquiStatusElement } from '../src/element.ts';
import { events, part, resumeOf, setOnline, show, text, title, viewOf } from './element_page.ts';
import { message, notSeen, statusOf, token, tokenOf } from './payment.ts';
import { FakeSocket } from './socket.ts';

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
  setOnline(false);
  expect(title(element)).toBe('Sin conexión');
  expect(text(element)).toBe('No pagues de nuevo. Seguimos apenas vuelva.');
  setOnline(true);
  expect(viewOf(element)).toBe('verifying');
  FakeSocket.newest.say(message('confirmed'));
  setOnline(false);
  expect(viewOf(element)).toBe('confirmed');
});
