/**
 * What the gateway says of a payment, parsed at the edge: what is not a status object is nothing.
 * Never compares statuses; `watch.ts` keeps the newest one.
 */
export type StatusName = "pending" | "verifying" | "expired" | "cancelled" | "rejected" | "confirmed" | "reversed";
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
	readonly by?: "payer" | "khipu";
	/** A confirmation that came after the payment had expired. */
	readonly late?: boolean;
	/** Khipu's own word for why, such as `rejected-by-payer`. */
	readonly reason?: string;
	/** Where the payer can take the payment up again: https, or http on this machine. */
	readonly resume_url?: string;
	/** How many seconds the shop's recent payments took from `verifying` to `confirmed`. */
	readonly expect?: {
		readonly p50_s: number;
		readonly p95_s: number;
	};
}
export interface ChasquiUnavailable {
	/** The protocol's close code; absent when there was no token at all. */
	readonly code?: number;
}
declare const Base: typeof HTMLElement;
export declare class ChasquiStatusElement extends Base {
	#private;
	static readonly observedAttributes: string[];
	/** Where the script came from: the gateway, unless the attribute says otherwise. */
	static gateway: string;
	/** The newest status known; undefined until the first one. */
	status: Status | undefined;
	constructor();
	connectedCallback(): void;
	disconnectedCallback(): void;
	attributeChangedCallback(name: string, before: string | null, after: string | null): void;
}
declare global {
	interface HTMLElementTagNameMap {
		"chasqui-status": ChasquiStatusElement;
	}
	interface GlobalEventHandlersEventMap {
		"chasqui:status": CustomEvent<Status>;
		"chasqui:final": CustomEvent<Status>;
		"chasqui:unavailable": CustomEvent<ChasquiUnavailable>;
	}
}
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
export declare class UnavailableError extends Error {
	readonly name = "UnavailableError";
	readonly code: number;
	constructor(code: number);
}
export declare function watchPayment(options: WatchOptions): Watch;

export {};
