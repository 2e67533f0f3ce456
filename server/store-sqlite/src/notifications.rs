//! What Khipu sent, kept once however often it came.

use rusqlite::OptionalExtension;
use sha2::{Digest, Sha256};

use super::columns::RowExt;
use super::error::DatabaseError;
use super::statement_cache::StatementCache;
use super::timeline;
use chasqui_payment::{Notification, PaymentId, Timestamp, Verdict};
use chasqui_store::StoredNotification;

/// Whether its bytes are new. A copy is counted; the first one that agrees makes it agree, by its own signature.
pub(super) fn keep(
    db: &mut StatementCache<'_>,
    id: &PaymentId,
    notification: &Notification,
    at: Timestamp,
) -> Result<bool, DatabaseError> {
    let digest: [u8; 32] = Sha256::digest(&notification.body).into();
    let known: Option<(i64, Verdict)> = db
        .statement("SELECT id, verdict FROM notification WHERE payment_id = ?1 AND digest = ?2")?
        .query_row((id.as_str(), digest), |row| {
            Ok((row.get(0)?, row.value(1)?))
        })
        .optional()?;
    let Some((key, verdict)) = known else {
        let key = db
            .statement(
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
        timeline::notified(db, id, at, key)?;
        return Ok(true);
    };
    db.statement("UPDATE notification SET copies = copies + 1 WHERE id = ?1")?
        .execute([key])?;
    if verdict != Verdict::Agrees && notification.verdict == Verdict::Agrees {
        db.statement("UPDATE notification SET verdict = ?2, signature = ?3 WHERE id = ?1")?
            .execute((key, Verdict::Agrees.as_str(), &notification.signature))?;
    }
    Ok(false)
}

/// `Agrees` before the others, and of each the first.
pub(super) fn presentable(
    db: &mut StatementCache<'_>,
    id: &PaymentId,
) -> Result<Option<StoredNotification>, DatabaseError> {
    let kept = db
        .statement(
            "SELECT body, signature, verdict, received_at FROM notification
             WHERE payment_id = ?1 AND verdict IN (?2, ?3, ?4) ORDER BY verdict = ?2 DESC, id LIMIT 1",
        )?
        .query_row(
            (
                id.as_str(),
                Verdict::Agrees.as_str(),
                Verdict::Stale.as_str(),
                Verdict::UnknownPayment.as_str(),
            ),
            |row| {
                Ok(StoredNotification {
                    body: row.get::<_, Vec<u8>>(0)?.into(),
                    signature: row.get(1)?,
                    verdict: row.value(2)?,
                    received_at: row.value(3)?,
                })
            },
        )
        .optional()?;
    Ok(kept)
}
