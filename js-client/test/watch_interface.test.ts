/** What a watch offers its caller: listeners, the iterator, `settled` and `close`. */
import { expect, test } from 'vitest';
import { WebSocket as NodeSocket } from 'ws';
import { message, statusOf, tokenOf } from './payment.ts';
import { until } from './until.ts';
import { clock, errors, gateway, names, retryDelay, seen, start, startPolling, statuses, watched } from './watched_payment.ts';

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
