//! A small shop, as a merchant would write it: it uses the gateway over HTTP only, creates payments with its key, and
//! trusts only the signed notification. It never polls and never trusts a browser about a payment.
//!
//! Reading order: `checkout` creates the payment, `webhook` receives the notification, `order` holds the data. `pages`
//! renders, `visit` parses the visitor's data from a request, `state` is what the handlers share, `assets` has the style
//! sheet and the pictures.

mod assets;
mod cart;
mod catalogue;
mod checkout;
mod language;
mod order;
mod pages;
mod state;
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
use self::state::Shop;
pub(crate) use self::state::ShopConfig;

/// Enough for a notification of this shop's payments and for its forms.
const LARGEST_BODY: usize = 64 * 1024;
/// Generous, because Khipu can be slow and the gateway waits for it.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(20);

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
        .route("/cart", get(pages::cart).post(pages::change_cart))
        // Paying.
        .route("/checkout", get(pages::checkout).post(checkout::place))
        .route("/orders/{id}/pay", get(pages::pay_here).post(checkout::pay))
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
