// @vitest-environment happy-dom
/** Which payment the element follows: its attributes, the page's address, and other visits. */
import { expect, test, vi } from 'vitest';
import { events, navigation, show, viewOf } from './element_page.ts';
import { message, token, tokenOf } from './payment.ts';
import { FakeSocket } from './socket.ts';

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
