//! What a store refuses, and what makes a running one stop by itself.
//!
//! SQLite's locks do not hold on every file system, so some are refused at the start. A running store
//! stops where nothing it says could be believed any more: the disk failed, so the kernel may have
//! forgotten what it was told to keep; the file is not the one others find under its name; a newer
//! program has changed the schema. From then on the writer refuses everything. The program ends, and
//! whoever supervises it starts it anew.

use super::migrate;
use crate::clock;
use crate::error::StoreError;
use rusqlite::Connection;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a running program looks whether a newer one has changed the schema.
const SCHEMA_EVERY: Duration = Duration::from_secs(5);

/// File systems on which SQLite's locks or its shared memory are known not to hold, by the number that
/// Linux gives them.
const REFUSED: [(u32, &str); 13] = [
    (0x0000_6969, "NFS"),
    (0x0000_517b, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE or virtiofs"),
    (0x786f_4256, "a shared folder of VirtualBox"),
    (0xbacb_acbc, "a shared folder of VMware"),
    (0x5346_414f, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
];

/// What a file system is called on which a database cannot be kept.
pub(super) fn refused(magic: u32) -> Option<&'static str> {
    REFUSED.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

/// Refuses a place where SQLite's locks do not hold.
pub(super) fn check_place(path: &Path) -> Result<(), StoreError> {
    #[cfg(target_os = "linux")]
    {
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| super::connection::folder(path));
        // What cannot be asked is left to opening the file.
        let place = rustix::fs::statfs(&path).ok();
        if let Some(name) = place.and_then(|place| refused(magic(&place))) {
            return Err(StoreError::UnsafeDisk(name));
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _anywhere = path;
    Ok(())
}

/// The number is 32 bits wide; the field is wider, or signed, on some machines.
#[cfg(target_os = "linux")]
fn magic(place: &rustix::fs::StatFs) -> u32 {
    u32::try_from(i128::from(place.f_type) & 0xffff_ffff).unwrap_or_default()
}

/// Why a store refuses everything.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    /// What happened, for people.
    Broken(String),
    /// A newer program has changed the schema.
    Newer { found: u32, known: u32 },
}

impl Stop {
    pub(super) fn error(&self) -> StoreError {
        match self {
            Self::Broken(why) => StoreError::Stopped(why.clone()),
            Self::Newer { found, known } => {
                StoreError::SchemaTooNew { found: *found, known: *known }
            }
        }
    }
}

/// Which file it is, whatever it is called.
type Identity = (u64, u64);

/// Looks after the store of one writer.
pub(super) struct Guard {
    files: Vec<(PathBuf, Identity)>,
    since_schema: Box<dyn Fn() -> Duration + Send>,
    stop: Option<Stop>,
}

impl Guard {
    /// Remembers which files were opened; they exist once something was read.
    pub(super) fn new(path: &Path) -> Self {
        let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let mut log = real.into_os_string();
        log.push("-wal");
        let files = [path.to_owned(), log.into()].into_iter();
        let files = files.filter_map(|file| identity(&file).map(|identity| (file, identity)));
        Self { files: files.collect(), since_schema: Box::new(clock::stopwatch()), stop: None }
    }

    /// Whether anything may be written.
    pub(super) fn admit(&mut self, connection: &Connection) -> Result<(), Stop> {
        if self.stop.is_none() && (self.since_schema)() >= SCHEMA_EVERY {
            self.since_schema = Box::new(clock::stopwatch());
            self.check_schema(connection);
        }
        self.stop.clone().map_or(Ok(()), Err)
    }

    /// Stops if the schema is one that this program does not know.
    pub(super) fn check_schema(&mut self, connection: &Connection) {
        // Whatever else is wrong with it, the next write will say.
        if let Err(StoreError::SchemaTooNew { found, known }) = migrate::steps(connection) {
            self.stop(Stop::Newer { found, known });
        }
    }

    /// Whether others find under the file's name what was just committed. Never opens the files: closing
    /// them would drop SQLite's locks.
    pub(super) fn check_files(&mut self) -> Result<(), Stop> {
        for (file, opened) in &self.files {
            if identity(file) != Some(*opened) {
                let name = file.display();
                let why = format!("{name} was removed or replaced while this program used it");
                return Err(self.stop(Stop::Broken(why)));
            }
        }
        Ok(())
    }

    /// Never trusts this disk again: what a failed sync was to save may be gone although the next succeeds.
    pub(super) fn distrust(&mut self, error: &dyn Error) {
        self.stop(Stop::Broken(format!("the disk or the database on it failed: {error}")));
    }

    fn stop(&mut self, stop: Stop) -> Stop {
        if self.stop.is_none() {
            tracing::error!(error = %stop.error(), "the outbox stops");
        }
        self.stop.get_or_insert(stop).clone()
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(_path: &Path) -> Option<Identity> {
    None
}
