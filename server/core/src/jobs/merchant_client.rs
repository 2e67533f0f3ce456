//! The HTTP client that posts one account's deliveries, and what the answers mean.
//!
//! The client goes straight to the address it checked: no proxy, no redirect, no cookie. Of an answer only the status and
//! `Retry-After` count. Nothing here logs, retries or touches the store; see [`delivery`](super::delivery) for that.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use chasqui_payment::Timestamp;

use super::attempt_outcome::AttemptOutcome;
use super::destination_policy::{DestinationError, DestinationPolicy};
use super::put_back_spacing::PutBackSpacing;
use super::retry_schedule;
use super::webhook_request::WebhookRequest;
use crate::account::Account;
use crate::clock;

/// How much of an answer is read, and for how long, so that the connection can be used again and a handler that is still
/// writing is not cut off. A longer answer costs the connection, not the delivery.
const ANSWER_READ_LIMIT: usize = 4 * 1024;
const ANSWER_READ_TIME: Duration = Duration::from_secs(1);

/// Servers close idle connections after five seconds or more. A delivery that is sent on one at that moment is lost until
/// its next attempt.
const IDLE_CONNECTION_TIME: Duration = Duration::from_secs(3);

/// The longest description of a failure, in characters.
const CAUSE_LIMIT: usize = 300;

#[derive(Debug)]
pub(super) struct MerchantClient {
    pub(super) account: Arc<Account>,
    /// This account's share of the attempts in flight.
    pub(super) share: Semaphore,
    /// Of its deliveries that found the share taken.
    spacing: Mutex<PutBackSpacing>,
    destinations: DestinationPolicy,
    client: Client,
    has_authorities: bool,
    attempt_timeout: Duration,
}

impl MerchantClient {
    pub(super) fn new(
        account: &Arc<Account>,
        in_flight: usize,
        attempt_timeout: Duration,
    ) -> reqwest::Result<Self> {
        let destinations = DestinationPolicy::of(account);
        let (client, has_authorities) = client(&destinations, attempt_timeout)?;
        Ok(Self {
            account: Arc::clone(account),
            share: Semaphore::new(in_flight),
            spacing: Mutex::default(),
            destinations,
            client,
            has_authorities,
            attempt_timeout,
        })
    }

    /// When a delivery comes back that found the share taken.
    pub(super) fn put_back_until(&self) -> Timestamp {
        let mut spacing = self.spacing.lock().unwrap_or_else(PoisonError::into_inner);
        spacing.next(clock::now(), Instant::now())
    }

    /// One attempt, bounded in time, in what it reads and in where it goes.
    pub(super) async fn post(
        &self,
        notify_url: &str,
        request: WebhookRequest,
        now: Timestamp,
    ) -> AttemptOutcome {
        let url = match self.destinations.check(notify_url) {
            Ok(url) => url,
            Err(refused) => return AttemptOutcome::DestinationRefused(refused),
        };
        let request = self
            .client
            .post(url)
            .headers(request.headers)
            .body(request.body);
        match request.send().await {
            Ok(response) => {
                let outcome = answered(&response, now);
                read_some(response).await;
                outcome
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &reqwest::Error) -> AttemptOutcome {
        let refused = causes(error).find_map(|cause| cause.downcast_ref::<DestinationError>());
        if let Some(refused) = refused {
            return AttemptOutcome::DestinationRefused(refused.clone());
        }
        if error.is_timeout() {
            let limit = self.attempt_timeout;
            return AttemptOutcome::Timeout { limit };
        }
        let mut cause = root_cause(error);
        if !self.has_authorities && cause.contains("certificate") {
            cause.push_str(NO_AUTHORITIES);
        }
        AttemptOutcome::Unreachable { cause }
    }
}

fn answered(response: &Response, now: Timestamp) -> AttemptOutcome {
    let (code, status) = (response.status(), response.status().as_u16());
    let not_before = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_schedule::retry_after(value, now));
    if code.is_success() {
        AttemptOutcome::Delivered { status }
    } else if code == StatusCode::GONE {
        AttemptOutcome::Gone
    } else if code.is_redirection() {
        AttemptOutcome::Redirected { status, not_before }
    } else {
        AttemptOutcome::Refused { status, not_before }
    }
}

const NO_AUTHORITIES: &str =
    ": this machine has no CA certificates; install them or set SSL_CERT_FILE";

/// The client, and whether it has any certificate authority.
fn client(
    destinations: &DestinationPolicy,
    attempt_timeout: Duration,
) -> reqwest::Result<(Client, bool)> {
    let builder = || {
        ClientBuilder::new()
            .user_agent(concat!("chasqui/", env!("CARGO_PKG_VERSION")))
            .timeout(attempt_timeout)
            .pool_idle_timeout(IDLE_CONNECTION_TIME)
            .redirect(redirect::Policy::none())
            // A proxy would connect to addresses that were not checked.
            .no_proxy()
            .dns_resolver(destinations.clone())
    };
    // Without CA certificates on the system the default client cannot be built. A development machine still delivers over
    // plain HTTP; an HTTPS attempt fails with the reason.
    builder().build().map(|client| (client, true)).or_else(|_| {
        let client = builder().tls_certs_only([]).build()?;
        tracing::warn!("https deliveries will fail{NO_AUTHORITIES}");
        Ok((client, false))
    })
}

async fn read_some(mut response: Response) {
    let read = async {
        let mut size = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            size += chunk.len();
            if size > ANSWER_READ_LIMIT {
                break;
            }
        }
    };
    // The status was received, whether the rest is or not.
    let _ = timeout(ANSWER_READ_TIME, read).await;
}

fn causes<'e>(error: &'e reqwest::Error) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let outermost: &'e (dyn Error + 'static) = error;
    std::iter::successors(Some(outermost), |error| Error::source(*error))
}

/// The innermost error is what happened. The outer ones say where, and one of them holds the URL.
fn root_cause(error: &reqwest::Error) -> String {
    let refused = causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::ConnectionRefused);
    if refused {
        return "connection refused".to_owned();
    }
    let text = match causes(error).skip(1).last() {
        Some(cause) => cause.to_string(),
        None => "the request failed".to_owned(),
    };
    text.chars().take(CAUSE_LIMIT).collect()
}

#[cfg(test)]
mod tests;
