//! Receives deliveries for several shops, by path, and records them by `webhook-id`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::plan::ShopAnswer;
use super::plan_builder::build_plan;
use crate::gateway_settings::KHIPU_SECRET;
use crate::notification::is_signed;

/// Response time of a slow shop.
const SLOWLY: Duration = Duration::from_millis(700);

/// `transaction_id` of the payment with this number.
pub(super) fn order(number: usize) -> String {
    format!("order-{number}")
}

#[derive(Debug)]
pub(super) struct Shops {
    url: String,
    state: Arc<ShopsState>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct ShopsState {
    seed: u64,
    /// Whether shops fail as their plans say.
    is_failing: AtomicBool,
    stores: Mutex<HashMap<String, ReceivedDeliveries>>,
    /// Deliveries that no shop can parse.
    unreadable: Mutex<Vec<String>>,
}

/// The deliveries of one payment.
#[derive(Debug, Clone, Default)]
pub(super) struct ReceivedDeliveries {
    /// In the order in which they first came.
    pub(super) deliveries: Vec<DeliveryAttempts>,
}

/// All attempts with one `webhook-id`.
#[derive(Debug, Clone)]
pub(super) struct DeliveryAttempts {
    pub(super) webhook_id: String,
    /// The shop that got it.
    pub(super) shop: usize,
    pub(super) attempts: usize,
    /// When an attempt was answered 200, each time.
    pub(super) accepted: Vec<Instant>,
    /// Whether each attempt carried Khipu's signature over exactly its bytes.
    pub(super) is_signed: bool,
}

#[derive(Deserialize)]
struct DeliveryBody {
    payment_id: String,
    transaction_id: String,
}

impl Shops {
    pub(super) async fn start(seed: u64) -> Self {
        let state = Arc::new(ShopsState {
            seed,
            is_failing: AtomicBool::new(true),
            stores: Mutex::default(),
            unreadable: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&state));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { url, state, task }
    }

    /// The notify_url of a shop.
    pub(super) fn notify_url(&self, shop: usize) -> String {
        format!("{}/shops/{shop}", self.url)
    }

    /// From now on every delivery is answered 200 at once.
    pub(super) fn recover(&self) {
        self.state.is_failing.store(false, Ordering::Relaxed);
    }

    pub(super) fn deliveries_of(&self, payment_id: &str) -> ReceivedDeliveries {
        lock(&self.state.stores)
            .get(payment_id)
            .cloned()
            .unwrap_or_default()
    }

    /// Every payment with a delivery.
    pub(super) fn payments(&self) -> Vec<String> {
        lock(&self.state.stores).keys().cloned().collect()
    }

    /// Deliveries that could not be read.
    pub(super) fn unreadable(&self) -> Vec<String> {
        lock(&self.state.unreadable).clone()
    }
}

impl Drop for Shops {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    State(state): State<Arc<ShopsState>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    };
    let shop = uri.path().strip_prefix("/shops/");
    let shop = shop.and_then(|shop| shop.parse().ok());
    let read: Result<DeliveryBody, _> = serde_json::from_slice(&body);
    let (Some(shop), Ok(read)) = (shop, read) else {
        let body = String::from_utf8_lossy(&body);
        lock(&state.unreadable).push(format!("{uri}: {body}"));
        return StatusCode::BAD_REQUEST;
    };
    let webhook_id = text("webhook-id").to_owned();
    let is_signed = is_signed(text("x-khipu-signature"), KHIPU_SECRET, &body);
    let is_first = {
        let mut stores = lock(&state.stores);
        let received = stores.entry(read.payment_id.clone()).or_default();
        received.record_attempt(&webhook_id, shop, is_signed) == 1
    };
    match state.answer(&read.transaction_id, is_first) {
        ShopAnswer::Fails => return StatusCode::INTERNAL_SERVER_ERROR,
        ShopAnswer::TakesSlowly => tokio::time::sleep(SLOWLY).await,
        ShopAnswer::Takes => {}
    }
    let mut stores = lock(&state.stores);
    if let Some(received) = stores.get_mut(&read.payment_id) {
        received.record_success(&webhook_id);
    }
    StatusCode::OK
}

impl ShopsState {
    fn answer(&self, transaction_id: &str, is_first: bool) -> ShopAnswer {
        let number = transaction_id.strip_prefix("order-");
        match number.and_then(|number| number.parse().ok()) {
            Some(number) if is_first && self.is_failing.load(Ordering::Relaxed) => {
                build_plan(self.seed, number).first_answer
            }
            _ => ShopAnswer::Takes,
        }
    }
}

impl ReceivedDeliveries {
    /// Whether a shop has answered 200.
    pub(super) fn is_accepted(&self) -> bool {
        let accepted = |delivery: &DeliveryAttempts| !delivery.accepted.is_empty();
        self.deliveries.iter().any(accepted)
    }

    /// Which attempt with this `webhook-id` it is.
    fn record_attempt(&mut self, webhook_id: &str, shop: usize, is_signed: bool) -> usize {
        let known = |delivery: &DeliveryAttempts| {
            delivery.webhook_id == webhook_id && delivery.shop == shop
        };
        let index = self.deliveries.iter().position(known).unwrap_or_else(|| {
            self.deliveries.push(DeliveryAttempts {
                webhook_id: webhook_id.into(),
                shop,
                attempts: 0,
                accepted: Vec::new(),
                is_signed: true,
            });
            self.deliveries.len() - 1
        });
        let delivery = &mut self.deliveries[index];
        delivery.attempts += 1;
        delivery.is_signed &= is_signed;
        delivery.attempts
    }

    fn record_success(&mut self, webhook_id: &str) {
        let mut deliveries = self.deliveries.iter_mut();
        if let Some(delivery) = deliveries.find(|delivery| delivery.webhook_id == webhook_id) {
            delivery.accepted.push(Instant::now());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
