//! The record of what happened to a payment, for people: a list of short lines, each `<letter> <at> …`.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{JobKind, PaymentId, Source, Timestamp, Verdict, Version};
use chasqui_redis_topology::Partition;
use chasqui_store::{JobAttempt, LeasedJob, StoreError, Timeline, TimelineEntry, TimelineEvent};

use super::redis_store::{RedisStore, ms};
use super::{keys, replies, scripts};

/// The letter of an attempt. Kind, number, duration in ms and result follow.
const ATTEMPTED: &str = "a";

#[async_trait]
impl Timeline for RedisStore {
    async fn timeline(&self, id: &PaymentId) -> Result<Vec<TimelineEntry>, StoreError> {
        let call = scripts::TIMELINE
            .call()
            .key(keys::timeline(id))
            .key(keys::notified(id));
        let lines: Vec<String> = self.run(Partition::of(id.as_str()), &call).await?;
        let mut entries = lines
            .iter()
            .map(|line| parse(line).ok_or_else(|| replies::damaged("timeline's entry")))
            .collect::<Result<Vec<_>, _>>()?;
        // An attempt is recorded when it ends and shown where it began. Entries of one moment keep their order.
        entries.sort_by_key(|entry| entry.at);
        Ok(entries)
    }
}

/// What `finish_job.lua` records.
pub(super) fn attempted(leased: &LeasedJob, attempt: &JobAttempt) -> String {
    format!(
        "{ATTEMPTED} {} {} {} {} {}",
        attempt.at.unix_ms(),
        leased.kind.as_str(),
        leased.attempts.saturating_add(1),
        ms(attempt.duration),
        attempt.result
    )
}

fn parse(line: &str) -> Option<TimelineEntry> {
    let mut parts = line.splitn(3, ' ');
    let (letter, at) = (parts.next()?, parts.next()?);
    let rest = parts.next().unwrap_or_default();
    Some(TimelineEntry {
        at: Timestamp::from_unix_ms(at.parse().ok()?),
        event: match letter {
            keys::ENTRY_CREATED => TimelineEvent::Created,
            keys::ENTRY_OBSERVED => parse_observed(rest)?,
            keys::ENTRY_NOTIFIED => parse_notified(rest)?,
            ATTEMPTED => parse_attempted(rest)?,
            _ => return None,
        },
    })
}

fn parse_observed(rest: &str) -> Option<TimelineEvent> {
    let mut words = rest.split(' ');
    Some(TimelineEvent::Observed {
        source: Source::parse(words.next()?)?,
        version: Version::from_stored(words.next()?.parse().ok()?)?,
        accepted: words.next()? == "1",
    })
}

fn parse_notified(rest: &str) -> Option<TimelineEvent> {
    let (verdict, copies) = rest.split_once(' ')?;
    Some(TimelineEvent::Notified {
        verdict: Verdict::parse(verdict)?,
        copies: copies.parse().ok()?,
    })
}

fn parse_attempted(rest: &str) -> Option<TimelineEvent> {
    let mut words = rest.splitn(4, ' ');
    Some(TimelineEvent::Attempted {
        kind: JobKind::parse(words.next()?)?,
        number: words.next()?.parse().ok()?,
        duration: Duration::from_millis(words.next()?.parse().ok()?),
        result: words.next()?.to_owned(),
    })
}
