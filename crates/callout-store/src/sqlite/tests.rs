//! What only SQLite has to do, and the suite that every backend has to pass.

mod alerts;
mod damage;
mod files;
#[cfg(feature = "conformance")]
mod fill;
mod group;
mod guard;
#[cfg(feature = "conformance")]
mod model;
#[cfg(feature = "conformance")]
mod race;
mod statements;
#[cfg(feature = "conformance")]
mod stepping;
#[cfg(feature = "conformance")]
mod suite;
mod unplanned;

use super::{Create, SqliteStore};
use crate::model::NewMessage;
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::time::Timestamp;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder and a store in it.
pub(super) fn store() -> (TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&path(&folder));
    (folder, store)
}

pub(super) fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("callout.db")
}

fn open(path: &std::path::Path) -> SqliteStore {
    SqliteStore::open(path, Create::IfMissing, Timestamp::EPOCH).unwrap()
}

fn message(title: &str) -> NewMessage {
    NewMessage {
        id: MessageId::new(Timestamp::EPOCH, crate::clock::entropy()),
        created_at: Timestamp::EPOCH,
        message: Message::new(Level::Error, title),
    }
}
