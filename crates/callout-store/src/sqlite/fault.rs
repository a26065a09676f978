//! What the driver's errors mean to a caller.

use crate::error::{BackendError, StoreError};
use rusqlite::{ErrorCode, ffi};

/// Gives an error of the driver its meaning, and says what was being done.
pub(super) fn broken(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| meaning(doing, error.sqlite_error().copied(), Box::new(error))
}

/// The same for an error that several callers share.
pub(super) fn meaning(
    doing: &'static str,
    error: Option<ffi::Error>,
    source: BackendError,
) -> StoreError {
    let Some(error) = error else { return StoreError::Broken { doing, source } };
    match error.code {
        // "Aborted": another operation in the same transaction failed and took this one back.
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationAborted => {
            StoreError::Busy(source)
        }
        ErrorCode::DiskFull => StoreError::Full(source),
        // The memory that connections share lies in a file, and that could not grow.
        _ if error.extended_code == ffi::SQLITE_IOERR_SHMSIZE => StoreError::Full(source),
        _ if is_failing(error) => StoreError::Failing { doing, source },
        _ => StoreError::Broken { doing, source },
    }
}

/// An index and its table do not name the same rows: the database is damaged.
pub(super) fn torn(doing: &'static str) -> StoreError {
    StoreError::Failing { doing, source: "an index names a row that is not there".into() }
}

/// Whether the disk was full before the commit was written.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Whether the disk or what is on it cannot be trusted after this.
pub(super) fn is_failing(error: ffi::Error) -> bool {
    match error.code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => true,
        ErrorCode::SystemIoFailure => {
            !matches!(error.extended_code, ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_NOMEM)
        }
        _ => false,
    }
}

/// The same for what the file system says.
pub(super) fn disk(doing: &'static str) -> impl Fn(std::io::Error) -> StoreError {
    move |error| match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full(Box::new(error)),
        _ => StoreError::Broken { doing, source: Box::new(error) },
    }
}
