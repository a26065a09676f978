//! Which workers are alive.
//!
//! Every run of a worker holds a lock on a file of its own beside the database. The kernel drops the
//! lock when the process dies, however it dies, so a worker that starts knows at once whose leases
//! nobody will settle. Process numbers could not tell that: they are used again.

use callout_core::id::WorkerId;
use callout_core::time::Timestamp;
use std::fs::{DirEntry, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// A worker that has made its file has locked it after so long.
const YOUNG: Duration = Duration::from_secs(2);

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

    /// Whether a worker serves `database`, or is about to: a file made within the last two
    /// seconds counts, for its lock is not tried before its owner has it.
    ///
    /// # Errors
    /// If there is no database, or its folder cannot be read.
    pub fn is_any_beside(database: &Path, now: Timestamp) -> io::Result<bool> {
        let path = std::fs::canonicalize(database)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let prefix = format!("{name}.worker-");
        for entry in std::fs::read_dir(path.parent().unwrap_or(Path::new(".")))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix)
                && (is_young(&entry, now)? || is_held(&entry.path()))
            {
                return Ok(true);
            }
        }
        Ok(false)
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

    /// Those of `workers` that are certainly dead.
    pub(crate) fn dead(&self, workers: Vec<WorkerId>) -> Vec<Dead> {
        let Some((own, _)) = &self.lock else { return Vec::new() };
        let sibling = |id| own.with_file_name(file_name(own, self.id, id));
        let others = workers.into_iter().filter(|id| *id != self.id);
        others.filter_map(|id| Dead::find(id, sibling(id))).collect()
    }
}

/// A worker that died. Its lock is held meanwhile.
#[derive(Debug)]
pub(crate) struct Dead {
    pub(crate) id: WorkerId,
    path: PathBuf,
    _lock: File,
}

impl Dead {
    /// A lock that can be had belongs to nobody. Without a file nobody can tell, and leases have to end.
    fn find(id: WorkerId, path: PathBuf) -> Option<Self> {
        let file = OpenOptions::new().write(true).open(&path).ok()?;
        match file.try_lock() {
            Ok(()) => Some(Self { id, path, _lock: file }),
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => None,
        }
    }

    /// Removes its file. Only once its leases have been taken over: whoever dies before that leaves both
    /// files behind, and the next worker still knows.
    pub(crate) fn bury(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "a dead worker's lock file could not be removed");
        }
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

fn is_young(file: &DirEntry, now: Timestamp) -> io::Result<bool> {
    let made = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(now.since(Timestamp::EPOCH) < made + YOUNG)
}

/// Whether somebody has the lock.
fn is_held(path: &Path) -> bool {
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_dead_when_nobody_holds_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("outbox.db");
        let id = |n| WorkerId::new(Timestamp::EPOCH, [n; 10]);
        std::fs::write(&database, "").unwrap();
        let present = |n| Presence::beside(&database, id(n)).unwrap();
        let (one, two, three) = (present(1), present(2), present(3));
        let later = Timestamp::LAST;
        assert!(Presence::is_any_beside(&database, later).unwrap());
        let dead = || -> Vec<WorkerId> {
            one.dead(vec![id(1), id(2), id(3), id(4)]).iter().map(|dead| dead.id).collect()
        };
        assert_eq!(dead(), [], "alive, or unknown");
        drop(two); // dies without a word
        three.leave();
        assert_eq!(dead(), [id(2)]);
        assert_eq!(dead(), [id(2)], "until its leases have been taken over");
        one.dead(vec![id(2)]).into_iter().for_each(Dead::bury);
        assert_eq!(dead(), []);
        assert!(!lock_path(&database.canonicalize().unwrap(), id(2)).exists());
        drop(one);
        assert!(
            !Presence::is_any_beside(&database, later).unwrap(),
            "what the dead leave is nobody"
        );
        let now = callout_store::clock::now();
        assert!(
            Presence::is_any_beside(&database, now).unwrap(),
            "it may be about to lock its file"
        );
    }
}
