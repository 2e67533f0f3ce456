//! Khipu's objects as `/openapi.json` describes them: as Khipu answers, which is wider than its own description says.
//! Chasqui itself reads none of them; what it reads is in `chasqui_khipu::wire`.

use utoipa::ToSchema;

/// A sum of money. Khipu answers a text with four decimals, and takes a number or a text.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what Khipu reads and answers")]
pub(super) enum Money {
    Number(f64),
    Text(String),
}

/// A payment to create. Fields that are not listed go on to Khipu too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu reads")]
pub(super) struct NewPayment {
    amount: Money,
    #[schema(pattern = "^(CLP|CLF|ARS|PEN|MXN|USD|EUR|BOB|COP)$")]
    currency: String,
    #[schema(min_length = 1, max_length = 255)]
    subject: String,
    /// The merchant's own reference. It need not be unique.
    #[schema(max_length = 255)]
    transaction_id: Option<String>,
    /// Comes back in the notification.
    custom: Option<String>,
    #[schema(max_length = 5120)]
    body: Option<String>,
    #[schema(max_length = 5)]
    bank_id: Option<String>,
    #[schema(max_length = 1024, format = "uri")]
    return_url: Option<String>,
    #[schema(max_length = 1024, format = "uri")]
    cancel_url: Option<String>,
    #[schema(max_length = 1024, format = "uri")]
    picture_url: Option<String>,
    #[schema(max_length = 1024, format = "uri")]
    notify_url: Option<String>,
    /// Needs `fixed_payer_personal_identifier`.
    #[schema(max_length = 1024, format = "uri")]
    contract_url: Option<String>,
    /// 3.0, or absent.
    #[schema(pattern = r"^3\.0$")]
    notify_api_version: Option<String>,
    #[schema(format = DateTime)]
    expires_date: Option<String>,
    /// Needs `payer_name` and `payer_email`.
    send_email: Option<bool>,
    #[schema(max_length = 255)]
    payer_name: Option<String>,
    #[schema(max_length = 255, format = Email)]
    payer_email: Option<String>,
    send_reminders: Option<bool>,
    #[schema(max_length = 255, format = Email)]
    responsible_user_email: Option<String>,
    #[schema(max_length = 255)]
    fixed_payer_personal_identifier: Option<String>,
    #[schema(max_length = 16)]
    integrator_fee: Option<String>,
    #[schema(max_length = 255)]
    collect_account_uuid: Option<String>,
    #[schema(format = DateTime)]
    confirm_timeout_date: Option<String>,
    /// An id of the account's payment methods.
    #[schema(max_length = 255)]
    mandatory_payment_method: Option<String>,
    #[schema(min_length = 3, max_length = 255)]
    psp_client_merchant_name: Option<String>,
}

/// The payment that was created: where to send the payer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
pub(super) struct CreatedPayment {
    payment_id: String,
    /// Lets the payer choose how to pay.
    payment_url: String,
    simplified_transfer_url: String,
    transfer_url: String,
    /// Opens Khipu's app.
    app_url: String,
    /// Whether the payer need not choose a bank.
    ready_for_terminal: bool,
    /// Only if asked for: see `chasqui-answer-extras`.
    #[schema(required = false)]
    status_token: String,
    /// With `status_token`.
    #[schema(required = false)]
    status_url: String,
}

/// A payment. An unset text is "".
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
pub(super) struct KhipuPayment {
    payment_id: String,
    payment_url: String,
    simplified_transfer_url: String,
    transfer_url: String,
    app_url: String,
    ready_for_terminal: bool,
    notification_token: String,
    receiver_id: u64,
    /// Absent, null or "" until the transfer is confirmed.
    conciliation_date: Option<String>,
    subject: String,
    amount: Money,
    #[schema(required = false)]
    discount: Money,
    currency: String,
    /// pending, verifying, done or deleted. `done` alone does not mean paid: read `status_detail`.
    status: String,
    /// Paid: normal, marked-paid-by-receiver, partially-refunded.
    status_detail: String,
    body: String,
    picture_url: String,
    receipt_url: String,
    /// The merchant's own, as it was sent to Chasqui.
    return_url: String,
    cancel_url: String,
    /// The merchant's own, as it was sent to Chasqui.
    notify_url: String,
    notify_api_version: String,
    #[schema(format = DateTime)]
    expires_date: String,
    attachment_urls: Vec<String>,
    bank: String,
    bank_id: String,
    payer_name: String,
    payer_email: String,
    personal_identifier: String,
    bank_account_number: String,
    /// Confirmed after `expires_date`.
    out_of_date_conciliation: bool,
    transaction_id: String,
    /// The bank's code of the transfer, of some banks.
    #[schema(required = false)]
    authorizer_operation_code: String,
    custom: String,
    responsible_user_email: String,
    send_reminders: bool,
    send_email: bool,
    payment_method: String,
    funds_source: String,
    #[schema(required = false)]
    third_party_authorization_details: String,
    /// From the first refund on.
    #[schema(required = false)]
    refunds: Vec<RefundOfPayment>,
    #[schema(required = false)]
    total_refunded: Money,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
struct RefundOfPayment {
    id: String,
    /// pending or paid
    status: String,
    amount: Money,
    currency: String,
    #[schema(format = DateTime)]
    request_date: String,
}

/// The answer to an operation without a result.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
pub(super) struct Success {
    message: String,
}

/// The banks that a payer can pay from.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
pub(super) struct BankList {
    banks: Vec<Bank>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
struct Bank {
    bank_id: String,
    name: String,
    /// For the payer.
    message: String,
    /// The least that the bank transfers.
    min_amount: Money,
    /// Persona or Empresa
    r#type: String,
    /// The bank that this one belongs to, or "".
    parent: String,
    #[schema(required = false)]
    logo_url: String,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
pub(super) struct PaymentMethodList {
    #[schema(rename = "paymentMethods")]
    payment_methods: Vec<PaymentMethod>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
struct PaymentMethod {
    id: String,
    name: String,
    logo_url: String,
}

/// Whether a payer's bank will probably transfer an amount.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
pub(super) struct Prediction {
    /// ok, or why not
    result: String,
    max_amount: Money,
    cool_down_date: String,
    new_destinatary_max_amount: Money,
}

/// A refund of a payment before its money is paid out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu reads")]
pub(super) struct NewPaymentRefund {
    /// All that remains, if absent.
    amount: Option<Money>,
}

/// A refund from the account's refund wallet.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu reads")]
pub(super) struct NewWalletRefund {
    /// full or partial
    #[schema(pattern = "^(full|partial)$")]
    r#type: String,
    #[schema(min_length = 1)]
    payment_id: String,
    /// Of a partial refund.
    amount: Option<Money>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
pub(super) struct WalletRefund {
    id: String,
    payment_id: String,
    refunded_amount: Money,
    total_refunded: Money,
    remaining: Money,
    currency: String,
}

/// What the account can refund from.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
pub(super) struct RefundWallet {
    balance: Money,
    currency: String,
    add_funds_url: String,
}

/// A collection account to create, for integrators.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu reads")]
pub(super) struct NewReceiver {
    #[schema(min_length = 1, max_length = 255)]
    admin_first_name: String,
    #[schema(min_length = 1, max_length = 255)]
    admin_last_name: String,
    #[schema(min_length = 1, max_length = 255, format = Email)]
    admin_email: String,
    #[schema(min_length = 1, max_length = 2)]
    country_code: String,
    #[schema(min_length = 8, max_length = 255)]
    business_identifier: String,
    #[schema(min_length = 1, max_length = 255)]
    business_category: String,
    #[schema(min_length = 1, max_length = 255)]
    business_name: String,
    #[schema(min_length = 5, max_length = 20)]
    business_phone: String,
    #[schema(min_length = 4, max_length = 300)]
    business_address_line_1: String,
    #[schema(min_length = 4, max_length = 300)]
    business_address_line_2: String,
    #[schema(min_length = 4, max_length = 300)]
    business_address_line_3: String,
    #[schema(min_length = 1, max_length = 255)]
    contact_full_name: String,
    #[schema(min_length = 1, max_length = 255)]
    contact_job_title: String,
    #[schema(min_length = 1, max_length = 255, format = Email)]
    contact_email: String,
    #[schema(min_length = 5, max_length = 20)]
    contact_phone: String,
    #[schema(max_length = 5)]
    bank_account_bank_id: Option<String>,
    #[schema(max_length = 255)]
    bank_account_type: Option<String>,
    #[schema(max_length = 50)]
    bank_account_identifier: Option<String>,
    #[schema(max_length = 255)]
    bank_account_name: Option<String>,
    #[schema(max_length = 255)]
    bank_account_number: Option<String>,
    #[schema(max_length = 1024, format = "uri")]
    notify_url: Option<String>,
    #[schema(max_length = 1024, format = "uri")]
    rendition_url: Option<String>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Khipu answers")]
pub(super) struct Receiver {
    receiver_id: String,
    /// Signs the notifications of this account.
    secret: String,
}
