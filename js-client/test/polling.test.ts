/** The meaning of each HTTP answer. The rest of the transport is tested through the watch. */
import { expect, test } from 'vitest';
import { endingOf } from '../src/polling.ts';

const now = Date.parse('2026-11-22T06:30:00Z');
const answer = (status: number, retryAfter?: string): Response =>
  new Response(null, { status, headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter } });

test.each([
  ['20', 20_000],
  ['0', 0],
  ['86400', 300_000],
  ['Sun, 22 Nov 2026 06:30:10 GMT', 10_000],
  ['Sun, 22 Nov 2026 06:29:00 GMT', 0],
])('retry_after_%s_is_%i_ms', (retryAfter, afterMs) => {
  expect(endingOf(answer(503, retryAfter), now)).toEqual({ kind: 'retry', afterMs, reached: true });
});

test.each([undefined, 'soon'])('retry_after_%s_leaves_it_to_the_backoff', (retryAfter) => {
  expect(endingOf(answer(429, retryAfter), now)).toEqual({ kind: 'retry', reached: true });
});

test.each([400, 408, 410, 500, 502, 504])('answer_%i_is_retried', (status) => {
  expect(endingOf(answer(status), now)).toEqual({ kind: 'retry', reached: true });
});
