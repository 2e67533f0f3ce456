use std::time::Duration;

use chasqui_payment::{
    Amount, Currency, MerchantUrls, PaymentReference, PaymentTerms, Reported, Status, Timestamp,
    Verdict,
};

use super::*;

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

fn answer(fields: &str) -> PaymentResponse {
    PaymentResponse::parse(format!("{{\"payment_id\":\"zfxnocsow6mz\",{fields}}}").as_bytes())
        .expect("answer")
}

fn status_of(fields: &str) -> Option<Status> {
    let reported = answer(fields).reported(NOW);
    reported.map(|reported| reported.kind().status())
}

#[test]
fn done_alone_is_never_confirmed() {
    for (detail, expected) in [
        ("normal", Status::Confirmed),
        ("marked-paid-by-receiver", Status::Confirmed),
        ("partially-refunded", Status::Confirmed),
        ("rejected-by-payer", Status::Rejected),
        ("marked-as-abuse", Status::Rejected),
        ("reversed", Status::Reversed),
        ("fully-refunded", Status::Reversed),
        ("", Status::Verifying),
        ("pending", Status::Verifying),
        ("an-unknown-word", Status::Verifying),
    ] {
        let fields = format!(r#""status":"done","status_detail":"{detail}""#);
        assert_eq!(status_of(&fields), Some(expected), "{detail:?}");
    }
    assert_eq!(status_of(r#""status":"done""#), Some(Status::Verifying));
}

#[test]
fn an_unknown_status_reports_nothing() {
    assert_eq!(status_of(r#""status":"an-unknown-word""#), None);
    assert_eq!(status_of(r#""status":"""#), None);
    assert_eq!(status_of(r#""status":"deleted""#), Some(Status::Cancelled));
    assert_eq!(
        status_of(r#""status":"verifying""#),
        Some(Status::Verifying)
    );
}

#[test]
fn a_payment_expires_three_hours_after_its_date() {
    let pending = |expiry: Timestamp| format!(r#""status":"pending","expires_date":"{expiry}""#);
    let just_in_time = NOW.minus(ATTEMPT_TERM).plus(Duration::from_millis(1));
    assert_eq!(status_of(&pending(just_in_time)), Some(Status::Pending));
    assert_eq!(
        status_of(&pending(just_in_time.minus(Duration::from_millis(1)))),
        Some(Status::Expired)
    );
    let verifying = format!(
        r#""status":"verifying","expires_date":"{}""#,
        Timestamp::from_unix_ms(0)
    );
    assert_eq!(
        status_of(&verifying),
        Some(Status::Verifying),
        "an attempt may still be under way"
    );
}

#[test]
fn a_late_confirmation_is_reported_as_late() {
    let is_late = |fields: &str| {
        let done = format!(r#""status":"done","status_detail":"normal",{fields}"#);
        match answer(&done).reported(NOW) {
            Some(Reported::Confirmed { late, .. }) => late,
            other => panic!("not confirmed: {other:?}"),
        }
    };
    assert!(is_late(r#""out_of_date_conciliation":true"#));
    assert!(is_late(
        r#""expires_date":"2026-01-01T00:00:00Z","conciliation_date":"2026-01-01T00:00:00.001Z""#
    ));
    assert!(!is_late(r#""conciliation_date":"""#));
}

#[test]
fn an_undocumented_word_is_reported_and_truncated() {
    let value = |fields: &str| {
        let unknown = answer(fields).unknown_value();
        unknown.map(|unknown| (unknown.field, unknown.value))
    };
    for known in [
        r#""status":"pending""#,
        r#""status":"verifying""#,
        r#""status":"deleted""#,
        r#""status":"done","status_detail":"normal""#,
        r#""status":"done","status_detail":"marked-as-abuse""#,
        r#""amount":"1""#,
    ] {
        assert_eq!(value(known), None, "{known}");
    }
    let status = value(r#""status":"an-unknown-word""#);
    assert_eq!(status, Some(("status", "an-unknown-word".to_owned())));
    let detail = value(&format!(
        r#""status":"done","status_detail":"{}""#,
        "x".repeat(1000)
    ));
    assert_eq!(detail, Some(("status_detail", "x".repeat(40))));
    let none = value(r#""status":"done""#);
    assert_eq!(none, Some(("status_detail", String::new())));
}

#[test]
fn an_answer_shows_the_merchants_own_urls() {
    let urls = MerchantUrls {
        return_url: Some("https://shop.example/r".into()),
        ..MerchantUrls::default()
    };
    let fields = answer(r#""return_url":"https://pay/r","cancel_url":"https://pay/c","notify_url":"https://pay/n","amount":"1.0000""#)
        .with_urls(&urls);
    assert_eq!(
        String::from_utf8(fields.to_json()).expect("text"),
        r#"{"payment_id":"zfxnocsow6mz","return_url":"https://shop.example/r","cancel_url":"","notify_url":"","amount":"1.0000"}"#
    );
}

#[test]
fn the_reference_is_found_only_in_our_own_url() {
    let reference = PaymentReference::from_random(5);
    let with = |url: String| {
        answer(&format!(r#""notify_url":"{url}""#)).reference("https://pay/webhooks/khipu/shop")
    };
    assert_eq!(
        with(format!("https://pay/webhooks/khipu/shop?ref={reference}")),
        Some(reference.clone())
    );
    assert_eq!(
        with(format!("https://evil/webhooks/khipu/shop?ref={reference}")),
        None
    );
    assert_eq!(with("https://pay/webhooks/khipu/shop".into()), None);
}

fn notification(fields: &str) -> NotificationBody {
    NotificationBody::parse(format!("{{\"payment_id\":\"zfxnocsow6mz\",{fields}}}").as_bytes())
        .expect("notification")
}

fn terms(amount: &str, currency: &str, transaction_id: Option<&str>) -> PaymentTerms {
    PaymentTerms {
        amount: Amount::parse(amount).expect("amount"),
        currency: Currency::parse(currency).expect("currency"),
        transaction_id: transaction_id.map(Into::into),
    }
}

#[test]
fn a_notification_must_agree_in_amount_currency_receiver_and_transaction() {
    let terms = terms("11900.5", "CLP", Some("order-1"));
    let rest = r#""conciliation_date":"2026-01-01T00:00:00Z""#;
    let verdict = |amount: &str, currency: &str, receiver: u64, transaction: &str| {
        notification(&format!(
            r#""amount":"{amount}","currency":"{currency}","receiver_id":{receiver},"transaction_id":"{transaction}",{rest}"#
        ))
        .verdict(&terms, 7)
    };
    assert_eq!(verdict("11901.0000", "CLP", 7, "order-1"), Verdict::Agrees);
    assert_eq!(
        verdict("11900.0000", "CLP", 7, "order-1"),
        Verdict::Mismatch
    );
    assert_eq!(
        verdict("11901.0000", "USD", 7, "order-1"),
        Verdict::Mismatch
    );
    assert_eq!(
        verdict("11901.0000", "CLP", 8, "order-1"),
        Verdict::Mismatch
    );
    assert_eq!(
        verdict("11901.0000", "CLP", 7, "order-2"),
        Verdict::Mismatch
    );
    assert_eq!(verdict("", "CLP", 7, "order-1"), Verdict::Mismatch);
}

#[test]
fn the_differing_field_is_named_and_white_space_around_a_transaction_id_is_ignored() {
    let terms = terms("1000", "CLP", Some(" order-1 "));
    let disagreement = |fields: &str| {
        let agreed =
            r#""amount":"1000","currency":"CLP","receiver_id":7,"transaction_id":"order-1""#;
        // The last of two fields of one name counts.
        notification(&format!("{agreed},{fields}")).disagreement(&terms, 7)
    };
    assert_eq!(disagreement(r#""body":"""#), None);
    assert_eq!(disagreement(r#""transaction_id":"order-1\t""#), None);
    assert_eq!(
        disagreement(r#""transaction_id":"order 1""#),
        Some("transaction_id")
    );
    assert_eq!(disagreement(r#""amount":"1""#), Some("amount"));
    assert_eq!(disagreement(r#""currency":"USD""#), Some("currency"));
    assert_eq!(disagreement(r#""receiver_id":8"#), Some("receiver_id"));
}

#[test]
fn absent_null_and_empty_transaction_ids_are_equal() {
    let terms = terms("1000", "CLP", None);
    let base = r#""amount":"1000.0000","currency":"CLP","receiver_id":"7","conciliation_date":"2026-01-01T00:00:00Z""#;
    for transaction in ["", r#","transaction_id":null"#, r#","transaction_id":"""#] {
        assert_eq!(
            notification(&format!("{base}{transaction}")).verdict(&terms, 7),
            Verdict::Agrees,
            "{transaction}"
        );
    }
}

#[test]
fn without_a_conciliation_date_khipu_is_asked() {
    let terms = terms("1000", "CLP", None);
    for date in [
        "",
        r#","conciliation_date":"""#,
        r#","conciliation_date":null"#,
    ] {
        let body = notification(&format!(
            r#""amount":"1000","currency":"CLP","receiver_id":7{date}"#
        ));
        assert_eq!(body.verdict(&terms, 7), Verdict::Unconciliated);
    }
}

#[test]
fn a_notification_1_3_is_refused_with_the_reason() {
    let error =
        NotificationBody::parse(b"notification_token=abc&api_version=1.3").expect_err("refused");
    assert!(error.contains("notify_api_version 3.0"), "{error}");
}

#[test]
fn a_rebuilt_notification_has_khipus_form_and_agrees_with_its_payment() {
    let answer = answer(
        r#""receiver_id":7,"subject":"x","amount":1000.5,"discount":"0.0000","currency":"CLP","status":"done","status_detail":"normal","body":"","transaction_id":"t","conciliation_date":"2026-01-01T00:00:00.000Z","notify_url":"https://pay/n""#,
    );
    let body = answer.as_notification();
    assert_eq!(
        std::str::from_utf8(&body).expect("text"),
        r#"{"payment_id":"zfxnocsow6mz","receiver_id":7,"subject":"x","amount":"1000.5","discount":"0.0000","currency":"CLP","transaction_id":"t","conciliation_date":"2026-01-01T00:00:00.000Z"}"#
    );
    let parsed = NotificationBody::parse(&body).expect("notification");
    assert_eq!(
        parsed.verdict(&answer.terms().expect("terms"), 7),
        Verdict::Agrees
    );
}
