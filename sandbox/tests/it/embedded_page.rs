//! The bank in a frame over the shop's page, and the library that opens it.

use serde_json::{Value, json};

use crate::harness::{Sandbox, SandboxResponse, eventually};

/// The result on an exit page.
fn result(page: &SandboxResponse) -> Value {
    let (_, rest) = page.text.split_once("data-operation-result=\"").unwrap();
    let (json, _) = rest.split_once('"').unwrap();
    let json = json.replace("&quot;", "\"").replace("&amp;", "&");
    serde_json::from_str(&json).unwrap()
}

async fn choose(sandbox: &Sandbox, id: &str, choice: &str) -> Value {
    let pressed = sandbox.press(&format!("/embedded/{id}/{choice}")).await;
    assert_eq!(pressed.status, 303, "{choice}: {}", pressed.text);
    result(&sandbox.get(pressed.header("location")).await)
}

#[tokio::test]
async fn each_choice_ends_with_its_result() {
    let sandbox = Sandbox::start().await;
    for (choice, expected, reason, status) in [
        ("authorize", "OK", None, "verifying"),
        ("second-signature", "WARNING", None, "verifying"),
        ("continue", "CONTINUE", None, "pending"),
        ("bank-failure", "ERROR", Some("BANK_FAILED"), "pending"),
        (
            "authorize-as-another",
            "ERROR",
            Some("ANOTHER_PAYER"),
            "pending",
        ),
        ("cancel", "ERROR", Some("USER_CANCELED"), "pending"),
    ] {
        let id = sandbox
            .create(json!({
                "return_url": "https://shop.example/?a=1&b=2", "cancel_url": "https://shop.example/cart",
                "fixed_payer_personal_identifier": "11.000.111-9",
            }))
            .await;
        let page = sandbox.get(&format!("/embedded/{id}")).await;
        assert!(
            page.text.contains(&format!("/embedded/{id}/{choice}\"")),
            "{choice}"
        );
        let ended = choose(&sandbox, &id, choice).await;
        assert_eq!(ended["operationId"], id, "{choice}");
        assert_eq!(ended["result"], expected, "{choice}");
        assert_eq!(ended["failureReason"].as_str(), reason, "{choice}");
        assert_eq!(ended["continueUrl"].is_string(), choice == "continue");
        assert_eq!(ended["events"], json!([]));
        assert!(ended["exitTitle"].is_string() && ended["exitMessage"].is_string());
        let exit_url = if expected == "ERROR" {
            "https://shop.example/cart"
        } else {
            "https://shop.example/?a=1&b=2"
        };
        assert_eq!(ended["exitUrl"], exit_url, "{choice}");
        assert_eq!(sandbox.status(&id).await.0, status, "{choice}");
    }
}

#[tokio::test]
async fn only_authorise_conciliates_after_the_delay() {
    let sandbox = Sandbox::start().await;
    sandbox.behave(json!({ "conciliation_delay_ms": 0 })).await;
    let id = sandbox.create(json!({})).await;
    choose(&sandbox, &id, "authorize").await;
    eventually(async || (sandbox.status(&id).await.1 == "normal").then_some(())).await;
}

#[tokio::test]
async fn an_operation_that_takes_no_attempt_ends_at_once() {
    let sandbox = Sandbox::start().await;
    for (actions, expected, reason) in [
        (&["authorize"][..], "OK", None),
        (&["conciliate"], "OK", None),
        (&["conciliate", "reverse"], "ERROR", Some("NOT_PAYABLE")),
    ] {
        let id = sandbox.create(json!({})).await;
        for action in actions {
            sandbox.done(&id, action).await;
        }
        let page = sandbox.get(&format!("/embedded/{id}")).await;
        let ended = result(&page);
        assert_eq!(
            (page.status, &ended["result"]),
            (200, &json!(expected)),
            "{actions:?}"
        );
        assert_eq!(ended["failureReason"].as_str(), reason, "{actions:?}");
        // A button of an outdated page leads to the same result.
        let pressed = sandbox.press(&format!("/embedded/{id}/authorize")).await;
        assert_eq!(pressed.header("location"), format!("/embedded/{id}"));
    }
    let unknown = sandbox.get("/embedded/aaaaaaaaaaaa").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(result(&unknown)["failureReason"], "NOT_PAYABLE");
}

#[tokio::test]
async fn a_rejected_or_expired_payment_can_be_resumed_in_the_frame() {
    let sandbox = Sandbox::start().await;
    for action in ["reject", "abuse", "expire"] {
        let id = sandbox.create(json!({})).await;
        sandbox.done(&id, action).await;
        assert_eq!(
            choose(&sandbox, &id, "authorize").await["result"],
            "OK",
            "{action}"
        );
        assert_eq!(sandbox.status(&id).await.0, "verifying", "{action}");
    }
}

#[tokio::test]
async fn the_frame_has_one_script_of_its_own_and_the_library_is_a_classic_script() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let page = sandbox.get(&format!("/embedded/{id}")).await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self'") && policy.contains("default-src 'none'"));
    assert!(!policy.contains("unsafe"));
    assert_eq!(page.text.matches("<script").count(), 1);
    assert!(page.text.contains(r#"<script src="/assets/embedded.js""#));
    for path in ["/js/kws.js", "/assets/embedded.js"] {
        let script = sandbox.get(path).await;
        assert_eq!(
            script.header("content-type"),
            "text/javascript; charset=utf-8"
        );
        assert!(
            !script.text.contains("\nexport ") && !script.text.contains("\"*\""),
            "{path}"
        );
    }
    let library = sandbox.get("/js/kws.js").await;
    assert!(library.text.contains("\nclass Khipu {"), "a lexical global");
}
