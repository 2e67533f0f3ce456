/**
 * The life of the page around a watch: phones freeze and kill sockets without a word, and an open socket keeps a
 * page out of the back/forward cache. Knows no payment. Does nothing where there is no page.
 */

export interface PageListener {
  /** The payer is looking again: what is shown may be old. `moved`: perhaps on another network. */
  woke(moved: boolean): void;
  /** The page is being left; it may come back from the back/forward cache. */
  left(): void;
}

/** Returns the end of it. */
export function followPage(listener: PageListener): () => void {
  if (typeof document === 'undefined') return () => undefined;
  const handlers: [EventTarget, string, (event: Event) => void][] = [
    [document, 'visibilitychange', () => isVisible() && listener.woke(false)],
    [window, 'pageshow', (event) => (event as PageTransitionEvent).persisted && listener.woke(false)],
    [window, 'online', () => listener.woke(true)],
    [window, 'pagehide', () => listener.left()],
  ];
  for (const [target, type, handler] of handlers) target.addEventListener(type, handler);
  return () => {
    for (const [target, type, handler] of handlers) target.removeEventListener(type, handler);
  };
}

export function isVisible(): boolean {
  return typeof document !== 'undefined' && document.visibilityState === 'visible';
}
