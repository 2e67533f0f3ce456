// @vitest-environment happy-dom
/** A watch in a page that is hidden, frozen, left, restored, offline and online. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Status } from '../src/status.ts';
import type { Environment } from '../src/transport.ts';
import { watch, type Watch } from '../src/watch.ts';
import { Clock } from './clock.ts';
import { message, token } from './payment.ts';
import { FakeSocket } from './socket.ts';

let clock: Clock;
let watched: Watch;
let statuses: Status[];
let visibility: DocumentVisibilityState;

beforeEach(() => {
  FakeSocket.opened = [];
  clock = new Clock();
  statuses = [];
  visibility = 'visible';
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => visibility });
  watched = watch(
    { gateway: 'https://pay.example.com', token, onStatus: (status) => statuses.push(status) },
    {
      WebSocket: FakeSocket as unknown as Environment['WebSocket'],
      fetch: () => new Promise(() => undefined),
      setTimeout: clock.setTimeout,
      clearTimeout: clock.clearTimeout,
      random: () => clock.random,
      now: () => clock.now,
    },
  );
});

afterEach(() => watched.close());

function show(state: DocumentVisibilityState): void {
  visibility = state;
  document.dispatchEvent(new Event('visibilitychange'));
}

function pageshow(persisted: boolean): void {
  window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted }));
}

test('page_that_becomes_visible_reads_again_at_once', () => {
  FakeSocket.newest.say(message('verifying'));
  show('hidden');
  expect(FakeSocket.opened).toHaveLength(1);
  clock.now += 60_000;
  show('visible');
  expect(FakeSocket.opened).toHaveLength(2);
  expect(FakeSocket.opened[0]!.closed).toBe(true);
  FakeSocket.newest.say(message('confirmed'));
  expect(statuses.map(({ status }) => status)).toEqual(['verifying', 'confirmed']);
});

test('replaced_socket_is_ignored', () => {
  const [old] = FakeSocket.opened;
  window.dispatchEvent(new Event('online'));
  old!.say(message('confirmed'));
  old!.drop(4404);
  expect(statuses).toEqual([]);
  FakeSocket.newest.say(message('verifying'));
  expect(statuses).toHaveLength(1);
});

test('becoming_visible_does_not_wait_for_a_long_backoff', () => {
  for (let i = 0; i < 6; i++) {
    FakeSocket.newest.drop(4503);
    clock.step();
  }
  FakeSocket.newest.drop(4503);
  expect(clock.waits).toEqual([15_000]);
  show('visible');
  expect(FakeSocket.opened).toHaveLength(8);
  FakeSocket.newest.drop(4503);
  expect(clock.waits).toEqual([500]);
});

test('online_reconnects_at_once_even_a_fresh_connection', () => {
  window.dispatchEvent(new Event('online'));
  expect(FakeSocket.opened).toHaveLength(2);
  expect(clock.waits).toEqual([10_000]);
});

test('online_retries_the_socket_after_polling', () => {
  FakeSocket.newest.drop(1006);
  clock.step();
  FakeSocket.newest.drop(1006);
  expect(clock.waits).toContain(120_000);
  window.dispatchEvent(new Event('online'));
  expect(FakeSocket.opened).toHaveLength(3);
  expect(clock.waits).toEqual([10_000]);
});

test('heartbeat_does_not_count_as_the_first_status', () => {
  clock.now += 9_000;
  FakeSocket.newest.say('{}');
  expect(clock.waits).toEqual([1_000]);
  clock.step();
  expect(FakeSocket.newest.closed).toBe(true);
});

test('resumed_page_replaces_a_socket_that_may_be_lost', () => {
  FakeSocket.newest.say(message('verifying'));
  clock.now += 46_000;
  show('visible');
  expect(FakeSocket.opened).toHaveLength(2);
  expect(clock.waits).toEqual([10_000]);
});

test('left_page_has_no_socket_and_no_timer_so_that_it_can_be_cached', () => {
  FakeSocket.newest.say(message('verifying'));
  window.dispatchEvent(new Event('pagehide'));
  expect(FakeSocket.newest.closed).toBe(true);
  expect(clock.waits).toEqual([]);
  FakeSocket.newest.drop(1000);
  expect(clock.waits).toEqual([]);
});

test('page_restored_from_the_cache_reads_again_with_one_connection', () => {
  window.dispatchEvent(new Event('pagehide'));
  pageshow(true);
  show('visible');
  expect(FakeSocket.opened).toHaveLength(2);
});

test('first_pageshow_of_a_page_opens_no_second_connection', () => {
  clock.now += 5_000;
  pageshow(false);
  expect(FakeSocket.opened).toHaveLength(1);
});

test('visible_page_sends_a_receipt', () => {
  FakeSocket.newest.say(message('verifying'));
  FakeSocket.newest.say(message('confirmed'));
  expect(FakeSocket.newest.sent).toEqual(['{"seen":12}', '{"seen":1000}']);
});

test('hidden_page_sends_no_receipt_until_it_is_visible', () => {
  show('hidden');
  FakeSocket.newest.say(message('verifying'));
  expect(FakeSocket.newest.sent).toEqual([]);
  clock.now += 5_000;
  show('visible');
  FakeSocket.newest.say(message('verifying'));
  expect(FakeSocket.newest.sent).toEqual(['{"seen":12}']);
  expect(statuses).toHaveLength(1);
});

test('final_status_removes_all_page_listeners', () => {
  FakeSocket.newest.say(message('confirmed'));
  clock.now += 60_000;
  show('visible');
  pageshow(true);
  window.dispatchEvent(new Event('online'));
  expect(FakeSocket.opened).toHaveLength(1);
  expect(FakeSocket.newest.closed).toBe(true);
  expect(clock.waits).toEqual([]);
});

test('closed_watch_removes_all_page_listeners', () => {
  watched.close();
  window.dispatchEvent(new Event('online'));
  expect(FakeSocket.opened).toHaveLength(1);
});
