//! The SQLite backend.

use crate::error::StoreError;
use callout_core::time::Timestamp;
use std::path::Path;

/// Whether opening may create a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// Create it if there is none.
    IfMissing,
    /// Fail with [`StoreError::Missing`] if there is none.
    Never,
}

/// The outbox in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {}

impl SqliteStore {
    /// Opens the database at `path` and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::SchemaTooNew`], [`StoreError::Unfit`], and what the disk says.
    pub fn open(path: &Path, create: Create, now: Timestamp) -> Result<Self, StoreError> {
        let _ = (path, create, now);
        Err(StoreError::Closed)
    }
}
