//! Calls the gateway over HTTP, as a merchant's back end and a polling browser do.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder, redirect};
use serde_json::{Value, json};

use crate::deadline::{DEADLINE, eventually};
use crate::gateway_settings::ACCOUNT;
use crate::notification::{body, signed};

/// One gateway, with one merchant's API key.
#[derive(Debug, Clone)]
pub struct GatewayClient {
    pub url: String,
    pub key: String,
    client: Client,
}

#[derive(Debug, Clone)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A payment that was created through the facade.
#[derive(Debug, Clone)]
pub struct TestPayment {
    pub id: String,
    pub token: String,
    /// The whole answer.
    pub fields: Value,
}

impl HttpResponse {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's text; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a header of text"))
    }

    /// Fails with the body unless the status is `expected`.
    #[track_caller]
    pub fn expect(self, expected: u16) -> Self {
        assert_eq!(self.status, expected, "{}", self.text());
        self
    }

    /// Whether it is a problem in Khipu's shape too, with this code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for text in ["type", "title", "detail", "request_id", "message"] {
            assert!(
                problem[text].as_str().is_some_and(|text| !text.is_empty()),
                "no {text} in {problem}"
            );
        }
        assert!(problem["errors"].is_array(), "{problem}");
        assert_eq!(problem["request_id"], answer.header("x-request-id"));
        answer
    }
}

impl GatewayClient {
    pub fn new(url: &str, key: &str) -> Self {
        Self {
            url: url.into(),
            key: key.into(),
            client: client(),
        }
    }

    /// The same gateway with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.into(),
            ..self.clone()
        }
    }

    /// A request without any credentials.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A request with the merchant's key.
    pub fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).header("x-api-key", &self.key)
    }

    /// `None`: the connection was refused or broke.
    pub async fn try_get(&self, path: &str) -> Option<HttpResponse> {
        try_send(self.request(Method::GET, path)).await
    }

    pub async fn get(&self, path: &str) -> HttpResponse {
        send(self.call(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> HttpResponse {
        send(self.call(Method::POST, path).body(body)).await
    }

    /// Creates a payment of 24990 CLP with `more` fields.
    pub async fn create(&self, more: Value) -> TestPayment {
        let answer = self.post("/v3/payments", order(more).to_string()).await;
        TestPayment::from(&answer.expect(200))
    }

    /// The status as the payment's own token shows it.
    pub async fn status(&self, payment: &TestPayment) -> Value {
        self.poll(payment, "", None).await.expect(200).json()
    }

    /// Asks for the status with the payment's token; `query` like `?wait=1`, `known` an ETag.
    pub async fn poll(
        &self,
        payment: &TestPayment,
        query: &str,
        known: Option<&str>,
    ) -> HttpResponse {
        let path = format!("/v1/payments/{}/status{query}", payment.id);
        let request = self.request(Method::GET, &path).bearer_auth(&payment.token);
        send(match known {
            Some(etag) => request.header("if-none-match", etag),
            None => request,
        })
        .await
    }

    /// Waits until the status is `expected`, and returns the status object.
    pub async fn until_status(&self, payment: &TestPayment, expected: &str) -> Value {
        eventually(
            &format!("{} becomes {expected}", payment.id),
            async || match try_send(
                self.request(
                    Method::GET,
                    &format!("/v1/payments/{}/status?wait=1", payment.id),
                )
                .bearer_auth(&payment.token),
            )
            .await
            {
                Some(answer) if answer.status == 200 => {
                    Some(answer.json()).filter(|status| status["status"] == expected)
                }
                _ => None,
            },
        )
        .await
    }

    /// Posts a notification to the default account, as Khipu would.
    pub async fn notify(
        &self,
        signature: Option<&str>,
        body: impl Into<reqwest::Body>,
    ) -> HttpResponse {
        self.notify_account(ACCOUNT, signature, body).await
    }

    /// Posts the same notification until it is answered 200, as Khipu does, and returns the time of the 200.
    pub async fn notify_until_accepted(&self, payment_id: &str) -> Instant {
        let notification = body(payment_id, &json!({}));
        let signature = signed(&notification);
        eventually("a notification is accepted", async || {
            let request = self
                .request(Method::POST, &format!("/webhooks/khipu/{ACCOUNT}"))
                .header("x-khipu-signature", &signature)
                .body(notification.clone());
            let answer = try_send(request).await?;
            (answer.status == 200).then(Instant::now)
        })
        .await
    }

    pub async fn notify_account(
        &self,
        account: &str,
        signature: Option<&str>,
        body: impl Into<reqwest::Body>,
    ) -> HttpResponse {
        let request = self
            .request(Method::POST, &format!("/webhooks/khipu/{account}"))
            .header("content-type", "application/json")
            .body(body);
        send(match signature {
            Some(signature) => request.header("x-khipu-signature", signature),
            None => request,
        })
        .await
    }
}

impl From<&HttpResponse> for TestPayment {
    /// From the answer to a creation.
    fn from(answer: &HttpResponse) -> Self {
        let fields = answer.json();
        Self {
            id: fields["payment_id"].as_str().unwrap_or_default().to_owned(),
            token: answer.header("chasqui-status-token").to_owned(),
            fields,
        }
    }
}

/// The body of a creation; `more` adds or replaces fields.
pub fn order(more: Value) -> Value {
    let mut order = json!({ "amount": 24990, "currency": "CLP", "subject": "Zapatillas" });
    if let (Some(order), Value::Object(more)) = (order.as_object_mut(), more) {
        order.extend(more);
    }
    order
}

pub async fn send(request: RequestBuilder) -> HttpResponse {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.expect("a whole answer");
    HttpResponse {
        status,
        headers,
        body,
    }
}

/// `None`: the connection was refused, or broke.
pub async fn try_send(request: RequestBuilder) -> Option<HttpResponse> {
    let response = request.send().await.ok()?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.ok()?;
    Some(HttpResponse {
        status,
        headers,
        body,
    })
}

/// Idle connections are closed long before the gateway closes them (`limits.handshake_timeout`): a request on a connection
/// that is being closed would get no response.
const IDLE: Duration = Duration::from_secs(3);

/// Follows no redirect, uses no proxy and trusts no certificate: all servers are on this machine.
pub fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .tls_certs_only([])
        .pool_idle_timeout(IDLE)
        .timeout(DEADLINE + Duration::from_secs(60))
        .build()
        .expect("an http client")
}
