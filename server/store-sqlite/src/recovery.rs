//! What a killed process left behind, put right when the file is opened.

use chasqui_payment::{JobKind, JobPriority};
use rusqlite::Connection;

use super::error::DatabaseError;

/// No process holds leases on checks any more, for the file belongs to one: the checks are due as before, or as requested
/// meanwhile. Deliveries keep their leases: an attempt may have reached its merchant a moment ago.
pub(super) fn release_checks(connection: &Connection) -> Result<(), DatabaseError> {
    let cross_check = JobPriority::CrossCheck.rank();
    connection.execute(
        "UPDATE job SET
            due_at = CASE WHEN again_at IS NULL THEN due_at WHEN again_priority = ?2 THEN again_at
                     ELSE min(due_at, again_at) END,
            priority = CASE WHEN again_at IS NULL THEN priority WHEN again_priority = ?2 THEN ?2
                       ELSE min(priority, coalesce(again_priority, priority)) END,
            attempts = CASE WHEN again_at IS NULL THEN attempts ELSE 0 END,
            lease_token = NULL, leased_until = NULL, again_at = NULL, again_priority = NULL
         WHERE kind = ?1 AND lease_token IS NOT NULL",
        (JobKind::Check.as_str(), cross_check),
    )?;
    Ok(())
}
