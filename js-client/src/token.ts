/**
 * Reads the status token from the address, removes it there, and keeps it in sessionStorage, because phones discard
 * tabs. Never verifies it; the gateway does.
 */

/**
 * The page that a token belongs to: the URL that brought it, path and query. The page of another order, opened in the
 * same tab without a token, must not show an earlier payment. A newer token of the same page replaces an older one.
 */
export const currentPage = (): string => location.pathname + location.search;

const PREFIX = 'chasqui:';

/** Tokens by page, for browsers that refuse storage. They last as long as the document. */
const captured = new Map<string, string>();

/** The token's payment, from its unverified `sub` claim; undefined if it is not a status token. */
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
 * Moves `chasqui=…` from the fragment to storage. The rest of the fragment stays, so that a hash router keeps its
 * route, and so does history.state. Called when the script loads, before a router can rewrite the fragment.
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
    // Storage is refused: `captured` has the token.
  }
  const from = start + part.index;
  // Keep the separator before the token only if another parameter follows.
  const rest = (after ? before : '') + href.slice(from + whole.length);
  try {
    history.replaceState(history.state, '', href.slice(0, from) + rest);
  } catch {
    // A sandboxed page may not rewrite its address; the token still works.
  }
}

/**
 * The token that this page's fragment brought, now or before a reload. With `payment`, only a token of that payment; it
 * may then come from an earlier URL of this document, because it cannot belong to another order.
 */
export function keptToken(payment?: string | null): string | undefined {
  captureToken();
  let token = captured.get(currentPage());
  try {
    token ??= sessionStorage.getItem(PREFIX + currentPage()) ?? undefined;
  } catch {
    // Storage is refused.
  }
  return payment ? [token, ...captured.values()].find((other) => other && paymentOf(other) === payment) : token;
}

/** Removes a token whose payment is settled or that the gateway refused, so that no later visit uses it. */
export function forgetToken(token: string): void {
  for (const [page, other] of captured) if (other === token) captured.delete(page);
  try {
    for (const key of Object.keys(sessionStorage)) {
      if (key.startsWith(PREFIX) && sessionStorage.getItem(key) === token) sessionStorage.removeItem(key);
    }
  } catch {
    // Storage is refused.
  }
}
