/**
 * JSON polling, for networks that block WebSockets: the gateway holds each request until the status changes.
 * Never retries a failure; the connection ends with it.
 */
import { parseStatus } from './status.ts';
import { LONGEST_WAIT_MS, type Ending, type Timer, type Transport } from './transport.ts';

/** How long the gateway may hold a request: less than the 30 s after which many proxies cut it. */
const HOLD_S = 25;
/** After this time an answer counts as lost. */
const ANSWER_WITHIN_MS = 40_000;
/** Between the starts of two requests, for a gateway or proxy that does not hold them. */
const INTERVAL_MS = 2_000;

export const polling: Transport = {
  open({ url, token, version }, listener, environment) {
    let over = false;
    let request: AbortController | undefined;
    let timer: Timer | undefined;

    /** Sends one request. Returns an ending, or nothing when the next request may follow. */
    const ask = async (): Promise<Ending | undefined> => {
      const controller = (request = new AbortController());
      timer = environment.setTimeout(() => controller.abort(), ANSWER_WITHIN_MS);
      try {
        const answer = await environment.fetch(version ? `${url}?wait=${HOLD_S}` : url, {
          headers: { authorization: `Bearer ${token}`, ...(version && { 'if-none-match': `"${version}"` }) },
          cache: 'no-store',
          credentials: 'omit',
          referrerPolicy: 'no-referrer',
          signal: controller.signal,
        });
        if (answer.status !== 200 && answer.status !== 304) return endingOf(answer, Date.now());
        const status = answer.status === 200 ? parseStatus(await answer.text()) : undefined;
        if (over) return undefined;
        if (answer.status === 200 && !status) return unreached;
        if (status) version = Math.max(version, status.version);
        listener.received(status);
        return undefined;
      } catch {
        return unreached;
      } finally {
        environment.clearTimeout(timer);
      }
    };

    const next = async (): Promise<void> => {
      const startedAt = environment.now();
      const ending = await ask();
      if (over) return;
      if (ending) {
        over = true;
        listener.ended(ending);
        return;
      }
      const rest = startedAt + INTERVAL_MS - environment.now();
      timer = environment.setTimeout(() => void next(), Math.max(0, rest));
    };
    queueMicrotask(() => over || void next());

    return {
      seen() {
        // Only a socket carries receipts.
      },
      close() {
        over = true;
        environment.clearTimeout(timer);
        request?.abort();
      },
    };
  },
};

const unreached: Ending = { kind: 'retry', reached: false };
const fatal = [401, 403, 404];

/** `now`, in epoch milliseconds, resolves a Retry-After that is a date. */
export function endingOf(answer: Response, now: number): Ending {
  if (fatal.includes(answer.status)) return { kind: 'fatal', code: 4000 + answer.status };
  const asked = answer.headers.get('retry-after');
  const afterMs = asked === null ? NaN : /^\d+$/.test(asked) ? Number(asked) * 1000 : Date.parse(asked) - now;
  if (Number.isNaN(afterMs)) return { kind: 'retry', reached: true };
  return { kind: 'retry', afterMs: Math.min(Math.max(0, afterMs), LONGEST_WAIT_MS), reached: true };
}
