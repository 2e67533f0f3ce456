/**
 * `<chasqui-status>`: shows a watch to the payer. It decides what is shown, never what is true: every status comes
 * from `watch.ts`, every word from `texts.ts`, every colour from `style.ts`.
 */
import type { Status } from './status.ts';
import { adoptStyle, icons, looks } from './style.ts';
import { languageOf, texts, type View } from './texts.ts';
import { keptToken } from './token.ts';
import { watchPayment, type Watch } from './watch.ts';

/** Since the verification began to show: "longer than usual", … */
const LONGER_AFTER_MS = 60_000;
/** … and "you can close this page", instead of an endless spinner. */
const LATER_AFTER_MS = 300_000;

export interface ChasquiUnavailable {
  /** The protocol's close code; absent when there was no token at all. */
  readonly code?: number;
}

/** On a server there is no HTMLElement; importing the package there must still work. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

export class ChasquiStatusElement extends Base {
  static readonly observedAttributes = ['token', 'gateway', 'lang', 'state'];
  /** Where the script came from: the gateway, unless the attribute says otherwise. */
  static gateway = '';

  /** The newest status known; undefined until the first one. */
  status: Status | undefined;

  private readonly card = node('div', 'card');
  private readonly stroke = stroke('path');
  private readonly headline = node('p', 'title');
  private readonly advice = node('strong', 'advice');
  private readonly text = document.createElement('span');
  private watch: Watch | undefined;
  private token: string | undefined;
  private unavailable = false;
  /** Not isConnected: an element that the script finds in the page is told of its attributes first. */
  private started = false;
  private waitingSince = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    // The live region is in the document before its first text, or screen readers miss it.
    this.card.setAttribute('role', 'status');
    this.card.setAttribute('aria-live', 'polite');
    this.card.setAttribute('aria-atomic', 'true');
    const icon = node('span', 'icon');
    icon.setAttribute('aria-hidden', 'true');
    const svg = stroke('svg');
    svg.setAttribute('viewBox', '0 0 24 24');
    svg.append(this.stroke);
    icon.append(svg);
    const body = node('div', 'body');
    const line = node('p', 'text');
    line.append(this.advice, this.text);
    body.append(this.headline, line);
    this.card.append(icon, body);
    const root = this.attachShadow({ mode: 'open' });
    adoptStyle(root);
    root.append(this.card);
  }

  connectedCallback(): void {
    addEventListener('online', this.render);
    addEventListener('offline', this.render);
    this.started = true;
    this.start();
  }

  disconnectedCallback(): void {
    removeEventListener('online', this.render);
    removeEventListener('offline', this.render);
    this.started = false;
    this.stop();
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (!this.started || before === after) return;
    if (name === 'lang') this.render();
    else this.start();
  }

  private start(): void {
    this.stop();
    const token = this.getAttribute('token') || keptToken();
    if (token !== this.token) this.status = undefined;
    this.token = token;
    this.unavailable = false;
    this.waitingSince = Date.now();
    // A microtask: after the region, and after a page that sets several attributes has set them all.
    queueMicrotask(this.render);
    if (this.forced()) return;
    if (!token) {
      queueMicrotask(() => this.isConnected && this.token === undefined && this.refuse({}));
      return;
    }
    this.watch = watchPayment({
      gateway: this.getAttribute('gateway') || ChasquiStatusElement.gateway || location.origin,
      token,
      onStatus: (status) => this.accept(status),
      onUnavailable: ({ code }) => this.refuse({ code }),
    });
  }

  private stop(): void {
    clearTimeout(this.timer);
    this.watch?.close();
    this.watch = undefined;
  }

  private accept(status: Status): void {
    // A new watch of the same payment, after the element was moved, knows less than the element.
    if (this.status && status.version <= this.status.version) return;
    this.status = status;
    this.waitingSince = Date.now();
    this.render();
    this.emit('chasqui:status', status);
    if (status.final) this.emit('chasqui:final', status);
  }

  private refuse(detail: ChasquiUnavailable): void {
    this.unavailable = true;
    this.render();
    this.emit('chasqui:unavailable', detail);
  }

  private emit(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  private readonly render = (): void => {
    if (!this.isConnected) return;
    const view = this.view();
    const [icon, tone] = looks[view];
    const language = languageOf([this.getAttribute('lang'), document.documentElement.lang, navigator.language]);
    const [title, text, advice = ''] = texts[language][view];
    this.card.lang = language;
    this.card.className = `card ${icon} ${tone}`;
    this.card.setAttribute('part', `card ${view}`);
    this.stroke.setAttribute('d', icons[icon]);
    write(this.headline, title);
    write(this.advice, advice);
    write(this.text, advice ? ` ${text}` : text);

    clearTimeout(this.timer);
    const waited = Date.now() - this.waitingSince;
    const next = [LONGER_AFTER_MS, LATER_AFTER_MS].find((stage) => stage > waited);
    if (next && this.watch && !this.status?.final) this.timer = setTimeout(this.render, next - waited);
  };

  private view(): View {
    const forced = this.forced();
    if (forced) return forced;
    if (this.unavailable) return 'unavailable';
    const { status, final, late } = this.status ?? { status: 'connecting' as const, final: false, late: false };
    if (final) return status === 'confirmed' && late ? 'late' : (status as View);
    if (navigator.onLine === false) return 'offline';
    if (status !== 'connecting' && status !== 'verifying') return status;
    const waited = Date.now() - this.waitingSince;
    if (waited >= LATER_AFTER_MS) return 'verifying-later';
    return waited >= LONGER_AFTER_MS ? 'verifying-longer' : status;
  }

  /** The `state` attribute: a page under test is driven to any view, and asks nobody. */
  private forced(): View | undefined {
    const state = this.getAttribute('state');
    return state !== null && Object.keys(looks).includes(state) ? (state as View) : undefined;
  }
}

/** Untouched when equal: a live region reads every change aloud. */
function write(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

function node(tag: string, part: string): HTMLElement {
  const element = document.createElement(tag);
  element.className = part;
  element.setAttribute('part', part);
  return element;
}

function stroke(tag: 'svg' | 'path'): SVGElement {
  return document.createElementNS('http://www.w3.org/2000/svg', tag);
}

declare global {
  interface HTMLElementTagNameMap {
    'chasqui-status': ChasquiStatusElement;
  }
  interface GlobalEventHandlersEventMap {
    'chasqui:status': CustomEvent<Status>;
    'chasqui:final': CustomEvent<Status>;
    'chasqui:unavailable': CustomEvent<ChasquiUnavailable>;
  }
}
