//! One account's way out: the HTTP client that posts its deliveries, and what an answer means.
//!
//! The client goes straight to the address it checked: no proxy, no redirect, no cookie. Of an answer only the status and
//! `Retry-After` count. Nothing here logs, retries or touches the store; see [`delivery`](super::delivery) for that.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, ClientBuilder, Response, StatusCode, redirect};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::destination_policy::{DestinationError, Destinations};
use super::put_back_spacing::{self, Line};
use super::schedule::{self, Answer};
use super::webhook_request::Letter;
use super::{Limits, SetupError};
use crate::account::Account;
use crate::clock;
use crate::payment::Timestamp;

/// So much of an answer is read, and for so long, to leave the connection fit for the next delivery (and not to hang up on
/// a handler that is still writing). A merchant that says more loses the connection, not the delivery.
const ANSWER_READ_LIMIT: usize = 4 * 1024;
const ANSWER_READ_TIME: Duration = Duration::from_secs(1);

/// Servers close idle connections after five seconds and more. A delivery that goes out on one just then is lost, and
/// waits for its next attempt.
const IDLE_CONNECTION_TIME: Duration = Duration::from_secs(3);

/// Longest text of a failure in a timeline, in characters.
const RESULT_LIMIT: usize = 300;

#[derive(Debug)]
pub(super) struct Merchant {
    pub(super) account: Arc<Account>,
    /// This account's share of the attempts in flight.
    pub(super) share: Semaphore,
    /// Its deliveries that found the share taken.
    line: Mutex<Line>,
    destinations: Destinations,
    client: Client,
    has_authorities: bool,
    attempt_timeout: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) class: Class,
    pub(super) answer: Answer,
    /// Short and for people; holds no URL, no body and no payer data.
    pub(super) result: String,
}

/// How an attempt ended, as a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Delivered,
    /// The merchant answered with something that is neither 2xx, 3xx nor 410.
    Refused,
    Redirected,
    Gone,
    Timeout,
    Unreachable,
    DestinationRefused,
    /// Something that it takes was missing.
    NotSent,
    /// Khipu did not say what to send.
    NoContent,
    /// Nobody asked to be told, or there is nothing to tell any more. No dead letter: redelivering would not help.
    Unneeded,
    /// Cut off because this instance stops.
    Interrupted,
}

impl Class {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Redirected => "redirected",
            Self::Gone => "gone",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::DestinationRefused => "destination_refused",
            Self::NotSent => "not_sent",
            Self::NoContent => "no_content",
            Self::Unneeded => "unneeded",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Merchant {
    pub(super) fn new(account: &Arc<Account>, limits: &Limits) -> Result<Self, SetupError> {
        let destinations = Destinations::of(account);
        let (client, has_authorities) =
            client(&destinations, limits.attempt_timeout).map_err(SetupError::Client)?;
        Ok(Self {
            account: Arc::clone(account),
            share: Semaphore::new(limits.in_flight_per_account),
            line: Mutex::default(),
            destinations,
            client,
            has_authorities,
            attempt_timeout: limits.attempt_timeout,
        })
    }

    /// When a delivery comes back that found the share taken.
    pub(super) fn line_up(&self) -> Timestamp {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        put_back_spacing::call(clock::now().plus(line.join(Instant::now())))
    }

    /// One attempt, bounded in time, in what it reads and in where it goes.
    pub(super) async fn post(&self, notify_url: &str, letter: Letter, now: Timestamp) -> Tried {
        let url = match self.destinations.check(notify_url) {
            Ok(url) => url,
            Err(refused) => return Tried::not_now(Class::DestinationRefused, refused.to_string()),
        };
        let request = self
            .client
            .post(url)
            .headers(letter.headers)
            .body(letter.body);
        match request.send().await {
            Ok(response) => {
                let tried = Tried::answered(response.status(), response.headers(), now);
                read_some(response).await;
                tried
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&self, error: &reqwest::Error) -> Tried {
        if let Some(refused) = causes(error).find_map(|cause| cause.downcast_ref()) {
            let refused: &DestinationError = refused;
            return Tried::not_now(Class::DestinationRefused, refused.to_string());
        }
        if error.is_timeout() {
            let result = format!("no answer within {} s", self.attempt_timeout.as_secs_f32());
            return Tried::not_now(Class::Timeout, result);
        }
        let mut result = root_cause(error);
        if !self.has_authorities && result.contains("certificate") {
            result.push_str(NO_AUTHORITIES);
        }
        Tried::not_now(Class::Unreachable, result)
    }
}

impl Tried {
    pub(super) fn not_now(class: Class, result: impl Into<String>) -> Self {
        Self {
            class,
            answer: Answer::NotNow { not_before: None },
            result: result.into(),
        }
    }

    /// Khipu did not say what to send of a payment that was confirmed then: the merchant was not asked anything.
    pub(super) fn without_content(confirmed_at: Timestamp, result: String) -> Self {
        Self {
            class: Class::NoContent,
            answer: Answer::NoContent { confirmed_at },
            result,
        }
    }

    /// There is nothing to wait for.
    pub(super) fn stopped(result: impl Into<String>) -> Self {
        Self {
            class: Class::NotSent,
            answer: Answer::Stop,
            result: result.into(),
        }
    }

    pub(super) fn unneeded(result: impl Into<String>) -> Self {
        Self {
            class: Class::Unneeded,
            answer: Answer::NoneNeeded,
            result: result.into(),
        }
    }

    fn answered(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Self {
        let not_before = headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| schedule::retry_after(value, now));
        let not_now = Answer::NotNow { not_before };
        let code = status.as_u16();
        let (class, answer, result) = if status.is_success() {
            (Class::Delivered, Answer::Accepted, code.to_string())
        } else if status == StatusCode::GONE {
            let result = format!("{code}: the merchant wants no more of it");
            (Class::Gone, Answer::Stop, result)
        } else if status.is_redirection() {
            let result = format!("{code}: redirects are not followed");
            (Class::Redirected, not_now, result)
        } else {
            (Class::Refused, not_now, code.to_string())
        };
        Self {
            class,
            answer,
            result,
        }
    }
}

const NO_AUTHORITIES: &str =
    ": this machine has no CA certificates, install them or point SSL_CERT_FILE at them";

/// The client, and whether it knows any certificate authority.
fn client(
    destinations: &Destinations,
    attempt_timeout: Duration,
) -> reqwest::Result<(Client, bool)> {
    let builder = || {
        ClientBuilder::new()
            .user_agent(concat!("chasqui/", env!("CARGO_PKG_VERSION")))
            .timeout(attempt_timeout)
            .pool_idle_timeout(IDLE_CONNECTION_TIME)
            .redirect(redirect::Policy::none())
            // A proxy would connect in our place, to addresses that nobody checked.
            .no_proxy()
            .dns_resolver(destinations.clone())
    };
    // Where the system has no CA certificates the client cannot be built with them. A development machine without them
    // still delivers over plain HTTP; an HTTPS attempt fails there and says why.
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
    // Whether it was read in time or not, the status has been answered.
    let _ = timeout(ANSWER_READ_TIME, read).await;
}

fn causes<'e>(error: &'e reqwest::Error) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let outermost: &'e (dyn Error + 'static) = error;
    std::iter::successors(Some(outermost), |error| Error::source(*error))
}

/// The innermost error says what happened; the outer ones say where, and one of them names the URL.
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
    text.chars().take(RESULT_LIMIT).collect()
}

#[cfg(test)]
mod tests;
