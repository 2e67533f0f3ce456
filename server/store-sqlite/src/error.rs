//! SQLite's errors, with what to do about them.

use chasqui_store::StoreError;
use rusqlite::ErrorCode;

/// Why an operation on the database had no effect: a [`StoreError`] that SQLite's own errors convert into.
#[derive(Debug, Clone)]
pub(super) struct DatabaseError(StoreError);

impl DatabaseError {
    pub(super) const WRONG_ACCOUNT: Self = Self(StoreError::WrongAccount);

    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self(StoreError::Unavailable(reason.into()))
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        error.0
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        let explanation = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => "the disk is full, free some space",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "the file is locked by another process, end its transaction"
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                "the file is damaged or not a database, restore it from a backup"
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                "the file cannot be written, check its permissions and its directory's"
            }
            Some(ErrorCode::CannotOpen) => {
                "the file cannot be opened, check its path and permissions"
            }
            Some(ErrorCode::SystemIoFailure) => "the disk failed to read or write, check it",
            _ => return Self::unavailable(error.to_string()),
        };
        Self::unavailable(format!("{explanation} ({error})"))
    }
}
