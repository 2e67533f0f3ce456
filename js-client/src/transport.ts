/**
 * The interface of every transport, so that switching is one assignment. A transport handles one connection and
 * keeps no state between two; `watch.ts` decides about retries.
 */
import type { Status } from './status.ts';

/** The resource, the caller's token, and the version already known. */
export interface Target {
  /** The status resource, absolute, http or https. */
  readonly url: string;
  readonly token: string;
  /** The highest version seen, 0 for none. */
  readonly version: number;
}

/** Why a connection ended. `code` is the protocol's close code; HTTP answers are 4000 + their status. */
export type Ending =
  | { readonly kind: 'fatal'; readonly code: number }
  | {
      readonly kind: 'retry';
      /** Milliseconds that the gateway requested; 0 = now; absent = the caller's own backoff. */
      readonly afterMs?: number;
      /** The gateway itself ended the connection, so the network path works. */
      readonly reached: boolean;
      /** The connection was open and fell silent: the network may drop all of its traffic. */
      readonly silent?: boolean;
    };

export interface Listener {
  /** The gateway sent a status, or only that nothing changed. */
  received(status?: Status): void;
  /** The last call, made once. */
  ended(ending: Ending): void;
}

export interface Connection {
  /** The payer has this version on a visible screen. */
  seen(version: number): void;
  /** After this the listener is not called. */
  close(): void;
}

/** Calls the listener only after `open` has returned. */
export interface Transport {
  open(target: Target, listener: Listener, environment: Environment): Connection;
}

/** The browser's functions, passed in so that tests can replace them. */
export interface Environment {
  readonly WebSocket: new (url: string, protocols: string[]) => WebSocket;
  readonly fetch: typeof fetch;
  readonly setTimeout: (run: () => void, ms: number) => Timer;
  readonly clearTimeout: (timer: Timer | undefined) => void;
  /** 0 ≤ x < 1 */
  readonly random: () => number;
  /** Milliseconds; only differences are used. */
  readonly now: () => number;
}

export type Timer = ReturnType<typeof setTimeout>;

/** The longest wait that a gateway may request; confused units must not delay a payer for days. */
export const LONGEST_WAIT_MS = 300_000;
