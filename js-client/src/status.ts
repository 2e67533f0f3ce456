/**
 * What the gateway says of a payment, parsed at the edge: whatever is not a status object is nothing.
 * Never compares statuses; `watch.ts` keeps the newest one.
 */

const names = ['pending', 'verifying', 'expired', 'cancelled', 'rejected', 'confirmed', 'reversed'] as const;

export type StatusName = (typeof names)[number];

/** The status object of the protocol, the same on every transport. No personal data, no amount. */
export interface Status {
  readonly payment_id: string;
  readonly status: StatusName;
  /** The rank of the status. It only ever rises; a lower one is old news. */
  readonly version: number;
  /** Nothing follows a final status on the same watch. */
  readonly final: boolean;
  /** RFC 3339, UTC. */
  readonly at: string;
  /** A confirmation that came after the payment had expired. */
  readonly late?: boolean;
  /** Khipu's own word for why, such as `rejected-by-payer`. */
  readonly reason?: string;
}

/** Unknown fields pass, so that a newer gateway can add some; a known field of the wrong type does not. */
export function parseStatus(text: string): Status | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isStatus(value) ? value : undefined;
}

function isStatus(value: unknown): value is Status {
  if (typeof value !== 'object' || value === null) return false;
  const s: { [field in keyof Status]?: unknown } = value;
  return (
    typeof s.payment_id === 'string' &&
    names.some((name) => name === s.status) &&
    Number.isSafeInteger(s.version) &&
    Number(s.version) > 0 &&
    typeof s.final === 'boolean' &&
    typeof s.at === 'string' &&
    ['boolean', 'undefined'].includes(typeof s.late) &&
    ['string', 'undefined'].includes(typeof s.reason)
  );
}
