// The back end of a static shop, as one serverless function for all of /api/: creates a payment, and receives the
// notification that makes the order paid. A Web-standard Request in, a Response out.

import { randomUUID } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { find, putIfAbsent } from './orders.js';

const { CHASQUI_URL, CHASQUI_API_KEY, CHASQUI_WEBHOOK_SECRET, SHOP_URL } = process.env;
const webhook = new Webhook(CHASQUI_WEBHOOK_SECRET);

export default { fetch: handle };

export async function handle(request) {
  const { pathname } = new URL(request.url);
  if (request.method === 'POST' && pathname === '/api/orders') return createOrder();
  if (request.method === 'POST' && pathname === '/api/khipu') return receiveNotification(request);
  const [, id] = /^\/api\/orders\/([0-9a-f-]{36})$/.exec(pathname) ?? [];
  if (request.method === 'GET' && id) return showOrder(id);
  return new Response('no such page', { status: 404 });
}

async function createOrder() {
  const order = { id: randomUUID(), amount: 24990, currency: 'CLP' };
  // Saved before the payment exists, so that no notification finds the order missing.
  await putIfAbsent(order.id, order);
  const answer = await fetch(`${CHASQUI_URL}/v3/payments`, {
    method: 'POST',
    headers: { 'x-api-key': CHASQUI_API_KEY, 'content-type': 'application/json', 'idempotency-key': order.id },
    body: JSON.stringify({
      amount: order.amount,
      currency: order.currency,
      subject: 'Poncho',
      transaction_id: order.id,
      return_url: `${SHOP_URL}/order.html?id=${order.id}`,
      cancel_url: `${SHOP_URL}/order.html?id=${order.id}`,
      notify_url: `${SHOP_URL}/api/khipu`,
    }),
    signal: AbortSignal.timeout(15_000),
  });
  if (!answer.ok) {
    console.error(`order ${order.id}: no payment was created: ${answer.status} ${await answer.text()}`);
    return new Response('The payment could not be started. Please try again.', { status: 502 });
  }
  const payment = await answer.json();
  return Response.redirect(payment.payment_url, 303);
}

async function showOrder(id) {
  const order = await find(id);
  if (!order) return new Response('no such order', { status: 404 });
  const paid = await find(`${id}.paid`);
  const state = paid ? `paid on ${paid.at}` : 'awaiting the transfer';
  return Response.json({ state }, { headers: { 'cache-control': 'no-store' } });
}

async function receiveNotification(request) {
  let notification;
  try {
    // The signature is over the raw bytes: do not use request.json().
    notification = webhook.verify(await request.text(), Object.fromEntries(request.headers));
  } catch (error) {
    return new Response(`not verified: ${error.message}`, { status: 401 });
  }
  const { transaction_id: id, payment_id, currency, amount } = notification;
  const order = /^[0-9a-f-]{36}$/.test(id) ? await find(id) : null;
  // Khipu sends "24990.0000", and may send 11900.5 for an order of 11901: compare whole pesos.
  if (!order || currency !== order.currency || Math.round(amount) !== order.amount) {
    console.error(`payment ${payment_id} does not match an order: ${id}`);
    return new Response('not what was ordered', { status: 400 });
  }
  // Two deliveries may run in two instances of this function: the store lets one of them write.
  if (await putIfAbsent(`${id}.paid`, { payment_id, at: new Date().toISOString() })) {
    console.log(`order ${id} is paid`);
  } else if ((await find(`${id}.paid`)).payment_id !== payment_id) {
    console.error(`order ${id} was paid twice: refund payment ${payment_id}`);
  }
  // Only now: any other answer, or none, makes Chasqui deliver it again.
  return new Response('saved');
}
