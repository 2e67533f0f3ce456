//! Where deliveries arrive: one receiver, several shops by path, each of which keeps what it was told by `webhook-id`.

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

use super::plan::{Plan, ShopAnswer};
use crate::gateway_settings::KHIPU_SECRET;
use crate::notification::is_signed;

/// How long a shop that takes its time takes.
const SLOWLY: Duration = Duration::from_millis(700);

/// `transaction_id` of the payment with this number.
pub(super) fn order(number: usize) -> String {
    format!("order-{number}")
}

#[derive(Debug)]
pub(super) struct Shops {
    url: String,
    desk: Arc<Desk>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Desk {
    seed: u64,
    /// Whether shops fail as their plans say.
    is_troubled: AtomicBool,
    stores: Mutex<HashMap<String, Told>>,
    /// Deliveries that no shop can place.
    strange: Mutex<Vec<String>>,
}

/// What the shops were told of one payment.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// In the order in which they first came.
    pub(super) deliveries: Vec<Delivery>,
}

/// All attempts with one `webhook-id`.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
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
struct Body {
    payment_id: String,
    transaction_id: String,
}

impl Shops {
    pub(super) async fn start(seed: u64) -> Self {
        let desk = Arc::new(Desk {
            seed,
            is_troubled: AtomicBool::new(true),
            stores: Mutex::default(),
            strange: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&desk));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { url, desk, task }
    }

    /// The notify_url of one.
    pub(super) fn notify_url(&self, shop: usize) -> String {
        format!("{}/shops/{shop}", self.url)
    }

    /// From now on every delivery is taken at once.
    pub(super) fn recover(&self) {
        self.desk.is_troubled.store(false, Ordering::Relaxed);
    }

    pub(super) fn told_of(&self, payment_id: &str) -> Told {
        lock(&self.desk.stores)
            .get(payment_id)
            .cloned()
            .unwrap_or_default()
    }

    /// Every payment that a shop was told of.
    pub(super) fn payments(&self) -> Vec<String> {
        lock(&self.desk.stores).keys().cloned().collect()
    }

    /// Deliveries that could not be read.
    pub(super) fn strange(&self) -> Vec<String> {
        lock(&self.desk.strange).clone()
    }
}

impl Drop for Shops {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    State(desk): State<Arc<Desk>>,
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
    let read: Result<Body, _> = serde_json::from_slice(&body);
    let (Some(shop), Ok(read)) = (shop, read) else {
        let body = String::from_utf8_lossy(&body);
        lock(&desk.strange).push(format!("{uri}: {body}"));
        return StatusCode::BAD_REQUEST;
    };
    let webhook_id = text("webhook-id").to_owned();
    let is_signed = is_signed(text("x-khipu-signature"), KHIPU_SECRET, &body);
    let is_first = {
        let mut stores = lock(&desk.stores);
        let told = stores.entry(read.payment_id.clone()).or_default();
        told.attempted(&webhook_id, shop, is_signed) == 1
    };
    match desk.answer(&read.transaction_id, is_first) {
        ShopAnswer::Fails => return StatusCode::INTERNAL_SERVER_ERROR,
        ShopAnswer::TakesSlowly => tokio::time::sleep(SLOWLY).await,
        ShopAnswer::Takes => {}
    }
    let mut stores = lock(&desk.stores);
    if let Some(told) = stores.get_mut(&read.payment_id) {
        told.accepted(&webhook_id);
    }
    StatusCode::OK
}

impl Desk {
    fn answer(&self, transaction_id: &str, is_first: bool) -> ShopAnswer {
        let number = transaction_id.strip_prefix("order-");
        match number.and_then(|number| number.parse().ok()) {
            Some(number) if is_first && self.is_troubled.load(Ordering::Relaxed) => {
                Plan::new(self.seed, number).first_answer
            }
            _ => ShopAnswer::Takes,
        }
    }
}

impl Told {
    /// Whether a shop has answered 200.
    pub(super) fn is_accepted(&self) -> bool {
        let accepted = |delivery: &Delivery| !delivery.accepted.is_empty();
        self.deliveries.iter().any(accepted)
    }

    /// Which attempt with this `webhook-id` it is.
    fn attempted(&mut self, webhook_id: &str, shop: usize, is_signed: bool) -> usize {
        let known =
            |delivery: &Delivery| delivery.webhook_id == webhook_id && delivery.shop == shop;
        let index = self.deliveries.iter().position(known).unwrap_or_else(|| {
            self.deliveries.push(Delivery {
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

    fn accepted(&mut self, webhook_id: &str) {
        let mut deliveries = self.deliveries.iter_mut();
        if let Some(delivery) = deliveries.find(|delivery| delivery.webhook_id == webhook_id) {
            delivery.accepted.push(Instant::now());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
