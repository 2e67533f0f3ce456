// A notify_url that verifies deliveries with the library of Standard Webhooks. Prints one JSON object a delivery.

import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);

function isVerified(body, headers) {
  try {
    webhook.verify(body, headers);
  } catch {
    return false;
  }
  return true;
}

const DAY_MS = 24 * 3600 * 1000;

createServer(async (request, response) => {
  const body = await text(request);
  const headers = request.headers;
  const dayAgo = new Date(Date.now() - DAY_MS);
  const signedADayAgo = {
    ...headers,
    "webhook-timestamp": String(Math.floor(dayAgo.getTime() / 1000)),
    "webhook-signature": webhook.sign(headers["webhook-id"], dayAgo, body),
  };
  const delivery = {
    payment_id: JSON.parse(body).payment_id,
    verified: isVerified(body, headers),
    verified_with_a_changed_body: isVerified(body.replace("24990", "1"), headers),
    verified_with_another_id: isVerified(body, { ...headers, "webhook-id": "msg_x" }),
    verified_a_day_later: isVerified(body, signedADayAgo),
  };
  console.log(JSON.stringify(delivery));
  response.end();
}).listen(Number(process.argv[2]), "127.0.0.1");
