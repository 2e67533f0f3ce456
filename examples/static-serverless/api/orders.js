// Keeps orders in files of the current directory, for use on one machine. A serverless platform has no disk: replace these
// two functions with those of its key-value store, or with a database.

import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';

/** The value, or null. */
export async function find(key) {
  try {
    return JSON.parse(readFileSync(`orders/${key}.json`, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

/** Whether this call stored the value: false if the key has one. */
export async function putIfAbsent(key, value) {
  mkdirSync('orders', { recursive: true });
  const whole = `orders/${randomUUID()}.new`;
  writeFileSync(whole, JSON.stringify(value), { flush: true });
  try {
    linkSync(whole, `orders/${key}.json`);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  } finally {
    unlinkSync(whole);
  }
}
