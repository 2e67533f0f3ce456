//! Every route of Khipu's API.

use khipu_sandbox::SandboxOptions;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Sandbox, send};

#[tokio::test]
async fn creation_answers_exactly_the_six_fields() {
    let sandbox = Sandbox::start().await;
    let body = json!({ "amount": "1000.00", "currency": "CLP", "subject": "Test" });
    let answer = sandbox.post("/v3/payments", body).await;
    assert_eq!(answer.status, 200);
    let created = answer.json();
    let fields: Vec<_> = created.as_object().unwrap().keys().cloned().collect();
    let mut expected = [
        "payment_id",
        "payment_url",
        "simplified_transfer_url",
        "transfer_url",
        "app_url",
        "ready_for_terminal",
    ];
    expected.sort_unstable();
    let mut sorted = fields;
    sorted.sort();
    assert_eq!(sorted, expected);
    let id = created["payment_id"].as_str().unwrap();
    assert_eq!(id.len(), 12);
    assert!(
        id.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    );
    assert_eq!(
        created["payment_url"],
        format!("{}/payment/info/{id}", sandbox.url)
    );
    assert_eq!(created["app_url"], format!("khipu:///pos/{id}"));
}

#[tokio::test]
async fn a_new_payment_has_khipus_form() {
    let sandbox = Sandbox::start().await;
    let id = sandbox
        .create(json!({
            "transaction_id": "A-1", "custom": "<x/>", "return_url": "https://shop.example/ok?a=1#b",
            "notify_url": "https://shop.example/hook", "notify_api_version": "3.0",
            "unknown_to_khipu": { "kept": "quiet" },
        }))
        .await;
    let payment = sandbox.payment(&id).await;
    for (field, value) in [
        ("status", json!("pending")),
        ("status_detail", json!("pending")),
        ("amount", json!("24990.0000")),
        ("discount", json!("0.0000")),
        ("receiver_id", json!(990_939)),
        ("conciliation_date", Value::Null),
        ("body", json!("")),
        ("picture_url", json!("")),
        ("receipt_url", json!("")),
        ("cancel_url", json!("")),
        ("bank", json!("")),
        ("bank_account_number", json!("")),
        ("personal_identifier", json!("")),
        ("attachment_urls", json!([])),
        ("out_of_date_conciliation", json!(false)),
        ("send_email", json!(false)),
        ("send_reminders", json!(false)),
        ("payment_method", json!("not_available")),
        ("funds_source", json!("")),
        ("transaction_id", json!("A-1")),
        ("custom", json!("<x/>")),
        ("return_url", json!("https://shop.example/ok?a=1#b")),
        ("notify_url", json!("https://shop.example/hook")),
        ("notify_api_version", json!("3.0")),
    ] {
        assert_eq!(payment.get(field), Some(&value), "{field}");
    }
    assert_eq!(payment["notification_token"].as_str().unwrap().len(), 64);
    let expires = payment["expires_date"].as_str().unwrap();
    assert!(expires.ends_with('Z') && expires.len() == "2024-04-18T13:56:54.859Z".len());
    assert!(payment.get("refunds").is_none());
}

#[tokio::test]
async fn pesos_are_rounded_and_dates_are_in_utc() {
    let sandbox = Sandbox::start().await;
    let id = sandbox
        .create(json!({ "amount": 11900.5, "expires_date": "2099-12-31T15:45:00-04:00" }))
        .await;
    let payment = sandbox.payment(&id).await;
    assert_eq!(payment["amount"], "11901.0000");
    assert_eq!(payment["expires_date"], "2099-12-31T19:45:00.000Z");
}

#[tokio::test]
async fn a_missing_or_wrong_key_is_refused_on_every_route() {
    let sandbox = Sandbox::start().await;
    for (method, path) in [
        (Method::GET, "/v3/banks"),
        (Method::POST, "/v3/payments"),
        (Method::GET, "/v3/payments/abc"),
        (Method::DELETE, "/v3/payments/abc"),
        (Method::POST, "/v3/payments/abc/confirm"),
        (Method::POST, "/v3/payments/abc/refunds"),
        (Method::POST, "/v3/refunds"),
        (Method::GET, "/v3/refund-wallet/balance"),
        (Method::GET, "/v3/predict"),
        (Method::POST, "/v3/receivers"),
        (Method::GET, "/v3/merchants/990939/paymentMethods"),
    ] {
        let missing = send(sandbox.request(method.clone(), path)).await;
        assert_eq!(missing.status, 401, "{path}");
        assert_eq!(missing.json()["status"], 401);
        assert!(missing.json()["message"].is_string());
        let wrong = send(sandbox.request(method, path).header("x-api-key", "nope")).await;
        assert_eq!(wrong.status, 401, "{path}");
    }
}

#[tokio::test]
async fn the_key_and_the_account_are_those_of_the_options() {
    let sandbox = Sandbox::start_with(SandboxOptions {
        api_key: "other-key".to_owned(),
        receiver_id: 77,
        public_url: Some("https://khipu.example/".to_owned()),
        ..SandboxOptions::default()
    })
    .await;
    let id = sandbox.create(json!({})).await;
    let payment = sandbox.payment(&id).await;
    assert_eq!(payment["receiver_id"], 77);
    assert_eq!(
        payment["payment_url"],
        format!("https://khipu.example/payment/info/{id}")
    );
}

#[tokio::test]
async fn an_unknown_payment_or_route_is_404_in_khipus_form() {
    let sandbox = Sandbox::start().await;
    for path in [
        "/v3/payments/aaaaaaaaaaaa",
        "/v3/nothing",
        "/v3/merchants/1/paymentMethods",
    ] {
        let answer = sandbox.get(path).await;
        assert_eq!(
            (answer.status, answer.json()["status"].as_u64()),
            (404, Some(404)),
            "{path}"
        );
    }
    let refund = json!({ "type": "full", "payment_id": "aaaaaaaaaaaa" });
    assert_eq!(sandbox.post("/v3/refunds", refund).await.status, 404);
    assert_eq!(sandbox.put("/v3/banks", json!({})).await.status, 405);
}

#[tokio::test]
async fn every_error_of_the_framework_has_khipus_form() {
    let sandbox = Sandbox::start().await;
    for (method, path, expected) in [
        (Method::GET, "/v3", 404),
        (Method::GET, "/v3/", 404),
        (Method::GET, "/v3/payments/", 404),
        (Method::GET, "/v3//refunds", 404),
        (Method::GET, "/v4/banks", 404),
        (Method::GET, "/sandbox/nothing", 404),
        (Method::GET, "/payment", 404),
        (Method::POST, "/assets/nothing.css", 404),
        (Method::PUT, "/v3/banks", 405),
        (Method::DELETE, "/sandbox/reset", 405),
        (Method::GET, "/payment/info/x/authorize", 405),
        (Method::GET, "/v3/payments/%ff", 400),
        (
            Method::GET,
            "/sandbox/notifications?payment_id=a&payment_id=b",
            400,
        ),
    ] {
        let answer = sandbox.call(method.clone(), path, None).await;
        assert_eq!(answer.status, expected, "{method} {path}");
        let error = answer.json();
        assert_eq!(error["status"], expected, "{method} {path}");
        assert!(error["message"].is_string(), "{method} {path}");
        let names_methods = answer.headers.contains_key("allow");
        assert_eq!(names_methods, expected == 405, "{method} {path}");
    }
    for path in ["/v3", "/v3/", "/v3/nothing"] {
        let missing = send(sandbox.request(Method::GET, path)).await;
        assert_eq!(missing.status, 401, "{path}");
    }
}

#[tokio::test]
async fn a_pending_payment_is_deleted_once() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let path = format!("/v3/payments/{id}");
    let deleted = sandbox.call(Method::DELETE, &path, None).await;
    assert_eq!(deleted.status, 200);
    assert!(deleted.json()["message"].is_string());
    assert_eq!(sandbox.status(&id).await.0, "deleted");
    assert_eq!(sandbox.call(Method::DELETE, &path, None).await.status, 400);
}

#[tokio::test]
async fn a_payment_under_way_or_done_cannot_be_deleted() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let path = format!("/v3/payments/{id}");
    for action in ["authorize", "conciliate"] {
        sandbox.done(&id, action).await;
        assert_eq!(sandbox.call(Method::DELETE, &path, None).await.status, 400);
    }
    assert_eq!(sandbox.status(&id).await.0, "done");
}

#[tokio::test]
async fn only_a_conciliated_payment_is_confirmed() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let path = format!("/v3/payments/{id}/confirm");
    assert_eq!(sandbox.call(Method::POST, &path, None).await.status, 400);
    sandbox.done(&id, "conciliate").await;
    let confirmed = sandbox.call(Method::POST, &path, None).await;
    assert_eq!(confirmed.status, 200);
    assert!(confirmed.json()["message"].is_string());
}

#[tokio::test]
async fn bank_minimums_are_strings() {
    let sandbox = Sandbox::start().await;
    let banks = sandbox.get("/v3/banks").await.json();
    let demo = &banks["banks"][0];
    assert_eq!(
        (&demo["bank_id"], &demo["name"]),
        (&json!("Bawdf"), &json!("DemoBank"))
    );
    assert_eq!(demo["min_amount"], "1.0000");
    assert_eq!(demo["type"], "Persona");
    for field in ["message", "parent", "logo_url"] {
        assert!(demo[field].is_string(), "{field}");
    }
}

#[tokio::test]
async fn payment_methods_are_listed_for_the_account() {
    let sandbox = Sandbox::start().await;
    let path = "/v3/merchants/990939/paymentMethods";
    let methods = sandbox.get(path).await.json();
    let list = methods["paymentMethods"].as_array().unwrap();
    let ids: Vec<_> = list.iter().map(|method| &method["id"]).collect();
    assert_eq!(ids, ["SIMPLIFIED_TRANSFER", "REGULAR_TRANSFER"]);
    assert_eq!(list[0]["name"], "simplified_transfer");
    assert!(list[0]["logo_url"].is_string());
    assert_eq!(
        sandbox.get("/v3/merchants/x/paymentMethods").await.status,
        400
    );
}

#[tokio::test]
async fn predictions_follow_the_amount_or_the_email() {
    let sandbox = Sandbox::start().await;
    for (email, amount, result) in [
        ("ana@example.com", "1000", "ok"),
        ("ana@example.com", "5000001", "max_amount_exceeded"),
        (
            "not_available_account@example.com",
            "1000",
            "not_available_account",
        ),
    ] {
        let path =
            format!("/v3/predict?payer_email={email}&bank_id=Bawdf&amount={amount}&currency=CLP");
        let prediction = sandbox.get(&path).await.json();
        assert_eq!(prediction["result"], result, "{email} {amount}");
        assert!(prediction["max_amount"].is_number());
        assert!(prediction["new_destinatary_max_amount"].is_number());
        assert!(prediction["cool_down_date"].is_string());
    }
}

#[tokio::test]
async fn a_receiver_gets_an_id_and_a_secret() {
    let sandbox = Sandbox::start().await;
    let receiver = json!({
        "admin_first_name": "Ana", "admin_last_name": "Soto", "admin_email": "ana@example.com",
        "country_code": "CL", "business_identifier": "99.999.999-9", "business_category": "Frutas",
        "business_name": "Frutas Ana", "business_phone": "+56900000000",
        "business_address_line_1": "Calle 1111", "business_address_line_2": "Oficina 3",
        "business_address_line_3": "Santiago", "contact_full_name": "Ana Soto",
        "contact_job_title": "Tesorera", "contact_email": "ana@example.com",
        "contact_phone": "+56900000000",
    });
    let answer = sandbox.post("/v3/receivers", receiver).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.json()["receiver_id"].is_string());
    assert!(answer.json()["secret"].is_string());
}

#[tokio::test]
async fn a_stopped_sandbox_frees_its_port() {
    let sandbox = Sandbox::start().await;
    sandbox.create(json!({})).await;
    let address = sandbox.url.trim_start_matches("http://").to_owned();
    sandbox.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
