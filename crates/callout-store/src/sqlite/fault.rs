//! What the driver's errors mean to a caller.

use crate::error::{BackendError, StoreError};
use rusqlite::ErrorCode;

/// Gives an error of the driver its meaning, and says what was being done.
pub(super) fn broken(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| meaning(doing, error.sqlite_error_code(), Box::new(error))
}

/// The same for an error that several callers share.
pub(super) fn meaning(
    doing: &'static str,
    code: Option<ErrorCode>,
    source: BackendError,
) -> StoreError {
    match code {
        // "Aborted": another operation in the same transaction failed and took this one back.
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OperationAborted) => {
            StoreError::Busy(source)
        }
        Some(ErrorCode::DiskFull) => StoreError::Full(source),
        _ => StoreError::Broken { doing, source },
    }
}

/// The same for what the file system says.
pub(super) fn disk(doing: &'static str) -> impl Fn(std::io::Error) -> StoreError {
    move |error| match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full(Box::new(error)),
        _ => StoreError::Broken { doing, source: Box::new(error) },
    }
}
