/** The classic script, `dist/chasqui.iife.js`: the same API as the global `chasqui`. */
import { install } from './install.ts';

export { ChasquiStatusElement } from './element.ts';
export { UnavailableError, watchPayment } from './watch.ts';

install((document.currentScript as HTMLScriptElement | null)?.src);
