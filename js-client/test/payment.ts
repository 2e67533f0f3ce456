/** One payment, as the gateway speaks of it. */
import type { Status, StatusName } from '../src/status.ts';

export const payment_id = 'zfxnocsow6mz';

const versions: Record<StatusName, number> = {
  pending: 1,
  verifying: 2,
  expired: 3,
  cancelled: 4,
  rejected: 5,
  confirmed: 6,
  reversed: 7,
};

export function statusOf(status: StatusName, more: Partial<Status> = {}): Status {
  const final = versions[status] > 3;
  return { payment_id, status, version: versions[status], final, at: '2026-11-22T06:30:00.123Z', ...more };
}

export const message = (status: StatusName, more?: Partial<Status>): string => JSON.stringify(statusOf(status, more));

export function tokenOf(sub: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part({ sub, aud: 'chasqui:status', acc: 'shop' })}.c2lnbmF0dXJl`;
}

export const token = tokenOf(payment_id);
