//! An account, its payment and Khipu's notification of it.

use std::time::Duration;

use bytes::Bytes;
use chasqui_khipu::signature as khipu;
use chasqui_payment::{
    AccountName, Amount, Currency, MerchantUrls, Payment, PaymentId, PaymentState, PaymentTerms,
    Secret, Timestamp, Verdict, Version,
};
use chasqui_store::{JobAttempt, JobResult, StoredNotification};

use crate::account::{Account, WebhookSecret};
use crate::clock;
use crate::jobs::{DeliveryHandler, DeliveryLimits, WorkerLimits};

/// Escapes, odd spaces and no order: bytes that no JSON writer would reproduce.
pub(in crate::jobs) const BODY: &[u8] =
    br#"{ "receipt_url":"https:\/\/khipu.example\/r.pdf","payment_id":"zfxnocsow6mz" ,"amount":"1000.0000"}"#;

/// No test waits longer than this for what it expects.
pub(in crate::jobs) const DEADLINE: Duration = Duration::from_secs(10);

pub(in crate::jobs) fn payment_id() -> PaymentId {
    PaymentId::parse("zfxnocsow6mz").expect("id")
}

fn webhook_secret() -> WebhookSecret {
    let text = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    WebhookSecret::parse(&Secret::new(text)).expect("secret")
}

/// Delivers to this machine, as in development.
pub(in crate::jobs) fn account() -> Account {
    Account {
        name: AccountName::parse("shop").expect("name"),
        receiver_id: 990_939,
        khipu_api_key: Secret::new("khipu-api-key"),
        khipu_secrets: vec![Secret::new("khipu-secret")],
        api_keys: vec![],
        allowed_origins: vec![],
        notify_url: None,
        events_url: None,
        webhook_secrets: vec![webhook_secret()],
        return_hop: true,
        answer_extras: false,
        allow_http_destinations: false,
        allow_private_destinations: vec![
            "127.0.0.0/8".parse().expect("net"),
            "::1/128".parse().expect("net"),
        ],
    }
}

pub(in crate::jobs) fn notification(account: &Account, signed_at: Timestamp) -> StoredNotification {
    StoredNotification {
        body: Bytes::from_static(BODY),
        signature: khipu::sign_notification(&account.khipu_secrets[0], signed_at, BODY),
        verdict: Verdict::Agrees,
        received_at: signed_at,
    }
}

pub(in crate::jobs) fn confirmed(id: &str, notify_url: Option<String>) -> Payment {
    let at = Timestamp::default();
    let mut state = PaymentState::created(at);
    state.version = Version::CONFIRMED;
    Payment {
        id: PaymentId::parse(id).expect("id"),
        account: account().name,
        terms: None,
        urls: MerchantUrls {
            notify_url,
            ..MerchantUrls::default()
        },
        reference: None,
        payment_url: None,
        expires_at: None,
        created_at: at,
        state,
    }
}

/// Khipu's notification of [`sold`].
pub(in crate::jobs) const SOLD_BODY: &[u8] = br#"{"payment_id":"sold","receiver_id":"990939","amount":"1000.0000",  "currency":"CLP","transaction_id":"order 77","conciliation_date":"2026-01-01T00:00:00.000Z"}"#;

/// A payment with terms, and a notification of it with a verdict.
pub(in crate::jobs) fn sold(
    url: &str,
    verdict: Verdict,
    signed_at: Timestamp,
) -> (Payment, StoredNotification) {
    let mut payment = confirmed("sold", Some(url.to_owned()));
    payment.terms = Some(PaymentTerms {
        amount: Amount::parse("1000").expect("amount"),
        currency: Currency::parse("CLP").expect("currency"),
        transaction_id: Some("order 77".to_owned()),
    });
    let stored = StoredNotification {
        body: Bytes::from_static(SOLD_BODY),
        signature: khipu::sign_notification(&account().khipu_secrets[0], signed_at, SOLD_BODY),
        verdict,
        received_at: clock::now(),
    };
    (payment, stored)
}

pub(in crate::jobs) fn limits() -> (WorkerLimits, DeliveryLimits) {
    let worker = WorkerLimits {
        drain: Duration::from_millis(100),
        ..DeliveryHandler::worker_limits()
    };
    (worker, DeliveryLimits::default())
}

/// A payment that Khipu has notified just now.
pub(in crate::jobs) fn notified(id: &str, url: &str) -> (Payment, Option<StoredNotification>) {
    let stored = notification(&account(), clock::now());
    (confirmed(id, Some(url.to_owned())), Some(stored))
}

/// How long after the attempt the next one is due.
pub(super) fn wait(result: JobResult, attempt: &JobAttempt) -> Duration {
    match result {
        JobResult::Retry { due_at } => due_at.since(attempt.at),
        other => panic!("{other:?}: {}", attempt.result),
    }
}
