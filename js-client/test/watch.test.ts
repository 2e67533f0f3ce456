/** A watch over WebSocket: every end of a connection, and the payer's view after it. */
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { message, statusOf, token } from './payment.ts';
import { until } from './until.ts';
import { clock, errors, gateway, names, retryDelay, seen, start, statuses, watched } from './watched_payment.ts';

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
