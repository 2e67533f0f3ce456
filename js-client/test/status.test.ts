/** Parsing at the edge: what is a status object, and what is nothing. */
import { expect, test } from 'vitest';
import { parseStatus } from '../src/status.ts';
import { statusOf } from './payment.ts';

test('status_object_of_the_protocol_is_taken_with_its_optional_fields', () => {
  const statuses = [
    statusOf('verifying'),
    statusOf('confirmed', { late: true }),
    statusOf('rejected', { reason: 'rejected-by-payer' }),
  ];
  for (const status of statuses) {
    expect(parseStatus(JSON.stringify(status))).toEqual(status);
  }
});

test('unknown_field_passes', () => {
  expect(parseStatus(JSON.stringify({ ...statusOf('pending'), since: 1 }))).toMatchObject({ status: 'pending' });
});

test.each(['', 'null', '[]', '"confirmed"', '7', '{', '{}'])('%j_is_nothing', (text) => {
  expect(parseStatus(text)).toBeUndefined();
});

test.each([
  ['payment_id', 7],
  ['status', 'paid'],
  ['version', '6'],
  ['version', 0],
  ['version', 1.5],
  ['final', 'true'],
  ['at', null],
  ['late', 'yes'],
  ['reason', 7],
])('%s_%j_makes_it_nothing', (field, value) => {
  expect(parseStatus(JSON.stringify({ ...statusOf('confirmed'), [field]: value }))).toBeUndefined();
});
