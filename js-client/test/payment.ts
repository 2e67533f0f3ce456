/** One payment in the gateway's messages. */
import type { Status, StatusName } from '../src/status.ts';

export const payment_id = 'zfxnocsow6mz';

/** The kinds of a round; final statuses have their own versions. */
const kinds = { pending: 1, verifying: 2, expired: 5, cancelled: 6, rejected: 7 };

export function versionOf(status: StatusName, round = 1): number {
  if (status === 'confirmed') return 1000;
  return status === 'reversed' ? 1001 : 10 * round + kinds[status];
}

export function statusOf(status: StatusName, more: Partial<Status> = {}): Status {
  const version = versionOf(status);
  return { payment_id, status, version, final: version >= 1000, at: '2026-11-22T06:30:00.123Z', ...more };
}

/** Khipu, queried 30 s after the payer's return, still waits for the payment. */
export const notSeen: Partial<Status> = { version: 13, by: 'khipu', resume_url: 'https://khipu.com/payment/info/zfxnocsow6mz' };

export const message = (status: StatusName, more?: Partial<Status>): string => JSON.stringify(statusOf(status, more));

export function tokenOf(sub: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part({ sub, aud: 'chasqui:status', acc: 'shop' })}.c2lnbmF0dXJl`;
}

export const token = tokenOf(payment_id);
