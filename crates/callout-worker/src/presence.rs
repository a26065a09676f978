//! Which workers are alive.
//!
//! Every run of a worker holds a lock on a file of its own beside the database. The kernel drops the
//! lock when the process dies, however it dies, so a worker that starts knows at once whose leases
//! nobody will settle. Process numbers could not tell that: they are used again.

use callout_core::id::WorkerId;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// One run of one worker.
#[derive(Debug)]
pub struct Presence {
    id: WorkerId,
    /// Holds the lock. `None`: nobody can tell whether this run is alive, and leases have to end first.
    lock: Option<(PathBuf, File)>,
}

impl Presence {
    /// A run that others can tell dead from alive: its lock file lies beside `database`.
    ///
    /// # Errors
    /// If there is no database, or the file cannot be created or locked.
    pub fn beside(database: &Path, id: WorkerId) -> io::Result<Self> {
        // One database may go by several names; its workers have to meet.
        let path = lock_path(&std::fs::canonicalize(database)?, id);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(Self { id, lock: Some((path, file)) })
    }

    /// A run that is presumed alive until its leases end.
    pub fn unseen(id: WorkerId) -> Self {
        Self { id, lock: None }
    }

    /// Its id.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Leaves in good order. Without it the file stays behind, unlocked, and tells the next worker
    /// that this one died.
    pub(crate) fn leave(self) {
        if let Some((path, _)) = &self.lock
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, "the worker's lock file could not be removed");
        }
    }

    /// Those of `workers` that are certainly dead. Removes their files.
    pub(crate) fn dead(&self, workers: Vec<WorkerId>) -> Vec<WorkerId> {
        let Some((own, _)) = &self.lock else { return Vec::new() };
        let sibling = |id: &WorkerId| own.with_file_name(file_name(own, self.id, *id));
        workers.into_iter().filter(|id| *id != self.id && is_dead(&sibling(id))).collect()
    }
}

fn lock_path(database: &Path, id: WorkerId) -> PathBuf {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(format!(".worker-{id}"));
    database.with_file_name(name)
}

fn file_name(own: &Path, own_id: WorkerId, id: WorkerId) -> String {
    let own = own.file_name().unwrap_or_default().to_string_lossy();
    own.replace(&own_id.to_string(), &id.to_string())
}

/// A lock that can be had belongs to nobody. Without a file nobody can tell, and leases have to end.
fn is_dead(path: &Path) -> bool {
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return false };
    match file.try_lock() {
        Ok(()) => {
            if let Err(error) = std::fs::remove_file(path) {
                tracing::debug!(%error, "a dead worker's lock file could not be removed");
            }
            true
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callout_core::time::Timestamp;

    #[test]
    fn a_worker_is_dead_when_nobody_holds_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("outbox.db");
        let id = |n| WorkerId::new(Timestamp::EPOCH, [n; 10]);
        std::fs::write(&database, "").unwrap();
        let present = |n| Presence::beside(&database, id(n)).unwrap();
        let (one, two, three) = (present(1), present(2), present(3));
        assert_eq!(one.dead(vec![id(1), id(2), id(3), id(4)]), [], "alive, or unknown");
        drop(two); // dies without a word
        three.leave();
        assert_eq!(one.dead(vec![id(1), id(2), id(3)]), [id(2)]);
        assert!(!lock_path(&database.canonicalize().unwrap(), id(2)).exists());
    }
}
