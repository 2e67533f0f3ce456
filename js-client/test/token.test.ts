// @vitest-environment happy-dom
/** The token's source and storage, and the rest of the address. */
import { beforeEach, expect, test, vi } from 'vitest';
import { token as first, tokenOf } from './payment.ts';

const second = tokenOf('abcdefghijkl');

/** A page load: a new module instance with the same sessionStorage and history. */
async function load(): Promise<typeof import('../src/token.ts')> {
  vi.resetModules();
  return import('../src/token.ts');
}

beforeEach(() => {
  vi.restoreAllMocks();
  sessionStorage.clear();
  history.replaceState(null, '', '/order/7?paid=1');
});

const at = (): string => location.pathname + location.search + location.hash;

test.each([
  ['alone', `#chasqui=${first}`, ''],
  ['after a route', `#/orders&chasqui=${first}`, '#/orders'],
  ['after a route with a query', `#/orders?x=1&chasqui=${first}`, '#/orders?x=1'],
  ['as the only query of a route', `#/orders?chasqui=${first}`, '#/orders'],
  ['as the first query of a route', `#/orders?chasqui=${first}&x=1`, '#/orders?x=1'],
  ['before others', `#chasqui=${first}&x=1`, '#x=1'],
  ['between others', `#a=1&chasqui=${first}&x=1`, '#a=1&x=1'],
  ['after an anchor', `#thanks&chasqui=${first}`, '#thanks'],
])('token_in_the_fragment_%s_is_taken_and_only_its_part_removed', async (_, fragment, left) => {
  history.replaceState({ cart: 7 }, '', `/order/7?paid=1${fragment}`);
  const { captureToken, keptToken } = await load();
  captureToken();
  expect(at()).toBe(`/order/7?paid=1${left}`);
  expect(location.href.endsWith('#')).toBe(false);
  expect(history.state).toEqual({ cart: 7 });
  expect(keptToken()).toBe(first);
});

test.each(['', '#', '#/orders?x=1', '#xchasqui=abc', '#chasqui=', '#/chasqui=abc'])(
  'fragment_%j_without_a_token_is_left_alone',
  async (fragment) => {
    history.replaceState(null, '', `/order/7?chasqui=${first}${fragment}`);
    const replaced = vi.spyOn(history, 'replaceState');
    const { keptToken } = await load();
    expect(keptToken()).toBeUndefined();
    expect(replaced).not.toHaveBeenCalled();
  },
);

test('reload_keeps_the_token', async () => {
  history.replaceState(null, '', `/order/7#chasqui=${first}`);
  (await load()).captureToken();
  expect((await load()).keptToken()).toBe(first);
});

test('another_page_in_the_same_tab_does_not_show_an_earlier_payment', async () => {
  history.replaceState(null, '', `/order/7#chasqui=${first}`);
  (await load()).captureToken();
  history.replaceState(null, '', '/order/8');
  expect((await load()).keptToken()).toBeUndefined();
});

test('same_path_with_another_query_is_another_page', async () => {
  history.replaceState(null, '', `/done?pedido=1#chasqui=${first}`);
  (await load()).captureToken();
  history.replaceState(null, '', '/done?pedido=2');
  expect((await load()).keptToken()).toBeUndefined();
  history.replaceState(null, '', '/done?pedido=1');
  expect((await load()).keptToken()).toBe(first);
});

test('each_page_keeps_its_own_token_within_one_document', async () => {
  const { captureToken, keptToken } = await load();
  for (const [page, token] of [['/orders/17', first], ['/orders/18', second]]) {
    history.replaceState(null, '', `${page}#chasqui=${token}`);
    captureToken();
  }
  expect(keptToken()).toBe(second);
  history.replaceState(null, '', '/orders/17');
  expect(keptToken()).toBe(first);
  history.replaceState(null, '', '/orders/19');
  expect(keptToken()).toBeUndefined();
});

test('forgotten_token_is_not_found_by_a_later_visit', async () => {
  history.replaceState(null, '', `/done#chasqui=${first}`);
  const { captureToken, forgetToken, keptToken } = await load();
  captureToken();
  sessionStorage.setItem('other', first);
  history.replaceState(null, '', `/elsewhere#chasqui=${second}`);
  captureToken();
  forgetToken(first);
  expect(keptToken()).toBe(second);
  history.replaceState(null, '', '/done');
  expect(keptToken()).toBeUndefined();
  expect((await load()).keptToken()).toBeUndefined();
  expect(sessionStorage.getItem('other')).toBe(first);
});

test('page_that_names_its_payment_gets_no_other_token', async () => {
  history.replaceState(null, '', `/done?key=a#chasqui=${first}`);
  const { keptToken } = await load();
  expect(keptToken('abcdefghijkl')).toBeUndefined();
  expect(keptToken('zfxnocsow6mz')).toBe(first);
  // A script rewrote the address; the attribute names the payment.
  history.replaceState(null, '', '/done');
  expect(keptToken()).toBeUndefined();
  expect(keptToken('zfxnocsow6mz')).toBe(first);
  expect(keptToken('abcdefghijkl')).toBeUndefined();
});

test('newer_token_replaces_the_older_one', async () => {
  history.replaceState(null, '', `/order/7#chasqui=${first}`);
  (await load()).captureToken();
  history.replaceState(null, '', `/order/7#chasqui=${second}`);
  expect((await load()).keptToken()).toBe(second);
  expect(sessionStorage).toHaveLength(1);
  expect((await load()).keptToken()).toBe(second);
});

test('browser_that_refuses_storage_still_has_the_token_for_this_page', async () => {
  vi.stubGlobal('sessionStorage', {
    getItem() {
      throw new DOMException('denied', 'SecurityError');
    },
    setItem() {
      throw new DOMException('denied', 'SecurityError');
    },
  });
  try {
    history.replaceState(null, '', `/order/7#chasqui=${first}`);
    const { captureToken, forgetToken, keptToken } = await load();
    captureToken();
    expect(keptToken()).toBe(first);
    forgetToken(second);
    expect(keptToken()).toBe(first);
    forgetToken(first);
    expect(keptToken()).toBeUndefined();
    expect((await load()).keptToken()).toBeUndefined();
  } finally {
    vi.unstubAllGlobals();
  }
});

test('page_that_may_not_rewrite_its_address_still_has_the_token', async () => {
  history.replaceState(null, '', `/order/7#chasqui=${first}`);
  vi.spyOn(history, 'replaceState').mockImplementation(() => {
    throw new DOMException('denied', 'SecurityError');
  });
  expect((await load()).keptToken()).toBe(first);
  expect(sessionStorage.getItem('chasqui:/order/7')).toBe(first);
});

test('payment_is_read_from_the_sub_claim', async () => {
  const { paymentOf } = await load();
  expect(paymentOf(first)).toBe('zfxnocsow6mz');
  expect(paymentOf(tokenOf('ñandú-€'))).toBe('ñandú-€');
});

test.each([
  '',
  'a.b',
  'a.b.c',
  'a.e30.c',
  `${first}.x`,
  `${first} `,
  `x y.${first}`,
  `a.${btoa('{"sub":7}')}.c`,
  `a.${btoa('null')}.c`,
])('%j_is_not_a_status_token', async (text) => {
  expect((await load()).paymentOf(text)).toBeUndefined();
});
