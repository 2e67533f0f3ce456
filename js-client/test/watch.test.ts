/** A watch with a real server: every end of a connection, and the payer's view after it. */
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket as NodeSocket } from 'ws';
import type { Status } from '../src/status.ts';
import type { Environment } from '../src/transport.ts';
import { UnavailableError, watch, type Watch, type WatchOptions } from '../src/watch.ts';
import { Clock } from './clock.ts';
import { Gateway } from './gateway.ts';
import { message, statusOf, token, tokenOf } from './payment.ts';
import { until } from './until.ts';

/** As in a browser, a failed socket closes without throwing. */
class Socket extends NodeSocket {
  constructor(url: string, protocols: string[]) {
    super(url, protocols);
    this.on('error', () => undefined);
  }
}

let gateway: Gateway;
let clock: Clock;
let watched: Watch | undefined;
let statuses: Status[];
let errors: UnavailableError[];

beforeEach(async () => {
  gateway = await Gateway.start();
  clock = new Clock();
  statuses = [];
  errors = [];
});

afterEach(async () => {
  watched?.close();
  await gateway.close();
});

function start(more: Partial<WatchOptions> = {}): Watch {
  const environment: Environment = {
    WebSocket: Socket as unknown as Environment['WebSocket'],
    fetch,
    setTimeout: clock.setTimeout,
    clearTimeout: clock.clearTimeout,
    random: () => clock.random,
    now: () => clock.now,
  };
  watched = watch(
    {
      gateway: gateway.url,
      token,
      onStatus: (status) => statuses.push(status),
      onUnavailable: (error) => errors.push(error),
      ...more,
    },
    environment,
  );
  return watched;
}

const names = (): string[] => statuses.map(({ status }) => status);
const seen = (count: number): Promise<void> => until(`${count} statuses`, () => statuses.length === count);

/** The delay before the next try: the only timer without a connection. */
async function retryDelay(): Promise<number> {
  await until('a retry', () => clock.waits.length === 1 && clock.waits[0]! <= 30_000 && clock.waits[0] !== 10_000);
  return clock.waits[0]!;
}

test('watcher_offers_protocol_and_token_and_never_puts_the_token_in_the_url', async () => {
  start();
  await gateway.socket(0);
  const request = gateway.upgrades[0]!;
  expect(request.url).toBe('/v1/payments/zfxnocsow6mz/status');
  expect(request.headers['sec-websocket-protocol']?.split(/, ?/)).toEqual(['chasqui.v1', `chasqui.token.${token}`]);
});

test('trailing_slash_and_path_of_the_gateway_are_handled', async () => {
  start({ gateway: `${gateway.url}/pay/` });
  await gateway.socket(0);
  expect(gateway.upgrades[0]!.url).toBe('/pay/v1/payments/zfxnocsow6mz/status');
});

test('payer_sees_verifying_then_confirmed_and_the_watch_settles', async () => {
  gateway.onSocket = (socket) => {
    socket.send(message('verifying'));
    socket.send(message('confirmed'));
    socket.close(1000, 'final');
  };
  const { settled } = start();
  expect(await settled).toEqual(statusOf('confirmed'));
  expect(names()).toEqual(['verifying', 'confirmed']);
  expect(clock.waits).toEqual([]);
});

test('final_status_closes_the_socket_even_if_the_gateway_does_not', async () => {
  gateway.onSocket = (socket) => {
    socket.send(message('confirmed'));
    socket.send(message('reversed'));
  };
  const { settled } = start();
  const closed = gateway.socket(0).then((socket) => once(socket, 'close'));
  expect((await settled).status).toBe('confirmed');
  expect((await closed)[0]).toBe(1000);
  expect(names()).toEqual(['confirmed']);
  expect(gateway.upgrades).toHaveLength(1);
});

test('status_never_goes_back_and_is_never_repeated', async () => {
  gateway.onSocket = (socket) => {
    for (const name of ['verifying', 'pending', 'verifying', 'expired', 'verifying', 'confirmed'] as const) {
      socket.send(message(name));
    }
  };
  await start().settled;
  expect(names()).toEqual(['verifying', 'expired', 'confirmed']);
});

test('status_never_goes_back_across_reconnections', async () => {
  start();
  (await gateway.socket(0)).send(message('expired'));
  await seen(1);
  gateway.sockets[0]!.close(4503);
  await retryDelay();
  clock.step();
  const socket = await gateway.socket(1);
  socket.send(message('verifying'));
  socket.send(message('confirmed', { late: true }));
  await watched!.settled;
  expect(names()).toEqual(['expired', 'confirmed']);
});

test('messages_that_are_not_a_status_of_this_payment_are_ignored', async () => {
  gateway.onSocket = (socket) => {
    socket.send('not json');
    socket.send('{"status":"confirmed"}');
    socket.send(message('confirmed', { payment_id: 'another-one' }));
    socket.send(Buffer.from(message('confirmed')), { binary: true });
    socket.send(message('verifying'));
  };
  start();
  await seen(1);
  expect(names()).toEqual(['verifying']);
});

test.each([4400, 4401, 4403, 4404, 4410, 4499])('close_%i_is_fatal', async (code) => {
  gateway.onSocket = (socket) => socket.close(code);
  const { settled } = start();
  await expect(settled).rejects.toMatchObject({ name: 'UnavailableError', code });
  expect(errors).toEqual([await settled.catch((error: unknown) => error)]);
  expect(clock.waits).toEqual([]);
});

test.each([1000, 1001, 1009, 1011, 1013, 4000, 4500, 4503, 4599])('close_%i_is_retried_with_backoff', async (code) => {
  start();
  (await gateway.socket(0)).close(code);
  expect(await retryDelay()).toBe(500);
  clock.step();
  await gateway.socket(1);
  expect(errors).toEqual([]);
});

test.each([1012, 4429, 4503])('close_%i_waits_as_long_as_its_reason_says', async (code) => {
  start();
  (await gateway.socket(0)).close(code, 'retry_after_ms=7000');
  const delay = await retryDelay();
  expect(delay).toBeGreaterThanOrEqual(7_000);
  expect(delay).toBeLessThan(8_000);
});

test('1012_without_a_reason_backs_off', async () => {
  start();
  (await gateway.socket(0)).close(1012);
  expect(await retryDelay()).toBe(500);
});

test('absurd_retry_after_is_capped', async () => {
  start();
  (await gateway.socket(0)).close(1012, 'retry_after_ms=999999999999');
  await until('a retry', () => clock.waits.length === 1 && clock.waits[0]! > 30_000);
  expect(clock.waits[0]).toBe(300_500);
});

test('4508_reconnects_at_once_after_a_connection_that_worked', async () => {
  start();
  const socket = await gateway.socket(0);
  socket.send(message('verifying'));
  await seen(1);
  socket.close(4508);
  expect(await retryDelay()).toBe(0);
});

test('4508_before_any_message_backs_off', async () => {
  start();
  (await gateway.socket(0)).close(4508);
  expect(await retryDelay()).toBe(500);
});

test('backoff_is_full_jitter_doubling_to_a_cap_without_a_limit_of_retries', async () => {
  gateway.onSocket = (socket) => socket.close(4503);
  start();
  const delays: number[] = [];
  for (let attempt = 0; attempt < 12; attempt++) {
    clock.random = attempt % 2 ? 0 : 0.999999;
    await gateway.socket(attempt);
    delays.push(Math.round(await retryDelay()));
    clock.step();
  }
  expect(delays).toEqual([1000, 0, 4000, 0, 16000, 0, 30000, 0, 30000, 0, 30000, 0]);
  await gateway.socket(12);
});

test('backoff_resets_after_a_message_and_not_after_opening', async () => {
  start();
  for (const expected of [500, 1000, 2000]) {
    (await gateway.socket(gateway.sockets.length)).close(4503);
    expect(await retryDelay()).toBe(expected);
    clock.step();
  }
  const socket = await gateway.socket(3);
  socket.send(message('verifying'));
  await seen(1);
  socket.close(4503);
  expect(await retryDelay()).toBe(500);
});

test('socket_without_a_message_for_ten_seconds_is_dropped', async () => {
  start();
  await gateway.socket(0);
  expect(clock.waits).toEqual([10_000]);
  clock.step();
  expect(await retryDelay()).toBe(500);
});

test('heartbeat_keeps_the_socket_and_is_not_a_status', async () => {
  start();
  const socket = await gateway.socket(0);
  socket.send(message('verifying'));
  await seen(1);
  expect(clock.waits).toEqual([45_000]);
  for (let beat = 0; beat < 4; beat++) {
    clock.now += 33_000;
    expect(clock.waits).toEqual([12_000]);
    socket.send('{}');
    await until('the wait begins again', () => clock.waits[0] === 45_000);
  }
  expect(statuses).toHaveLength(1);
  expect(gateway.upgrades).toHaveLength(1);
  expect(errors).toEqual([]);
});

test('silent_socket_is_dropped_and_the_status_read_again_at_once', async () => {
  start();
  (await gateway.socket(0)).send(message('verifying'));
  await seen(1);
  clock.fire(45_000);
  expect(clock.waits).toEqual([0]);
  clock.step();
  (await gateway.socket(1)).send(message('confirmed'));
  await watched!.settled;
  expect(names()).toEqual(['verifying', 'confirmed']);
});

test('network_that_drops_all_data_leads_to_polling_within_a_minute', async () => {
  gateway.onRequest = (_, response) => response.end(message('confirmed'));
  start();
  (await gateway.socket(0)).send(message('verifying'));
  await seen(1);
  const silentSince = clock.now;
  clock.fire(45_000);
  clock.step();
  await gateway.socket(1);
  clock.fire(10_000);
  await watched!.settled;
  expect(clock.now - silentSince).toBeLessThan(60_000);
  expect(gateway.upgrades).toHaveLength(2);
});

test.each(['rejected', 'cancelled', 'expired'] as const)('payer_who_pays_after_all_sees_the_confirmation_after_%s', async (name) => {
  start();
  const socket = await gateway.socket(0);
  socket.send(message(name));
  await seen(1);
  socket.send(message('verifying', { version: 22, by: 'payer' }));
  // A late message of the first round.
  socket.send(message(name));
  socket.send(message('pending', { version: 21 }));
  socket.send(message('confirmed'));
  expect(await watched!.settled).toEqual(statusOf('confirmed'));
  expect(names()).toEqual([name, 'verifying', 'confirmed']);
  expect(gateway.upgrades).toHaveLength(1);
});

test('round_counts_before_kind', async () => {
  gateway.onSocket = (socket) => {
    for (const version of [17, 21, 19, 23, 22, 991]) socket.send(message('pending', { version }));
  };
  start();
  await seen(4);
  expect(statuses.map(({ version }) => version)).toEqual([17, 21, 23, 991]);
});

test('unknown_status_is_passed_on_by_socket_and_by_polling', async () => {
  gateway.onRequest = (_, response) => response.end(message('verifying', { status: 'on-hold', version: 19 }));
  await startPolling();
  await seen(1);
  expect(names()).toEqual(['on-hold']);
  expect(clock.waits).toContain(2_000);
});

test('polling_takes_over_after_two_sockets_without_a_message', async () => {
  gateway.acceptsSockets = false;
  gateway.onRequest = (request, response) => {
    if (!request.headers['if-none-match']) response.end(message('verifying'));
    else response.end(message('confirmed'));
  };
  const { settled } = start();
  await retryDelay();
  clock.step();
  await seen(1);
  await until('the pause between requests', () => clock.waits.includes(2_000));
  clock.step();
  expect((await settled).status).toBe('confirmed');
  expect(gateway.upgrades).toHaveLength(2);
  const [first, second] = gateway.requests;
  expect(first!.url).toBe('/v1/payments/zfxnocsow6mz/status');
  expect(first!.headers.authorization).toBe(`Bearer ${token}`);
  expect(second!.url).toBe('/v1/payments/zfxnocsow6mz/status?wait=25');
  expect(second!.headers['if-none-match']).toBe('"12"');
  expect(clock.waits).toEqual([]);
});

test('socket_refused_with_a_code_does_not_count_as_a_blocked_network', async () => {
  gateway.onSocket = (socket) => socket.close(4503);
  start();
  for (let i = 0; i < 4; i++) {
    await gateway.socket(i);
    await retryDelay();
    clock.step();
  }
  expect(gateway.requests).toEqual([]);
});

/** Leaves the watch polling, its first request answered by `onRequest`. */
async function startPolling(): Promise<Watch> {
  gateway.acceptsSockets = false;
  const started = start();
  await retryDelay();
  clock.step();
  await until('a request', () => gateway.requests.length === 1);
  return started;
}

test('304_changes_nothing_and_the_next_request_follows', async () => {
  gateway.onRequest = (_, response) => {
    if (gateway.requests.length === 1) response.end(message('verifying'));
    else if (gateway.requests.length < 4) response.writeHead(304).end();
    else response.end(message('confirmed'));
  };
  const { settled } = await startPolling();
  for (let request = 1; request < 4; request++) {
    await until('a pause', () => gateway.requests.length === request && clock.waits[0] === 2_000);
    clock.step();
  }
  await settled;
  expect(names()).toEqual(['verifying', 'confirmed']);
  expect(gateway.requests.slice(1).map(({ headers }) => headers['if-none-match'])).toEqual(['"12"', '"12"', '"12"']);
});

test.each([503, 429])('poll_answered_%i_waits_for_its_retry_after', async (code) => {
  gateway.onRequest = (_, response) => response.writeHead(code, { 'retry-after': '20' }).end();
  await startPolling();
  expect(await retryDelay()).toBe(20_500);
  expect(errors).toEqual([]);
});

test('poll_answered_500_backs_off_and_the_socket_is_tried_again', async () => {
  gateway.onRequest = (_, response) => response.writeHead(500).end();
  await startPolling();
  await retryDelay();
  gateway.acceptsSockets = true;
  clock.step();
  (await gateway.socket(0)).send(message('confirmed'));
  expect((await watched!.settled).status).toBe('confirmed');
});

test.each([401, 403, 404])('poll_answered_%i_is_fatal', async (code) => {
  gateway.onRequest = (_, response) => response.writeHead(code).end();
  const { settled } = await startPolling();
  await expect(settled).rejects.toMatchObject({ code: 4000 + code });
  expect(errors).toHaveLength(1);
  expect(clock.waits).toEqual([]);
});

test('poll_with_an_invalid_body_is_retried', async () => {
  gateway.onRequest = (_, response) => response.end('<html>please log in to this network</html>');
  await startPolling();
  await retryDelay();
  expect(statuses).toEqual([]);
});

test('poll_without_an_answer_is_aborted', async () => {
  await startPolling();
  expect(clock.waits).toEqual([40_000, 120_000]);
  clock.step();
  await retryDelay();
});

test('socket_is_tried_again_after_two_minutes_of_polling', async () => {
  gateway.onRequest = (_, response) => response.end(message('verifying'));
  await startPolling();
  await until('a pause', () => clock.waits[0] === 2_000);
  gateway.acceptsSockets = true;
  clock.fire(120_000);
  (await gateway.socket(0)).send(message('confirmed'));
  await watched!.settled;
  expect(names()).toEqual(['verifying', 'confirmed']);
});

test('invalid_token_is_unavailable_without_a_request', async () => {
  const { settled } = start({ token: 'not-a-token' });
  expect(errors).toEqual([]);
  await expect(settled).rejects.toMatchObject({ code: 4401 });
  expect(errors).toHaveLength(1);
  expect(gateway.upgrades).toEqual([]);
});

test('payment_id_is_escaped_in_the_path', async () => {
  start({ token: tokenOf('../é') });
  await gateway.socket(0);
  expect(gateway.upgrades[0]!.url).toBe('/v1/payments/..%2F%C3%A9/status');
});

test('close_stops_everything_and_settled_rejects_with_abort_error', async () => {
  const { settled, close } = start();
  const socket = await gateway.socket(0);
  close();
  close();
  await expect(settled).rejects.toMatchObject({ name: 'AbortError' });
  await until('the socket closed', () => socket.readyState === NodeSocket.CLOSED);
  expect(clock.waits).toEqual([]);
  expect(errors).toEqual([]);
});

test('close_while_waiting_to_retry_stops_the_retry', async () => {
  start();
  (await gateway.socket(0)).close(4503);
  await retryDelay();
  watched!.close();
  expect(clock.waits).toEqual([]);
});

test('close_while_polling_aborts_the_request', async () => {
  const { close } = await startPolling();
  const gone = new Promise((done) => gateway.requests[0]!.on('close', done));
  close();
  await gone;
  expect(clock.waits).toEqual([]);
});

test('listener_that_closes_the_watch_is_not_called_again', async () => {
  gateway.onSocket = (socket) => {
    socket.send(message('verifying'));
    socket.send(message('confirmed'));
  };
  const { settled } = start({
    onStatus: (status) => {
      statuses.push(status);
      watched!.close();
    },
  });
  await expect(settled).rejects.toMatchObject({ name: 'AbortError' });
  expect(names()).toEqual(['verifying']);
});

test('listener_that_throws_does_not_stop_the_watch', async () => {
  const uncaught: unknown[] = [];
  const collect = (error: unknown): unknown => uncaught.push(error);
  const before = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', collect);
  try {
    gateway.onSocket = (socket) => {
      socket.send(message('verifying'));
      socket.send(message('confirmed'));
    };
    const { settled } = start({
      onStatus: ({ status }) => {
        throw new Error(status);
      },
    });
    expect((await settled).status).toBe('confirmed');
    await until('both reported', () => uncaught.length === 2);
  } finally {
    process.off('uncaughtException', collect);
    for (const listener of before) process.on('uncaughtException', listener);
  }
});

test('iterator_yields_each_newer_status_and_ends_after_the_final_one', async () => {
  const socket = gateway.socket(0);
  const yielded: string[] = [];
  void socket.then((open) => open.send(message('verifying')));
  for await (const { status } of start()) {
    yielded.push(status);
    if (status === 'verifying') (await socket).send(message('confirmed'));
  }
  expect(yielded).toEqual(['verifying', 'confirmed']);
});

test('slow_iterator_gets_the_newest_status_and_not_a_queue', async () => {
  const iterator = start()[Symbol.asyncIterator]();
  const socket = await gateway.socket(0);
  for (const name of ['pending', 'verifying', 'expired'] as const) socket.send(message(name));
  await seen(3);
  expect(await iterator.next()).toEqual({ done: false, value: statusOf('expired') });
});

test('iterator_that_starts_late_still_gets_the_final_status', async () => {
  gateway.onSocket = (socket) => socket.send(message('confirmed'));
  const late = start();
  await late.settled;
  const yielded: string[] = [];
  for await (const { status } of late) yielded.push(status);
  expect(yielded).toEqual(['confirmed']);
});

test('leaving_the_loop_closes_the_watch', async () => {
  gateway.onSocket = (socket) => socket.send(message('verifying'));
  for await (const { status } of start()) {
    expect(status).toBe('verifying');
    break;
  }
  await expect(watched!.settled).rejects.toMatchObject({ name: 'AbortError' });
});

test('iterator_throws_when_the_payment_is_unavailable_and_ends_when_closed', async () => {
  gateway.onSocket = (socket) => socket.close(4404);
  await expect(start()[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 4404 });
  gateway.onSocket = () => undefined;
  const next = start()[Symbol.asyncIterator]().next();
  watched!.close();
  expect(await next).toEqual({ done: true, value: undefined });
});
