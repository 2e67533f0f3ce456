//! The database file: locked for one process, private to its user, opened for durable writes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::DatabaseError;

/// The write-ahead log is truncated to this after a burst.
const LOG_SIZE_LIMIT: i64 = 64 * 1024 * 1024;

/// `PRAGMA synchronous` reads back as a number.
const SYNCHRONOUS_FULL: i64 = 2;

/// The store's file, locked for this process until this is dropped.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    _lock: File,
}

impl DatabaseFile {
    /// Locks the file, and creates it if there is none.
    pub(super) fn lock(path: &Path) -> Result<Self, DatabaseError> {
        Self::try_lock(path)?.ok_or_else(|| {
            DatabaseError::unavailable(format!(
                "another chasqui is using {}: stop it, or give this one a file of its own",
                path.display()
            ))
        })
    }

    /// `None`: another process has it.
    pub(super) fn try_lock(path: &Path) -> Result<Option<Self>, DatabaseError> {
        // Two spellings of one path, or a link to it, must lead to one lock.
        let path = resolved(path).map_err(|error| unusable(path, &error))?;
        // The lock is a separate file, taken before the database is touched: closing any handle on the database itself
        // would drop the locks that SQLite holds on it for this process.
        let Some(lock) = lock(&path)? else {
            return Ok(None);
        };
        create_private(&path).map_err(|error| unusable(&path, &error))?;
        Ok(Some(Self { path, _lock: lock }))
    }

    /// Opens the file as it is: sets nothing, changes nothing.
    pub(super) fn open_unchecked(&self, busy_wait: Duration) -> Result<Connection, DatabaseError> {
        self.open(OpenFlags::SQLITE_OPEN_READ_WRITE, busy_wait)
    }

    pub(super) fn open_writer(&self, busy_wait: Duration) -> Result<Connection, DatabaseError> {
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE, busy_wait)?;
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        if mode != "wal" {
            return Err(DatabaseError::unavailable(format!(
                "{} cannot keep a write-ahead log (journal mode stays {mode}): put it on a local disk",
                self.path.display()
            )));
        }
        connection.pragma_update(None, "synchronous", "full")?;
        let synchronous: i64 =
            connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        if synchronous != SYNCHRONOUS_FULL {
            return Err(DatabaseError::unavailable(format!(
                "{} cannot be written durably (synchronous stays {synchronous})",
                self.path.display()
            )));
        }
        connection
            .pragma_update_and_check(None, "journal_size_limit", LOG_SIZE_LIMIT, |_| Ok(()))?;
        connection.pragma_update(None, "foreign_keys", true)?;
        // What is deleted is a payer's data: its pages are overwritten, not only freed.
        connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
        Ok(connection)
    }

    /// The writer must be open: it creates the log that a reader needs.
    pub(super) fn open_reader(&self, busy_wait: Duration) -> Result<Connection, DatabaseError> {
        self.open(OpenFlags::SQLITE_OPEN_READ_ONLY, busy_wait)
    }

    /// Each connection stays on one thread, so SQLite needs no mutex. A path is never a URI.
    fn open(&self, access: OpenFlags, busy_wait: Duration) -> Result<Connection, DatabaseError> {
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(busy_wait)?;
        Ok(connection)
    }
}

pub(super) fn open_in_memory() -> Result<Connection, DatabaseError> {
    let connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// SQLite refuses the transaction if the file is not writable.
pub(super) fn check_writable(connection: &Connection) -> Result<(), DatabaseError> {
    Ok(connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?)
}

fn resolved(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = path
                .file_name()
                .ok_or_else(|| io::Error::other("not a file's path"))?;
            let directory = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            Ok(fs::canonicalize(directory)?.join(name))
        }
        other => other,
    }
}

fn lock(path: &Path) -> Result<Option<File>, DatabaseError> {
    let mut lock_path = OsString::from(path);
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let lock = private()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .map_err(|error| unusable(&lock_path, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unusable(&lock_path, &error)),
    }
}

/// SQLite gives its log the file's own mode.
fn create_private(path: &Path) -> io::Result<()> {
    match private().write(true).create_new(true).open(path) {
        Ok(_) => sync_directory(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Readable by its own user only: it holds payers' data.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A new file's name is durable once its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn unusable(path: &Path, error: &io::Error) -> DatabaseError {
    DatabaseError::unavailable(format!(
        "{} cannot be used: {error}: check its path and permissions",
        path.display()
    ))
}
