//! A consistent copy while everything goes on.
//!
//! SQLite copies the pages itself; the database's files are never opened by hand. The copy gets its
//! name only when it is complete and on the disk.

use super::connection;
use super::fault::{broken, disk};
use crate::crash::crash_point;
use crate::error::StoreError;
use rusqlite::backup::{Backup, StepResult};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a copy waits for whoever holds the database.
const PATIENCE: Duration = Duration::from_secs(10);
/// All pages at once: a copy in steps starts over whenever somebody writes.
const ALL_PAGES: i32 = -1;

/// Copies the database at `from` to `to`, which must not exist.
pub(super) fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    if to.symlink_metadata().is_ok() {
        return Err(taken(to));
    }
    let unfinished = unfinished(to)?;
    if !connection::create_private(&unfinished)? {
        return Err(taken(&unfinished));
    }
    crash_point("before_backup_copy");
    let copied = copy(from, &unfinished).and_then(|()| publish(&unfinished, to));
    if copied.is_err()
        && let Err(error) = std::fs::remove_file(&unfinished)
    {
        tracing::warn!(error = %error, "an unfinished backup was left behind");
    }
    copied
}

fn taken(path: &Path) -> StoreError {
    StoreError::Unfit(format!("{} exists already; a backup never overwrites", path.display()))
}

fn unfinished(to: &Path) -> Result<PathBuf, StoreError> {
    let name = to
        .file_name()
        .ok_or_else(|| StoreError::Unfit(format!("{} is not the name of a file", to.display())))?;
    let mut unfinished = name.to_owned();
    unfinished.push(".unfinished");
    Ok(to.with_file_name(unfinished))
}

fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    const DOING: &str = "copy the database";
    let source = connection::reader(from)?;
    let mut target = connection::open(to, PATIENCE)?;
    source.busy_timeout(PATIENCE).map_err(broken(DOING))?;
    let step = Backup::new(&source, &mut target)
        .and_then(|backup| backup.step(ALL_PAGES))
        .map_err(broken(DOING))?;
    match step {
        StepResult::Done => target.close().map_err(|(_, e)| broken(DOING)(e)),
        _ => Err(StoreError::Busy("somebody else kept the database locked".into())),
    }
}

fn publish(unfinished: &Path, to: &Path) -> Result<(), StoreError> {
    const DOING: &str = "finish the backup";
    File::open(unfinished).and_then(|file| file.sync_all()).map_err(disk(DOING))?;
    crash_point("before_backup_name");
    // Unlike a rename this fails if somebody has put a file there meanwhile.
    std::fs::hard_link(unfinished, to).map_err(disk(DOING))?;
    crash_point("after_backup_name");
    std::fs::remove_file(unfinished).map_err(disk(DOING))?;
    connection::sync_folder(to)
}
