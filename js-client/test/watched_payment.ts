/** A watch with a real server and a controlled clock. */
import { afterEach, beforeEach } from 'vitest';
import { WebSocket as NodeSocket } from 'ws';
import type { Status } from '../src/status.ts';
import type { Environment } from '../src/transport.ts';
import { watch, type UnavailableError, type Watch, type WatchOptions } from '../src/watch.ts';
import { Clock } from './clock.ts';
import { Gateway } from './gateway.ts';
import { token } from './payment.ts';
import { until } from './until.ts';

/** As in a browser, a failed socket closes without throwing. */
class Socket extends NodeSocket {
  constructor(url: string, protocols: string[]) {
    super(url, protocols);
    this.on('error', () => undefined);
  }
}

export let gateway: Gateway;
export let clock: Clock;
export let watched: Watch | undefined;
export let statuses: Status[];
export let errors: UnavailableError[];

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

export function start(more: Partial<WatchOptions> = {}): Watch {
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

export const names = (): string[] => statuses.map(({ status }) => status);
export const seen = (count: number): Promise<void> => until(`${count} statuses`, () => statuses.length === count);

/** The delay before the next try: the only timer without a connection. */
export async function retryDelay(): Promise<number> {
  await until('a retry', () => clock.waits.length === 1 && clock.waits[0]! <= 30_000 && clock.waits[0] !== 10_000);
  return clock.waits[0]!;
}

/** Leaves the watch polling, its first request answered by `onRequest`. */
export async function startPolling(): Promise<Watch> {
  gateway.acceptsSockets = false;
  const started = start();
  await retryDelay();
  clock.step();
  await until('a request', () => gateway.requests.length === 1);
  return started;
}
