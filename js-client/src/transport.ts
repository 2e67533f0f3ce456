/**
 * The one shape of every transport, so that swapping them is one field. A transport carries one connection:
 * it neither retries nor remembers; `watch.ts` decides what comes next.
 */
import type { Status } from './status.ts';

/** What is asked for, by whom, and what is known already. */
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
      /** Milliseconds that the gateway asked for; 0 = now; absent = the caller's own backoff. */
      readonly afterMs?: number;
      /** The gateway itself ended it, so that the way to it is open. */
      readonly reached: boolean;
      /** It was open and fell silent: something between here and the gateway may swallow all of it. */
      readonly silent?: boolean;
    };

export interface Listener {
  /** The gateway spoke: with a status, or only to say that nothing changed. */
  heard(status?: Status): void;
  /** Once, and the last call. */
  ended(ending: Ending): void;
}

export interface Connection {
  /** The payer has this version on a visible screen. */
  seen(version: number): void;
  /** From here on the listener hears nothing more. */
  close(): void;
}

/** Calls the listener only after `open` has returned. */
export interface Transport {
  open(target: Target, listener: Listener, environment: Environment): Connection;
}

/** The world outside, passed in so that tests can hold it. */
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

/** The longest wait that a gateway may ask for; a slip such as seconds for milliseconds must not park a payer for days. */
export const LONGEST_WAIT_MS = 300_000;
