//! `GET /v1/payments?updated_since=`: daily reconciliation. No change is missed, also of what changes meanwhile.

use std::collections::BTreeMap;

use chasqui_tests::gateway_client::GatewayClient;
use chasqui_tests::testbed::Testbed;
use serde_json::{Value, json};

use crate::both_stores::on_both_stores;

on_both_stores! {
    every_payment_is_listed_once_and_one_that_changed_meanwhile_again
    the_next_run_begins_where_the_last_one_ended
    the_place_after_a_payment_stays_though_the_payment_changes
    a_status_or_a_payment_narrows_the_list
    another_account_lists_nothing
    a_mistaken_query_is_refused_by_its_parameter
}

async fn start(storage: Option<String>) -> (Testbed, GatewayClient) {
    Testbed::start_with_stranger(storage).await
}

const LONG_AGO: &str = "?updated_since=2020-01-01T00:00:00Z";

async fn page(api: &GatewayClient, query: &str) -> Value {
    let answer = api.get(&format!("/v1/payments{query}")).await;
    let answer = answer.expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

fn listed(page: &Value) -> Vec<(String, String)> {
    let payments = page["payments"].as_array().expect("a list");
    let text = |payment: &Value, name: &str| payment[name].as_str().expect("text").to_owned();
    payments
        .iter()
        .map(|payment| (text(payment, "payment_id"), text(payment, "status")))
        .collect()
}

async fn every_payment_is_listed_once_and_one_that_changed_meanwhile_again(
    (testbed, _): (Testbed, GatewayClient),
) {
    let mut created = Vec::new();
    for n in 0..7 {
        created.push(
            testbed
                .create(json!({ "transaction_id": format!("order-{n}") }))
                .await,
        );
    }
    let first = page(&testbed.api, &format!("{LONG_AGO}&limit=3")).await;
    assert_eq!(first["has_more"], true);
    let mut seen = listed(&first);
    let expected: Vec<_> = created[..3]
        .iter()
        .map(|it| (it.id.clone(), "pending".to_owned()))
        .collect();
    assert_eq!(seen, expected, "the oldest change first");
    assert_eq!(first["payments"][0]["transaction_id"], "order-0");
    assert!(
        first["payments"][0]["updated_at"].as_str() <= first["payments"][1]["updated_at"].as_str()
    );

    // The last one of that page and one of a later page change now: both come at the end.
    for changed in [&created[2], &created[4]] {
        testbed.sandbox.act(&changed.id, "conciliate").await;
        testbed.api.until_status(changed, "confirmed").await;
    }
    let mut next = first["next"].as_str().expect("a place").to_owned();
    loop {
        let page = page(
            &testbed.api,
            &format!("{LONG_AGO}&limit=3&starting_after={next}"),
        )
        .await;
        seen.extend(listed(&page));
        next = page["next"].as_str().expect("a place").to_owned();
        if page["has_more"] == false {
            break;
        }
    }
    let order: Vec<_> = seen
        .iter()
        .map(|(id, _)| created.iter().position(|it| it.id == *id))
        .collect();
    let places = [0, 1, 2, 3, 5, 6, 2, 4].map(Some);
    assert_eq!(order, places);
    let last: BTreeMap<_, _> = seen.into_iter().collect();
    for (n, payment) in created.iter().enumerate() {
        let expected = if [2, 4].contains(&n) {
            "confirmed"
        } else {
            "pending"
        };
        assert_eq!(last[&payment.id], expected, "{n}");
    }
}

async fn the_next_run_begins_where_the_last_one_ended((testbed, _): (Testbed, GatewayClient)) {
    let first = testbed.create(json!({})).await;
    let today = page(&testbed.api, LONG_AGO).await;
    assert_eq!(
        (listed(&today).len(), &today["has_more"]),
        (1, &json!(false))
    );
    let next = today["next"].as_str().expect("a place");
    let again = format!("{LONG_AGO}&starting_after={next}");
    let nothing = page(&testbed.api, &again).await;
    assert_eq!(listed(&nothing), []);
    assert_eq!(nothing["next"], next, "it goes on from there still");
    testbed.sandbox.act(&first.id, "conciliate").await;
    testbed.api.until_status(&first, "confirmed").await;
    let tomorrow = listed(&page(&testbed.api, &again).await);
    assert_eq!(tomorrow, [(first.id.clone(), "confirmed".to_owned())]);
}

async fn the_place_after_a_payment_stays_though_the_payment_changes(
    (testbed, _): (Testbed, GatewayClient),
) {
    let first = testbed.create(json!({})).await;
    let after = format!("{LONG_AGO}&starting_after={}", first.id);
    let nothing = page(&testbed.api, &after).await;
    assert_eq!(listed(&nothing), []);
    let next = nothing["next"].as_str().expect("a place");
    let second = testbed.create(json!({})).await;
    testbed.sandbox.act(&first.id, "conciliate").await;
    testbed.api.until_status(&first, "confirmed").await;
    let later = page(&testbed.api, &format!("{LONG_AGO}&starting_after={next}")).await;
    let expected = [
        (second.id.clone(), "pending".to_owned()),
        (first.id.clone(), "confirmed".to_owned()),
    ];
    assert_eq!(listed(&later), expected);
}

async fn a_status_or_a_payment_narrows_the_list((testbed, _): (Testbed, GatewayClient)) {
    let open = testbed.create(json!({})).await;
    let paid = testbed.create(json!({})).await;
    testbed.sandbox.act(&paid.id, "conciliate").await;
    testbed.api.until_status(&paid, "confirmed").await;
    let confirmed = page(&testbed.api, &format!("{LONG_AGO}&status=confirmed")).await;
    assert_eq!(
        listed(&confirmed),
        [(paid.id.clone(), "confirmed".to_owned())]
    );
    let after = format!("{LONG_AGO}&starting_after={}", open.id);
    assert_eq!(
        listed(&page(&testbed.api, &after).await),
        [(paid.id.clone(), "confirmed".to_owned())]
    );
    for ms in [i64::MIN, i64::MAX] {
        let after = format!("{LONG_AGO}&starting_after={ms}.{}", open.id);
        let listed = listed(&page(&testbed.api, &after).await).len();
        assert_eq!(listed, if ms < 0 { 2 } else { 0 }, "{ms}");
    }
    let future = page(&testbed.api, "?updated_since=2100-01-01T00:00:00Z").await;
    assert_eq!(future, json!({ "payments": [], "has_more": false }));
}

async fn another_account_lists_nothing((testbed, stranger): (Testbed, GatewayClient)) {
    let payment = testbed.create(json!({})).await;
    assert_eq!(listed(&page(&stranger, LONG_AGO).await), []);
    let foreign = format!("/v1/payments{LONG_AGO}&starting_after={}", payment.id);
    stranger
        .get(&foreign)
        .await
        .expect_problem(400, "invalid_starting_after");
}

async fn a_mistaken_query_is_refused_by_its_parameter((testbed, _): (Testbed, GatewayClient)) {
    for (query, code) in [
        ("?updated_since=yesterday", "invalid_updated_since"),
        ("?updated_since=", "invalid_updated_since"),
        (
            "?updated_since=2026-11-22T06:30:00Z&limit=0",
            "invalid_limit",
        ),
        (
            "?updated_since=2026-11-22T06:30:00Z&limit=1001",
            "invalid_limit",
        ),
        (
            "?updated_since=2026-11-22T06:30:00Z&limit=ten",
            "invalid_limit",
        ),
        (
            "?updated_since=2026-11-22T06:30:00Z&status=paid",
            "invalid_status",
        ),
        (
            "?updated_since=2026-11-22T06:30:00Z&starting_after=x",
            "invalid_starting_after",
        ),
        (
            "?updated_since=2026-11-22T06:30:00Z&starting_after=1.a/b",
            "invalid_starting_after",
        ),
        (
            "?updated_since=2026-11-22T06:30:00Z&starting_after=9223372036854775808.a",
            "invalid_starting_after",
        ),
        (
            "?updated_since=2026-11-22T06:30:00Z&startin_after=x",
            "invalid_query",
        ),
        (
            "?updated_since=2026-11-22T06:30:00Z&transaction_id=a",
            "invalid_query",
        ),
        ("?transaction_id=a&limit=3", "invalid_query"),
        ("?limit=3", "invalid_transaction_id"),
    ] {
        let answer = testbed.api.get(&format!("/v1/payments{query}")).await;
        answer.expect_problem(400, code);
    }
}
