"""A notify_url that verifies deliveries with the library of Standard Webhooks. Prints one JSON object a delivery."""

import datetime
import http.server
import json
import os
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])


def is_verified(body, headers):
    try:
        webhook.verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        day_ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        signed_a_day_ago = headers | {
            "webhook-timestamp": str(int(day_ago.timestamp())),
            "webhook-signature": webhook.sign(headers["webhook-id"], day_ago, body),
        }
        print(
            json.dumps(
                {
                    "payment_id": json.loads(body)["payment_id"],
                    "verified": is_verified(body, headers),
                    "verified_with_a_changed_body": is_verified(body.replace("24990", "1"), headers),
                    "verified_with_another_id": is_verified(body, headers | {"webhook-id": "msg_x"}),
                    "verified_a_day_later": is_verified(body, signed_a_day_ago),
                }
            ),
            flush=True,
        )
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments):
        pass


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
