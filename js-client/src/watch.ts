/**
 * Watches one payment until its status is final: chooses the transport, retries without a limit, and never lets a
 * status go back. Next: `transport.ts` for the interface that it drives.
 */
import { followPage, isVisible } from './page.ts';
import { polling } from './polling.ts';
import type { Status } from './status.ts';
import { paymentOf } from './token.ts';
import type { Connection, Ending, Environment, Timer } from './transport.ts';
import { websocket } from './websocket.ts';

export interface WatchOptions {
  /** Base URL of the gateway, such as `https://pay.example.com`. */
  readonly gateway: string;
  /** The status token of the payment. */
  readonly token: string;
  /** Every new status, in rising order of `version`, each once. */
  readonly onStatus?: (status: Status) => void;
  /** The gateway will not answer for this token: `error.code` is 4401, 4403, 4404 … Nothing follows. */
  readonly onUnavailable?: (error: UnavailableError) => void;
}

/**
 * As an async iterator it yields the newest status whenever there is a newer one, ends after a final one or after
 * `close()`, and throws UnavailableError. Leaving the loop closes the watch.
 */
export interface Watch extends AsyncIterable<Status> {
  /** The final status. Rejects with UnavailableError, or with an AbortError after `close()`. */
  readonly settled: Promise<Status>;
  close(): void;
}

/** Trying again with the same token would not help. `code` is the protocol's close code. */
export class UnavailableError extends Error {
  override readonly name = 'UnavailableError';
  readonly code: number;

  constructor(code: number) {
    super(`payment status unavailable (${code}): ask the shop for a new link`);
    this.code = code;
  }
}

export function watchPayment(options: WatchOptions): Watch {
  return watch(options, {
    WebSocket,
    fetch: (...request) => fetch(...request),
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer),
    random: Math.random,
    now: Date.now,
  });
}

/** Backoff with full jitter: between 0 and this, doubled with every failure, … */
const BACKOFF_BASE_MS = 1_000;
/** … up to this. */
const BACKOFF_CAP_MS = 30_000;
/** After this many sockets in a row without a message, the network counts as blocking them. */
const SOCKET_FAILURES_BEFORE_POLLING = 2;
/** How long polling lasts before the next try of a socket. */
const SOCKET_AGAIN_AFTER_MS = 120_000;
/** pageshow, visibilitychange and online fire together: one new connection serves them all. */
const FRESH_MS = 1_000;

export function watch({ gateway, token, onStatus, onUnavailable }: WatchOptions, environment: Environment): Watch {
  const payment = paymentOf(token);
  const url = `${gateway.replace(/\/+$/, '')}/v1/payments/${encodeURIComponent(payment ?? '')}/status`;
  let newest: Status | undefined;
  let outcome: { error?: Error } | undefined;
  let transport = websocket;
  let connection: Connection | undefined;
  let connectedAt = 0;
  let failures = 0;
  let socketFailures = 0;
  let timer: Timer | undefined;
  let change = signal();
  const { promise: settled, resolve, reject } = deferred<Status>();
  // A caller that uses only events need not handle the rejection.
  settled.catch(() => undefined);

  const connect = (): void => {
    disconnect();
    const used = transport;
    let received = false;
    connectedAt = environment.now();
    connection = used.open(
      { url, token, version: newest?.version ?? 0 },
      {
        received(status) {
          received = true;
          failures = 0;
          if (used === websocket) socketFailures = 0;
          if (status && status.payment_id === payment) accept(status);
        },
        ended(ending) {
          disconnect();
          if (ending.kind === 'fatal') return finish(new UnavailableError(ending.code));
          // A silent socket counts as a failure: if the next one is silent too, polling takes over.
          if (ending.silent) socketFailures = 1;
          else if (used === websocket) socketFailures = received || ending.reached ? 0 : socketFailures + 1;
          transport = websocket;
          if (used === websocket && socketFailures >= SOCKET_FAILURES_BEFORE_POLLING) {
            transport = polling;
            return connect();
          }
          timer = environment.setTimeout(connect, delayOf(ending, received));
        },
      },
      environment,
    );
    if (used === polling) {
      timer = environment.setTimeout(() => {
        transport = websocket;
        connect();
      }, SOCKET_AGAIN_AFTER_MS);
    }
  };

  const disconnect = (): void => {
    environment.clearTimeout(timer);
    connection?.close();
    connection = undefined;
  };

  const delayOf = ({ afterMs }: Ending & { kind: 'retry' }, received: boolean): number => {
    // Reconnect at once only after a connection that worked, so that repeated 4508s do not flood the gateway.
    if (afterMs === 0 && received) return 0;
    if (afterMs) return afterMs + environment.random() * BACKOFF_BASE_MS;
    return environment.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** failures++);
  };

  const accept = (status: Status): void => {
    const news = status.version > (newest?.version ?? 0);
    if (news) {
      newest = status;
      notify(() => onStatus?.(status));
      change.fire();
      change = signal();
    }
    // Repeat on every connection: the last receipt may be lost with its socket.
    if (isVisible()) connection?.seen(status.version);
    if (news && status.final) finish();
  };

  const finish = (error?: Error): void => {
    if (outcome) return;
    outcome = error ? { error } : {};
    disconnect();
    stopFollowing();
    if (newest?.final) resolve(newest);
    else if (error) reject(error);
    if (error instanceof UnavailableError) notify(() => onUnavailable?.(error));
    change.fire();
  };

  const stopFollowing = followPage({
    woke(moved) {
      if (!moved && connection && environment.now() - connectedAt < FRESH_MS) return;
      failures = 0;
      if (moved) {
        socketFailures = 0;
        transport = websocket;
      }
      connect();
    },
    left: disconnect,
  });

  if (payment) connect();
  else queueMicrotask(() => finish(new UnavailableError(4401)));

  return {
    settled,
    close: () => finish(new DOMException('watch closed by its owner', 'AbortError')),
    async *[Symbol.asyncIterator]() {
      let version = 0;
      try {
        for (;;) {
          if (newest && newest.version > version) {
            version = newest.version;
            yield newest;
          } else if (!outcome) await change.fired;
          else if (outcome.error instanceof UnavailableError) throw outcome.error;
          else return;
        }
      } finally {
        this.close();
      }
    },
  };
}

/** A listener's error goes to the console and does not stop the watch. */
function notify(listener: () => void): void {
  try {
    listener();
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

function signal(): { fired: Promise<void>; fire: () => void } {
  const { promise, resolve } = deferred<void>();
  return { fired: promise, fire: resolve };
}
