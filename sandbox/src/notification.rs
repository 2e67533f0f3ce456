//! The body of a notification 3.0, byte for byte in Khipu's style: fields in Khipu's order, amounts as
//! strings, every slash written `\/`, and no status in it. It exists only for a conciliated payment.

use serde::Serialize;

use crate::answers::{date, payment_method, receipt_url};
use crate::money::Amount;
use crate::payment::Payment;

#[derive(Serialize)]
struct NotificationJson<'a> {
    payment_id: &'a str,
    receiver_id: u64,
    subject: &'a str,
    amount: Amount,
    discount: Amount,
    currency: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    body: &'a str,
    receipt_url: &'a str,
    bank: &'a str,
    bank_id: &'a str,
    payer_name: &'a str,
    payer_email: &'a str,
    personal_identifier: &'a str,
    bank_account_number: &'a str,
    out_of_date_conciliation: bool,
    transaction_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer_operation_code: Option<&'a str>,
    responsible_user_email: &'a str,
    payment_method: &'a str,
    conciliation_date: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    custom: &'a str,
}

/// The body to send for `payment`, or `None` while it is not conciliated.
pub(crate) fn body(payment: &Payment, base_url: &str) -> Option<String> {
    let conciliated_at = payment.conciliated_at?;
    let order = &payment.order;
    let transfer = payment.transfer.as_ref();
    let notification = NotificationJson {
        payment_id: &payment.id,
        receiver_id: payment.receiver_id,
        subject: &order.subject,
        amount: order.amount,
        discount: Amount::ZERO,
        currency: &order.currency,
        body: &order.body,
        receipt_url: &receipt_url(payment, base_url),
        bank: transfer.map_or("", |transfer| transfer.bank.name),
        bank_id: transfer.map_or("", |transfer| transfer.bank.id),
        payer_name: transfer.map_or(&order.payer_name, |transfer| &transfer.payer_name),
        payer_email: transfer.map_or(&order.payer_email, |transfer| &transfer.payer_email),
        personal_identifier: transfer.map_or("", |transfer| &transfer.personal_identifier),
        bank_account_number: transfer.map_or("", |transfer| transfer.account_number),
        out_of_date_conciliation: payment.out_of_date_conciliation(),
        transaction_id: &order.transaction_id,
        authorizer_operation_code: payment.operation_code.as_deref(),
        responsible_user_email: &order.responsible_user_email,
        payment_method: payment_method(payment),
        conciliation_date: date(conciliated_at),
        custom: &order.custom,
    };
    escaped(&notification)
}

/// A slash occurs in JSON only inside strings, so replacing it in the finished text is exact.
fn escaped(notification: &NotificationJson<'_>) -> Option<String> {
    let json = serde_json::to_string(notification).ok()?;
    Some(json.replace('/', "\\/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::tests as golden;

    fn golden_notification(operation_code: Option<&str>) -> NotificationJson<'_> {
        NotificationJson {
            payment_id: "zfxnocsow6mz",
            receiver_id: 990_939,
            subject: "TEST_COBRO",
            amount: Amount::whole(1000),
            discount: Amount::ZERO,
            currency: "CLP",
            body: "",
            receipt_url: "https://s3.amazonaws.com/staging.notifications.khipu.com/CPKH-1804240956-zfxnocsow6mz.pdf",
            bank: "DemoBank",
            bank_id: "Bawdf",
            payer_name: "Cobrador de desarrollo #990.939",
            payer_email: "test@khipu.com",
            personal_identifier: "44.444.444-4",
            bank_account_number: "000000000000444444444",
            out_of_date_conciliation: false,
            transaction_id: "15f836bd-e8a7-4d12-b2f1-56403012b555",
            authorizer_operation_code: operation_code,
            responsible_user_email: "test@khipu.com",
            payment_method: "simplified_transfer",
            conciliation_date: "2024-04-18T13:56:54.859Z".to_owned(),
            custom: "",
        }
    }

    #[test]
    fn the_body_is_the_golden_vectors_byte_for_byte() {
        assert_eq!(
            escaped(&golden_notification(None)).as_deref(),
            Some(golden::V1)
        );
        assert_eq!(
            escaped(&golden_notification(Some("AUT-20240418-0001"))),
            Some(golden::v2())
        );
    }
}
