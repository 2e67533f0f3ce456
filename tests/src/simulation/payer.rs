//! Performs one payment's plan: the steps of the payer, the shop, the bank and an attacker, in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::page::{PageState, PayerPage};
use super::plan::{Forgery, PageTransport, PaymentPlan, Step};
use super::shops::{Shops, order};
use crate::deadline::within;
use crate::gateway_client::{self, GatewayClient, HttpResponse, TestPayment, try_send};
use crate::gateway_settings::{ACCOUNT, KHIPU_SECRET};
use crate::notification::{body, hex_signature, now_ms, signature};
use crate::sandbox::Sandbox;

/// Between two tries of a call that failed.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Creations with a new key until one is known to have succeeded.
const TIMES_CREATED: usize = 50;

const AN_HOUR_MS: u128 = 3_600_000;

/// What the payments share.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) sandbox: Sandbox,
    pub(super) shops: Shops,
    /// The merchant's back end, at the address that Khipu notifies.
    pub(super) api: GatewayClient,
    /// Where pages connect.
    pub(super) gateways: Arc<[String]>,
    pub(super) client: Client,
}

/// One payment, and what happened to it.
#[derive(Debug)]
pub(super) struct PaymentHistory {
    pub(super) plan: PaymentPlan,
    pub(super) payment: TestPayment,
    /// The earliest time at which Khipu may have reported it paid.
    pub(super) paid_at: Option<Instant>,
    /// The page that is open, and what those showed that were closed.
    pub(super) page: Option<PayerPage>,
    pub(super) closed: Vec<PageState>,
    /// What went wrong on the way.
    pub(super) faults: Vec<String>,
}

impl Environment {
    /// Performs a plan from the creation to the last step.
    pub(super) async fn run_plan(&self, plan: PaymentPlan) -> PaymentHistory {
        let payment = self.create(&plan).await;
        let mut history = PaymentHistory {
            plan,
            payment,
            paid_at: None,
            page: None,
            closed: Vec::new(),
            faults: Vec::new(),
        };
        for step in history.plan.steps.clone() {
            self.perform(step, &mut history).await;
        }
        history
    }

    /// Repeats the same key until there is an answer, and takes another key where the outcome stays unknown.
    async fn create(&self, plan: &PaymentPlan) -> TestPayment {
        let order = gateway_client::order(json!({
            "notify_url": self.shops.notify_url(plan.shop),
            "return_url": format!("https://shop.example/thanks?order={}", plan.number),
            "cancel_url": format!("https://shop.example/cart?order={}", plan.number),
            "transaction_id": order(plan.number),
        }))
        .to_string();
        for time in 0..TIMES_CREATED {
            let key = format!("{}-{time}", plan.number);
            let answer = self
                .insist("a payment is created or given up", || {
                    self.api
                        .call(Method::POST, "/v3/payments")
                        .header("idempotency-key", &key)
                        .body(order.clone())
                })
                .await;
            if answer.status == 200 {
                return TestPayment::from(&answer);
            }
            // 409: the outcome is unknown. If the payment exists, it stays unpaid.
            assert_eq!(answer.status, 409, "{}", answer.text());
        }
        panic!("no payment was made in {TIMES_CREATED} tries");
    }

    async fn perform(&self, step: Step, history: &mut PaymentHistory) {
        let id = history.payment.id.clone();
        match step {
            Step::Pause(pause) => tokio::time::sleep(pause).await,
            Step::Khipu(action) => self.act(history, json!({ "action": action })).await,
            Step::KhipuUnnotified(action) => {
                self.act(history, json!({ "action": action, "notify": false }))
                    .await;
            }
            Step::Return => self.come_back(history, "return_url").await,
            Step::GiveUp => self.come_back(history, "cancel_url").await,
            Step::OpenPage(transport) => self.open_page(history, transport),
            Step::ClosePage => history.close_page(),
            Step::Delete => {
                let path = format!("/v3/payments/{id}");
                let answer = self
                    .insist("a payment is deleted", || {
                        self.api.call(Method::DELETE, &path)
                    })
                    .await;
                // 400: an earlier try had deleted it.
                if !matches!(answer.status, 200 | 400) {
                    history.record_fault("delete", &answer);
                }
            }
            Step::Read => {
                let path = format!("/v3/payments/{id}");
                let answer = self
                    .insist("a payment is read", || self.api.call(Method::GET, &path))
                    .await;
                if answer.status != 200 {
                    history.record_fault("read", &answer);
                }
            }
            Step::ReadStatus => {
                let status = self.status(&id).await;
                if status["status"] == "confirmed" && history.paid_at.is_none() {
                    history.faults.push(format!("too early: {status}"));
                }
            }
            Step::Forge(forgery) => self.forge(history, forgery).await,
        }
    }

    async fn act(&self, history: &mut PaymentHistory, action: Value) {
        if matches!(action["action"].as_str(), Some("conciliate" | "mark-paid")) {
            history.paid_at = Some(Instant::now());
        }
        self.sandbox.act_with(&history.payment.id, action).await;
    }

    /// Returns through the gateway's hop, which leads to the shop with a token for its page.
    async fn come_back(&self, history: &mut PaymentHistory, field: &str) {
        let at_khipu = self.sandbox.known(&history.payment.id).await;
        let url = at_khipu[field].as_str().expect("a URL").to_owned();
        let address = address(history.plan.number);
        let answer = self
            .insist("the payer gets back to the shop", || {
                self.client.get(&url).header("x-forwarded-for", &address)
            })
            .await;
        let location = answer.header("location").to_owned();
        match location.split_once("#chasqui=") {
            Some((_, token)) if answer.status == 303 => history.payment.token = token.to_owned(),
            _ => history.record_fault("hop", &answer),
        }
    }

    fn open_page(&self, history: &mut PaymentHistory, transport: PageTransport) {
        history.close_page();
        history.page = Some(PayerPage::open(
            transport,
            Arc::clone(&self.gateways),
            history.plan.number,
            self.client.clone(),
            history.payment.clone(),
        ));
    }

    /// The status for the merchant's key.
    pub(super) async fn status(&self, payment_id: &str) -> Value {
        let path = format!("/v1/payments/{payment_id}/status");
        self.insist("the status is read", || self.api.call(Method::GET, &path))
            .await
            .expect(200)
            .json()
    }

    /// The status for the payer's token, as a page that is loaded once gets it.
    pub(super) async fn status_on_page(&self, payment: &TestPayment) -> Value {
        let path = format!("/v1/payments/{}/status", payment.id);
        self.insist("a page is loaded", || {
            self.api
                .request(Method::GET, &path)
                .bearer_auth(&payment.token)
        })
        .await
        .expect(200)
        .json()
    }

    async fn forge(&self, history: &mut PaymentHistory, forgery: Forgery) {
        let now = now_ms().to_string();
        let fields = json!({ "transaction_id": order(history.plan.number) });
        let genuine = body(&history.payment.id, &fields);
        let (signature, body, expected) = match forgery {
            Forgery::WrongSecret => (signature("another-secret", &now, &genuine), genuine, 401),
            Forgery::Hexadecimal => (hex_signature(KHIPU_SECRET, &now, &genuine), genuine, 401),
            Forgery::ChangedBody => {
                let changed = genuine.replace("Ana", "Eva");
                (signature(KHIPU_SECRET, &now, &genuine), changed, 401)
            }
            Forgery::Stale => {
                let then = (now_ms() - AN_HOUR_MS).to_string();
                (signature(KHIPU_SECRET, &then, &genuine), genuine, 200)
            }
            Forgery::OtherAmount => {
                let less = genuine.replace("24990.0000", "1.0000");
                (signature(KHIPU_SECRET, &now, &less), less, 200)
            }
        };
        let path = format!("/webhooks/khipu/{ACCOUNT}");
        let answer = self
            .insist("a forged notification is answered", || {
                self.api
                    .request(Method::POST, &path)
                    .header("x-khipu-signature", &signature)
                    .body(body.clone())
            })
            .await;
        if answer.status != expected {
            history.record_fault("forgery", &answer);
        }
    }

    /// Retries while the gateway is away or answers 429 or 5xx.
    async fn insist(&self, what: &str, request: impl Fn() -> RequestBuilder) -> HttpResponse {
        within(what, async {
            loop {
                match try_send(request()).await {
                    Some(answer) if answer.status < 500 && answer.status != 429 => return answer,
                    _ => tokio::time::sleep(TRY_AGAIN).await,
                }
            }
        })
        .await
    }
}

/// An address for each payer, because visits from one address are limited.
fn address(number: usize) -> String {
    let [.., a, b, c] = number.to_be_bytes();
    format!("10.{a}.{b}.{c}")
}

impl PaymentHistory {
    fn record_fault(&mut self, what: &str, answer: &HttpResponse) {
        let (status, text) = (answer.status, answer.text());
        self.faults.push(format!("{what}: {status} {text}"));
    }

    fn close_page(&mut self) {
        if let Some(page) = self.page.take() {
            self.closed.push(page.shown());
        }
    }
}
