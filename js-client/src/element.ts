/**
 * `<chasqui-status>`: shows a watch to the payer. It only selects the view: statuses come from `watch.ts`, texts from
 * `texts.ts`, colours from `style.ts`.
 */
import type { Status } from './status.ts';
import { adoptStyle, icons, looks } from './style.ts';
import { languageOf, resume, texts, type View } from './texts.ts';
import { currentPage, forgetToken, keptToken, paymentOf } from './token.ts';
import { watchPayment, type Watch } from './watch.ts';

/** After this much verifying the text is "longer than usual", … */
const LONGER_AFTER_MS = 60_000;
/** … and "you can close this page", instead of an endless spinner. */
const LATER_AFTER_MS = 300_000;
/** How often to check the address in a browser without an event for its changes. */
const LOOK_EVERY_MS = 1_000;

export interface ChasquiUnavailable {
  /** The protocol's close code; absent when there was no token at all. */
  readonly code?: number;
}

/** A server has no HTMLElement; the package must still be importable there. */
const Base = (globalThis.HTMLElement ?? class {}) as typeof HTMLElement;

export class ChasquiStatusElement extends Base {
  static readonly observedAttributes = ['token', 'payment', 'gateway', 'lang', 'state'];
  /** Where the script came from: the gateway, unless the attribute says otherwise. */
  static gateway = '';

  /** The newest status known; undefined until the first one. */
  status: Status | undefined;

  readonly #card = node('div', 'card');
  /** The element's own content. */
  readonly #slot = document.createElement('slot');
  readonly #stroke = stroke('path');
  readonly #headline = node('p', 'title');
  readonly #advice = node('strong', 'advice');
  readonly #text = document.createElement('span');
  readonly #resume = node('a', 'resume') as HTMLAnchorElement;
  #watch: Watch | undefined;
  #token: string | undefined;
  /** The token found in the page, and that page: it stays valid there even when no longer stored. */
  #kept: string | undefined;
  #page = '';
  #unavailable = false;
  /** Not isConnected: on an upgrade the attribute callbacks run before connectedCallback. */
  #started = false;
  #waitingSince = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #looking: ReturnType<typeof setInterval> | undefined;

  constructor() {
    super();
    // The live region must be in the document before its first text, or screen readers miss it.
    const region = document.createElement('div');
    region.setAttribute('role', 'status');
    region.setAttribute('aria-live', 'polite');
    region.setAttribute('aria-atomic', 'true');
    region.append(this.#card);
    const icon = node('span', 'icon');
    icon.setAttribute('aria-hidden', 'true');
    const svg = stroke('svg');
    svg.setAttribute('viewBox', '0 0 24 24');
    svg.append(this.#stroke);
    icon.append(svg);
    const body = node('div', 'body');
    const line = node('p', 'text');
    line.append(this.#advice, this.#text);
    body.append(this.#headline, line, this.#resume);
    this.#card.append(icon, body);
    const root = this.attachShadow({ mode: 'open' });
    adoptStyle(root);
    root.append(region, this.#slot);
  }

  connectedCallback(): void {
    addEventListener('online', this.#render);
    addEventListener('offline', this.#render);
    addEventListener('popstate', this.#look);
    const navigation = navigationOf();
    navigation?.addEventListener('currententrychange', this.#look);
    if (!navigation) this.#looking = setInterval(this.#look, LOOK_EVERY_MS);
    this.#started = true;
    this.#start();
  }

  disconnectedCallback(): void {
    removeEventListener('online', this.#render);
    removeEventListener('offline', this.#render);
    removeEventListener('popstate', this.#look);
    navigationOf()?.removeEventListener('currententrychange', this.#look);
    clearInterval(this.#looking);
    this.#started = false;
    this.#stop();
    // A moved element is connected again by then. A removed one may return on another order's page.
    queueMicrotask(() => this.#started || (this.#kept = undefined));
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (!this.#started || before === after) return;
    if (name === 'lang') this.#render();
    else this.#start();
  }

  #start(): void {
    this.#stop();
    const token = this.#find();
    if (!token || paymentOf(token) !== this.status?.payment_id) this.status = undefined;
    this.#token = token;
    this.#kept = this.getAttribute('token') ? undefined : token;
    this.#page = currentPage();
    this.#unavailable = false;
    this.#waitingSince = Date.now();
    // A microtask: runs after the region is attached and after a page has set several attributes.
    queueMicrotask(this.#render);
    if (this.#forced()) return;
    if (!token) {
      queueMicrotask(() => this.isConnected && this.#token === undefined && this.#refuse({}));
      return;
    }
    if (this.status?.final) return;
    this.#watch = watchPayment({
      gateway: this.getAttribute('gateway') || ChasquiStatusElement.gateway || location.origin,
      token,
      onStatus: (status) => this.#accept(status),
      onUnavailable: ({ code }) => this.#refuse({ code }),
    });
  }

  /** The token to use; undefined if it is for another payment than the page's. */
  #find(): string | undefined {
    const payment = this.getAttribute('payment');
    const token =
      this.getAttribute('token') || keptToken(payment) || (this.#page === currentPage() ? this.#kept : undefined);
    return token && payment && paymentOf(token) !== payment ? undefined : token;
  }

  /** Restarts if a single-page application has moved to another order's page. */
  readonly #look = (): void => {
    if (this.#find() !== this.#token) this.#start();
  };

  #stop(): void {
    clearTimeout(this.#timer);
    this.#watch?.close();
    this.#watch = undefined;
  }

  #accept(status: Status): void {
    this.#look();
    // The page may now belong to another order; and a new watch of the same payment, after the element was moved, may
    // deliver an older status.
    if (!this.#token || status.payment_id !== paymentOf(this.#token)) return;
    if (this.status && status.version <= this.status.version) return;
    // The wait continues when only `by` changes within one verification.
    if (status.status !== this.status?.status || status.at !== this.status.at) this.#waitingSince = Date.now();
    this.status = status;
    if (status.final) forgetToken(this.#token);
    this.#render();
    this.#emit('chasqui:status', status);
    if (status.final) this.#emit('chasqui:final', status);
  }

  #refuse(detail: ChasquiUnavailable): void {
    this.#unavailable = true;
    if (this.#token && (detail.code === 4401 || detail.code === 4404)) {
      forgetToken(this.#token);
      if (this.#kept) this.#token = this.#kept = undefined;
    }
    this.#render();
    this.#emit('chasqui:unavailable', detail);
  }

  #emit(type: string, detail: unknown): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  readonly #render = (): void => {
    if (!this.isConnected) return;
    const view = this.#view();
    const [icon, tone] = looks[view];
    const language = languageOf([this.getAttribute('lang'), document.documentElement.lang, navigator.language]);
    const [title, text, advice = ''] = texts[language][view];
    // Without a status, the page's own content is better than ours.
    const own = this.childElementCount > 0 && !this.#forced() && (view === 'connecting' || view === 'unavailable');
    this.#card.hidden = own;
    this.#slot.hidden = !own;
    this.#card.lang = language;
    this.#card.className = `card ${icon} ${tone}`;
    this.#card.setAttribute('part', `card ${view}`);
    this.#stroke.setAttribute('d', icons[icon]);
    write(this.#headline, title);
    write(this.#advice, advice);
    write(this.#text, advice ? ` ${text}` : text);
    const url = view === 'not-seen' || view === 'rejected' ? this.status?.resume_url : undefined;
    write(this.#resume, url ? resume[language] : '');
    if (url) this.#resume.href = url;
    else this.#resume.removeAttribute('href');

    clearTimeout(this.#timer);
    const waited = Date.now() - this.#waitingSince;
    const next = [LONGER_AFTER_MS, LATER_AFTER_MS].find((stage) => stage > waited);
    if (next && this.#watch && !this.status?.final) this.#timer = setTimeout(this.#render, next - waited);
  };

  #view(): View {
    const forced = this.#forced();
    if (forced) return forced;
    if (this.#unavailable) return 'unavailable';
    const { status, final, late, by } = this.status ?? ({} as Partial<Status>);
    if (status === 'confirmed' && late) return 'late';
    if (!final && navigator.onLine === false) return 'offline';
    if (status === 'pending' && by === 'khipu') return 'not-seen';
    // There is no view for a status that is unknown here.
    if (status && status !== 'verifying') return viewNamed(status) ?? 'unavailable';
    const waited = Date.now() - this.#waitingSince;
    if (waited >= LATER_AFTER_MS) return 'verifying-later';
    if (waited >= LONGER_AFTER_MS) return 'verifying-longer';
    return status ? 'verifying' : 'connecting';
  }

  /** The view of the `state` attribute, for tests: no request is made. */
  #forced(): View | undefined {
    return viewNamed(this.getAttribute('state'));
  }
}

function viewNamed(name: string | null | undefined): View | undefined {
  return (Object.keys(looks) as View[]).find((view) => view === name);
}

/** The Navigation API reports `pushState` too; not every browser has it. */
function navigationOf(): EventTarget | undefined {
  return (globalThis as { navigation?: EventTarget }).navigation;
}

/** Leaves an equal text unchanged, because screen readers read every change of a live region aloud. */
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
