/** A shop's page with the element in it, in a fake browser. */
import { afterEach, beforeAll, beforeEach, vi } from 'vitest';
import type { ChasquiStatusElement } from '../src/element.ts';
import { install } from '../src/install.ts';
import { token } from './payment.ts';
import { FakeSocket } from './socket.ts';

export const events: CustomEvent[] = [];
let online: boolean;
let pages = 0;
/** The part of the browser's Navigation API that the element uses. */
export let navigation: EventTarget;

beforeAll(() => {
  install('https://pay.example.com/js/chasqui.js');
  for (const type of ['chasqui:status', 'chasqui:final', 'chasqui:unavailable']) {
    document.addEventListener(type, (event) => events.push(event as CustomEvent));
  }
  Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => online });
});

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('WebSocket', FakeSocket);
  navigation = new EventTarget();
  vi.stubGlobal('navigation', navigation);
  FakeSocket.opened = [];
  events.length = 0;
  online = true;
  sessionStorage.clear();
  // Each test has its own page, because the module keeps the tokens of earlier pages.
  history.replaceState(null, '', `/page/${++pages}`);
  document.documentElement.lang = 'es';
});

afterEach(() => {
  document.body.replaceChildren();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

export function setOnline(value: boolean): void {
  online = value;
  window.dispatchEvent(new Event(value ? 'online' : 'offline'));
}

export async function show(attributes: Record<string, string> = { token }): Promise<ChasquiStatusElement> {
  const element = document.createElement('chasqui-status');
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  document.body.append(element);
  await Promise.resolve();
  return element;
}

export const part = (element: Element, name: string): HTMLElement => element.shadowRoot!.querySelector(`[part~="${name}"]`)!;
export const title = (element: Element): string => part(element, 'title').textContent;
export const text = (element: Element): string => part(element, 'text').textContent;
export const resumeOf = (element: Element): string | null => part(element, 'resume').getAttribute('href');
export const viewOf = (element: Element): string | undefined => part(element, 'card').getAttribute('part')?.split(' ')[1];
