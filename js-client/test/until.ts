/** Waits for a condition, with a deadline and never a fixed sleep. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never happened within 5 s: ${what}`);
    await new Promise((next) => realSetTimeout(next, 1));
  }
}

/** Taken before a test can replace it. */
const realSetTimeout = globalThis.setTimeout;
