//! SQLite's troubles in words that say what to do.

use rusqlite::ErrorCode;

use crate::store::StoreError;

impl From<rusqlite::Error> for StoreError {
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
            _ => return Self::Unavailable(error.to_string()),
        };
        Self::Unavailable(format!("{explanation} ({error})"))
    }
}

/// Without the words that every unavailability begins with.
pub(super) fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(text) => text.clone(),
        StoreError::WrongAccount => error.to_string(),
    }
}
