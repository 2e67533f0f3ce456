//! SQLite's errors in words that say what to do.

use rusqlite::ErrorCode;

use chasqui_store::StoreError;

/// Why an operation on the database has no effect. It becomes a [`StoreError`] when it leaves the database's thread.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DatabaseError {
    WrongAccount,
    Unavailable(String),
}

impl DatabaseError {
    /// For the caller of every operation of a group that is not committed.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Unavailable(text) => text.clone(),
            Self::WrongAccount => StoreError::WrongAccount.to_string(),
        }
    }
}

impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::WrongAccount => Self::WrongAccount,
            DatabaseError::Unavailable(text) => Self::Unavailable(text),
        }
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
            _ => return Self::Unavailable(error.to_string()),
        };
        Self::Unavailable(format!("{explanation} ({error})"))
    }
}
