/**
 * The ES module, `dist/chasqui.js`: the public API and the element. In reading order: `watch.ts` (watches one
 * payment), `websocket.ts` and `polling.ts` (both implement `transport.ts`), `status.ts`, `page.ts`, `token.ts`,
 * then `element.ts` with `texts.ts` and `style.ts`.
 */
import { install } from './install.ts';

export type { Status, StatusName } from './status.ts';
export { ChasquiStatusElement, type ChasquiUnavailable } from './element.ts';
export { UnavailableError, watchPayment, type Watch, type WatchOptions } from './watch.ts';

install(import.meta.url);
