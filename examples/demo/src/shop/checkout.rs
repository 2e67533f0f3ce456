//! From a cart to a bank page. The order is saved before the payment is created, so that no notification can be
//! earlier than its order; the order's id is the idempotency key, so that a double click is one payment.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::json;

use super::order::{Happening, LONGEST_FIELD, Order, OrderPayment, fresh_id, is_id};
use super::pages;
use super::state::Shop;
use super::visit::Visit;

/// How often a request in progress is repeated, and the longest delay between two.
const MAX_TRIES: u32 = 5;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
pub(super) struct Buyer {
    /// Created with the form: the same form sent twice is the same order.
    order: String,
    name: String,
    email: String,
    #[serde(default)]
    way: Way,
}

/// Where the buyer pays.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    /// At Khipu's page, and back.
    #[default]
    Redirect,
    /// In a page of this shop, where Khipu's start library opens the bank.
    Here,
}

/// `POST /checkout`
pub(super) async fn place(
    State(shop): State<Arc<Shop>>,
    visit: Visit,
    Form(buyer): Form<Buyer>,
) -> Response {
    let placed = shop.orders.find(&buyer.order);
    if let Some(order) = placed.filter(|order| order.lines == visit.cart.lines) {
        return lead_to_bank(&shop, &visit, order, buyer.way).await;
    }
    let (name, email) = (buyer.name.trim(), buyer.email.trim());
    let usable = |text: &str| !text.is_empty() && text.len() <= LONGEST_FIELD;
    if !usable(name) || !usable(email) || !email.contains('@') {
        return pages::unusable_form(&shop, &visit);
    }
    if visit.cart.lines.is_empty() {
        return Redirect::to("/cart").into_response();
    }
    let taken = !is_id(&buyer.order) || shop.orders.find(&buyer.order).is_some();
    let id = if taken { fresh_id() } else { buyer.order };
    let order = Order::new(id, &visit.cart, name.to_owned(), email.to_owned());
    shop.orders.insert(order.clone());
    lead_to_bank(&shop, &visit, order, buyer.way).await
}

/// `POST /orders/{id}/pay`: a retry after the gateway was unreachable.
pub(super) async fn pay(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<String>,
    mut visit: Visit,
) -> Response {
    // This address accepts only a form, so the links of the resulting page lead to the order.
    visit.path = format!("/orders/{id}");
    match shop.orders.find(&id) {
        Some(order) => lead_to_bank(&shop, &visit, order, Way::Redirect).await,
        None => pages::missing(State(shop), visit).await,
    }
}

async fn lead_to_bank(shop: &Shop, visit: &Visit, order: Order, way: Way) -> Response {
    if order.paid_at.is_some() {
        return Redirect::to(&format!("/orders/{}", order.id)).into_response();
    }
    if let Some(payment) = &order.payment {
        return payment_page(&order.id, payment, way).into_response();
    }
    match create_payment(shop, &order).await {
        Ok(payment) => {
            let page = payment_page(&order.id, &payment, way);
            shop.orders.update(&order.id, |order| {
                order.note(
                    Happening::PaymentCreated(payment.id.clone()),
                    Timestamp::now(),
                );
                order.payment = Some(payment);
            });
            page.into_response()
        }
        Err(problem) => {
            tracing::warn!(order = %order.id, %problem, "payment not created");
            pages::no_payment(shop, visit, &order)
        }
    }
}

/// A fragment reaches no server and no log; the element takes the token from it.
fn payment_page(order: &str, payment: &OrderPayment, way: Way) -> Redirect {
    match way {
        Way::Redirect => Redirect::to(&payment.url),
        Way::Here => {
            let token = &payment.status_token;
            Redirect::to(&format!("/orders/{order}/pay#chasqui={token}"))
        }
    }
}

/// Creates the payment as in any Khipu 3.0 integration, with the gateway's address and key.
async fn create_payment(shop: &Shop, order: &Order) -> Result<OrderPayment, String> {
    let Shop { config, http, .. } = shop;
    let page = format!("{}/orders/{}", config.public_url, order.id);
    let body = json!({
        "amount": order.total,
        "currency": "CLP",
        "subject": format!("Pedido {} en Nudo", order.id),
        "transaction_id": order.id,
        "return_url": format!("{page}/return"),
        "cancel_url": format!("{page}/cancel"),
        "notify_url": format!("{}/khipu", config.public_url),
        "notify_api_version": "3.0",
        "payer_name": order.name,
        "payer_email": order.email,
    });
    let request = http
        .post(format!("{}/v3/payments", config.gateway_url))
        .header("x-api-key", &config.api_key)
        .header("idempotency-key", &order.id)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string());
    let answer = send_patiently(request).await?;
    let status = answer.status();
    let token = answer.headers().get("chasqui-status-token");
    let token = token.and_then(|token| token.to_str().ok());
    let status_token = token.map(str::to_owned);
    let bytes = answer
        .bytes()
        .await
        .map_err(|error| format!("answer cut off: {error}"))?;
    if status != StatusCode::OK {
        let said = String::from_utf8_lossy(&bytes);
        return Err(format!("gateway answered {status}: {said}"));
    }
    /// The fields of the answer that a shop needs.
    #[derive(Deserialize)]
    struct Created {
        payment_id: String,
        payment_url: String,
    }
    let created: Created = serde_json::from_slice(&bytes)
        .map_err(|error| format!("answer cannot be read: {error}"))?;
    Ok(OrderPayment {
        id: created.payment_id,
        url: created.payment_url,
        status_token: status_token.ok_or("the answer has no chasqui-status-token")?,
    })
}

/// A double click requests the same payment while the first request is in progress. The gateway's answer then has the
/// time of a retry, which returns the first answer.
async fn send_patiently(request: RequestBuilder) -> Result<reqwest::Response, String> {
    let mut tries = 0;
    loop {
        let once = request
            .try_clone()
            .ok_or("a request that cannot be repeated")?;
        let answer = once
            .send()
            .await
            .map_err(|error| format!("gateway not reached: {error}"))?;
        let wait = answer
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|wait| wait.to_str().ok()?.parse().ok());
        match wait {
            Some(seconds) if answer.status() == StatusCode::CONFLICT && tries < MAX_TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_secs(seconds).min(LONGEST_WAIT)).await;
            }
            _ => return Ok(answer),
        }
    }
}
