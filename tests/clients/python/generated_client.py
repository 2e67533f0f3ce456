"""Khipu's operations through the client that openapi-python-client made, found as `generated` on PYTHONPATH.

    generated_client.py walk                               every operation, once
    generated_client.py create TRANSACTION_ID KEY          a payment, under an Idempotency-Key
    generated_client.py read PAYMENT_ID                    a payment

Prints one JSON object. An error of the client's own kind is printed as {"error": KIND, "status", "message", "fields"}.
"""

import json
import os
import sys
import urllib.request

import attrs
from generated.api.khipus_api import (
    banks,
    confirm_payment,
    create_payment,
    create_receiver,
    delete_payment,
    payment,
    payment_methods,
    predict,
    refund_from_wallet,
    refund_payment,
    refund_wallet_balance,
)
from generated.client import AuthenticatedClient
from generated.models import (
    NewPayment,
    NewPaymentRefund,
    NewReceiver,
    NewWalletRefund,
)
from generated.types import UNSET

client = AuthenticatedClient(
    base_url=os.environ["BASE_URL"],
    token=os.environ["API_KEY"],
    prefix="",
    auth_header_name="x-api-key",
    raise_on_unexpected_status=True,
)


class Refused(Exception):
    """An answer with an error, as the generated models read it."""

    def __init__(self, response):
        self.error = {
            "error": type(response.parsed).__name__,
            "status": int(response.status_code),
            "message": response.parsed.message,
            "fields": [error.field for error in response.parsed.errors or []],
        }


def answer(response):
    """The model of a successful answer. As a strict client does, it refuses fields that the description lacks."""
    if response.status_code != 200:
        raise Refused(response)
    refuse_unknown_fields(response.parsed)
    return response.parsed


def refuse_unknown_fields(value):
    if isinstance(value, list):
        for item in value:
            refuse_unknown_fields(item)
    elif hasattr(value, "additional_properties"):
        unknown = value.additional_properties
        if unknown and "ACCEPT_UNKNOWN_FIELDS" not in os.environ:
            sys.exit(f"{type(value).__name__} has fields that are not described: {unknown}")
        for field in attrs.fields(type(value)):
            if field.name != "additional_properties":
                refuse_unknown_fields(getattr(value, field.name))


def order(transaction_id, **more):
    return NewPayment(
        amount=24990, currency="CLP", subject="Zapatillas", transaction_id=transaction_id, **more
    )


def conciliate(payment_id):
    """The payer pays, at the sandbox."""
    request = urllib.request.Request(
        f"{os.environ['SANDBOX_URL']}/sandbox/payments/{payment_id}/actions",
        data=b'{"action":"conciliate"}',
        method="POST",
    )
    urllib.request.urlopen(request, timeout=30).close()


def paid(transaction_id):
    created = answer(create_payment.sync_detailed(client=client, body=order(transaction_id)))
    conciliate(created.payment_id)
    return created.payment_id


def refusal(response):
    try:
        answer(response)
    except Refused as refused:
        return refused.error
    sys.exit("it was not refused")


def walk():
    assert len(answer(banks.sync_detailed(client=client)).banks) > 1
    receiver_id = int(os.environ["RECEIVER_ID"])
    methods = answer(payment_methods.sync_detailed(receiver_id, client=client))
    assert "SIMPLIFIED_TRANSFER" in [method.id for method in methods.payment_methods]
    forecast = predict.sync_detailed(
        client=client, payer_email="a@b.example", bank_id="Bawdf", amount="1000", currency="CLP"
    )
    assert answer(forecast).result == "ok"

    deleted = answer(create_payment.sync_detailed(client=client, body=order("deleted")))
    assert deleted.payment_url.startswith("http")
    read = answer(payment.sync_detailed(deleted.payment_id, client=client))
    assert (read.status, read.transaction_id, float(read.amount)) == ("pending", "deleted", 24990)
    assert answer(delete_payment.sync_detailed(deleted.payment_id, client=client)).message
    assert answer(payment.sync_detailed(deleted.payment_id, client=client)).status == "deleted"

    refunded = paid("refunded")
    read = answer(payment.sync_detailed(refunded, client=client))
    assert (read.status, read.status_detail) == ("done", "normal")
    assert answer(confirm_payment.sync_detailed(refunded, client=client)).message
    part = NewPaymentRefund(amount=990)
    assert answer(refund_payment.sync_detailed(refunded, client=client, body=part)).message
    read = answer(payment.sync_detailed(refunded, client=client))
    assert float(read.total_refunded) == 990 and len(read.refunds) == 1

    refunded_from_wallet = paid("refunded-from-wallet")
    full = NewWalletRefund(type_="full", payment_id=refunded_from_wallet)
    refund = answer(refund_from_wallet.sync_detailed(client=client, body=full))
    assert float(refund.refunded_amount) == 24990 and float(refund.remaining) == 0
    assert float(answer(refund_wallet_balance.sync_detailed(client=client)).balance) > 0

    receiver = NewReceiver(
        admin_first_name="Ana",
        admin_last_name="Soto",
        admin_email="ana@shop.example",
        country_code="CL",
        business_identifier="11111111-1",
        business_category="calzado",
        business_name="Zapatos",
        business_phone="+56911111111",
        business_address_line_1="Calle 12",
        business_address_line_2="Piso 3",
        business_address_line_3="Santiago",
        contact_full_name="Ana Soto",
        contact_job_title="dueña",
        contact_email="ana@shop.example",
        contact_phone="+56911111111",
    )
    assert answer(create_receiver.sync_detailed(client=client, body=receiver)).secret

    return {
        "deleted": deleted.payment_id,
        "refunded": refunded,
        "refunded_from_wallet": refunded_from_wallet,
        "unknown": refusal(payment.sync_detailed("unknown00000", client=client)),
        "invalid": refusal(
            create_payment.sync_detailed(client=client, body=order("invalid", notify_url="ftp://x"))
        ),
    }


def create(transaction_id, key):
    body = order(transaction_id, notify_url=os.environ.get("NOTIFY_URL", UNSET))
    response = create_payment.sync_detailed(client=client, body=body, idempotency_key=key)
    return {"payment_id": answer(response).payment_id}


def read(payment_id):
    found = answer(payment.sync_detailed(payment_id, client=client))
    return {"payment_id": found.payment_id, "status": found.status}


commands = {"walk": walk, "create": create, "read": read}
try:
    result = commands[sys.argv[1]](*sys.argv[2:])
except Refused as refused:
    result = refused.error
print(json.dumps(result))
