//! The record of what happened to a payment.

use std::time::Duration;

use async_trait::async_trait;
use chasqui_payment::{Observation, PaymentId, Timestamp, Version};
use chasqui_store::{
    JobAttempt, LeasedJob, StoreError, TIMELINE_LIMIT, Timeline, TimelineEntry, TimelineEvent,
    VISITS_LIMIT, Visit,
};
use rusqlite::Row;
use rusqlite::types::FromSqlError;

use super::columns::{RowExt, damaged};
use super::error::DatabaseError;
use super::sqlite_store::SqliteStore;
use super::statement_cache::StatementCache;

/// Records a payment's creation once. Returns whether this was the first time.
pub(super) fn record_created(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    at: Timestamp,
) -> Result<bool, DatabaseError> {
    let recorded = statements.execute(
        "INSERT INTO record (payment_id, at, event) SELECT ?1, ?2, 'created'
             WHERE NOT EXISTS (SELECT 1 FROM record WHERE payment_id = ?1 AND event = 'created')",
        (id.as_str(), at.unix_ms()),
    )?;
    Ok(recorded > 0)
}

pub(super) fn record_observed(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    observation: &Observation,
    version: Version,
    accepted: bool,
) -> Result<(), DatabaseError> {
    statements.execute(
        "INSERT INTO record (payment_id, at, event, source, status, accepted)
             VALUES (?1, ?2, 'observed', ?3, ?4, ?5)",
        (
            id.as_str(),
            observation.at.unix_ms(),
            observation.source.as_str(),
            version.number(),
            accepted,
        ),
    )?;
    Ok(())
}

/// Verdict and copies stay in the notification's own row, so that the timeline shows their current values.
pub(super) fn record_notified(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    at: Timestamp,
    notification: i64,
) -> Result<(), DatabaseError> {
    statements.execute(
        "INSERT INTO record (payment_id, at, event, notification_id)
             VALUES (?1, ?2, 'notified', ?3)",
        (id.as_str(), at.unix_ms(), notification),
    )?;
    Ok(())
}

pub(super) fn record_attempt(
    statements: &mut StatementCache<'_>,
    leased: &LeasedJob,
    attempt: &JobAttempt,
) -> Result<(), DatabaseError> {
    let duration_ms = u32::try_from(attempt.duration.as_millis()).unwrap_or(u32::MAX);
    statements.execute(
        "INSERT INTO record (payment_id, at, event, kind, number, result, duration_ms)
             SELECT id, ?2, 'attempted', ?3, ?4, ?5, ?6 FROM payment WHERE id = ?1",
        (
            leased.payment_id.as_str(),
            attempt.at.unix_ms(),
            leased.kind.as_str(),
            leased.attempts.saturating_add(1),
            &attempt.result,
            duration_ms,
        ),
    )?;
    Ok(())
}

pub(super) const REDELIVERED: &str = "redelivered";
pub(super) const ERASED: &str = "erased";

/// Whether the event has been recorded.
pub(super) fn has(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    event: &str,
) -> Result<bool, DatabaseError> {
    let has = statements
        .prepare("SELECT EXISTS (SELECT 1 FROM record WHERE payment_id = ?1 AND event = ?2)")?
        .query_row((id.as_str(), event), |row| row.get(0))?;
    Ok(has)
}

/// Records an event that has no columns of its own.
pub(super) fn record_plain(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    at: Timestamp,
    event: &str,
) -> Result<(), DatabaseError> {
    statements.execute(
        "INSERT INTO record (payment_id, at, event) VALUES (?1, ?2, ?3)",
        (id.as_str(), at.unix_ms(), event),
    )?;
    Ok(())
}

#[async_trait]
impl Timeline for SqliteStore {
    async fn timeline(&self, id: &PaymentId) -> Result<Vec<TimelineEntry>, StoreError> {
        let id = id.clone();
        self.read(move |statements| read(statements, &id)).await
    }

    async fn record_visit(
        &self,
        id: &PaymentId,
        visit: Visit,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let id = id.clone();
        self.write(move |statements| record_visit(statements, &id, visit, at))
            .await
    }
}

fn record_visit(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    visit: Visit,
    at: Timestamp,
) -> Result<bool, DatabaseError> {
    let (event, version, transport, limit) = match visit {
        Visit::Returned => ("returned", None, None, VISITS_LIMIT),
        Visit::Watched(transport) => ("watched", None, Some(transport.as_str()), VISITS_LIMIT),
        Visit::Seen(version) => ("seen", Some(version.number()), None, 1),
    };
    let recorded = statements.execute(
        "INSERT INTO record (payment_id, at, event, status, transport)
         SELECT id, ?2, ?3, ?4, ?5 FROM payment WHERE id = ?1
         AND (SELECT count(*) FROM record
              WHERE payment_id = ?1 AND event = ?3 AND status IS ?4) < ?6
         AND (SELECT count(*) FROM record WHERE payment_id = ?1) < ?7",
        (
            id.as_str(),
            at.unix_ms(),
            event,
            version,
            transport,
            i64::try_from(limit).unwrap_or(i64::MAX),
            i64::try_from(TIMELINE_LIMIT).unwrap_or(i64::MAX),
        ),
    )?;
    Ok(recorded > 0)
}

fn read(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
) -> Result<Vec<TimelineEntry>, DatabaseError> {
    let limit = i64::try_from(TIMELINE_LIMIT).unwrap_or(i64::MAX);
    let entries = statements
        .prepare(
            "SELECT record.id, record.at, event, source, status, accepted, verdict, copies, kind,
                    number, result, duration_ms, transport
             FROM record LEFT JOIN notification ON notification.id = notification_id
             WHERE record.payment_id = ?1 ORDER BY record.at, record.id LIMIT ?2",
        )?
        .query_map((id.as_str(), limit), |row| {
            let record: i64 = row.get("id")?;
            from_row(row).map_err(|error| {
                FromSqlError::Other(format!("record {record} cannot be read: {error}").into())
                    .into()
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(entries)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<TimelineEntry> {
    let event: String = row.get("event")?;
    let event = match event.as_str() {
        "created" => TimelineEvent::Created,
        "observed" => TimelineEvent::Observed {
            source: row.value("source")?,
            version: row.value("status")?,
            accepted: row.get("accepted")?,
        },
        "notified" => TimelineEvent::Notified {
            verdict: row.value("verdict")?,
            copies: row.get("copies")?,
        },
        "attempted" => TimelineEvent::Attempted {
            kind: row.value("kind")?,
            number: row.get("number")?,
            result: row.get("result")?,
            duration: Duration::from_millis(row.get::<_, u32>("duration_ms")?.into()),
        },
        "returned" => TimelineEvent::Visited(Visit::Returned),
        "watched" => TimelineEvent::Visited(Visit::Watched(row.value("transport")?)),
        "seen" => TimelineEvent::Visited(Visit::Seen(row.value("status")?)),
        REDELIVERED => TimelineEvent::Redelivered,
        ERASED => TimelineEvent::Erased,
        _ => return Err(damaged("TimelineEvent").into()),
    };
    Ok(TimelineEntry {
        at: row.value("at")?,
        event,
    })
}
