/**
 * The page's lifecycle around a watch: phones freeze and drop sockets without an event, and an open socket keeps a
 * page out of the back/forward cache. Knows no payment. Does nothing without a document.
 */

export interface PageListener {
  /** The page is visible again, and its status may be outdated. `moved`: the network may have changed. */
  woke(moved: boolean): void;
  /** The page is unloaded or enters the back/forward cache. */
  left(): void;
}

/** Returns a function that removes the listener. */
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
