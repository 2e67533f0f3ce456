/** A watch that polls, because WebSockets do not work. */
import { expect, test } from 'vitest';
import { message, token } from './payment.ts';
import { until } from './until.ts';
import { clock, errors, gateway, names, retryDelay, seen, start, startPolling, statuses, watched } from './watched_payment.ts';

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
