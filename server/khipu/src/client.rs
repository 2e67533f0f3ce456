//! Calls to Khipu's API 3.0, and how they fail.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chasqui_payment::{PaymentId, Secret};
use reqwest::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};

use crate::wire::{CreateResponse, PaymentResponse, error_message};

/// Calls Khipu's API, each call with its account's API key. An answer is the body of a 2xx response, unchanged.
#[derive(Debug, Clone)]
pub struct KhipuClient {
    http: reqwest::Client,
    /// Without a trailing slash.
    base_url: String,
    answer_limit: usize,
}

/// An answer of Khipu's with status 2xx, its body unchanged.
#[derive(Debug, Clone)]
pub struct KhipuResponse {
    /// 200 to 299.
    pub status: StatusCode,
    pub content_type: Option<HeaderValue>,
    pub body: Bytes,
}

/// A merchant's call that goes on to Khipu as it came.
#[derive(Debug, Clone)]
pub struct KhipuCall {
    pub method: Method,
    /// Begins with a slash and may end in a query. The caller has checked that it names what the caller takes it for.
    pub path: String,
    pub headers: ForwardedHeaders,
    pub body: Bytes,
}

/// The request headers that go on to Khipu. Others stay here: credentials, cookies, addresses.
#[derive(Debug, Clone, Default)]
pub struct ForwardedHeaders(HeaderMap);

impl ForwardedHeaders {
    const NAMES: [HeaderName; 3] = [ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE];

    pub fn of(request: &HeaderMap) -> Self {
        let named = |name: HeaderName| Some((name.clone(), request.get(name)?.clone()));
        Self(Self::NAMES.into_iter().filter_map(named).collect())
    }

    /// For a body that is written here.
    fn with_json_body(mut self) -> Self {
        self.0.insert(CONTENT_TYPE, JSON);
        self
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl KhipuCall {
    fn without_body(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            headers: ForwardedHeaders::default(),
            body: Bytes::new(),
        }
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum KhipuError {
    /// 4xx. The message is for the merchant.
    #[error("khipu refused with {status}: {message}")]
    Refused {
        status: u16,
        message: String,
        body: Bytes,
        retry_after: Option<Duration>,
    },
    /// 401, or a 403 that can only concern the API key: the account's configuration is wrong, not the request.
    #[error("khipu refused the account's API key with {status}: {message}")]
    CredentialsRefused { status: u16, message: String },
    /// 5xx. The request may have been carried out.
    #[error("khipu failed with {status}")]
    Failed {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// No connection. The request was not carried out.
    #[error("khipu cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time. The request may have been carried out.
    #[error("khipu did not answer in time")]
    TimedOut,
    /// An answer that the API does not describe. The request may have been carried out.
    #[error("khipu's answer is malformed: {0}")]
    Malformed(String),
}

impl KhipuError {
    /// Whether Khipu has no such payment.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether Khipu may have carried out the request.
    pub fn outcome_is_unknown(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. } | Self::TimedOut | Self::Malformed(_)
        )
    }

    /// Whether nothing was carried out for a reason that is not in the request: our credentials, too many requests, an
    /// incomplete transfer, no connection. The same request may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 403 | 408 | 425 | 429),
            Self::CredentialsRefused { .. } | Self::Unreachable(_) => true,
            Self::Failed { .. } | Self::TimedOut | Self::Malformed(_) => false,
        }
    }

    /// How long Khipu asks to be left alone.
    pub fn requested_pause(&self) -> Option<Duration> {
        match self {
            Self::Refused {
                status: 429,
                retry_after,
                ..
            } => retry_after.or(Some(Duration::from_secs(1))),
            Self::Failed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl KhipuClient {
    /// `answer_limit`: the most bytes of an answer's body.
    pub fn new(
        base_url: &str,
        timeout: Duration,
        answer_limit: usize,
    ) -> Result<Self, reqwest::Error> {
        let builder = || {
            reqwest::Client::builder()
                .timeout(timeout)
                .connect_timeout(timeout.min(Duration::from_secs(5)))
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .user_agent(concat!("chasqui/", env!("CARGO_PKG_VERSION")))
        };
        // Without CA certificates a sandbox can still be reached over plain HTTP.
        let http = builder().build().or_else(|_| {
            tracing::warn!("https to khipu will fail: this machine has no CA certificates; install ca-certificates");
            builder().tls_certs_only([]).build()
        })?;
        let base_url = base_url.trim_end_matches('/').to_owned();
        Ok(Self {
            http,
            base_url,
            answer_limit,
        })
    }

    pub async fn create(
        &self,
        api_key: &Secret,
        headers: ForwardedHeaders,
        body: Vec<u8>,
    ) -> Result<CreateResponse, KhipuError> {
        let call = KhipuCall {
            method: Method::POST,
            path: "/v3/payments".to_owned(),
            headers: headers.with_json_body(),
            body: body.into(),
        };
        let answer = self.call(api_key, call).await?;
        CreateResponse::parse(answer.body).map_err(KhipuError::Malformed)
    }

    pub async fn payment(
        &self,
        api_key: &Secret,
        id: &PaymentId,
    ) -> Result<PaymentResponse, KhipuError> {
        let call = KhipuCall::without_body(Method::GET, format!("/v3/payments/{id}"));
        let answer = self.call(api_key, call).await?;
        PaymentResponse::parse(&answer.body).map_err(KhipuError::Malformed)
    }

    pub async fn delete(
        &self,
        api_key: &Secret,
        id: &PaymentId,
    ) -> Result<KhipuResponse, KhipuError> {
        let call = KhipuCall::without_body(Method::DELETE, format!("/v3/payments/{id}"));
        self.call(api_key, call).await
    }

    pub async fn banks(&self, api_key: &Secret) -> Result<KhipuResponse, KhipuError> {
        let call = KhipuCall::without_body(Method::GET, "/v3/banks".to_owned());
        self.call(api_key, call).await
    }

    pub async fn payment_methods(
        &self,
        api_key: &Secret,
        receiver_id: u64,
    ) -> Result<KhipuResponse, KhipuError> {
        let path = format!("/v3/merchants/{receiver_id}/paymentMethods");
        let call = KhipuCall::without_body(Method::GET, path);
        self.call(api_key, call).await
    }

    pub async fn call(
        &self,
        api_key: &Secret,
        call: KhipuCall,
    ) -> Result<KhipuResponse, KhipuError> {
        let (method, started) = (call.method.clone(), std::time::Instant::now());
        let result = self.exchange(api_key, call).await;
        let outcome = match &result {
            Ok(_) => "ok",
            Err(KhipuError::Refused { .. }) => "refused",
            Err(KhipuError::CredentialsRefused { .. }) => "credentials_refused",
            Err(KhipuError::Failed { .. }) => "failed",
            Err(KhipuError::Unreachable(_)) => "unreachable",
            Err(KhipuError::TimedOut) => "timed_out",
            Err(KhipuError::Malformed(_)) => "malformed",
        };
        metrics::counter!("chasqui_khipu_calls_total", "method" => method.to_string(), "outcome" => outcome).increment(1);
        metrics::histogram!("chasqui_khipu_call_seconds").record(started.elapsed().as_secs_f64());
        result
    }

    async fn exchange(
        &self,
        api_key: &Secret,
        call: KhipuCall,
    ) -> Result<KhipuResponse, KhipuError> {
        let KhipuCall {
            method,
            path,
            headers: ForwardedHeaders(mut headers),
            body,
        } = call;
        headers.entry(ACCEPT).or_insert(JSON);
        let concerns_the_key = |status: u16| {
            status == 401 || status == 403 && is_open_to_every_account(&method, &path)
        };
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.base_url))
            .headers(headers)
            .header("x-api-key", api_key.expose());
        if !body.is_empty() {
            request = request.body(body);
        }
        let mut response = request.send().await.map_err(transport_error)?;
        let status = response.status();
        let content_type = response.headers().get(CONTENT_TYPE).cloned();
        let retry_after = retry_after(&response);
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(transport_error)? {
            if body.len() + chunk.len() > self.answer_limit {
                return Err(KhipuError::Malformed(format!(
                    "it is longer than {} bytes",
                    self.answer_limit
                )));
            }
            body.extend_from_slice(&chunk);
        }
        let body = body.freeze();
        match status.as_u16() {
            200..=299 => Ok(KhipuResponse {
                status,
                content_type,
                body,
            }),
            status_code if concerns_the_key(status_code) => Err(KhipuError::CredentialsRefused {
                status: status.as_u16(),
                message: refusal_message(status, &body),
            }),
            400..=499 => Err(KhipuError::Refused {
                status: status.as_u16(),
                message: refusal_message(status, &body),
                body,
                retry_after,
            }),
            500..=599 => Err(KhipuError::Failed {
                status: status.as_u16(),
                retry_after,
            }),
            other => Err(KhipuError::Malformed(format!("its status is {other}"))),
        }
    }
}

/// Operations that need no privilege: a 403 there concerns the account's API key.
fn is_open_to_every_account(method: &Method, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    match (method.as_str(), path) {
        ("GET", "/v3/banks") | ("POST", "/v3/payments") => true,
        ("GET", path) => {
            let id = path.strip_prefix("/v3/payments/");
            id.is_some_and(|id| !id.contains('/'))
        }
        _ => false,
    }
}

/// Khipu's own words, or those of the status where it sends none.
fn refusal_message(status: StatusCode, body: &[u8]) -> String {
    error_message(body).unwrap_or_else(|| {
        let reason = status.canonical_reason();
        reason.unwrap_or("no reason given").to_lowercase()
    })
}

/// Seconds only: Khipu does not document Retry-After, so its date form is not expected.
fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let header = response.headers().get("retry-after")?.to_str().ok()?;
    header.trim().parse().ok().map(Duration::from_secs)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn transport_error(error: reqwest::Error) -> KhipuError {
    if error.is_timeout() {
        return if error.is_connect() {
            KhipuError::Unreachable("connecting took too long".into())
        } else {
            KhipuError::TimedOut
        };
    }
    if error.is_connect() {
        return KhipuError::Unreachable(root_cause(&error));
    }
    // The request may have been sent before the connection broke: as uncertain as a time-out.
    tracing::debug!(error = %root_cause(&error), "the connection to khipu broke");
    KhipuError::TimedOut
}

/// The root cause, without the outer layers, which repeat the URL.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
