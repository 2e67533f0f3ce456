//! A small shop, written as any merchant would write it: it talks to the gateway over HTTP only, creates payments
//! with its key, and believes nobody but the signed notification. It never polls, and never asks what a browser
//! says about a payment.
//!
//! Reading order: `checkout` creates the payment, `webhook` learns that it was paid, `order` is all that is kept.
//! `pages` draws, `visit` is what a request says about the visitor, `assets` the style sheet and the pictures.

mod assets;
mod cart;
mod catalogue;
mod checkout;
mod language;
mod order;
mod pages;
#[cfg(test)]
mod tests;
mod visit;
mod webhook;

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post},
};
use tokio::net::TcpListener;

use self::order::OrderBook;

/// Larger than any notification (the gateway takes 64 KiB at most) and any form of ours.
const LARGEST_BODY: usize = 64 * 1024;
/// Khipu itself can be slow, and the gateway waits for it.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(20);

/// What a merchant has to know. Every URL is without a slash at the end.
#[derive(Clone)]
pub(crate) struct ShopConfig {
    /// Where payers and the gateway reach this shop.
    pub(crate) public_url: String,
    /// Where the shop and its pages reach the gateway.
    pub(crate) gateway_url: String,
    /// Where payment_url leads: the only foreign place to which a form of ours may end.
    pub(crate) bank_url: String,
    /// A merchant's key of the gateway, `chq_…`.
    pub(crate) api_key: String,
    /// The collection account's secret, which signs notifications.
    pub(crate) khipu_secret: String,
}

/// What every handler shares.
struct Shop {
    config: ShopConfig,
    orders: OrderBook,
    http: reqwest::Client,
}

/// Serves the shop on `listener` until `shutdown` completes.
///
/// # Errors
/// When the listener fails or no HTTP client can be made.
pub(crate) async fn run(
    config: ShopConfig,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // The gateway of the demo is on this machine: a proxy of the environment could not reach it.
    let http = reqwest::Client::builder()
        .timeout(GATEWAY_TIMEOUT)
        .no_proxy()
        .build()
        .map_err(io::Error::other)?;
    let shop = Arc::new(Shop {
        config,
        orders: OrderBook::default(),
        http,
    });
    axum::serve(listener, router(shop))
        .with_graceful_shutdown(shutdown)
        .await
}

fn router(shop: Arc<Shop>) -> Router {
    Router::new()
        // The shop.
        .route("/", get(pages::front))
        .route("/products/{slug}", get(pages::product))
        .route("/cart", get(pages::cart).post(cart::change))
        // Paying.
        .route("/checkout", get(pages::checkout).post(checkout::place))
        .route("/orders/{id}/pay", post(checkout::pay))
        .route("/orders/{id}/return", get(pages::returned))
        .route("/orders/{id}/cancel", get(pages::cancelled))
        // What the back end knows.
        .route("/orders", get(pages::orders))
        .route("/orders/{id}", get(pages::order))
        .route("/khipu", post(webhook::receive))
        // Files.
        .route("/assets/{name}", get(assets::file))
        .fallback(pages::missing)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shop),
            assets::headers,
        ))
        .with_state(shop)
}
