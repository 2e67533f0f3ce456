/**
 * The appearance: one constructable stylesheet, shared by all elements, and one drawing per kind of status. No inline
 * style and no markup from strings, so that it works under the strictest content security policy.
 */
import type { View } from './texts.ts';

/** The tone selects the colour. No tone is red, so that the page does not alarm a payer who has just paid. */
export const looks: Record<View, readonly [icon: Icon, tone: '' | 'good' | 'care' | 'calm']> = {
  connecting: ['bank', ''],
  pending: ['clock', ''],
  'not-seen': ['clock', ''],
  verifying: ['bank', ''],
  'verifying-longer': ['bank', ''],
  'verifying-later': ['envelope', ''],
  offline: ['cloud', 'calm'],
  confirmed: ['check', 'good'],
  late: ['check', 'good'],
  expired: ['clock', 'care'],
  rejected: ['note', 'care'],
  cancelled: ['bar', 'calm'],
  reversed: ['back', 'calm'],
  unavailable: ['note', 'calm'],
};

type Icon = keyof typeof icons;

/** SVG paths in a 24 by 24 view box. */
export const icons = {
  bank: 'M4.5 9.5 12 5l7.5 4.5zM7 13v3.5m5-3.5v3.5m5-3.5v3.5M4.5 19.5h15',
  clock: 'M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16m0 3.8V12l2.8 1.8',
  envelope: 'M4.5 6.5h15v11h-15zm.5.5 7 5.8L19 7',
  cloud: 'M7.5 18a4 4 0 0 1-.6-7.9 5.3 5.3 0 0 1 10.2.8A3.6 3.6 0 0 1 16.8 18zM4.5 4.5l15 15',
  check: 'm6.5 12.5 3.8 3.8 7.4-8.1',
  note: 'M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16m0 7v4.8m0-7.9v.1',
  bar: 'M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16M8.5 12h7',
  back: 'M9 6 5 10l4 4m-4-4h9.5a4.2 4.2 0 0 1 0 8.5H11',
} as const;

export const lightColours = {
  surface: '#fff',
  border: '#e1e4ea',
  text: '#171b24',
  muted: '#4d5566',
  accent: '#5a31c4',
  good: '#0b7346',
  care: '#8a5300',
  calm: '#4d5566',
};

export const darkColours: typeof lightColours = {
  surface: '#1b1f27',
  border: '#333945',
  text: '#f3f5f9',
  muted: '#b3bbc9',
  accent: '#b7a3ff',
  good: '#52d79c',
  care: '#f3bd62',
  calm: '#b3bbc9',
};

/** The underscore separates them from a page's own: in `--chasqui-accent: var(--accent)`, `--accent` is the page's. */
const variables = (colours: Record<string, string>): string =>
  Object.entries(colours)
    .map(([name, colour]) => `--_${name}:${colour};`)
    .join('');

const both = Object.fromEntries(
  Object.entries(lightColours).map(([name, colour]) => [
    name,
    `light-dark(${colour},${darkColours[name as keyof typeof lightColours]})`,
  ]),
);

/** With light-dark() the card follows the page's own color-scheme; older browsers follow the system's. */
const css = `
:host{display:block;max-width:32rem;${variables(lightColours)}}
:host([hidden]){display:none}
@media(prefers-color-scheme:dark){:host{${variables(darkColours)}}}
@supports(color:light-dark(red,red)){:host{${variables(both)}}}
.card{--tone:var(--chasqui-accent,var(--_accent));display:flex;gap:1rem;align-items:flex-start;box-sizing:border-box;min-height:6.25rem;padding:1.25rem;border:1px solid var(--chasqui-border,var(--_border));border-radius:var(--chasqui-radius,1rem);background:var(--chasqui-surface,var(--_surface));color:var(--chasqui-text,var(--_text));font:1rem/1.45 var(--chasqui-font,system-ui,-apple-system,"Segoe UI",Roboto,sans-serif);text-align:start;overflow-wrap:anywhere}
.good{--tone:var(--chasqui-good,var(--_good))}
.care{--tone:var(--chasqui-care,var(--_care))}
.calm{--tone:var(--chasqui-muted,var(--_muted))}
.icon{position:relative;flex:none;width:2.75rem;height:2.75rem;color:var(--tone)}
.icon::before{content:"";position:absolute;inset:0;border-radius:50%;background:currentColor;opacity:.12}
svg{position:absolute;inset:.625rem;width:1.5rem;height:1.5rem;fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
.bank .icon::after{content:"";position:absolute;inset:0;border:.15625rem solid transparent;border-color:color-mix(in srgb,currentColor 16%,transparent);border-top-color:currentColor;border-radius:50%}
.bank svg{inset:.75rem;width:1.25rem;height:1.25rem}
.good .icon::before{opacity:1}
.good svg{color:var(--chasqui-surface,var(--_surface));stroke-width:2.5}
.body{flex:1;min-width:0}
p{margin:0}
.title{padding-top:.0625rem;font-size:1.125rem;font-weight:650;line-height:1.3;letter-spacing:-.01em;text-wrap:balance}
strong:not(:empty){display:block;color:var(--chasqui-text,var(--_text));font-weight:600}
.text{margin-top:.3125rem;color:var(--chasqui-muted,var(--_muted));text-wrap:pretty}
a{display:inline-block;margin-top:.75rem;color:var(--tone);font-weight:600}
a:not([href]),[hidden]{display:none}
@media(prefers-reduced-motion:no-preference){
.bank .icon::after{animation:turn 1.4s linear infinite}
.check svg{stroke-dasharray:24;animation:draw .45s .1s ease-out backwards}
.check .icon::before{animation:grow .35s ease-out}
}
@keyframes turn{to{transform:rotate(1turn)}}
@keyframes draw{from{stroke-dashoffset:24}to{stroke-dashoffset:0}}
@keyframes grow{from{transform:scale(.6);opacity:0}}
`;

let shared: CSSStyleSheet | undefined;

export function adoptStyle(root: ShadowRoot): void {
  if (!shared) {
    shared = new CSSStyleSheet();
    shared.replaceSync(css);
  }
  root.adoptedStyleSheets = [shared];
}
