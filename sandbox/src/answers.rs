//! Khipu's answers about one payment, with its quirks: amounts are strings with four decimals, unset text
//! is "", dates are UTC with milliseconds, and there are more fields than in the published description.

use jiff::Timestamp;
use serde::Serialize;

use crate::money::Amount;
use crate::payment::{Payment, Refund};

/// `POST /v3/payments`: where to send the payer. Has neither status nor expiry.
#[derive(Serialize)]
pub(crate) struct CreatedAnswer {
    payment_id: String,
    payment_url: String,
    simplified_transfer_url: String,
    transfer_url: String,
    app_url: String,
    ready_for_terminal: bool,
}

impl CreatedAnswer {
    pub(crate) fn new(payment: &Payment, base_url: &str) -> Self {
        let id = &payment.id;
        Self {
            payment_url: format!("{base_url}/payment/info/{id}"),
            simplified_transfer_url: format!("{base_url}/payment/simplified/{id}"),
            transfer_url: format!("{base_url}/payment/manual/{id}"),
            app_url: format!("khipu:///pos/{id}"),
            ready_for_terminal: !payment.order.bank_id.is_empty(),
            payment_id: payment.id.clone(),
        }
    }
}

/// `GET /v3/payments/{id}`. `refunds` and `total_refunded` appear with the first refund.
#[derive(Serialize)]
pub(crate) struct PaymentAnswer {
    #[serde(flatten)]
    created: CreatedAnswer,
    notification_token: String,
    receiver_id: u64,
    /// null until the payment is conciliated.
    conciliation_date: Option<String>,
    subject: String,
    amount: Amount,
    discount: Amount,
    currency: String,
    status: &'static str,
    status_detail: &'static str,
    body: String,
    picture_url: String,
    receipt_url: String,
    return_url: String,
    cancel_url: String,
    notify_url: String,
    notify_api_version: String,
    expires_date: String,
    attachment_urls: [String; 0],
    bank: &'static str,
    bank_id: String,
    payer_name: String,
    payer_email: String,
    personal_identifier: String,
    bank_account_number: &'static str,
    out_of_date_conciliation: bool,
    transaction_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer_operation_code: Option<String>,
    custom: String,
    responsible_user_email: String,
    send_reminders: bool,
    send_email: bool,
    payment_method: &'static str,
    funds_source: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refunds: Vec<RefundEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_refunded: Option<Amount>,
}

#[derive(Serialize)]
struct RefundEntry {
    id: String,
    status: &'static str,
    amount: Amount,
    currency: String,
    request_date: String,
}

impl PaymentAnswer {
    pub(crate) fn new(payment: &Payment, base_url: &str) -> Self {
        let order = payment.order.clone();
        let transfer = payment.transfer.as_ref();
        Self {
            created: CreatedAnswer::new(payment, base_url),
            notification_token: payment.notification_token.clone(),
            receiver_id: payment.receiver_id,
            conciliation_date: payment.conciliated_at.map(date),
            subject: order.subject,
            amount: order.amount,
            discount: Amount::ZERO,
            status: payment.status.name(),
            status_detail: payment.status.detail(),
            body: order.body,
            picture_url: order.picture_url,
            receipt_url: receipt_url(payment, base_url),
            return_url: order.return_url,
            cancel_url: order.cancel_url,
            notify_url: order.notify_url,
            notify_api_version: order.notify_api_version,
            expires_date: date(payment.expires_at),
            attachment_urls: [],
            bank: transfer.map_or("", |transfer| transfer.bank.name),
            bank_id: transfer.map_or(order.bank_id, |transfer| transfer.bank.id.to_owned()),
            payer_name: transfer.map_or(order.payer_name, |transfer| transfer.payer_name.clone()),
            payer_email: transfer
                .map_or(order.payer_email, |transfer| transfer.payer_email.clone()),
            personal_identifier: transfer
                .map_or_else(String::new, |transfer| transfer.personal_identifier.clone()),
            bank_account_number: transfer.map_or("", |transfer| transfer.account_number),
            out_of_date_conciliation: payment.out_of_date_conciliation(),
            transaction_id: order.transaction_id,
            authorizer_operation_code: payment.operation_code.clone(),
            custom: order.custom,
            responsible_user_email: order.responsible_user_email,
            send_reminders: order.send_reminders,
            send_email: order.send_email,
            payment_method: payment_method(payment),
            funds_source: "",
            refunds: payment
                .refunds
                .iter()
                .map(|refund| RefundEntry {
                    id: refund.id.clone(),
                    status: refund.status.name(),
                    amount: refund.amount,
                    currency: order.currency.clone(),
                    request_date: date(refund.requested_at),
                })
                .collect(),
            total_refunded: (!payment.refunds.is_empty()).then(|| payment.total_refunded()),
            currency: order.currency,
        }
    }
}

/// `POST /v3/refunds`
#[derive(Serialize)]
pub(crate) struct RefundAnswer {
    id: String,
    payment_id: String,
    refunded_amount: Amount,
    total_refunded: Amount,
    remaining: Amount,
    currency: String,
}

impl RefundAnswer {
    pub(crate) fn new(payment: &Payment, refund: &Refund) -> Self {
        Self {
            id: refund.id.clone(),
            payment_id: payment.id.clone(),
            refunded_amount: refund.amount,
            total_refunded: payment.total_refunded(),
            remaining: payment.remaining(),
            currency: payment.order.currency.clone(),
        }
    }
}

/// `2024-04-18T13:56:54.859Z`
pub(crate) fn date(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Empty until the payment is conciliated.
pub(crate) fn receipt_url(payment: &Payment, base_url: &str) -> String {
    if payment.conciliated_at.is_some() {
        format!("{base_url}/payment/receipt/{}", payment.id)
    } else {
        String::new()
    }
}

pub(crate) fn payment_method(payment: &Payment) -> &'static str {
    payment
        .transfer
        .as_ref()
        .map_or("not_available", |transfer| transfer.method.name())
}
