/**
 * What the gateway says of a payment, parsed at the edge: what is not a status object is nothing.
 * Never compares statuses; `watch.ts` keeps the newest one.
 */

export type StatusName = 'pending' | 'verifying' | 'expired' | 'cancelled' | 'rejected' | 'confirmed' | 'reversed';

/** The status object of the protocol, the same on every transport. No personal data, no amount. */
export interface Status {
  readonly payment_id: string;
  /** A newer gateway may know further words. */
  readonly status: StatusName | (string & Record<never, never>);
  /** It only ever rises; a lower one is old news. */
  readonly version: number;
  /** Only `confirmed` and `reversed` are: a payer may still pay after everything else. Nothing follows. */
  readonly final: boolean;
  /** When this status began. RFC 3339, UTC. */
  readonly at: string;
  /** Whose word a `pending` or `verifying` is: the payer came back, or Khipu was asked. */
  readonly by?: 'payer' | 'khipu';
  /** A confirmation that came after the payment had expired. */
  readonly late?: boolean;
  /** Khipu's own word for why, such as `rejected-by-payer`. */
  readonly reason?: string;
  /** Where the payer can take the payment up again: https, or http on this machine. */
  readonly resume_url?: string;
  /** How many seconds the shop's recent payments took from `verifying` to `confirmed`. */
  readonly expect?: { readonly p50_s: number; readonly p95_s: number };
}

const required = { payment_id: 'string', status: 'string', version: 'number', final: 'boolean', at: 'string' };
const optional = { by: 'string', late: 'boolean', reason: 'string', resume_url: 'string', expect: 'object' };

/** The only URLs that may become a link on a shop's page; never `javascript:`. */
const link = /^(https:\/\/|http:\/\/(localhost|127\.[\d.]+|\[::1])([:/?#]|$))/;

/**
 * Unknown statuses and fields pass, so that a newer gateway can add some. An unusable optional field is dropped; the
 * status is still shown.
 */
export function parseStatus(text: string): Status | undefined {
  let s: Record<string, unknown> | null;
  try {
    s = JSON.parse(text);
  } catch {
    return undefined;
  }
  const misses = ([field, type]: [string, string]): boolean => typeof s?.[field] !== type;
  if (!s || Object.entries(required).some(misses)) return undefined;
  if (!Number.isSafeInteger(s['version']) || Number(s['version']) < 1) return undefined;
  for (const field of Object.entries(optional)) if (misses(field)) delete s[field[0]];
  if (!link.test(String(s['resume_url']))) delete s['resume_url'];
  return s as unknown as Status;
}
