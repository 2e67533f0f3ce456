//! Khipu's notifications, each kept once however often it arrives.

use chasqui_payment::{Notification, PaymentId, Timestamp, Verdict};
use chasqui_store::StoredNotification;
use rusqlite::OptionalExtension;
use sha2::{Digest, Sha256};

use super::columns::RowExt;
use super::error::DatabaseError;
use super::statement_cache::StatementCache;
use super::timeline;

/// Returns whether its bytes are new. A copy is counted; the first copy that agrees brings its verdict and signature.
pub(super) fn save(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
    notification: &Notification,
    at: Timestamp,
) -> Result<bool, DatabaseError> {
    let digest: [u8; 32] = Sha256::digest(&notification.body).into();
    let known: Option<(i64, Verdict)> = statements
        .prepare("SELECT id, verdict FROM notification WHERE payment_id = ?1 AND digest = ?2")?
        .query_row((id.as_str(), digest), |row| {
            Ok((row.get(0)?, row.value(1)?))
        })
        .optional()?;
    let Some((row_id, verdict)) = known else {
        let row_id = statements
            .prepare(
                "INSERT INTO notification
                 (payment_id, digest, body, signature, verdict, received_at, copies)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)",
            )?
            .insert((
                id.as_str(),
                digest,
                notification.body.as_ref(),
                &notification.signature,
                notification.verdict.as_str(),
                at.unix_ms(),
            ))?;
        timeline::record_notified(statements, id, at, row_id)?;
        return Ok(true);
    };
    statements.execute(
        "UPDATE notification SET copies = copies + 1 WHERE id = ?1",
        [row_id],
    )?;
    if verdict != Verdict::Agrees && notification.verdict == Verdict::Agrees {
        statements.execute(
            "UPDATE notification SET verdict = ?2, signature = iif(erased, signature, ?3) WHERE id = ?1",
            (row_id, Verdict::Agrees.as_str(), &notification.signature),
        )?;
    }
    Ok(false)
}

/// Overwrites bytes and signatures. Returns of how many notifications.
pub(super) fn erase(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
) -> Result<usize, DatabaseError> {
    let erased = statements.execute(
        "UPDATE notification SET body = x'', signature = '', erased = 1
         WHERE payment_id = ?1 AND NOT erased",
        [id.as_str()],
    )?;
    Ok(erased)
}

/// The one to present to the merchant: one that agrees before the others, and the first of each.
pub(super) fn find(
    statements: &mut StatementCache<'_>,
    id: &PaymentId,
) -> Result<Option<StoredNotification>, DatabaseError> {
    let [agrees, stale, unknown] =
        [Verdict::Agrees, Verdict::Stale, Verdict::UnknownPayment].map(Verdict::as_str);
    let notification = statements
        .prepare(
            "SELECT body, signature, verdict, received_at FROM notification
             WHERE payment_id = ?1 AND NOT erased AND verdict IN (?2, ?3, ?4)
             ORDER BY verdict = ?2 DESC, id LIMIT 1",
        )?
        .query_row((id.as_str(), agrees, stale, unknown), |row| {
            Ok(StoredNotification {
                body: row.get::<_, Vec<u8>>(0)?.into(),
                signature: row.get(1)?,
                verdict: row.value(2)?,
                received_at: row.value(3)?,
            })
        })
        .optional()?;
    Ok(notification)
}
