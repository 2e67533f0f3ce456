//! The HTTP client that posts one account's deliveries, and what the responses mean.
//!
//! The client connects directly to the address that it checked: no proxy, no redirect, no cookie. Of a response only the
//! status and `Retry-After` count. Nothing here retries or uses the store; [`delivery`](super::delivery) does.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chasqui_payment::Timestamp;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::attempt_outcome::AttemptOutcome;
use super::destination_policy::{DestinationError, DestinationPolicy};
use super::put_back_spacing::PutBackSpacing;
use super::retry_schedule;
use super::webhook_request::WebhookRequest;
use crate::account::Account;
use crate::clock;

/// How much of a response is read, and for how long, so that the connection can be reused and a handler that still writes is
/// not cut off. A longer response costs the connection, not the delivery.
const RESPONSE_READ_LIMIT: usize = 4 * 1024;
const RESPONSE_READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Shorter than the five seconds after which servers close idle connections: a request that is sent at that moment fails.
const IDLE_CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest description of a failure, in characters.
const CAUSE_LIMIT: usize = 300;

#[derive(Debug)]
pub(super) struct MerchantClient {
    pub(super) account: Arc<Account>,
    pub(super) in_flight: Semaphore,
    spacing: Mutex<PutBackSpacing>,
    destinations: DestinationPolicy,
    client: Client,
    /// For http URLs where only listed networks may be reached without encryption.
    plain_client: Option<Client>,
    has_root_certificates: bool,
    attempt_timeout: Duration,
}

impl MerchantClient {
    pub(super) fn new(
        account: &Arc<Account>,
        in_flight: usize,
        attempt_timeout: Duration,
    ) -> reqwest::Result<Self> {
        let destinations = DestinationPolicy::of(account);
        let (client, has_root_certificates) = client(&destinations, attempt_timeout)?;
        let plain_client = match account.allow_http_destinations {
            true => None,
            false => {
                let policy = destinations.for_scheme("http");
                Some(
                    builder(&policy, attempt_timeout)
                        .tls_certs_only([])
                        .build()?,
                )
            }
        };
        Ok(Self {
            account: Arc::clone(account),
            in_flight: Semaphore::new(in_flight),
            spacing: Mutex::default(),
            destinations,
            client,
            plain_client,
            has_root_certificates,
            attempt_timeout,
        })
    }

    /// The due time of a delivery that is put back because too many are in flight.
    pub(super) fn put_back_until(&self) -> Timestamp {
        let mut spacing = self.spacing.lock().unwrap_or_else(PoisonError::into_inner);
        spacing.next(clock::now(), Instant::now())
    }

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
        let client = match &self.plain_client {
            Some(plain_client) if url.scheme() == "http" => plain_client,
            _ => &self.client,
        };
        let request = client.post(url).headers(request.headers).body(request.body);
        match request.send().await {
            Ok(response) => {
                let outcome = response_outcome(&response, now);
                read_body(response).await;
                outcome
            }
            Err(error) => self.failure_outcome(&error),
        }
    }

    fn failure_outcome(&self, error: &reqwest::Error) -> AttemptOutcome {
        let refused = causes(error).find_map(|cause| cause.downcast_ref::<DestinationError>());
        if let Some(refused) = refused {
            return AttemptOutcome::DestinationRefused(refused.clone());
        }
        if error.is_timeout() {
            let limit = self.attempt_timeout;
            return AttemptOutcome::Timeout { limit };
        }
        let mut cause = root_cause(error);
        if !self.has_root_certificates && cause.contains("certificate") {
            cause.push_str(NO_ROOT_CERTIFICATES);
        }
        AttemptOutcome::Unreachable { cause }
    }
}

fn response_outcome(response: &Response, now: Timestamp) -> AttemptOutcome {
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

const NO_ROOT_CERTIFICATES: &str =
    ": this machine has no CA certificates; install them or set SSL_CERT_FILE";

/// The client, and whether it has root certificates.
fn client(
    destinations: &DestinationPolicy,
    attempt_timeout: Duration,
) -> reqwest::Result<(Client, bool)> {
    let builder = || builder(destinations, attempt_timeout);
    // Without CA certificates the default client cannot be built. This one delivers over plain HTTP, as in development; an
    // HTTPS attempt fails with the reason.
    builder().build().map(|client| (client, true)).or_else(|_| {
        let client = builder().tls_certs_only([]).build()?;
        tracing::warn!("https deliveries will fail{NO_ROOT_CERTIFICATES}");
        Ok((client, false))
    })
}

fn builder(destinations: &DestinationPolicy, attempt_timeout: Duration) -> ClientBuilder {
    ClientBuilder::new()
        .user_agent(concat!("chasqui/", env!("CARGO_PKG_VERSION")))
        .timeout(attempt_timeout)
        .pool_idle_timeout(IDLE_CONNECTION_TIMEOUT)
        .redirect(redirect::Policy::none())
        // A proxy would connect to unchecked addresses.
        .no_proxy()
        .dns_resolver(destinations.clone())
}

async fn read_body(mut response: Response) {
    let read = async {
        let mut size = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            size += chunk.len();
            if size > RESPONSE_READ_LIMIT {
                break;
            }
        }
    };
    let _ = timeout(RESPONSE_READ_TIMEOUT, read).await;
}

fn causes<'e>(error: &'e reqwest::Error) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let outermost: &'e (dyn Error + 'static) = error;
    std::iter::successors(Some(outermost), |error| Error::source(*error))
}

/// The innermost error. The outer ones add no cause, and one contains the URL.
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
