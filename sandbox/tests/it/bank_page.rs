//! The payer's page: its content and its buttons.

use serde_json::json;

use crate::harness::{Receiver, Sandbox, SandboxResponse, eventually};

const RETURN: &str = "https://shop.example/back?order=1#now";
const CANCEL: &str = "https://shop.example/cart";

fn urls() -> serde_json::Value {
    json!({ "return_url": RETURN, "cancel_url": CANCEL })
}

fn has_buttons(page: &SandboxResponse) -> bool {
    page.text.contains("<form")
}

#[tokio::test]
async fn the_page_shows_the_payment_and_that_it_is_a_simulator() {
    let sandbox = Sandbox::start().await;
    let id = sandbox
        .create(json!({ "subject": "Té <verde> & menta" }))
        .await;
    for variant in ["info", "simplified", "manual"] {
        let page = sandbox.get(&format!("/payment/{variant}/{id}")).await;
        assert_eq!(page.status, 200);
        for text in [
            r#"<html lang="es-CL">"#,
            "Té &lt;verde&gt; &amp; menta",
            "$ 24.990",
            "Pagas a",
            "990939",
            id.as_str(),
            "Banco Demo · simulador, ningún dinero se mueve",
            "Autorizar el pago",
            "Autorizar, falta una segunda firma",
            "Cancelar",
        ] {
            assert!(page.text.contains(text), "{variant}: {text}");
        }
    }
}

#[tokio::test]
async fn the_page_works_under_a_strict_policy() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let page = sandbox.get(&format!("/payment/info/{id}")).await;
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none'")
    );
    assert_eq!(page.header("cache-control"), "no-store");
    for inline in ["<script", "<style", "style=", "onclick"] {
        assert!(!page.text.contains(inline), "{inline}");
    }
    let style = sandbox.get("/assets/bank.css").await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    assert!(style.text.contains("prefers-color-scheme: dark"));
    let logo = sandbox.get("/assets/bank.svg").await;
    assert_eq!(logo.header("content-type"), "image/svg+xml");
}

#[tokio::test]
async fn authorise_redirects_to_the_shop_and_is_conciliated_and_notified() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    sandbox.behave(json!({ "conciliation_delay_ms": 50 })).await;
    let mut fields = urls();
    fields["notify_url"] = json!(receiver.url);
    fields["notify_api_version"] = json!("3.0");
    let id = sandbox.create(fields).await;
    let pressed = sandbox
        .press(&format!("/payment/manual/{id}/authorize"))
        .await;
    assert_eq!((pressed.status, pressed.header("location")), (303, RETURN));
    assert_eq!(receiver.next().await.payment_id(), id);
    let payment = sandbox.payment(&id).await;
    assert_eq!(payment["status_detail"], "normal");
    assert_eq!(payment["payment_method"], "regular_transfer");
}

#[tokio::test]
async fn pressing_twice_pays_once_and_redirects_twice() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(urls()).await;
    for _ in 0..2 {
        let pressed = sandbox
            .press(&format!("/payment/info/{id}/authorize"))
            .await;
        assert_eq!((pressed.status, pressed.header("location")), (303, RETURN));
    }
    assert_eq!(sandbox.status(&id).await.0, "verifying");
}

#[tokio::test]
async fn a_missing_second_signature_stays_verifying() {
    let sandbox = Sandbox::start().await;
    sandbox.behave(json!({ "conciliation_delay_ms": 0 })).await;
    let waiting = sandbox.create(urls()).await;
    let pressed = sandbox
        .press(&format!("/payment/info/{waiting}/second-signature"))
        .await;
    assert_eq!((pressed.status, pressed.header("location")), (303, RETURN));
    // A payment authorised later is done, so the first one would be done by now.
    let other = sandbox.create(json!({})).await;
    sandbox
        .press(&format!("/payment/info/{other}/authorize"))
        .await;
    eventually(async || (sandbox.status(&other).await.0 == "done").then_some(())).await;
    assert_eq!(sandbox.status(&waiting).await.0, "verifying");
}

#[tokio::test]
async fn cancel_leaves_the_payment_pending_and_can_be_resumed() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(urls()).await;
    let pressed = sandbox.press(&format!("/payment/info/{id}/cancel")).await;
    assert_eq!((pressed.status, pressed.header("location")), (303, CANCEL));
    assert_eq!(sandbox.status(&id).await.0, "pending");
    assert!(has_buttons(
        &sandbox.get(&format!("/payment/info/{id}")).await
    ));
}

#[tokio::test]
async fn without_the_shops_urls_the_bank_shows_the_state() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let pressed = sandbox.press(&format!("/payment/info/{id}/cancel")).await;
    assert_eq!(pressed.status, 303);
    let page = sandbox.get(pressed.header("location")).await;
    assert!(page.text.contains("Retomar el pago"));

    let pressed = sandbox
        .press(&format!("/payment/info/{id}/authorize"))
        .await;
    assert_eq!(pressed.status, 303);
    let page = sandbox.get(pressed.header("location")).await;
    assert!(
        page.text.contains("Transferencia autorizada") && page.text.contains("volver al comercio")
    );
    assert!(!has_buttons(&page));
}

#[tokio::test]
async fn a_payment_that_cannot_be_paid_shows_its_state_and_no_buttons() {
    let sandbox = Sandbox::start().await;
    for (actions, title) in [
        (&["authorize"][..], "Transferencia autorizada"),
        (&["conciliate"], "Pago confirmado"),
        (&["mark-paid"], "Pago confirmado"),
        (&["conciliate", "reverse"], "Pago devuelto"),
        (&["reject", "authorize"], "Transferencia autorizada"),
    ] {
        let id = sandbox.create(json!({})).await;
        for action in actions {
            sandbox.done(&id, action).await;
        }
        let before = sandbox.status(&id).await;
        let page = sandbox.get(&format!("/payment/info/{id}")).await;
        assert!(page.text.contains(title) && !has_buttons(&page), "{title}");
        let pressed = sandbox
            .press(&format!("/payment/info/{id}/authorize"))
            .await;
        assert_eq!(pressed.status, 303);
        assert_eq!(sandbox.status(&id).await, before, "{title}");
    }
    let id = sandbox.create(json!({})).await;
    let path = format!("/v3/payments/{id}");
    sandbox.call(reqwest::Method::DELETE, &path, None).await;
    let page = sandbox.get(&format!("/payment/info/{id}")).await;
    assert!(page.text.contains("Este cobro ya no existe") && !has_buttons(&page));
}

#[tokio::test]
async fn a_rejected_or_expired_payment_shows_its_state_and_can_be_resumed() {
    let sandbox = Sandbox::start().await;
    sandbox.behave(json!({ "conciliation_delay_ms": 0 })).await;
    for (actions, title) in [
        (&["reject"][..], "Rechazaste este cobro"),
        (&["authorize", "reject"], "Rechazaste este cobro"),
        (&["abuse"], "Cobro denunciado"),
        (&["expire"], "Este cobro venció"),
        (&["authorize", "expire"], "Tu intento de pago terminó"),
    ] {
        let id = sandbox.create(urls()).await;
        for action in actions {
            sandbox.done(&id, action).await;
        }
        let page = sandbox.get(&format!("/payment/info/{id}")).await;
        assert!(page.text.contains(title) && has_buttons(&page), "{title}");
        assert!(page.text.contains("Total a pagar"), "{title}");
        let pressed = sandbox
            .press(&format!("/payment/info/{id}/authorize"))
            .await;
        assert_eq!((pressed.status, pressed.header("location")), (303, RETURN));
        eventually(async || (sandbox.status(&id).await.1 == "normal").then_some(())).await;
    }
}

/// The delay of the first attempt ends while the second still lacks a signature.
#[tokio::test]
async fn an_abandoned_attempt_does_not_conciliate_the_next_one() {
    let sandbox = Sandbox::start().await;
    sandbox
        .behave(json!({ "conciliation_delay_ms": 300 }))
        .await;
    let id = sandbox.create(urls()).await;
    sandbox
        .press(&format!("/payment/info/{id}/authorize"))
        .await;
    sandbox.done(&id, "reject").await;
    sandbox
        .press(&format!("/payment/info/{id}/second-signature"))
        .await;
    // A payment authorised later is done, so the first attempt's delay is over.
    let other = sandbox.create(json!({})).await;
    sandbox
        .press(&format!("/payment/info/{other}/authorize"))
        .await;
    eventually(async || (sandbox.status(&other).await.0 == "done").then_some(())).await;
    assert_eq!(sandbox.status(&id).await.0, "verifying");
}

#[tokio::test]
async fn an_unknown_payment_is_404_with_a_page() {
    let sandbox = Sandbox::start().await;
    let page = sandbox.get("/payment/info/aaaaaaaaaaaa").await;
    assert_eq!(page.status, 404);
    assert!(page.text.contains("No encontramos este pago"));
    let pressed = sandbox.press("/payment/info/aaaaaaaaaaaa/authorize").await;
    assert_eq!(pressed.status, 404);
}
