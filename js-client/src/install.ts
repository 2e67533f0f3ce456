/** What loading the script does to a page: the token is captured first of all, then the element is defined. */
import { ChasquiStatusElement } from './element.ts';
import { captureToken } from './token.ts';

/** `src`: the address of the script itself; its origin is the gateway. */
export function install(src: string | undefined): void {
  if (typeof customElements === 'undefined') return;
  captureToken();
  if (src?.startsWith('http')) ChasquiStatusElement.gateway = new URL(src).origin;
  // A page may load both bundles; the first one defines the element.
  if (!customElements.get('chasqui-status')) customElements.define('chasqui-status', ChasquiStatusElement);
}
