//! `/openapi.json`, and what it is good for: every operation that it lists refuses callers without credentials, and is of no
//! use for another account's payment.

use std::collections::BTreeSet;

use chasqui_tests::gateway_client::{GatewayClient, TestPayment, send};
use chasqui_tests::gateway_settings::AccountSettings;
use chasqui_tests::testbed::Testbed;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::both_stores::on_both_stores;
use crate::house::source::files;

on_both_stores! {
    no_operation_is_of_use_for_another_accounts_payment
}

/// A testbed with a second account, and the client of that account, whose key may do everything.
async fn start(storage: Option<String>) -> (Testbed, GatewayClient) {
    let mut other = AccountSettings::other();
    let key = other.add_api_key(r#"allow = ["payments", "refunds", "other"]"#);
    let testbed = Testbed::start_with(|settings| {
        settings.accounts.push(other);
        if let Some(storage) = storage {
            settings.storage = storage;
        }
    })
    .await;
    let stranger = testbed.api.with_key(&key);
    (testbed, stranger)
}

struct Operation {
    method: Method,
    /// With placeholders.
    path: String,
    is_secured: bool,
}

async fn operations(testbed: &Testbed) -> Vec<Operation> {
    let document = send(testbed.api.request(Method::GET, "/openapi.json"))
        .await
        .expect(200)
        .json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    let operations: Vec<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.iter().map(|(method, operation)| Operation {
                method: method.to_ascii_uppercase().parse().expect("a method"),
                path: path.clone(),
                is_secured: operation["security"] != json!([{}]),
            })
        })
        .collect();
    assert!(operations.len() >= 20, "{}", operations.len());
    operations
}

impl Operation {
    /// The call about a payment, in a form that the operation can read.
    fn about(&self, api: &GatewayClient, payment: &TestPayment) -> RequestBuilder {
        let id = match self.path.contains("/merchants/") {
            true => "990939",
            false => &payment.id,
        };
        let mut path = self.path.replace("{id}", id);
        path.push_str(match self.path.as_str() {
            "/v1/payments" => "?updated_since=2020-01-01T00:00:00Z",
            "/v1/deliveries" => "?state=dead",
            "/v3/predict" => "?payer_email=a%40b.example&bank_id=Bawdf&amount=1&currency=CLP",
            _ => "",
        });
        let body = match self.path.as_str() {
            "/v1/deliveries/redeliver" => json!({ "state": "dead" }),
            _ => json!({ "type": "full", "payment_id": payment.id }),
        };
        let request = api.request(self.method.clone(), &path);
        match self.method {
            Method::GET => request,
            _ => request
                .header("content-type", "application/json")
                .body(body.to_string()),
        }
    }
}

async fn no_operation_is_of_use_for_another_accounts_payment(
    (mut testbed, stranger): (Testbed, GatewayClient),
) {
    testbed.merchant.respond_next(&[410]);
    let payment = testbed
        .create(json!({ "transaction_id": "order-17" }))
        .await;
    testbed.sandbox.act(&payment.id, "conciliate").await;
    testbed.api.until_status(&payment, "confirmed").await;
    testbed.merchant.next().await;
    let others_own = stranger.create(json!({})).await;
    for operation in operations(&testbed).await {
        if !operation.is_secured {
            continue;
        }
        let name = format!("{} {}", operation.method, operation.path);
        let anonymous = send(operation.about(&stranger, &payment)).await;
        assert_eq!(anonymous.status, 401, "{name}: {}", anonymous.text());

        let by_key = operation.about(&stranger, &payment);
        let by_key = by_key
            .header("x-api-key", &stranger.key)
            .header("idempotency-key", "mine");
        let by_token = operation
            .about(&stranger, &payment)
            .bearer_auth(&others_own.token);
        let by_token = send(by_token).await;
        assert_eq!(by_token.status, 401, "{name}: {}", by_token.text());

        let by_key = send(by_key).await;
        let text = by_key.text();
        assert!(!text.contains(&payment.id), "{name}: {text}");
        assert_ne!(by_key.status, 405, "{name}: {text}");
        assert!(!text.contains("unknown_url"), "{name}: {text}");
        if operation.path.contains("payments/{id}") || operation.path == "/v3/refunds" {
            assert_eq!(by_key.status, 404, "{name}: {text}");
        }
    }
    let dead = testbed.api.get("/v1/deliveries?state=dead").await;
    let dead = dead.expect(200).json();
    assert_eq!(dead["deliveries"][0]["payment_id"], payment.id, "{dead}");
    let at_khipu = testbed.sandbox.payment(&payment.id).await;
    assert_eq!(at_khipu["status_detail"], "normal", "{at_khipu}");
    assert_eq!(testbed.api.status(&payment).await["status"], "confirmed");
}

#[tokio::test]
async fn the_description_covers_khipus_api_and_describes_real_answers() {
    let testbed = Testbed::start().await;
    let document = testbed.api.get("/openapi.json").await.expect(200).json();
    assert_eq!(document["servers"][0]["url"], testbed.gateway.url);
    for (path, method) in [
        ("/v3/banks", "get"),
        ("/v3/payments", "post"),
        ("/v3/payments/{id}", "get"),
        ("/v3/payments/{id}", "delete"),
        ("/v3/payments/{id}/confirm", "post"),
        ("/v3/payments/{id}/refunds", "post"),
        ("/v3/predict", "get"),
        ("/v3/receivers", "post"),
        ("/v3/merchants/{id}/paymentMethods", "get"),
        ("/v3/refunds", "post"),
        ("/v3/refund-wallet/balance", "get"),
    ] {
        assert!(
            document["paths"][path][method].is_object(),
            "{method} {path}"
        );
    }
    assert!(document["webhooks"]["notification"].is_object());

    let payment = testbed.create(json!({})).await;
    let status = testbed.api.status(&payment).await;
    expect_described(&document, "StatusObject", &status);
    let problem = testbed.api.get("/v3/payments/unknown00000").await.json();
    expect_described(&document, "Problem", &problem);
}

/// Fails unless the answer has all required fields of a schema, and no others than it lists.
fn expect_described(document: &Value, schema: &str, answer: &Value) {
    let schema = &document["components"]["schemas"][schema];
    let fields = answer.as_object().expect("an object");
    for required in schema["required"].as_array().expect("required fields") {
        let name = required.as_str().expect("a name");
        assert!(fields.contains_key(name), "{name} is missing from {answer}");
    }
    for name in fields.keys() {
        assert!(
            schema["properties"][name].is_object(),
            "{name} is not described"
        );
    }
}

/// What the description leaves out: files, itself, operations that only Khipu knows, the other listener.
fn is_left_out(path: &str) -> bool {
    let files = ["/js/", "/assets/"];
    files.iter().any(|prefix| path.starts_with(prefix))
        || matches!(path, "/openapi.json" | "/v3/{*path}" | "/metrics")
}

#[tokio::test]
async fn every_route_is_described_and_every_described_operation_is_routed() {
    let testbed = Testbed::start().await;
    let described: BTreeSet<String> = operations(&testbed)
        .await
        .into_iter()
        .map(|it| it.path)
        .collect();
    let mut routed = BTreeSet::new();
    for file in files(&["rs"]) {
        if !file.path.starts_with("server/chasqui/src/http/") {
            continue;
        }
        for (_, rest) in file
            .text
            .match_indices(".route(")
            .map(|(at, call)| file.text.split_at(at + call.len()))
        {
            let path = rest.trim_start().strip_prefix('"');
            if let Some((path, _)) = path.and_then(|path| path.split_once('"')) {
                routed.insert(path.to_owned());
            }
        }
    }
    routed.retain(|path| !is_left_out(path));
    assert_eq!(routed, described);
}
