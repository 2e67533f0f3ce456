//! The page at `/` and its buttons.

use khipu_sandbox::{SandboxAccount, SandboxOptions};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Receiver, Sandbox, SandboxResponse, send};

/// Presses a button of the page.
async fn press(sandbox: &Sandbox, form: &str) -> SandboxResponse {
    let request = sandbox.request(Method::POST, "/").body(form.to_owned());
    let form_type = "application/x-www-form-urlencoded";
    send(request.header("content-type", form_type)).await
}

async fn created_after(sandbox: &Sandbox, actions: &[&str]) -> String {
    let id = sandbox.create(json!({})).await;
    for action in actions {
        sandbox.done(&id, action).await;
    }
    id
}

/// The names of the buttons of one payment.
fn buttons(page: &SandboxResponse, id: &str) -> Vec<String> {
    let (_, entry) = page.text.split_once(&format!("id=\"{id}\"")).unwrap();
    let (entry, _) = entry.split_once("</article>").unwrap();
    let values = entry.split("name=\"action\" value=\"").skip(1);
    values
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// The order of these payments on the page.
fn listed(page: &SandboxResponse) -> Vec<String> {
    let entries = page.text.split("<article class=\"panel\" id=\"").skip(1);
    entries
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_page_offers_exactly_the_possible_actions() {
    let sandbox = Sandbox::start().await;
    sandbox.behave(json!({ "refund_delay_ms": null })).await;
    let unpaid = ["conciliate", "mark-paid", "reject", "abuse", "expire"];
    let resumable = ["authorize", "conciliate", "mark-paid", "expire"];
    for (actions, expected) in [
        (&[][..], [&["authorize"][..], &unpaid].concat()),
        (&["authorize"], unpaid.to_vec()),
        (&["reject"], resumable.to_vec()),
        (&["abuse"], resumable.to_vec()),
        (
            &["authorize", "expire"],
            [&["authorize"][..], &unpaid].concat(),
        ),
        (&["conciliate"], vec!["reverse"]),
        (&["conciliate", "reverse"], vec![]),
    ] {
        let id = created_after(&sandbox, actions).await;
        assert_eq!(
            buttons(&sandbox.get("/").await, &id),
            expected,
            "{actions:?}"
        );
        for action in expected {
            let id = created_after(&sandbox, actions).await;
            let pressed = press(&sandbox, &format!("payment_id={id}&action={action}")).await;
            assert_eq!(
                pressed.status, 303,
                "{actions:?} {action}: {}",
                pressed.text
            );
        }
    }
    let id = sandbox.create(json!({})).await;
    sandbox.done(&id, "conciliate").await;
    sandbox
        .post(
            &format!("/v3/payments/{id}/refunds"),
            json!({ "amount": 1000 }),
        )
        .await;
    assert_eq!(
        buttons(&sandbox.get("/").await, &id),
        ["pay-refunds", "reverse"]
    );
}

#[tokio::test]
async fn a_button_applies_its_action_and_leads_back_to_the_payment() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    let form = format!("payment_id={id}&page=2&account=default&action=authorize");
    let pressed = press(&sandbox, &form).await;
    let back = format!("/?account=default&page=2#{id}");
    assert_eq!((pressed.status, pressed.header("location")), (303, &*back));
    assert_eq!(sandbox.status(&id).await.0, "verifying");
    let page = sandbox.get(pressed.header("location")).await;
    assert_eq!(page.status, 200);
    assert!(
        page.text.contains(&id),
        "a page beyond the last shows the last"
    );
}

#[tokio::test]
async fn an_action_that_is_not_possible_is_explained_above_the_list() {
    let sandbox = Sandbox::start().await;
    let id = sandbox.create(json!({})).await;
    for (form, status, text) in [
        (
            format!("payment_id={id}&action=reverse"),
            409,
            "cannot reverse: the payment is pending",
        ),
        (
            format!("payment_id={id}&action=explode"),
            400,
            "there is no action explode",
        ),
        (
            "payment_id=x&action=reject".to_owned(),
            404,
            "no such payment",
        ),
        (String::new(), 400, "there is no action"),
    ] {
        let page = press(&sandbox, &form).await;
        assert_eq!(page.status, status, "{form}");
        assert!(page.text.contains(text), "{form}: {}", page.text);
        assert!(page.text.contains(&id), "the list is still there");
    }
}

#[tokio::test]
async fn never_notify_suppresses_the_notification() {
    let sandbox = Sandbox::start().await;
    let mut receiver = Receiver::start(&[]).await;
    let silent = sandbox.create_notified(&receiver).await;
    let loud = sandbox.create_notified(&receiver).await;
    press(
        &sandbox,
        &format!("payment_id={silent}&action=conciliate&notify=false"),
    )
    .await;
    press(&sandbox, &format!("payment_id={loud}&action=conciliate")).await;
    assert_eq!(receiver.next().await.payment_id(), loud);
    assert_eq!(sandbox.status(&silent).await.1, "normal");
    assert!(receiver.is_empty());
}

#[tokio::test]
async fn payments_are_listed_newest_first_by_page_and_account() {
    let sandbox = Sandbox::start_with(SandboxOptions {
        accounts: vec![SandboxAccount {
            name: "libros & más".to_owned(),
            receiver_id: 77,
            api_key: "key-77".to_owned(),
            secret: "secret-77".to_owned(),
        }],
        ..SandboxOptions::default()
    })
    .await;
    let mut ids = Vec::new();
    for _ in 0..26 {
        ids.push(sandbox.create(json!({})).await);
    }
    ids.reverse();
    let order = json!({ "amount": 1, "currency": "CLP", "subject": "x" });
    let created = sandbox
        .call_as("key-77", Method::POST, "/v3/payments", order)
        .await;
    let of_books = created.json()["payment_id"].as_str().unwrap().to_owned();

    let all = sandbox.get("/").await;
    let expected: Vec<_> = [of_books.clone()]
        .into_iter()
        .chain(ids[..24].to_vec())
        .collect();
    assert_eq!(listed(&all), expected);
    assert!(all.text.contains("Page 1 of 2, 27 payments"));
    assert_eq!(listed(&sandbox.get("/?page=2").await), ids[24..]);
    let default = sandbox.get("/?account=default&page=2").await;
    assert_eq!(listed(&default), ids[25..]);
    assert!(
        default.text.contains("/?account=default\">Newer"),
        "{}",
        default.text
    );
    let books = sandbox.get("/?account=libros+%26+m%C3%A1s").await;
    assert_eq!(listed(&books), [of_books]);
    assert!(books.text.contains("/?account=libros+%26+m%C3%A1s"));
}

#[tokio::test]
async fn the_page_shows_no_key_and_no_secret_and_has_no_script() {
    let sandbox = Sandbox::start().await;
    let subject = "<script>alert(1)</script>";
    sandbox
        .create(json!({ "subject": subject, "transaction_id": subject }))
        .await;
    let page = sandbox.get("/").await;
    let options = SandboxOptions::default();
    for absent in [
        &*options.api_key,
        &*options.secret,
        "<script",
        "style=",
        "onclick",
    ] {
        assert!(!page.text.contains(absent), "{absent}");
    }
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    let style = sandbox.get("/assets/index.css").await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    let empty = Sandbox::start().await.get("/").await;
    assert!(empty.text.contains("There is no payment yet"));
    assert_eq!(
        sandbox
            .call(Method::DELETE, "/", None::<Value>)
            .await
            .status,
        405
    );
}
