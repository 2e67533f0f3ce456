//! One attempt to send a merchant something: timed, logged, counted, and turned into the end of its job.

use std::time::Duration;

use chasqui_payment::{JobKind, Timestamp};
use chasqui_store::{JobAttempt, JobResult, LeasedJob};
use tokio::time::Instant;
use url::Url;

use super::attempt_outcome::AttemptOutcome;
use super::retry_schedule;
use super::worker::JobEnd;
use crate::clock;

/// An attempt, with the labels of its logs and metrics.
pub(super) struct Attempt<'p> {
    kind: JobKind,
    account: &'p str,
    /// The only part of the URL that is logged: paths and queries can hold secrets.
    host: String,
    at: Timestamp,
    began: Instant,
}

impl<'p> Attempt<'p> {
    pub(super) fn begin(kind: JobKind, account: &'p str, url: Option<&str>) -> Self {
        let url = url.and_then(|url| Url::parse(url).ok());
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        Self {
            kind,
            account,
            host: host.to_owned(),
            at: clock::now(),
            began: Instant::now(),
        }
    }

    pub(super) fn end(self, job: &LeasedJob, outcome: &AttemptOutcome) -> JobEnd {
        let duration = self.began.elapsed();
        let number = job.attempts.saturating_add(1);
        let result = retry_schedule::after_attempt(number, outcome, clock::now(), rand::random());
        self.report(job, outcome, result, duration);
        // A query for the content can fail for days and does not concern the merchant.
        let is_omitted = matches!(
            (outcome, result),
            (
                AttemptOutcome::ContentUnavailable { .. },
                JobResult::PutBack { .. }
            )
        );
        let attempt = (!is_omitted).then(|| JobAttempt {
            at: self.at,
            duration,
            result: outcome.to_string(),
        });
        JobEnd { result, attempt }
    }

    fn report(
        &self,
        job: &LeasedJob,
        outcome: &AttemptOutcome,
        job_result: JobResult,
        duration: Duration,
    ) {
        let Self { account, host, .. } = self;
        let (attempts, durations, given_up) = metric_names(self.kind);
        let kind = self.kind.as_str();
        metrics::counter!(attempts, "account" => (*account).to_owned(), "result" => outcome.as_str()).increment(1);
        metrics::histogram!(durations, "account" => (*account).to_owned())
            .record(duration.as_secs_f64());

        let payment_id = job.payment_id.as_str();
        let attempt = job.attempts.saturating_add(1);
        let result = outcome.to_string();
        let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match job_result {
            JobResult::Done if matches!(outcome, AttemptOutcome::Unneeded(_)) => {
                tracing::info!(payment_id, account, kind, result, "no delivery is needed");
            }
            JobResult::Done => {
                tracing::info!(
                    payment_id,
                    account,
                    kind,
                    host,
                    attempt,
                    duration_ms,
                    result,
                    "delivered"
                );
            }
            JobResult::Retry { due_at } | JobResult::PutBack { due_at } => {
                tracing::warn!(payment_id, account, kind, host, attempt, duration_ms, result, %due_at, "not delivered yet");
            }
            JobResult::Dead => {
                metrics::counter!(given_up, "account" => (*account).to_owned()).increment(1);
                tracing::warn!(
                    payment_id,
                    account,
                    kind,
                    host,
                    attempt,
                    duration_ms,
                    result,
                    "not delivered after the last attempt; tell the merchant, or let it read the status"
                );
            }
        }
    }
}

/// The metrics of attempts, of their durations, and of jobs that were given up.
const fn metric_names(kind: JobKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        JobKind::Events => (
            "chasqui_events_total",
            "chasqui_event_duration_seconds",
            "chasqui_events_given_up_total",
        ),
        JobKind::Delivery | JobKind::Check => (
            "chasqui_deliveries_total",
            "chasqui_delivery_duration_seconds",
            "chasqui_dead_letters_total",
        ),
    }
}
