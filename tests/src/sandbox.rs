//! Khipu's simulator, in this process or elsewhere, and its control API.

use std::time::Duration;

use khipu_sandbox::SandboxOptions;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::deadline::eventually;
use crate::gateway_client::{HttpResponse, client, send};
use crate::gateway_settings::{KHIPU_API_KEY, KHIPU_SECRET, RECEIVER_ID};

#[derive(Debug)]
pub struct Sandbox {
    pub url: String,
    client: Client,
    task: Option<JoinHandle<std::io::Result<()>>>,
}

impl Sandbox {
    /// The account of [`GatewaySettings::new`](crate::gateway_settings::GatewaySettings::new). A refused notification is repeated after 50 ms
    /// at first.
    pub async fn start() -> Self {
        Self::start_with_seed(SandboxOptions::default().seed).await
    }

    /// The same with another seed.
    pub async fn start_with_seed(seed: u64) -> Self {
        Self::start_with(SandboxOptions {
            seed,
            ..SandboxOptions::default()
        })
        .await
    }

    /// The same with other options, such as more accounts.
    pub async fn start_with(options: SandboxOptions) -> Self {
        let options = SandboxOptions {
            api_key: KHIPU_API_KEY.into(),
            secret: KHIPU_SECRET.into(),
            receiver_id: RECEIVER_ID,
            retry_first_delay: Duration::from_millis(50),
            ..options
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let task = tokio::spawn(khipu_sandbox::run(
            options,
            listener,
            std::future::pending(),
        ));
        let mut sandbox = Self::at(&url);
        sandbox.task = Some(task);
        sandbox
    }

    /// A sandbox that runs elsewhere.
    pub fn at(url: &str) -> Self {
        Self {
            url: url.into(),
            client: client(),
            task: None,
        }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> HttpResponse {
        let request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .header("x-api-key", KHIPU_API_KEY);
        send(if body.is_null() {
            request
        } else {
            request.body(body.to_string())
        })
        .await
    }

    /// Applies an action to a payment: `authorize`, `conciliate`, `reject`, …
    pub async fn act(&self, payment_id: &str, action: &str) {
        self.act_with(payment_id, json!({ "action": action })).await;
    }

    /// The same with more fields than the action's name.
    pub async fn act_with(&self, payment_id: &str, action: Value) {
        let path = format!("/sandbox/payments/{payment_id}/actions");
        self.call(Method::POST, &path, action).await.expect(200);
    }

    /// The payment through the control API, which the behaviour does not affect.
    pub async fn known(&self, payment_id: &str) -> Value {
        let path = format!("/sandbox/payments/{payment_id}");
        let answer = self.call(Method::GET, &path, Value::Null).await;
        answer.expect(200).json()
    }

    /// Counts of notification attempts by outcome.
    pub async fn notification_counts(&self) -> Value {
        let path = "/sandbox/notifications/counts";
        let answer = self.call(Method::GET, path, Value::Null).await;
        answer.expect(200).json()
    }

    /// Replaces the whole behaviour; `{}` has no faults.
    pub async fn set_behaviour(&self, behaviour: Value) {
        self.call(Method::PUT, "/sandbox/behaviour", behaviour)
            .await
            .expect(200);
    }

    /// The payment as Khipu itself has it.
    pub async fn payment(&self, payment_id: &str) -> Value {
        let path = format!("/v3/payments/{payment_id}");
        self.call(Method::GET, &path, Value::Null)
            .await
            .expect(200)
            .json()
    }

    /// Creates a payment at Khipu without the gateway, and returns its id.
    pub async fn create(&self, order: Value) -> String {
        let answer = self.call(Method::POST, "/v3/payments", order).await;
        let fields = answer.expect(200).json();
        fields["payment_id"].as_str().expect("an id").to_owned()
    }

    /// All payments, oldest first.
    pub async fn payments(&self) -> Vec<Value> {
        let answer = self.list().await;
        answer.json().as_array().expect("list").clone()
    }

    /// The same, for a test that reads what it needs of very many.
    pub async fn list(&self) -> HttpResponse {
        let path = "/sandbox/payments";
        self.call(Method::GET, path, Value::Null).await.expect(200)
    }

    /// Deletes every payment and resets the behaviour.
    pub async fn reset(&self) {
        self.call(Method::POST, "/sandbox/reset", Value::Null)
            .await
            .expect(200);
    }

    /// The logged attempts to notify of a payment.
    pub async fn notifications(&self, payment_id: &str) -> Vec<Value> {
        let path = format!("/sandbox/notifications?payment_id={payment_id}");
        let answer = self.call(Method::GET, &path, Value::Null).await;
        answer.expect(200).json().as_array().expect("list").clone()
    }

    /// Waits until an attempt was answered with this status; it is the first one.
    pub async fn notified(&self, payment_id: &str, status: u16) -> Value {
        eventually(
            &format!("a notification of {payment_id} is answered {status}"),
            async || {
                let attempts = self.notifications(payment_id).await;
                attempts
                    .into_iter()
                    .find(|attempt| attempt["status"] == status)
            },
        )
        .await
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
