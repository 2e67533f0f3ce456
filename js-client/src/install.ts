/** Installs the script in a page: captures the token first, then defines the element. */
import { ChasquiStatusElement } from './element.ts';
import { captureToken } from './token.ts';

/** `src` is the script's own URL; its origin is the gateway. */
export function install(src: string | undefined): void {
  if (typeof customElements === 'undefined') return;
  captureToken();
  if (src?.startsWith('http')) ChasquiStatusElement.gateway = new URL(src).origin;
  // A page may load both bundles; the first one defines the element.
  if (!customElements.get('chasqui-status')) customElements.define('chasqui-status', ChasquiStatusElement);
}
