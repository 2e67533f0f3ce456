"""Khipu's operations through khipu-tools, of which only the base URL and the key are set.

Commands and output are those of generated_client.py. khipu-tools raises no error for an answer with an error: it returns the
answer, with `message`.
"""

import contextlib
import json
import os
import sys

import khipu_tools

khipu_tools.api_base = os.environ["BASE_URL"]
khipu_tools.api_key = os.environ["API_KEY"]


class WithIdempotencyKey:
    """khipu-tools drops the headers of a call, but lets the caller choose the HTTP client."""

    def __init__(self, key):
        self.client = khipu_tools.new_default_http_client()
        self.header = {"Idempotency-Key": key}

    def request_with_retries(self, method, url, headers, post_data):
        return self.client.request_with_retries(method, url, headers | self.header, post_data)


def order(transaction_id, **more):
    return {
        "amount": "24990",
        "currency": "CLP",
        "subject": "Zapatillas",
        "transaction_id": transaction_id,
        **more,
    }


class Refused(Exception):
    def __init__(self, returned):
        self.error = {
            "error": type(returned).__name__,
            "status": returned.last_response.code,
            "message": returned.message,
            "fields": [error.field for error in returned.get("errors", [])],
        }


def answer(returned):
    if returned.last_response.code != 200:
        raise Refused(returned)
    return returned


def refusal(returned):
    try:
        answer(returned)
    except Refused as refused:
        return refused.error
    sys.exit("it was not refused")


def walk():
    assert len(answer(khipu_tools.Banks.get()).banks) > 1
    forecast = khipu_tools.Predict.get(
        payer_email="a@b.example", bank_id="Bawdf", amount="1000", currency="CLP"
    )
    assert answer(forecast).result == "ok"
    deleted = answer(khipu_tools.Payments.create(**order("deleted"))).payment_id
    read = answer(khipu_tools.Payments.get(payment_id=deleted))
    assert (read.status, read.transaction_id, float(read.amount)) == ("pending", "deleted", 24990)
    assert answer(khipu_tools.Payments.delete(payment_id=deleted)).message
    assert answer(khipu_tools.Payments.get(payment_id=deleted)).status == "deleted"
    return {
        "deleted": deleted,
        "unknown": refusal(khipu_tools.Payments.get(payment_id="unknown00000")),
        "invalid": refusal(khipu_tools.Payments.create(**order("invalid", notify_url="ftp://x"))),
    }


def create(transaction_id, key):
    more = {"notify_url": os.environ["NOTIFY_URL"]} if "NOTIFY_URL" in os.environ else {}
    khipu_tools.default_http_client = WithIdempotencyKey(key)
    created = khipu_tools.Payments.create(**order(transaction_id, **more))
    return {"payment_id": answer(created).payment_id}


def read(payment_id):
    found = answer(khipu_tools.Payments.get(payment_id=payment_id))
    return {"payment_id": found.payment_id, "status": found.status}


commands = {"walk": walk, "create": create, "read": read}
# It prints each body that it posts.
with contextlib.redirect_stdout(sys.stderr):
    try:
        result = commands[sys.argv[1]](*sys.argv[2:])
    except Refused as refused:
        result = refused.error
print(json.dumps(result))
