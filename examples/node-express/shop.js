// A shop that takes bank transfers through Chasqui: creates a payment, shows the payer its status, and receives the
// notification that makes the order paid.

import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import express from 'express';
import { Webhook } from 'standardwebhooks';

const CHASQUI_URL = required('CHASQUI_URL');
const CHASQUI_API_KEY = required('CHASQUI_API_KEY');
const SHOP_URL = required('SHOP_URL');
const PORT = process.env.PORT ?? '8000';
const webhook = new Webhook(required('CHASQUI_WEBHOOK_SECRET'));

const app = express();

app.get('/', (_request, response) => {
  response.send(page('<form method="post" action="/orders"><button>Buy a poncho for $24.990</button></form>'));
});

app.post('/orders', async (_request, response) => {
  const order = { id: randomUUID(), amount: 24990, currency: 'CLP' };
  // Saved before the payment exists, so that no notification finds the order missing.
  save(order);
  const answer = await fetch(`${CHASQUI_URL}/v3/payments`, {
    method: 'POST',
    headers: { 'x-api-key': CHASQUI_API_KEY, 'content-type': 'application/json', 'idempotency-key': order.id },
    body: JSON.stringify({
      amount: order.amount,
      currency: order.currency,
      subject: 'Poncho',
      transaction_id: order.id,
      return_url: `${SHOP_URL}/orders/${order.id}`,
      cancel_url: `${SHOP_URL}/orders/${order.id}`,
      notify_url: `${SHOP_URL}/khipu`,
    }),
    signal: AbortSignal.timeout(15_000),
  });
  if (!answer.ok) {
    console.error(`order ${order.id}: no payment was created: ${answer.status} ${await answer.text()}`);
    response.status(502).send(page('<p>The payment could not be started. Please try again.</p>'));
    return;
  }
  const payment = await answer.json();
  response.redirect(303, payment.payment_url);
});

// The payer returns here with a status token in the fragment, which the element reads.
app.get('/orders/:id', (request, response) => {
  const order = orders.get(request.params.id);
  if (!order) {
    response.status(404).send(page('<p>There is no such order.</p>'));
    return;
  }
  const state = order.paid_at ? `paid on ${order.paid_at}` : 'awaiting the transfer';
  response.set('cache-control', 'no-store').send(
    page(`<p>Order ${order.id}</p>
      <script type="module" src="${CHASQUI_URL}/js/chasqui.js"></script>
      <chasqui-status>Your order is ${state}.</chasqui-status>`),
  );
});

// The signature is over the raw bytes: no JSON parser may run before it is verified.
app.post('/khipu', express.raw({ type: () => true, limit: '2mb' }), (request, response) => {
  let notification;
  try {
    notification = webhook.verify(request.body, request.headers);
  } catch (error) {
    response.status(401).send(`not verified: ${error.message}`);
    return;
  }
  const order = orders.get(notification.transaction_id);
  // Khipu sends "24990.0000", and may send 11900.5 for an order of 11901: compare whole pesos.
  if (!order || notification.currency !== order.currency || Math.round(notification.amount) !== order.amount) {
    console.error(`payment ${notification.payment_id} does not match an order: ${notification.transaction_id}`);
    response.status(400).send('not what was ordered');
    return;
  }
  if (!order.paid_at) {
    save({ ...order, paid_at: new Date().toISOString(), payment_id: notification.payment_id });
    console.log(`order ${order.id} is paid`);
  } else if (order.payment_id !== notification.payment_id) {
    console.error(`order ${order.id} was paid twice: refund payment ${notification.payment_id}`);
  }
  // Only now: any other answer, or none, makes Chasqui deliver it again.
  response.send('saved');
});

// One file of orders, in place of a database. If writing fails, the order in memory is unchanged, too.
let orders = new Map(existsSync('orders.json') ? JSON.parse(readFileSync('orders.json', 'utf8')) : []);

function save(order) {
  const changed = new Map(orders).set(order.id, order);
  writeFileSync('orders.json.new', JSON.stringify([...changed]), { flush: true });
  renameSync('orders.json.new', 'orders.json');
  orders = changed;
}

function page(content) {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Poncho shop</title><body>${content}</body></html>`;
}

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`set the environment variable ${name}`);
  return value;
}

app.listen(Number(PORT), '127.0.0.1', () => console.log(`the shop listens on port ${PORT}; open ${SHOP_URL}`));
