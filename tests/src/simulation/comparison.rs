//! The end of a simulation: every payment, page and shop compared with the sandbox.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;

use super::expected_status::ExpectedStatus;
use super::payer::{Environment, PaymentHistory};
use super::report::{Finding, FindingKind, Report};
use super::shops::ReceivedDeliveries;
use super::system::LONGEST_ABSENCE;
use crate::deadline::within;

/// Payments compared at once.
const COMPARED_AT_ONCE: usize = 64;

/// A killed gateway's leases last this long. Other gateways look for due jobs at least every five seconds, and an attempt may
/// fail once more.
const LEASE: Duration = Duration::from_secs(60);
const AFTER_LEASE: Duration = Duration::from_secs(12);

/// A confirmation that a poll found is delivered this much later, so that its notification can come first.
const GRACE: Duration = Duration::from_secs(10);

/// All statuses must match this long after the failures end and the last lease expires.
const REST: Duration = Duration::from_secs(60);

/// Between two comparisons.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A gateway that is killed this soon after a shop's 200 may not have recorded it, and delivers once more.
const UNRECORDED: Duration = Duration::from_secs(5);

/// Made when the failures are over and no payment changes any more.
pub(super) struct Comparison<'a> {
    environment: &'a Environment,
    histories: HashMap<String, PaymentHistory>,
    kills: &'a [Instant],
    /// When the failures ended, or when the last lease of a killed gateway expired if that is later.
    settled_at: Instant,
    /// Of every payment at Khipu, those that were abandoned included.
    expected: Vec<ExpectedStatus>,
}

impl<'a> Comparison<'a> {
    pub(super) async fn of(
        environment: &'a Environment,
        histories: Vec<PaymentHistory>,
        kills: &'a [Instant],
    ) -> Self {
        let expected = serde_json::from_slice(&environment.sandbox.list().await.body);
        let by_id = |history: PaymentHistory| (history.payment.id.clone(), history);
        let leased_until = kills.last().map(|&killed_at| killed_at + LEASE);
        let graced_until = Instant::now() + GRACE;
        Self {
            environment,
            histories: histories.into_iter().map(by_id).collect(),
            kills,
            settled_at: leased_until.map_or(graced_until, |until| until.max(graced_until))
                + AFTER_LEASE,
            expected: expected.expect("payments as the sandbox lists them"),
        }
    }

    pub(super) async fn compare(self) -> Report {
        let mut report = Report {
            payments: self.histories.len(),
            abandoned: self.expected.len().saturating_sub(self.histories.len()),
            ..Report::default()
        };
        let mut open: Vec<&ExpectedStatus> = self.expected.iter().collect();
        let first_look = self.mismatches(&open, true).await;
        report.learnt_by_visit = first_look.iter().filter(|(_, what)| what.is_some()).count();
        open = first_look
            .into_iter()
            .map(|(expected, _)| expected)
            .collect();
        while !open.is_empty() && Instant::now() < self.settled_at + REST {
            tokio::time::sleep(LOOK_AGAIN).await;
            let left = self.mismatches(&open, false).await;
            open = left.into_iter().map(|(expected, _)| expected).collect();
        }
        // What is delivered twice comes twice by then.
        tokio::time::sleep_until(self.settled_at.into()).await;
        self.check(&mut report).await;
        self.count(&mut report).await;
        report
    }

    /// Payments that the gateway, the shop or the page does not show as Khipu does; with the status if the gateway is wrong.
    async fn mismatches<'t>(
        &self,
        expected: &[&'t ExpectedStatus],
        is_first: bool,
    ) -> Vec<(&'t ExpectedStatus, Option<Value>)> {
        stream::iter(expected.to_vec())
            .map(async |expected| {
                let status = self.visit(expected, is_first).await;
                let is_reported = expected.matches(&status, Timestamp::now());
                let is_over = is_reported && self.is_delivered(expected) && self.is_shown(expected);
                (!is_over).then_some((expected, (!is_reported).then_some(status)))
            })
            .buffer_unordered(COMPARED_AT_ONCE)
            .filter_map(async |left| left)
            .collect()
            .await
    }

    /// Reads the status, which makes the gateway poll Khipu.
    async fn visit(&self, expected: &ExpectedStatus, is_first: bool) -> Value {
        let history = self.histories.get(&expected.payment_id);
        if expected.is_reversed() && !is_first {
            // A confirmed payment is rarely checked for a reversal, but reading it through the facade polls Khipu at once.
            let path = format!("/v3/payments/{}", expected.payment_id);
            self.environment.api.get(&path).await.expect(200);
        }
        match history {
            Some(history) if history.plan.number.is_multiple_of(2) => {
                self.environment.status_on_page(&history.payment).await
            }
            _ => self.environment.status(&expected.payment_id).await,
        }
    }

    fn is_delivered(&self, expected: &ExpectedStatus) -> bool {
        !expected.is_paid(Timestamp::now())
            || self
                .environment
                .shops
                .deliveries_of(&expected.payment_id)
                .is_accepted()
    }

    fn is_shown(&self, expected: &ExpectedStatus) -> bool {
        let history = self.histories.get(&expected.payment_id);
        let page = history.and_then(|history| history.page.as_ref());
        page.is_none_or(|page| expected.matches_page(&page.shown().status, Timestamp::now()))
    }

    /// Compares everything once more and records the findings.
    async fn check(&self, report: &mut Report) {
        let statuses: Vec<(&ExpectedStatus, Value)> = stream::iter(&self.expected)
            .map(async |expected| {
                (
                    expected,
                    self.environment.status(&expected.payment_id).await,
                )
            })
            .buffer_unordered(COMPARED_AT_ONCE)
            .collect()
            .await;
        for (expected, status) in statuses {
            let mut of_payment = Vec::new();
            self.check_payment(expected, &status, &mut of_payment);
            let history = self.histories.get(&expected.payment_id);
            for (kind, what) in of_payment {
                let history = history.map(|history| &history.plan);
                let what = format!(
                    "{}: {what}; {status}; {expected:?}; {history:?}",
                    expected.payment_id
                );
                report.findings.push(Finding { kind, what });
            }
        }
        let known: HashSet<&str> = self
            .expected
            .iter()
            .map(|expected| &*expected.payment_id)
            .collect();
        let unknown = self.environment.shops.payments().into_iter();
        let unknown = unknown.filter(|id| !known.contains(&**id));
        for what in unknown.chain(self.environment.shops.unreadable()) {
            let what = format!("a shop received {what}");
            report.findings.push(Finding {
                kind: FindingKind::Wrong,
                what,
            });
        }
    }

    fn check_payment(
        &self,
        expected: &ExpectedStatus,
        status: &Value,
        findings: &mut Vec<(FindingKind, String)>,
    ) {
        let now = Timestamp::now();
        let mut wrong = |what: String| findings.push((FindingKind::Wrong, what));
        if !expected.matches(status, now) {
            wrong(format!("the status is not {}", expected.status_at(now)));
        }
        if let Some(history) = self.histories.get(&expected.payment_id) {
            history.faults.iter().cloned().for_each(&mut wrong);
            let open = history.page.as_ref().map(|page| page.shown());
            for shown in history.closed.iter().chain(&open) {
                shown.faults.iter().cloned().for_each(&mut wrong);
                if let Some(at) = shown.confirmed_at
                    && history.paid_at.is_none_or(|paid_at| at < paid_at)
                {
                    wrong("a page showed confirmed before the payment was".into());
                }
            }
            if let (Some(page), Some(shown)) = (&history.page, &open) {
                if !expected.matches_page(&shown.status, now) {
                    wrong(format!("a page shows {}", shown.word()));
                }
                if !page.is_open() && !shown.is_final() {
                    wrong(format!("a page stopped at {}", shown.word()));
                }
            }
        }
        let received = self.environment.shops.deliveries_of(&expected.payment_id);
        self.check_deliveries(expected, &received, findings);
    }

    fn check_deliveries(
        &self,
        expected: &ExpectedStatus,
        received: &ReceivedDeliveries,
        findings: &mut Vec<(FindingKind, String)>,
    ) {
        let now = Timestamp::now();
        if expected.is_paid(now) && !received.is_accepted() {
            findings.push((FindingKind::Lost, "no shop has it".into()));
        }
        if !expected.was_paid(now) && !received.deliveries.is_empty() {
            findings.push((
                FindingKind::Wrong,
                "a shop received a delivery of an unpaid payment".into(),
            ));
        }
        let webhook_ids: HashSet<&str> = received
            .deliveries
            .iter()
            .map(|delivery| &*delivery.webhook_id)
            .collect();
        if webhook_ids.len() > 1 {
            findings.push((
                FindingKind::Duplicate,
                format!("it has two webhook-ids: {webhook_ids:?}"),
            ));
        }
        let shop = self
            .histories
            .get(&expected.payment_id)
            .map(|history| history.plan.shop);
        for delivery in &received.deliveries {
            if shop != Some(delivery.shop) {
                findings.push((
                    FindingKind::Wrong,
                    format!("shop {} received the delivery", delivery.shop),
                ));
            }
            if !delivery.is_signed {
                findings.push((
                    FindingKind::Wrong,
                    "a delivery is not signed as Khipu signs".into(),
                ));
            }
            // The last answer ends it; each before it must have been lost with a gateway.
            let needless = delivery.accepted.iter().rev().skip(1);
            let needless = needless.filter(|&&at| !self.was_killed_after(at)).count();
            if needless > 0 {
                findings.push((
                    FindingKind::Duplicate,
                    format!("it was taken, and came {needless} times more"),
                ));
            }
        }
    }

    fn was_killed_after(&self, at: Instant) -> bool {
        self.kills
            .iter()
            .any(|&killed_at| killed_at + LONGEST_ABSENCE >= at && killed_at <= at + UNRECORDED)
    }

    async fn count(&self, report: &mut Report) {
        let counts = within(
            "the sandbox counts",
            self.environment.sandbox.notification_counts(),
        )
        .await;
        let count = |name: &str| counts[name].as_u64().unwrap_or_default();
        report.attempts = count("attempts");
        report.dropped = count("dropped");
        report.duplicated = count("duplicated");
        report.corrupted = count("corrupted");
        for history in self.histories.values() {
            report.unnotified += usize::from(history.plan.is_unnotified());
            report.forged += history.plan.forgeries();
            report.open_pages += usize::from(history.page.is_some());
            let received = self.environment.shops.deliveries_of(&history.payment.id);
            for delivery in &received.deliveries {
                report.deliveries += 1;
                report.repeated += delivery.attempts - 1;
            }
        }
    }
}
