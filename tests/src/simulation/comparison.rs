//! The end of a simulation: every payment, page and shop compared with the sandbox.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;

use super::expected_status::Truth;
use super::payer::{Story, World};
use super::report::{Finding, Kind, Report};
use super::shops::Told;
use super::system::LONGEST_ABSENCE;
use crate::deadline::within;

/// Calls at once in the end.
const COMPARED_AT_ONCE: usize = 64;

/// A killed gateway's deliveries belong to it for so long; its heirs look no more seldom than every five seconds, and an
/// attempt may fail once more.
const LEASE: Duration = Duration::from_secs(60);
const AFTER_LEASE: Duration = Duration::from_secs(12);

/// A confirmation that was found by asking is delivered only so much later, because its notification would be better.
const GRACE: Duration = Duration::from_secs(10);

/// Everything must be right so long after the trouble ends and the last lease has run out.
const REST: Duration = Duration::from_secs(60);

/// Between two looks at what is not right yet.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A gateway that is killed this soon after a shop's 200 may not have recorded it, and delivers once more.
const UNRECORDED: Duration = Duration::from_secs(5);

/// Khipu rests, and all trouble is over.
pub(super) struct End<'a> {
    world: &'a World,
    stories: HashMap<String, Story>,
    kills: &'a [Instant],
    /// When the trouble ended, or the last lease of a gateway that was killed, whichever is later.
    calm_at: Instant,
    /// Of every payment at Khipu, those that were abandoned included.
    truths: Vec<Truth>,
}

impl<'a> End<'a> {
    pub(super) async fn of(world: &'a World, stories: Vec<Story>, kills: &'a [Instant]) -> Self {
        let truths = serde_json::from_slice(&world.sandbox.list().await.body);
        let by_id = |story: Story| (story.payment.id.clone(), story);
        let leased_until = kills.last().map(|&killed_at| killed_at + LEASE);
        let graced_until = Instant::now() + GRACE;
        Self {
            world,
            stories: stories.into_iter().map(by_id).collect(),
            kills,
            calm_at: leased_until.map_or(graced_until, |until| until.max(graced_until))
                + AFTER_LEASE,
            truths: truths.expect("payments as the sandbox lists them"),
        }
    }

    pub(super) async fn compare(self) -> Report {
        let mut report = Report {
            payments: self.stories.len(),
            abandoned: self.truths.len().saturating_sub(self.stories.len()),
            ..Report::default()
        };
        let mut open: Vec<&Truth> = self.truths.iter().collect();
        let first_look = self.not_yet(&open, true).await;
        report.learnt_by_visit = first_look.iter().filter(|(_, what)| what.is_some()).count();
        open = first_look.into_iter().map(|(truth, _)| truth).collect();
        while !open.is_empty() && Instant::now() < self.calm_at + REST {
            tokio::time::sleep(LOOK_AGAIN).await;
            let left = self.not_yet(&open, false).await;
            open = left.into_iter().map(|(truth, _)| truth).collect();
        }
        // What is delivered twice comes twice by then.
        tokio::time::sleep_until(self.calm_at.into()).await;
        self.judge(&mut report).await;
        self.count(&mut report).await;
        report
    }

    /// Those of which not everybody says what Khipu says; with the status where that is the reason.
    async fn not_yet<'t>(
        &self,
        truths: &[&'t Truth],
        is_first: bool,
    ) -> Vec<(&'t Truth, Option<Value>)> {
        stream::iter(truths.to_vec())
            .map(async |truth| {
                let status = self.visit(truth, is_first).await;
                let is_told = truth.is_told_by(&status, Timestamp::now());
                let is_over = is_told && self.is_delivered(truth) && self.is_shown(truth);
                (!is_over).then_some((truth, (!is_told).then_some(status)))
            })
            .buffer_unordered(COMPARED_AT_ONCE)
            .filter_map(async |left| left)
            .collect()
            .await
    }

    /// Asks for the status, of which the gateway takes occasion to ask Khipu.
    async fn visit(&self, truth: &Truth, is_first: bool) -> Value {
        let story = self.stories.get(&truth.payment_id);
        if truth.is_reversed() && !is_first {
            // Money that went back is looked for seldom once a payment is confirmed, but a shop that reads the payment
            // has it looked for at once.
            let path = format!("/v3/payments/{}", truth.payment_id);
            self.world.api.get(&path).await.expect(200);
        }
        match story {
            Some(story) if story.plan.number.is_multiple_of(2) => {
                self.world.status_on_page(&story.payment).await
            }
            _ => self.world.status(&truth.payment_id).await,
        }
    }

    fn is_delivered(&self, truth: &Truth) -> bool {
        !truth.is_paid(Timestamp::now())
            || self.world.shops.told_of(&truth.payment_id).is_accepted()
    }

    fn is_shown(&self, truth: &Truth) -> bool {
        let story = self.stories.get(&truth.payment_id);
        let page = story.and_then(|story| story.page.as_ref());
        page.is_none_or(|page| truth.is_shown_by(&page.shown().status, Timestamp::now()))
    }

    /// Everything, once more, and for good.
    async fn judge(&self, report: &mut Report) {
        let statuses: Vec<(&Truth, Value)> = stream::iter(&self.truths)
            .map(async |truth| (truth, self.world.status(&truth.payment_id).await))
            .buffer_unordered(COMPARED_AT_ONCE)
            .collect()
            .await;
        for (truth, status) in statuses {
            let mut of_payment = Vec::new();
            self.judge_payment(truth, &status, &mut of_payment);
            let story = self.stories.get(&truth.payment_id);
            for (kind, what) in of_payment {
                let story = story.map(|story| &story.plan);
                let what = format!(
                    "{}: {what}; {status}; {truth:?}; {story:?}",
                    truth.payment_id
                );
                report.findings.push(Finding { kind, what });
            }
        }
        let known: HashSet<&str> = self.truths.iter().map(|truth| &*truth.payment_id).collect();
        let unknown = self.world.shops.payments().into_iter();
        let unknown = unknown.filter(|id| !known.contains(&**id));
        for what in unknown.chain(self.world.shops.strange()) {
            let what = format!("a shop was told of {what}");
            report.findings.push(Finding {
                kind: Kind::Wrong,
                what,
            });
        }
    }

    fn judge_payment(&self, truth: &Truth, status: &Value, findings: &mut Vec<(Kind, String)>) {
        let now = Timestamp::now();
        let mut wrong = |what: String| findings.push((Kind::Wrong, what));
        if !truth.is_told_by(status, now) {
            wrong(format!("the status is not {}", truth.word(now)));
        }
        if let Some(story) = self.stories.get(&truth.payment_id) {
            story.faults.iter().cloned().for_each(&mut wrong);
            let open = story.page.as_ref().map(|page| page.shown());
            for shown in story.closed.iter().chain(&open) {
                shown.faults.iter().cloned().for_each(&mut wrong);
                if let Some(at) = shown.confirmed_at
                    && story.paid_at.is_none_or(|paid_at| at < paid_at)
                {
                    wrong("a page was told that it is confirmed before it was".into());
                }
            }
            if let (Some(page), Some(shown)) = (&story.page, &open) {
                if !truth.is_shown_by(&shown.status, now) {
                    wrong(format!("a page shows {}", shown.word()));
                }
                if !page.is_open() && !shown.is_final() {
                    wrong(format!("a page stopped at {}", shown.word()));
                }
            }
        }
        let told = self.world.shops.told_of(&truth.payment_id);
        self.judge_deliveries(truth, &told, findings);
    }

    fn judge_deliveries(&self, truth: &Truth, told: &Told, findings: &mut Vec<(Kind, String)>) {
        let now = Timestamp::now();
        if truth.is_paid(now) && !told.is_accepted() {
            findings.push((Kind::Lost, "no shop has it".into()));
        }
        if !truth.was_paid(now) && !told.deliveries.is_empty() {
            findings.push((Kind::Wrong, "a shop was told that it is paid".into()));
        }
        let webhook_ids: HashSet<&str> = told
            .deliveries
            .iter()
            .map(|delivery| &*delivery.webhook_id)
            .collect();
        if webhook_ids.len() > 1 {
            findings.push((
                Kind::Twice,
                format!("it has two webhook-ids: {webhook_ids:?}"),
            ));
        }
        let shop = self
            .stories
            .get(&truth.payment_id)
            .map(|story| story.plan.shop);
        for delivery in &told.deliveries {
            if shop != Some(delivery.shop) {
                findings.push((Kind::Wrong, format!("shop {} was told", delivery.shop)));
            }
            if !delivery.is_signed {
                findings.push((
                    Kind::Wrong,
                    "a delivery is not signed as Khipu signs".into(),
                ));
            }
            // The last answer ends it; each before it must have been lost with a gateway.
            let needless = delivery.accepted.iter().rev().skip(1);
            let needless = needless.filter(|&&at| !self.was_killed_after(at)).count();
            if needless > 0 {
                findings.push((
                    Kind::Twice,
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
            self.world.sandbox.notification_counts(),
        )
        .await;
        let count = |name: &str| counts[name].as_u64().unwrap_or_default();
        report.attempts = count("attempts");
        report.dropped = count("dropped");
        report.duplicated = count("duplicated");
        report.corrupted = count("corrupted");
        for story in self.stories.values() {
            report.unnotified += usize::from(story.plan.is_unnotified());
            report.forged += story.plan.forgeries();
            report.open_pages += usize::from(story.page.is_some());
            let told = self.world.shops.told_of(&story.payment.id);
            for delivery in &told.deliveries {
                report.deliveries += 1;
                report.repeated += delivery.attempts - 1;
            }
        }
    }
}
