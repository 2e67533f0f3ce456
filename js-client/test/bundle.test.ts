// @vitest-environment happy-dom
/** The bundles: their size, forbidden contents, and effect on a page. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { token } from './payment.ts';

const dist = join(import.meta.dirname, '../dist');
const read = (file: string): string => readFileSync(join(dist, file), 'utf8');

/** Gzip, in bytes. Half of it is the texts in three languages and the stylesheet. Give a reason in the commit that raises it. */
const budgets = { 'chasqui.js': 7_936, 'chasqui.iife.js': 8_192 };

test.each(Object.entries(budgets))('%s_is_within_its_budget_of_%i_bytes', (file, budget) => {
  expect(gzipSync(read(file), { level: 9 }).length).toBeLessThanOrEqual(budget);
});

test.each(Object.keys(budgets))('%s_needs_nothing_that_a_strict_policy_forbids', (file) => {
  expect(read(file)).not.toMatch(/\beval\b|new Function|innerHTML|insertAdjacentHTML|document\.write|sourceMappingURL/);
});

test.each(Object.keys(budgets))('%s_reads_the_same_in_a_page_of_any_encoding', (file) => {
  expect(read(file)).toMatch(/^[\x00-\x7f]*$/);
});

test('classic_script_captures_the_token_at_load_and_defines_the_element', () => {
  history.replaceState({ cart: 7 }, '', `/order#/done?chasqui=${token}`);
  // A classic script runs in the global scope, as this does.
  const chasqui: unknown = new Function(`${read('chasqui.iife.js')};return chasqui`)();
  expect(location.hash).toBe('#/done');
  expect(history.state).toEqual({ cart: 7 });
  expect(sessionStorage.getItem('chasqui:/order')).toBe(token);
  expect(customElements.get('chasqui-status')).toBeDefined();
  expect(Object.keys(chasqui as object).sort()).toEqual(['ChasquiStatusElement', 'UnavailableError', 'watchPayment']);
  // A second copy, such as the module, has no effect.
  new Function(read('chasqui.iife.js'))();
});
