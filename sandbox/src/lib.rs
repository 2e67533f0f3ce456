//! A stateful simulator of Khipu's payment API 3.0: payments, a bank page where a payer authorises them,
//! signed notifications with retries, and settings that inject failures. It shares no code with the gateway,
//! so that each can reveal the other's errors; it moves no money and keeps everything in memory.
//!
//! README.md documents every control, by route and field.
//!
//! Reading order: [`run`] below, then
//! - `payment` a payment and its transitions, `money`, `identifiers`, `catalogue`, `payment_method`
//! - `simulator` the only place where payments change, `state` what it holds, `accounts`
//! - `api` Khipu's routes, with `validation`, `answers`, `prediction`, `api_error`, `error_shape`
//! - `notifier` retries, with `notification` (the body) and `signature`
//! - `control` the routes under `/sandbox`, with `action_request` and `behaviour` (injected failures)
//! - `index_page` the page at `/`, with `index_view` (the markup)
//! - `bank_page` the payer's actions, with `bank_view` and `bank_layout` (the markup)
//! - `embedded_page` the same in a frame over the shop's page, with `embedded_view`, `kws.js` and `embedded.js`

mod accounts;
mod action_request;
mod answers;
mod api;
mod api_error;
mod bank_layout;
mod bank_page;
mod bank_view;
mod behaviour;
mod catalogue;
mod control;
mod embedded_page;
mod embedded_view;
mod error_shape;
mod identifiers;
mod index_page;
mod index_view;
mod money;
mod notification;
mod notifier;
mod options;
mod payment;
mod payment_method;
mod prediction;
mod signature;
mod simulator;
mod state;
mod validation;

use std::io;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::serve::ListenerExt;
pub use options::{SandboxAccount, SandboxOptions};
pub use signature::{SIGNATURE_HEADER, signature};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::simulator::Simulator;

/// How long calls under way may take to end after a shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Serves on `listener` until `shutdown` completes. Calls under way then have two seconds to end; waiting
/// notifications are dropped, and all data with them.
///
/// # Errors
/// When two accounts share a name, key or receiver_id, an individual has no account, the listener fails, or no HTTP client can be created.
pub async fn run(
    options: SandboxOptions,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let base_url = match &options.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", listener.local_addr()?),
    };
    // Every background task ends when this is dropped.
    let (_running, running) = watch::channel(());
    let simulator = Simulator::new(&options, base_url, running)?;
    let router = Router::new()
        .merge(api::routes(&simulator))
        .merge(control::routes())
        .merge(bank_page::routes())
        .merge(embedded_page::routes())
        .merge(index_page::routes())
        .fallback(error_shape::unknown_path)
        .layer(middleware::from_fn(error_shape::khipu_errors))
        .with_state(simulator);
    let listener = listener.tap_io(|stream| {
        // Answers are small and written at once; a failure to set this costs only time.
        let _ = stream.set_nodelay(true);
    });

    let (stopping, mut stop) = watch::channel(false);
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        stopping.send_replace(true);
    });
    tokio::select! {
        result = server.into_future() => result,
        () = async {
            let _ = stop.wait_for(|&stopping| stopping).await;
            tokio::time::sleep(SHUTDOWN_GRACE).await;
        } => Ok(()),
    }
}
