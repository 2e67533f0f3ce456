"""A shop that takes bank transfers through Chasqui: creates a payment, shows the payer its status, and receives the
notification that makes the order paid."""

import json
import os
import sqlite3
import urllib.error
import urllib.request
import uuid
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

from flask import Flask, make_response, redirect, request
from standardwebhooks import Webhook, WebhookVerificationError

CHASQUI_URL = os.environ["CHASQUI_URL"]
CHASQUI_API_KEY = os.environ["CHASQUI_API_KEY"]
SHOP_URL = os.environ["SHOP_URL"]
webhook = Webhook(os.environ["CHASQUI_WEBHOOK_SECRET"])

app = Flask(__name__)
app.logger.setLevel("INFO")


@app.get("/")
def front():
    return page('<form method="post" action="/orders"><button>Buy a poncho for $24.990</button></form>')


@app.post("/orders")
def create_order():
    order = {"id": str(uuid.uuid4()), "amount": 24990, "currency": "CLP"}
    # Saved before the payment exists, so that no notification finds the order missing.
    with database() as connection:
        connection.execute("INSERT INTO orders (id, amount, currency) VALUES (:id, :amount, :currency)", order)
    creation = urllib.request.Request(
        f"{CHASQUI_URL}/v3/payments",
        headers={"x-api-key": CHASQUI_API_KEY, "content-type": "application/json", "idempotency-key": order["id"]},
        data=json.dumps(
            {
                "amount": order["amount"],
                "currency": order["currency"],
                "subject": "Poncho",
                "transaction_id": order["id"],
                "return_url": f"{SHOP_URL}/orders/{order['id']}",
                "cancel_url": f"{SHOP_URL}/orders/{order['id']}",
                "notify_url": f"{SHOP_URL}/khipu",
            }
        ).encode(),
    )
    try:
        with urllib.request.urlopen(creation, timeout=15) as answer:
            payment = json.load(answer)
    except OSError as error:
        reason = error.read() if isinstance(error, urllib.error.HTTPError) else ""
        app.logger.error("order %s: no payment was created: %s %s", order["id"], error, reason)
        return page("<p>The payment could not be started. Please try again.</p>"), 502
    return redirect(payment["payment_url"], 303)


@app.get("/orders/<order_id>")
def show_order(order_id):
    """The payer returns here with a status token in the fragment, which the element reads."""
    order = find_order(order_id)
    if order is None:
        return page("<p>There is no such order.</p>"), 404
    state = f"paid on {order['paid_at']}" if order["paid_at"] else "awaiting the transfer"
    response = make_response(
        page(
            f"""<p>Order {order["id"]}</p>
            <script type="module" src="{CHASQUI_URL}/js/chasqui.js"></script>
            <chasqui-status>Your order is {state}.</chasqui-status>"""
        )
    )
    response.headers["cache-control"] = "no-store"
    return response


@app.post("/khipu")
def receive_notification():
    try:
        # The signature is over the raw bytes.
        notification = webhook.verify(request.get_data(), dict(request.headers))
    except (WebhookVerificationError, ValueError) as error:
        return f"not verified: {error}", 401
    order = find_order(notification["transaction_id"])
    if order is None or not is_for(notification, order):
        app.logger.error("payment %s does not match an order", notification["payment_id"])
        return "not what was ordered", 400
    with database() as connection:
        paid = connection.execute(
            "UPDATE orders SET paid_at = ?, payment_id = ? WHERE id = ? AND paid_at IS NULL",
            (datetime.now(UTC).isoformat(), notification["payment_id"], order["id"]),
        )
    if paid.rowcount == 1:
        app.logger.info("order %s is paid", order["id"])
    elif find_order(order["id"])["payment_id"] != notification["payment_id"]:
        app.logger.error("order %s was paid twice: refund payment %s", order["id"], notification["payment_id"])
    # Only now: any other answer, or none, makes Chasqui deliver it again.
    return "saved"


def is_for(notification, order):
    # Khipu sends "24990.0000", and may send 11900.5 for an order of 11901: compare whole pesos.
    pesos = Decimal(notification["amount"]).quantize(Decimal(1), ROUND_HALF_UP)
    return notification["currency"] == order["currency"] and pesos == order["amount"]


def find_order(order_id):
    with database() as connection:
        return connection.execute("SELECT * FROM orders WHERE id = ?", (order_id,)).fetchone()


@contextmanager
def database():
    with closing(sqlite3.connect("orders.db")) as connection:
        connection.row_factory = sqlite3.Row
        with connection:  # Commits, or rolls back after an exception.
            yield connection


def page(content):
    return f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Poncho shop</title><body>{content}</body></html>'


with database() as connection:
    connection.execute(
        """CREATE TABLE IF NOT EXISTS orders
        (id TEXT PRIMARY KEY, amount INTEGER, currency TEXT, paid_at TEXT, payment_id TEXT)"""
    )
