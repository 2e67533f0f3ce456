// @vitest-environment node
/** A server has no page: importing the package must have no effect. */
import { expect, test } from 'vitest';

test('import_without_a_page_defines_nothing_and_does_not_throw', async () => {
  const bundle = new URL('../dist/chasqui.js', import.meta.url).href;
  const { watchPayment } = (await import(bundle)) as typeof import('../src/index.ts');
  expect(typeof watchPayment).toBe('function');
});
