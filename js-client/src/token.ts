/**
 * Where the status token comes from, and where it is kept: out of the address bar as soon as it was read, and in
 * sessionStorage, because a phone discards tabs. Never verifies it; the gateway does.
 */

/**
 * The page that a token belongs to: the URL that brought it, path and query. The page of another order, opened in the
 * same tab without a token, must not show an earlier payment. A newer token of the same page replaces an older one.
 */
export const currentPage = (): string => location.pathname + location.search;

const PREFIX = 'chasqui:';

/** By page, for browsers that refuse storage: it lasts as long as the document. */
const captured = new Map<string, string>();

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
  captured.set(currentPage(), token!);
  try {
    sessionStorage.setItem(PREFIX + currentPage(), token!);
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

/**
 * The token that this page's fragment brought, now or before a reload. With `payment`, only one that speaks for it; then
 * it may also have come with an earlier URL of this document, since it cannot be another order's.
 */
export function keptToken(payment?: string | null): string | undefined {
  captureToken();
  let token = captured.get(currentPage());
  try {
    token ??= sessionStorage.getItem(PREFIX + currentPage()) ?? undefined;
  } catch {
    // Refused.
  }
  return payment ? [token, ...captured.values()].find((other) => other && paymentOf(other) === payment) : token;
}

/** Its payment is settled, or the gateway refused it: no later visit shall find it. */
export function forgetToken(token: string): void {
  for (const [page, other] of captured) if (other === token) captured.delete(page);
  try {
    for (const key of Object.keys(sessionStorage)) {
      if (key.startsWith(PREFIX) && sessionStorage.getItem(key) === token) sessionStorage.removeItem(key);
    }
  } catch {
    // Refused.
  }
}
