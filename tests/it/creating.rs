//! `POST /v3/payments`: what reaches Khipu, and what the merchant gets.

use chasqui_tests::gateway_client::{GatewayClient, TestPayment, order, send};
use chasqui_tests::gateway_settings::{ACCOUNT, AccountSettings, KHIPU_API_KEY};
use chasqui_tests::notification;
use chasqui_tests::testbed::Testbed;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_payment_is_created_with_khipus_own_answer_a_token_and_a_url() {
    let testbed = Testbed::start().await;
    let answer = testbed
        .api
        .post("/v3/payments", order(json!({})).to_string());
    let answer = answer.await.expect(200);
    let payment = TestPayment::from(&answer);
    assert_eq!(
        answer.header("chasqui-status-url"),
        format!("{}/v1/payments/{}/status", testbed.gateway.url, payment.id)
    );
    assert_eq!(testbed.api.status(&payment).await["status"], "pending");
    let fields: Vec<_> = payment
        .fields
        .as_object()
        .expect("an object")
        .keys()
        .collect();
    let khipus = [
        "app_url",
        "payment_id",
        "payment_url",
        "ready_for_terminal",
        "simplified_transfer_url",
        "transfer_url",
    ];
    assert_eq!(fields, khipus, "a generated client refuses other fields");
    let at_khipu = testbed.sandbox.payment(&payment.id).await;
    assert_eq!(at_khipu["notify_api_version"], "3.0");
    let notify_url = at_khipu["notify_url"].as_str().expect("a URL");
    let ours = format!("{}/webhooks/khipu/{ACCOUNT}?ref=", testbed.gateway.url);
    assert!(notify_url.starts_with(&ours), "{notify_url}");
}

#[tokio::test]
async fn unknown_fields_pass_both_ways_and_amounts_stay_as_they_came() {
    let (testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let sent = r#"{"amount":1000.10,"currency":"USD","subject":"a\/b","tomorrow":{"b":1,"a":[1.50]},"big":12345678901234567890}"#;
    testbed.api.post("/v3/payments", sent).await.expect(200);
    let calls = khipu_proxy.requests();
    let call = calls.last().expect("khipu was called");
    let body = String::from_utf8_lossy(&call.body);
    for part in [
        r#""amount":1000.10,"#,
        r#""tomorrow":{"b":1,"a":[1.50]}"#,
        r#""big":12345678901234567890"#,
    ] {
        assert!(body.contains(part), "{part} is missing from {body}");
    }
    assert_eq!(call.headers["x-api-key"], KHIPU_API_KEY);

    let answered = r#"{"payment_id":"tomorrow0001","amount":1.50,"tomorrow":{"b":1.0,"a":[]}}"#;
    khipu_proxy.respond_with(200, &[], answered);
    let answer = testbed.api.post("/v3/payments", sent).await.expect(200);
    assert_eq!(answer.text(), answered);
    assert!(TestPayment::from(&answer).token.len() > 100);
}

#[tokio::test]
async fn khipus_own_refusal_passes_with_its_words_and_fields() {
    let testbed = Testbed::start().await;
    let refused = json!({ "subject": "", "bank_id": "too-long" });
    let answer = testbed
        .api
        .post("/v3/payments", order(refused).to_string())
        .await;
    let problem = answer.expect_problem(400, "khipu_refused").json();
    assert_eq!(problem["message"], "Error de validación");
    let fields: Vec<_> = problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| (error["field"].as_str(), error["message"].is_string()))
        .collect();
    assert!(fields.contains(&(Some("subject"), true)), "{problem}");
    assert!(fields.contains(&(Some("bank_id"), true)), "{problem}");
}

#[tokio::test]
async fn a_url_that_cannot_be_replaced_is_refused_with_all_that_is_missing_in_khipus_language() {
    let testbed = Testbed::start().await;
    let wrong = json!({
        "return_url": "javascript:alert(1)",
        "notify_url": 7,
        "notify_api_version": "1.3",
        "send_email": true,
    });
    let answer = testbed.api.post("/v3/payments", wrong.to_string()).await;
    let problem = answer.expect_problem(400, "invalid_fields").json();
    assert_eq!(problem["message"], "Error de validación");
    let missing = |field| json!({ "field": field, "message": "es obligatorio" });
    let expected = json!([
        { "field": "return_url", "message": "debe ser una URL http o https" },
        { "field": "notify_url", "message": "debe ser texto" },
        { "field": "notify_api_version", "message": "debe ser 3.0, o no venir: las notificaciones se entregan solo en esa versión" },
        missing("amount"),
        missing("currency"),
        missing("subject"),
        missing("payer_name"),
        missing("payer_email"),
    ]);
    assert_eq!(problem["errors"], expected);
    assert!(testbed.sandbox.payments().await.is_empty());
}

#[tokio::test]
async fn what_only_khipu_can_judge_is_refused_in_khipus_own_words() {
    let testbed = Testbed::start().await;
    for (field, wrong) in [
        ("amount", json!({ "amount": "a lot" })),
        ("amount", json!({ "amount": null })),
        ("currency", json!({ "currency": "pesos" })),
        ("expires_date", json!({ "expires_date": "tomorrow" })),
    ] {
        let answer = testbed
            .api
            .post("/v3/payments", order(wrong).to_string())
            .await;
        let problem = answer.expect_problem(400, "khipu_refused").json();
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let answer = testbed.api.post("/v3/payments", "{}").await;
    let problem = answer.expect_problem(400, "khipu_refused").json();
    let errors = problem["errors"].as_array().expect("errors").iter();
    let fields: Vec<_> = errors.map(|error| error["field"].as_str()).collect();
    for field in ["amount", "currency", "subject"] {
        assert!(fields.contains(&Some(field)), "{problem}");
    }
    for (body, message) in [
        (
            "amount=1",
            "el cuerpo no es JSON válido: línea 1, columna 1",
        ),
        (
            "{\"amount\": 1,\n \"subject\": }",
            "el cuerpo no es JSON válido: línea 2, columna 13",
        ),
        (
            "[]",
            "el cuerpo debe ser un objeto JSON de a lo más 512 campos",
        ),
    ] {
        let answer = testbed.api.post("/v3/payments", body).await;
        let problem = answer.expect_problem(400, "invalid_json").json();
        assert_eq!(problem["message"], message);
    }
    let large = order(json!({ "custom": "x".repeat(1024 * 1024) })).to_string();
    let answer = testbed.api.post("/v3/payments", large).await;
    answer.expect_problem(413, "too_large");
}

#[tokio::test]
async fn an_amount_that_only_khipu_can_read_is_agreed_by_its_answer() {
    let (mut testbed, khipu_proxy) = Testbed::start_with_khipu_proxy(|_| {}).await;
    let id = testbed.sandbox.create(order(json!({}))).await;
    // Khipu accepts a form that is not known here.
    let created = format!(r#"{{"payment_id":"{id}","payment_url":"https://khipu.example/{id}"}}"#);
    khipu_proxy.respond_once(200, &created);
    let strange = order(json!({ "amount": "24.990", "notify_url": testbed.merchant.url }));
    let strange = strange.to_string().replace("24.990", "24.990,00");
    let answer = testbed.api.post("/v3/payments", strange).await.expect(200);
    let payment = TestPayment::from(&answer);
    assert_eq!(testbed.api.status(&payment).await["status"], "pending");
    let path = format!("/v3/payments/{id}");
    let fields = testbed.api.get(&path).await.expect(200).json();
    assert_eq!(fields["notify_url"], testbed.merchant.url);

    let notification = notification::body(&id, &json!({}));
    let signature = notification::signed(&notification);
    testbed
        .api
        .notify(Some(&signature), notification)
        .await
        .expect(200);
    testbed.api.until_status(&payment, "confirmed").await;
    assert_eq!(testbed.merchant.next().await.payment_id(), id);
}

#[tokio::test]
async fn the_answer_has_the_token_in_its_body_only_where_the_merchant_asks_for_it() {
    let other = AccountSettings {
        more: vec!["answer_extras = true".into()],
        ..AccountSettings::other()
    };
    let with_extras = other.api_key.clone();
    let testbed = Testbed::start_with(|settings| settings.accounts.push(other)).await;
    let create = async |api: &GatewayClient, header: Option<&str>| {
        let request = api.call(Method::POST, "/v3/payments");
        let request = match header {
            Some(value) => request.header("chasqui-answer-extras", value),
            None => request,
        };
        send(request.body(order(json!({})).to_string()))
            .await
            .expect(200)
    };
    let other = testbed.api.with_key(&with_extras);
    for (api, header, expected) in [
        (&testbed.api, None, false),
        (&testbed.api, Some("on"), true),
        (&other, None, true),
        (&other, Some("off"), false),
    ] {
        let answer = create(api, header).await;
        let (fields, token) = (answer.json(), answer.header("chasqui-status-token"));
        assert!(token.len() > 100, "{header:?}");
        if expected {
            assert_eq!(fields["status_token"], token, "{header:?}");
            assert_eq!(fields["status_url"], answer.header("chasqui-status-url"));
        } else {
            assert!(fields.get("status_token").is_none(), "{fields}");
            assert!(fields.get("status_url").is_none(), "{fields}");
        }
    }
}

#[tokio::test]
async fn a_creation_that_failed_after_its_effect_is_adopted_with_the_merchants_urls() {
    let mut testbed = Testbed::start().await;
    testbed
        .sandbox
        .set_behaviour(json!({ "api": { "fail_after_effect": 1 } }))
        .await;
    let notified_at = json!({ "notify_url": testbed.merchant.url });
    let answer = testbed
        .api
        .post("/v3/payments", order(notified_at).to_string());
    answer.await.expect_problem(502, "khipu_failed");
    testbed.sandbox.set_behaviour(json!({})).await;

    let made = testbed.sandbox.payments().await;
    let id = made[0]["payment_id"].as_str().expect("an id").to_owned();
    testbed.sandbox.act(&id, "conciliate").await;
    assert_eq!(testbed.merchant.next().await.payment_id(), id);
    let status = testbed.api.get(&format!("/v1/payments/{id}/status")).await;
    assert_eq!(status.expect(200).json()["status"], "confirmed");
}

#[tokio::test]
async fn an_unencrypted_notify_url_is_refused_unless_the_account_permits_it() {
    let strict = AccountSettings {
        allow_private_destinations: Vec::new(),
        ..AccountSettings::other()
    };
    let permissive = AccountSettings {
        name: "permissive".into(),
        receiver_id: strict.receiver_id + 1,
        more: vec!["allow_http_destinations = true".into()],
        ..strict.clone()
    };
    let permissive = AccountSettings {
        api_key: AccountSettings::new("permissive").api_key,
        ..permissive
    };
    let keys = [strict.api_key.clone(), permissive.api_key.clone()];
    let testbed = Testbed::start_with(|settings| {
        settings.accounts.extend([strict, permissive]);
    })
    .await;
    let [strict, permissive] = keys.map(|key| testbed.api.with_key(&key));
    let plain = order(json!({ "notify_url": "http://shop.example/khipu" })).to_string();
    let refused = strict.post("/v3/payments", plain.clone()).await;
    let problem = refused.expect_problem(400, "invalid_fields").json();
    let expected = json!([{
        "field": "notify_url",
        "message": "debe ser una URL https: la notificación lleva datos personales del pagador",
    }]);
    assert_eq!(problem["errors"], expected);
    permissive.post("/v3/payments", plain).await.expect(200);
    let local = order(json!({ "notify_url": "http://localhost:8000/khipu" }));
    strict
        .post("/v3/payments", local.to_string())
        .await
        .expect(200);
}
