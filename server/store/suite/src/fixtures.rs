//! The observations and payments of the suite's tests, and the factory of its stores.

pub use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
pub use bytes::Bytes;
pub use chasqui_payment::{
    AccountName, Amount, Currency, DeliveryState, Intent, JobKind, JobPriority, MerchantUrls,
    NewJob, Notification, Observation, Payment, PaymentId, PaymentReference, PaymentState,
    PaymentTerms, Source, Status, StatusKind, StatusReason, StatusUpdate, Timestamp, Undelivered,
    Verdict, Version,
};
pub use chasqui_store::{JobAttempt, Store, TimelineEvent, Visit};

/// Makes the suite's stores.
#[async_trait]
pub trait StoreFactory: Sync {
    /// An empty store.
    async fn fresh(&self) -> Arc<dyn Store>;

    /// The data of the newest fresh store through a new handle, with the old one closed. `None`: the data ends with its
    /// handle.
    async fn reopened(&self, store: Arc<dyn Store>) -> Option<Arc<dyn Store>>;
}

pub fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

/// The time of this machine's clock, which is also the clock of the stores under test.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::from_unix_ms(0).plus(since_epoch.expect("after 1970"))
}

/// Waits until the moment is over.
pub async fn passed(moment: Timestamp) {
    while now() <= moment {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub fn version(number: u16) -> Version {
    Version::from_number(number).expect("a version")
}

pub fn id(text: &str) -> PaymentId {
    PaymentId::parse(text).expect("payment id")
}

pub fn shop() -> AccountName {
    AccountName::parse("shop").expect("account")
}

pub fn other_shop() -> AccountName {
    AccountName::parse("other-shop").expect("account")
}

pub fn intent(reference: u128) -> Intent {
    Intent {
        reference: PaymentReference::from_random(reference),
        account: shop(),
        urls: urls(),
        created_at: at(5),
        payment_id: None,
    }
}

pub fn urls() -> MerchantUrls {
    MerchantUrls {
        return_url: Some("https://shop.example/back?a=1&b=ñ".to_owned()),
        cancel_url: None,
        notify_url: Some("https://shop.example/khipu".to_owned()),
    }
}

pub fn payment(name: &str) -> Payment {
    Payment {
        id: id(name),
        account: shop(),
        terms: Some(PaymentTerms {
            amount: Amount::parse("11900.5").expect("amount"),
            currency: Currency::parse("CLP").expect("currency"),
            transaction_id: Some("order 77".to_owned()),
        }),
        urls: urls(),
        reference: Some(PaymentReference::from_random(9)),
        payment_url: Some("https://khipu.example/payment/info/x".to_owned()),
        expires_at: Some(at(90_000)),
        created_at: at(10),
        state: PaymentState::created(at(10)),
    }
}

/// Only an update, of a payment that has not changed since its creation.
pub fn reporting(kind: StatusKind, ms: i64) -> Observation {
    let (number, held) = match kind {
        StatusKind::Confirmed => (1000, None),
        StatusKind::Reversed => (1001, None),
        of_a_round => (10 + of_a_round as u16, Some(11)),
    };
    updating(held, number, ms)
}

/// Only an update. Without `held` it counts from any version.
pub fn updating(held: Option<u16>, number: u16, ms: i64) -> Observation {
    Observation {
        account: shop(),
        source: Source::Khipu,
        at: at(ms),
        update: Some(StatusUpdate {
            version: version(number),
            replaces: held.map(version),
            late: false,
            reason: None,
        }),
        notification: None,
        jobs: Vec::new(),
    }
}

/// Only a notification.
pub fn notified(body: &str, verdict: Verdict, ms: i64) -> Observation {
    Observation {
        source: Source::Notification,
        update: None,
        notification: Some(Notification {
            body: Bytes::copy_from_slice(body.as_bytes()),
            signature: format!("t={ms},s=c2lnbmF0dXJl"),
            verdict,
        }),
        ..reporting(StatusKind::Created, ms)
    }
}

/// Only a job.
pub fn scheduling(kind: JobKind, due_ms: i64) -> Observation {
    Observation {
        update: None,
        jobs: vec![NewJob {
            kind,
            due_at: at(due_ms),
            priority: JobPriority::Silent,
        }],
        ..reporting(StatusKind::Created, 1)
    }
}

/// The usual confirmation: a notification that agrees, with a delivery to schedule.
pub fn confirming(body: &str, ms: i64) -> Observation {
    Observation {
        update: reporting(StatusKind::Confirmed, ms).update,
        jobs: scheduling(JobKind::Delivery, ms).jobs,
        ..notified(body, Verdict::Agrees, ms)
    }
}

pub fn attempt(ms: i64, result: &str) -> JobAttempt {
    JobAttempt {
        at: at(ms),
        duration: Duration::from_millis(250),
        result: result.to_owned(),
    }
}

pub async fn status(store: &dyn Store, name: &str) -> Option<Status> {
    let states = store.states(&[id(name)]).await.expect("read");
    states[0].map(|state| state.status())
}

pub async fn events(store: &dyn Store, name: &str) -> Vec<TimelineEvent> {
    let timeline = store.timeline(&id(name)).await.expect("timeline");
    timeline.into_iter().map(|entry| entry.event).collect()
}

/// Starts every task before it waits for any. The results are in the order of the numbers.
pub async fn at_once<T, F>(count: usize, mut task: impl FnMut(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(task(n))).collect();
    let mut results = Vec::with_capacity(count);
    for task in tasks {
        results.push(task.await.expect("no panic"));
    }
    results
}
