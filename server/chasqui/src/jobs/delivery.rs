//! One job from claim to settlement: read what is to be sent, write the letter, post it, record what came of it.
//!
//! Sends only what was verified or what Khipu answered, and only of a payment that stands at confirmed. Never decides when
//! to run (see the module above) nor when to try again (see [`schedule`](super::schedule)).

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::merchant_client::{Class, Merchant, Tried};
use super::schedule;
use super::webhook_request::{Content, Letter};
use super::{Limits, Rebuild};
use crate::account::Account;
use crate::clock;
use crate::khipu::wire::NotificationBody;
use crate::payment::{AccountName, Payment, Status, Timestamp, Verdict};
use crate::store::{
    JobAttempt, JobQueue, JobResult, LeasedJob, PaymentReader, StoreError, StoredNotification,
};

/// First wait between two tries to record a settlement; doubles.
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Courier {
    pub(super) jobs: Arc<dyn JobQueue>,
    pub(super) payments: Arc<dyn PaymentReader>,
    pub(super) merchants: HashMap<AccountName, Merchant>,
    pub(super) rebuild: Rebuild,
    pub(super) limits: Limits,
    /// Something was put back: the agenda's next moment may be sooner than it was.
    pub(super) put_back: Notify,
}

/// What came of a job in our hands.
enum Carried {
    Tried(Report),
    /// Nothing was tried: its account has its share of attempts in flight.
    PutBack {
        due_at: Timestamp,
    },
}

/// An attempt that was made, with what the logs and metrics say of it.
struct Report {
    tried: Tried,
    at: Timestamp,
    duration: Duration,
    account: Option<AccountName>,
    host: Option<String>,
}

impl Courier {
    /// Makes one attempt and settles it. Once `cut` is true (or its sender gone) an attempt that is still under way is
    /// given up, and the job put back at once.
    pub(super) async fn carry(self: Arc<Self>, leased: LeasedJob, cut: watch::Receiver<bool>) {
        let lease_ends = Instant::now() + self.limits.lease;
        let report = match self.attempt(&leased, cut).await {
            Ok(Carried::Tried(report)) => report,
            Ok(Carried::PutBack { due_at }) => {
                let untried = JobResult::PutBack { due_at };
                self.finish(&leased, &untried, None, lease_ends).await;
                return;
            }
            // Nothing was tried, so no attempt is counted: the job comes back when its lease has run out.
            Err(error) => {
                tracing::warn!(payment_id = %leased.payment_id, %error, "a delivery waits for the store");
                return;
            }
        };
        let now = clock::now();
        let settlement = if report.tried.class == Class::Interrupted {
            // Our own stop says nothing about the merchant, so it uses up none of the attempts. It is recorded, under the
            // number that the next attempt has too: the merchant may have had it already.
            JobResult::PutBack { due_at: now }
        } else {
            let made = leased.attempts.saturating_add(1);
            schedule::after_attempt(made, report.tried.answer, now, rand::random::<f64>())
        };
        report.tell(&leased, &settlement);
        if report.tried.class == Class::NoContent && matches!(settlement, JobResult::PutBack { .. })
        {
            // Not one for the timeline: it may go on for days, and no merchant has heard of it.
            self.finish(&leased, &settlement, None, lease_ends).await;
            return;
        }
        let attempt = JobAttempt {
            at: report.at,
            duration: report.duration,
            result: report.tried.result,
        };
        self.finish(&leased, &settlement, Some(&attempt), lease_ends)
            .await;
    }

    async fn attempt(
        &self,
        leased: &LeasedJob,
        mut cut: watch::Receiver<bool>,
    ) -> Result<Carried, StoreError> {
        let Some(payment) = self
            .asked(self.payments.payment(&leased.payment_id))
            .await?
        else {
            let tried = Tried::stopped("not sent: the payment is not in the store");
            return Ok(Carried::Tried(Report::without_merchant(tried, None)));
        };
        let Some(merchant) = self.merchants.get(&payment.account) else {
            let result = format!("not sent: account {} is not configured", payment.account);
            let tried = Tried::not_now(Class::NotSent, result);
            let report = Report::without_merchant(tried, Some(payment.account));
            return Ok(Carried::Tried(report));
        };
        let Ok(_share) = merchant.share.try_acquire() else {
            let due_at = merchant.line_up();
            let account = payment.account.as_str();
            tracing::debug!(payment_id = %leased.payment_id, account, %due_at, "put back: its account has its share in flight");
            metrics::counter!("chasqui_deliveries_put_back_total", "account" => account.to_owned())
                .increment(1);
            return Ok(Carried::PutBack { due_at });
        };
        let (at, began) = (clock::now(), Instant::now());
        let url = payment
            .urls
            .notify_url
            .as_deref()
            .or(merchant.account.notify_url.as_deref());
        let tried = tokio::select! {
            biased;
            _ = cut.wait_for(|cut| *cut) => {
                Tried::not_now(Class::Interrupted, "interrupted: this instance stopped")
            }
            tried = self.tried(&payment, merchant, url) => tried?,
        };
        Ok(Carried::Tried(Report {
            tried,
            at,
            duration: began.elapsed(),
            host: url.and_then(host_of),
            account: Some(payment.account),
        }))
    }

    async fn tried(
        &self,
        payment: &Payment,
        merchant: &Merchant,
        url: Option<&str>,
    ) -> Result<Tried, StoreError> {
        // A letter in Khipu's form means "paid" to whoever reads it; money that went back is not paid.
        match payment.state.status() {
            Status::Confirmed => {}
            Status::Reversed => {
                return Ok(Tried::unneeded("not sent: the payment was reversed"));
            }
            other => {
                let result = format!("not sent: the payment is {}", other.as_str());
                return Ok(Tried::stopped(result));
            }
        }
        let Some(url) = url else {
            return Ok(Tried::unneeded(
                "no notify_url: neither the payment nor its account has one",
            ));
        };
        let kept = self.asked(self.payments.notification(&payment.id)).await?;
        let content = match kept.filter(|kept| agrees(kept, payment, &merchant.account)) {
            Some(kept) => Content::Notification(kept),
            None => match self.rebuilt(payment, merchant).await {
                Ok(content) => content,
                Err(why) => return Ok(Tried::without_content(payment.state.at, why)),
            },
        };
        let account = &merchant.account;
        let now = clock::now();
        Ok(match Letter::write(&payment.id, content, account, now) {
            Ok(letter) => merchant.post(url, letter, now).await,
            Err(unsigned) => Tried::not_now(Class::NotSent, format!("not sent: {unsigned}")),
        })
    }

    /// No notification of Khipu's can be passed on: its answer is asked for, in a notification's form.
    async fn rebuilt(&self, payment: &Payment, merchant: &Merchant) -> Result<Content, String> {
        let asked = (self.rebuild)(payment.id.clone(), Arc::clone(&merchant.account));
        match timeout(self.limits.rebuild_timeout, asked).await {
            Ok(Ok(body)) => Ok(Content::Answer(body)),
            Ok(Err(why)) => Err(format!("not sent: khipu was asked for its content: {why}")),
            Err(_) => Err("not sent: khipu did not answer what to send in time".to_owned()),
        }
    }

    /// Tries until it is recorded or the lease is over: a delivery that is not settled is made again.
    async fn finish(
        &self,
        leased: &LeasedJob,
        settlement: &JobResult,
        attempt: Option<&JobAttempt>,
        lease_ends: Instant,
    ) {
        let mut pause = SETTLE_PAUSE;
        loop {
            let settled = self.jobs.finish(leased, settlement, attempt);
            match self.asked(settled).await {
                Ok(true) => {
                    if !matches!(settlement, JobResult::Done | JobResult::Dead) {
                        self.put_back.notify_one();
                    }
                    return;
                }
                Ok(false) => {
                    tracing::warn!(payment_id = %leased.payment_id, "the lease was lost: another instance may deliver it again");
                    return;
                }
                Err(error) => {
                    tracing::warn!(payment_id = %leased.payment_id, %error, "a delivery cannot be settled yet");
                }
            }
            pause = pause.mul_f64(1.0 + rand::random::<f64>());
            if Instant::now() + pause >= lease_ends {
                tracing::error!(payment_id = %leased.payment_id, "a delivery was not settled: it will be made again");
                return;
            }
            sleep(pause).await;
        }
    }

    async fn asked<T>(
        &self,
        question: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        super::within(self.limits.store_timeout, question).await
    }
}

impl Report {
    fn without_merchant(tried: Tried, account: Option<AccountName>) -> Self {
        Self {
            tried,
            at: clock::now(),
            duration: Duration::ZERO,
            account,
            host: None,
        }
    }

    fn tell(&self, leased: &LeasedJob, settlement: &JobResult) {
        let account = self.account.as_ref().map_or("", AccountName::as_str);
        let class = self.tried.class.as_str();
        metrics::counter!("chasqui_deliveries_total", "account" => account.to_owned(), "result" => class).increment(1);
        metrics::histogram!("chasqui_delivery_duration_seconds", "account" => account.to_owned())
            .record(self.duration.as_secs_f64());

        let payment_id = leased.payment_id.as_str();
        let attempt = leased.attempts.saturating_add(1);
        let host = self.host.as_deref().unwrap_or_default();
        let result = self.tried.result.as_str();
        let duration_ms = u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX);
        match settlement {
            JobResult::Done if self.tried.class == Class::Unneeded => {
                tracing::info!(payment_id, account, result, "no delivery is needed");
            }
            JobResult::Done => {
                tracing::info!(
                    payment_id,
                    account,
                    host,
                    attempt,
                    duration_ms,
                    result,
                    "delivered"
                );
            }
            JobResult::Retry { due_at } | JobResult::PutBack { due_at } => {
                tracing::warn!(payment_id, account, host, attempt, duration_ms, result, %due_at, "not delivered yet");
            }
            JobResult::Dead => {
                metrics::counter!("chasqui_dead_letters_total", "account" => account.to_owned())
                    .increment(1);
                tracing::warn!(
                    payment_id,
                    account,
                    host,
                    attempt,
                    duration_ms,
                    result,
                    "not delivered, given up: redeliver it by hand"
                );
            }
        }
    }
}

impl Debug for Courier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Courier")
            .field("jobs", &self.jobs)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Whether a notification may be passed on. One that was not believed by itself has left it to Khipu's answer whether the
/// payment is paid; whether it speaks of the same money was not looked at, or could not be.
fn agrees(kept: &StoredNotification, payment: &Payment, account: &Account) -> bool {
    if kept.verdict == Verdict::Agrees {
        return true;
    }
    let (Some(terms), Ok(body)) = (&payment.terms, NotificationBody::parse(&kept.body)) else {
        return false;
    };
    body.verdict(terms, account.receiver_id) == Verdict::Agrees
}

/// All that a log shows of a URL: paths and queries can hold secrets.
fn host_of(url: &str) -> Option<String> {
    Url::parse(url).ok()?.host_str().map(str::to_owned)
}
