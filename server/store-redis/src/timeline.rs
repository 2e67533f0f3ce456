//! The record of what happened to a payment, for people: a list of short lines, each `<letter> <at> …`.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{JobKind, PaymentId, Source, Timestamp, Verdict, Version, WatchTransport};
use chasqui_redis_topology::Partition;
use chasqui_store::{
    JobAttempt, LeasedJob, StoreError, Timeline, TimelineEntry, TimelineEvent, VISITS_LIMIT, Visit,
};

use super::redis_store::{RedisStore, ms};
use super::{keys, replies, scripts};

/// The letter of an attempt. Kind, number, duration in ms and result follow.
const ATTEMPTED: &str = "a";

/// The letters of visits. The transport follows `watched`, the version `seen`.
const RETURNED: &str = "r";
const WATCHED: &str = "w";
const SEEN: &str = "s";

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

    async fn record_visit(
        &self,
        id: &PaymentId,
        visit: Visit,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let at = at.unix_ms();
        let (count, limit, entry) = match visit {
            Visit::Returned => (
                "returns".to_owned(),
                VISITS_LIMIT,
                format!("{RETURNED} {at}"),
            ),
            Visit::Watched(transport) => (
                "watches".to_owned(),
                VISITS_LIMIT,
                format!("{WATCHED} {at} {}", transport.as_str()),
            ),
            Visit::Seen(version) => (
                format!("seen:{version}"),
                1,
                format!("{SEEN} {at} {version}"),
            ),
        };
        let call = scripts::RECORD_VISIT
            .call()
            .key(keys::payment(id))
            .key(keys::timeline(id))
            .arg(count)
            .arg(limit)
            .arg(entry);
        self.run(Partition::of(id.as_str()), &call).await
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
            RETURNED => TimelineEvent::Visited(Visit::Returned),
            WATCHED => TimelineEvent::Visited(Visit::Watched(WatchTransport::parse(rest)?)),
            SEEN => TimelineEvent::Visited(Visit::Seen(Version::from_number(rest.parse().ok()?)?)),
            keys::ENTRY_REDELIVERED => TimelineEvent::Redelivered,
            keys::ENTRY_ERASED => TimelineEvent::Erased,
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
