/** Parsing: valid status objects and everything that is rejected. */
import { expect, test } from 'vitest';
import { parseStatus } from '../src/status.ts';
import { statusOf } from './payment.ts';

test('status_object_is_accepted_with_its_optional_fields', () => {
  const statuses = [
    statusOf('verifying'),
    statusOf('confirmed', { late: true }),
    statusOf('rejected', { reason: 'rejected-by-payer', resume_url: 'https://khipu.com/payment/info/x' }),
    statusOf('verifying', { version: 14, by: 'khipu', expect: { p50_s: 8, p95_s: 42 } }),
  ];
  for (const status of statuses) {
    expect(parseStatus(JSON.stringify(status))).toEqual(status);
  }
});

test('unknown_status_and_unknown_field_pass', () => {
  const status = { ...statusOf('pending'), status: 'on-hold', by: 'bank', since: 1 };
  expect(parseStatus(JSON.stringify(status))).toEqual(status);
});

test.each(['', 'null', '[]', '"confirmed"', '7', '{', '{}'])('%j_is_nothing', (text) => {
  expect(parseStatus(text)).toBeUndefined();
});

test.each([
  ['payment_id', 7],
  ['status', null],
  ['version', '6'],
  ['version', 0],
  ['version', 1.5],
  ['final', 'true'],
  ['at', null],
])('%s_%j_makes_it_nothing', (field, value) => {
  expect(parseStatus(JSON.stringify({ ...statusOf('confirmed'), [field]: value }))).toBeUndefined();
});

test.each([
  ['by', 7],
  ['late', 'yes'],
  ['reason', 7],
  ['expect', '8 s'],
  ['resume_url', 7],
])('%s_%j_is_left_out_and_the_status_is_not', (field, value) => {
  expect(parseStatus(JSON.stringify({ ...statusOf('confirmed'), [field]: value }))).toEqual(statusOf('confirmed'));
});

test.each([
  'https://khipu.com/payment/info/x',
  'http://127.0.0.1:9090/payment/x',
  'http://localhost/x',
  'http://[::1]:9090/x',
])('%s_is_where_a_payer_can_resume', (resume_url) => {
  expect(parseStatus(JSON.stringify(statusOf('rejected', { resume_url })))?.resume_url).toBe(resume_url);
});

test.each([
  'javascript:alert(1)',
  ' javascript:alert(1)//https://khipu.com',
  'data:text/html,x',
  '//evil.example',
  '/payment/x',
  'http://khipu.com/x',
  'http://localhost.evil.example/x',
  'http://127.0.0.1.evil.example/x',
  'http://127.0.0.1@evil.example/x',
])('%s_is_no_link_for_a_payer', (resume_url) => {
  expect(parseStatus(JSON.stringify(statusOf('rejected', { resume_url })))).toEqual(statusOf('rejected'));
});
