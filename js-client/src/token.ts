/**
 * Where the status token comes from, and where it is kept: out of the address bar as soon as it was read, and in
 * sessionStorage, because a phone discards tabs. Never verifies it; the gateway does.
 */

/**
 * A page's own: the page of a later order, opened in the same tab without a token, must not show an earlier payment. A
 * newer token of the same page replaces an older one.
 */
const storageKey = (): string => `chasqui:${location.pathname}`;

/** For browsers that refuse storage: it lasts as long as the page. */
let captured: string | undefined;

/** The payment that a token speaks for, from its unverified `sub` claim; nothing if it is not a status token. */
export function paymentOf(token: string): string | undefined {
  const [, claims] = /^[\w-]+\.([\w-]+)\.[\w-]+$/.exec(token) ?? [];
  if (!claims) return undefined;
  try {
    const bytes = Uint8Array.from(atob(claims.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
    const { sub }: { sub?: unknown } = JSON.parse(new TextDecoder().decode(bytes));
    return typeof sub === 'string' && sub ? sub : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Takes `chasqui=…` out of the fragment, if it is there, and keeps it. Only that part goes: a hash router keeps its
 * route, and history.state stays. Called when the script loads, before a router can rewrite the fragment.
 */
export function captureToken(): void {
  const { href } = location;
  const start = href.indexOf('#');
  const part = start < 0 ? null : /([#&?])chasqui=([\w.-]+)(&?)/.exec(href.slice(start));
  if (!part) return;
  const [whole, before, token, after] = part;
  captured = token;
  try {
    sessionStorage.setItem(storageKey(), token!);
  } catch {
    // Refused: `captured` has it.
  }
  const from = start + part.index;
  // What opened the list of parameters opens it for the next one; what separated two is needed once.
  const rest = (after ? before : '') + href.slice(from + whole.length);
  try {
    history.replaceState(history.state, '', href.slice(0, from) + rest);
  } catch {
    // A sandboxed page may not; the token works all the same.
  }
}

/** The token of the fragment, now or before a reload. */
export function keptToken(): string | undefined {
  captureToken();
  try {
    return captured ?? sessionStorage.getItem(storageKey()) ?? undefined;
  } catch {
    return captured;
  }
}
