declare const names: readonly [
	"pending",
	"verifying",
	"expired",
	"cancelled",
	"rejected",
	"confirmed",
	"reversed"
];
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
export interface ChasquiUnavailable {
	/** The protocol's close code; absent when there was no token at all. */
	readonly code?: number;
}
declare const Base: typeof HTMLElement;
export declare class ChasquiStatusElement extends Base {
	static readonly observedAttributes: string[];
	/** Where the script came from: the gateway, unless the attribute says otherwise. */
	static gateway: string;
	/** The newest status known; undefined until the first one. */
	status: Status | undefined;
	private readonly card;
	private readonly stroke;
	private readonly headline;
	private readonly advice;
	private readonly text;
	private watch;
	private token;
	private unavailable;
	/** Not isConnected: an element that the script finds in the page is told of its attributes first. */
	private started;
	private waitingSince;
	private timer;
	constructor();
	connectedCallback(): void;
	disconnectedCallback(): void;
	attributeChangedCallback(name: string, before: string | null, after: string | null): void;
	private start;
	private stop;
	private accept;
	private refuse;
	private emit;
	private readonly render;
	private view;
	/** The `state` attribute: a page under test is driven to any view, and asks nobody. */
	private forced;
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
