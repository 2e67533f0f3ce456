//! Hands confirmations to merchants: claims the deliveries that are due, tries each, and puts back what failed.
//!
//! A merchant's 2xx is the only end of a delivery but the dead letter, unless nobody asked for it or the money went back
//! before. Deliveries are at least once: an instance that dies
//! in the middle loses its lease, not the work. Nothing here changes a payment, and nothing unverified or unsigned is sent.
//!
//! In reading order: [`delivery`] carries one delivery, [`webhook_request`] is what it carries, [`merchant_client`] posts it,
//! [`destination_policy`] says where it may go, [`schedule`] when it is tried again, [`put_back_spacing`] when one is that found its account
//! busy.

mod check;
mod delivery;
mod destination_policy;
mod ip_ranges;
mod merchant_client;
mod put_back_spacing;
mod schedule;
mod signature;
#[cfg(test)]
mod tests;
mod webhook_request;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::pin;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub use check::Reconciler;
pub use destination_policy::{DestinationError, Destinations};

use self::delivery::Courier;
use self::merchant_client::Merchant;
use crate::account::{Account, Accounts};
use crate::clock;
use crate::payment::{JobKind, PaymentId};
use crate::store::{JobQueue, PaymentReader, StoreError};

/// Asks Khipu about a confirmed payment and answers with the body of a notification 3.0; an error is a short text for
/// people, without payer data. Used when a confirmation was found by asking and no notification came that agrees with it.
pub type Rebuild =
    Arc<dyn Fn(PaymentId, Arc<Account>) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;

/// The dispatcher of one instance.
#[derive(Debug)]
pub struct Outbox {
    courier: Arc<Courier>,
}

/// What bounds the outbox. Reached: deliveries wait in the store, none is lost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Deliveries in this instance's hands at once.
    pub in_flight: usize,
    /// Attempts at once for one account, so that a merchant who answers slowly does not hold all of them. A delivery
    /// beyond it is put back at once: none waits in this instance's hands.
    pub in_flight_per_account: usize,
    /// One attempt, from resolving the name to the end of the answer.
    pub attempt_timeout: Duration,
    /// One question to Khipu for what to send.
    pub rebuild_timeout: Duration,
    /// One call of the store's.
    pub store_timeout: Duration,
    /// How long a claimed delivery belongs to this instance; and how long one is left alone whose claim was answered too
    /// late for this instance to know of it.
    pub lease: Duration,
    /// The agenda is looked at no less often than this: other instances' leases run out without a sound.
    pub idle: Duration,
    /// How long attempts under way may still take once this instance stops; then they are cut off and put back.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 256,
            in_flight_per_account: 32,
            attempt_timeout: Duration::from_secs(15),
            rebuild_timeout: Duration::from_secs(15),
            store_timeout: Duration::from_secs(5),
            lease: Duration::from_secs(60),
            idle: Duration::from_secs(5),
            drain: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// A lease that ends before its attempt would have the merchant told twice as a matter of course.
    fn check(&self) -> Result<(), SetupError> {
        // The store is asked for the payment and its notification, and told the settlement.
        let longest = self.rebuild_timeout + self.attempt_timeout + 3 * self.store_timeout;
        if self.in_flight == 0 || self.in_flight_per_account == 0 {
            Err(SetupError::NothingInFlight)
        } else if longest >= self.lease {
            Err(SetupError::LeaseTooShort {
                lease: self.lease,
                longest,
            })
        } else {
            Ok(())
        }
    }
}

/// Why the outbox cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("the http client for deliveries cannot be made: {0}")]
    Client(reqwest::Error),
    #[error("deliveries in flight, in all and per account, must be at least 1")]
    NothingInFlight,
    #[error("a delivery's lease ({lease:?}) must be longer than its longest attempt ({longest:?})")]
    LeaseTooShort { lease: Duration, longest: Duration },
}

/// Shortest sleep when the agenda says that something is due and yet nothing could be claimed: the store's clock and ours
/// differ a little.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// Between two looks at the agenda, however many deliveries are scheduled meanwhile: one look finds all of them, and on a
/// store that is shared each costs something in every partition. Who is woken after a longer silence looks at once.
const BREATHER: Duration = Duration::from_millis(20);

/// First wait after the store failed; doubles up to [`Limits::idle`].
const BACKOFF: Duration = Duration::from_millis(100);

impl Outbox {
    pub fn new(
        jobs: Arc<dyn JobQueue>,
        payments: Arc<dyn PaymentReader>,
        accounts: &Accounts,
        rebuild: Rebuild,
        limits: Limits,
    ) -> Result<Self, SetupError> {
        limits.check()?;
        let merchants = accounts
            .iter()
            .map(|account| Ok((account.name.clone(), Merchant::new(account, &limits)?)))
            .collect::<Result<_, SetupError>>()?;
        let courier = Arc::new(Courier {
            jobs,
            payments,
            merchants,
            rebuild,
            limits,
            put_back: Notify::new(),
        });
        Ok(Self { courier })
    }

    /// Delivers until `shutdown`, then lets attempts under way end within [`Limits::drain`]. Whoever schedules a delivery
    /// calls `wake.notify_one()` to have it tried at once; without that it is found within [`Limits::idle`].
    pub async fn run(self, wake: Arc<Notify>, shutdown: impl Future<Output = ()> + Send) {
        pin!(shutdown);
        let cut = watch::Sender::new(false);
        let mut attempts = JoinSet::new();
        let mut failures = 0;
        loop {
            while let Some(ended) = attempts.try_join_next() {
                report_panic(ended);
            }
            let looked_at = Instant::now();
            match self.begin_due(&mut attempts, &cut).await {
                Ok(pause) => {
                    failures = 0;
                    let full = attempts.len() >= self.courier.limits.in_flight;
                    tokio::select! {
                        biased;
                        () = &mut shutdown => break,
                        Some(ended) = attempts.join_next(), if full => report_panic(ended),
                        () = wake.notified(), if !full => {}
                        () = self.courier.put_back.notified(), if !full => {}
                        () = sleep(pause), if !full => {}
                    }
                    tokio::select! {
                        biased;
                        () = &mut shutdown => break,
                        () = sleep_until(looked_at + BREATHER) => {}
                    }
                }
                Err(error) => {
                    let pause = self.backoff(failures);
                    failures = failures.saturating_add(1);
                    tracing::warn!(%error, ?pause, "deliveries wait for the store");
                    tokio::select! {
                        biased;
                        () = &mut shutdown => break,
                        () = sleep(pause) => {}
                    }
                }
            }
        }
        self.drain(attempts, &cut).await;
    }

    /// Starts what is due, as far as there is room, and says how long there is nothing more to do.
    async fn begin_due(
        &self,
        attempts: &mut JoinSet<()>,
        cut: &watch::Sender<bool>,
    ) -> Result<Duration, StoreError> {
        let Courier { jobs, limits, .. } = &*self.courier;
        let room = limits.in_flight.saturating_sub(attempts.len());
        if room == 0 {
            return Ok(limits.idle);
        }
        let kind = JobKind::Delivery;
        // A claim whose answer comes too late may have been made all the same. Nobody knows of its leases then: what is
        // under them comes back when they have run out.
        let claimed = jobs.lease_due(kind, clock::now(), room, limits.lease);
        let claimed = within(limits.store_timeout, claimed).await?;
        let found = claimed.len();
        for leased in claimed {
            attempts.spawn(Arc::clone(&self.courier).carry(leased, cut.subscribe()));
        }
        if found >= room {
            return Ok(Duration::ZERO);
        }
        let next = within(limits.store_timeout, jobs.next_due(kind)).await?;
        let pause = next.map_or(limits.idle, |due_at| due_at.since(clock::now()));
        Ok(pause.max(SHORTEST_PAUSE).min(limits.idle))
    }

    fn backoff(&self, failures: u32) -> Duration {
        let longest = self.courier.limits.idle;
        let pause = BACKOFF.saturating_mul(2u32.saturating_pow(failures));
        // Somewhere in the upper half, so that instances do not come back together.
        pause
            .min(longest)
            .mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }

    async fn drain(&self, mut attempts: JoinSet<()>, cut: &watch::Sender<bool>) {
        let limits = &self.courier.limits;
        if timeout(limits.drain, ended(&mut attempts)).await.is_ok() {
            return;
        }
        tracing::info!(
            attempts = attempts.len(),
            "deliveries under way are put back"
        );
        cut.send_replace(true);
        if timeout(limits.store_timeout, ended(&mut attempts))
            .await
            .is_err()
        {
            tracing::warn!(
                attempts = attempts.len(),
                "deliveries will come back when their leases have run out"
            );
        }
    }
}

async fn ended(attempts: &mut JoinSet<()>) {
    while let Some(ended) = attempts.join_next().await {
        report_panic(ended);
    }
}

/// A panic costs one attempt: its lease runs out and it is tried again.
fn report_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a delivery's attempt broke off");
    }
}

/// A store that does not answer is one that is not available.
async fn within<T>(
    limit: Duration,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(limit, question).await.unwrap_or_else(|_| {
        Err(StoreError::Unavailable(format!(
            "no answer within {limit:?}"
        )))
    })
}
