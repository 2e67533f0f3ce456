//! A small shop, as a merchant would write it: it uses the gateway over HTTP only, creates payments with its key, and
//! trusts only the signed notification. It never polls and never trusts a browser about a payment.
//!
//! Reading order: `checkout` creates the payment, `webhook` receives the notification, `order` holds the data. `pages`
//! renders, `visit` parses the visitor's data from a request, `assets` has the style sheet and the pictures.

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

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};
use tokio::net::TcpListener;

use self::order::OrderBook;

/// Enough for a notification of this shop's payments and for its forms.
const LARGEST_BODY: usize = 64 * 1024;
/// Generous, because Khipu can be slow and the gateway waits for it.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(20);

/// A merchant's settings. URLs have no trailing slash.
#[derive(Clone)]
pub(crate) struct ShopConfig {
    /// Where payers and the gateway reach this shop.
    pub(crate) public_url: String,
    /// Where the shop and its pages reach the gateway.
    pub(crate) gateway_url: String,
    /// The origin of payment_url: the only foreign target of the shop's forms.
    pub(crate) bank_url: String,
    /// A merchant's key of the gateway, `chq_…`.
    pub(crate) api_key: String,
    /// The collection account's secret, which signs notifications.
    pub(crate) khipu_secret: String,
}

/// The state of every handler.
struct Shop {
    config: ShopConfig,
    orders: OrderBook,
    http: reqwest::Client,
}

/// Serves the shop on `listener` until `shutdown` completes.
///
/// # Errors
/// When the listener fails or no HTTP client can be created.
pub(crate) async fn run(
    config: ShopConfig,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // The demo's gateway is on this machine, which a proxy could not reach.
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
        // The back end.
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
