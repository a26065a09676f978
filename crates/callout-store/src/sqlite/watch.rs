//! Noticing what other processes enqueue.
//!
//! The kernel tells when the write-ahead log is written, which is *before* the commit can be seen, so
//! the watcher looks again, often for a few milliseconds and then ever more rarely. What it looks for are new rows, by two look-ups in
//! the cache; our own writer says which it wrote, and while it is writing the watcher keeps off. The
//! watcher may miss something: whoever waits for it also looks now and then.

use super::connection;
use super::fault::disk;
use super::tx::{Db, News, Statements};
use crate::error::StoreError;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// How often to look where the kernel does not tell.
const POLL: Duration = Duration::from_millis(50);
/// How long to wait between two looks for a commit that is about to be seen.
const GLANCE: Duration = Duration::from_micros(200);
/// How often to look for it.
const GLANCES: u32 = 25;
/// How long to leave the log alone after looking, and while our own writer is at it.
const CALM: Duration = Duration::from_millis(5);
/// The longest pause before looking for a commit that a slow disk is still busy with.
#[cfg(target_os = "linux")]
const LAST_LOOK: Duration = Duration::from_secs(1);
/// How long to wait for the kernel at a time.
#[cfg(target_os = "linux")]
const NAP: Duration = Duration::from_secs(3600);

pub(super) const LATEST: &str = "
    SELECT (SELECT max(seq) FROM callout_message), (SELECT max(id) FROM callout_journal)";

/// Tells whoever waits that there may be something new.
#[derive(Debug)]
pub(super) struct Bell {
    changes: watch::Sender<u64>,
    message: AtomicI64,
    journal: AtomicI64,
    /// Groups our own writer has written.
    groups: AtomicU64,
    writing: AtomicBool,
}

impl Bell {
    /// Starts from what is in the database.
    pub(super) fn new(connection: &Connection) -> Result<Self, StoreError> {
        let latest = latest(connection)?;
        Ok(Self {
            changes: watch::Sender::new(0),
            message: AtomicI64::new(latest.message),
            journal: AtomicI64::new(latest.journal),
            groups: AtomicU64::new(0),
            writing: AtomicBool::new(false),
        })
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Runs `write` as a transaction of our own.
    pub(super) fn while_writing<T>(&self, write: impl FnOnce() -> T) -> T {
        self.writing.store(true, Ordering::Release);
        let written = write();
        self.groups.fetch_add(1, Ordering::Release);
        self.writing.store(false, Ordering::Release);
        written
    }

    /// Our own writer committed this.
    pub(super) fn committed(&self, news: News) {
        self.note(news);
        if news.work {
            self.ring();
        }
    }

    /// Notes the latest rows. Says whether any of them was not known.
    fn note(&self, latest: News) -> bool {
        let message = self.message.fetch_max(latest.message, Ordering::AcqRel) < latest.message;
        let journal = self.journal.fetch_max(latest.journal, Ordering::AcqRel) < latest.journal;
        message || journal
    }

    fn ring(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    /// Looks into the database, rings if there is news, and says whether there was.
    fn look(&self, connection: &Connection) -> bool {
        match latest(connection) {
            Ok(latest) => {
                let is_news = self.note(latest);
                if is_news {
                    self.ring();
                }
                is_news
            }
            // The database is being closed, recovered or checkpointed; the next look will tell.
            Err(_) => false,
        }
    }
}

fn latest(connection: &Connection) -> Result<News, StoreError> {
    let latest = Db::new(&Statements::of(connection)).one("look for news", LATEST, &[], |row| {
        let number = |column| row.get::<_, Option<i64>>(column).map(Option::unwrap_or_default);
        Ok(News { message: number(0)?, journal: number(1)?, work: false })
    })?;
    Ok(latest.unwrap_or_default())
}

/// The thread that watches. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Watcher {
    stop: Option<Sender<()>>,
    #[cfg(target_os = "linux")]
    doorbell: Option<Arc<std::os::fd::OwnedFd>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    pub(super) fn start(path: &Path, bell: Arc<Bell>) -> Result<Self, StoreError> {
        let connection = connection::reader(path)?;
        let (stop, stopped) = channel();
        #[cfg(target_os = "linux")]
        let log = match kernel::Log::of(path) {
            Ok(log) => Some(log),
            Err(error) => {
                tracing::debug!(error = %error, "no notice of writes by others; looking now and then");
                None
            }
        };
        #[cfg(target_os = "linux")]
        let doorbell = log.as_ref().map(|log| Arc::clone(&log.doorbell));
        let watch = move || {
            #[cfg(target_os = "linux")]
            if let Some(log) = log {
                return watch_log(&connection, &bell, &stopped, &log);
            }
            poll(&connection, &bell, &stopped);
        };
        let thread = std::thread::Builder::new().name("callout-watcher".to_owned()).spawn(watch);
        let thread = Some(thread.map_err(disk("start the watcher"))?);
        Ok(Self {
            stop: Some(stop),
            #[cfg(target_os = "linux")]
            doorbell,
            thread,
        })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop = None;
        #[cfg(target_os = "linux")]
        if let Some(doorbell) = &self.doorbell
            && let Err(error) = kernel::ring(doorbell)
        {
            tracing::warn!(error = %error, "the watcher could not be told to stop");
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the watcher's thread had died");
        }
    }
}

/// Waits, and says whether to go on.
fn pause(stopped: &Receiver<()>, length: Duration) -> bool {
    stopped.recv_timeout(length) == Err(RecvTimeoutError::Timeout)
}

fn poll(connection: &Connection, bell: &Bell, stopped: &Receiver<()>) {
    while pause(stopped, POLL) {
        bell.look(connection);
    }
}

#[cfg(target_os = "linux")]
fn watch_log(connection: &Connection, bell: &Bell, stopped: &Receiver<()>, log: &kernel::Log) {
    let mut groups = bell.groups.load(Ordering::Acquire);
    let mut next_look = None;
    loop {
        let heard = match log.wait(next_look.unwrap_or(NAP)) {
            Ok(heard) => heard,
            Err(error) => {
                tracing::warn!(error = %error, "no notice of writes by others any more");
                return poll(connection, bell, stopped);
            }
        };
        // Most likely it is our own writer, who rings by itself.
        let ours = bell.groups.load(Ordering::Acquire);
        if heard && ours == groups && !bell.writing.load(Ordering::Acquire) {
            for _ in 0..GLANCES {
                if bell.look(connection) || !pause(stopped, GLANCE) {
                    break;
                }
            }
        }
        groups = ours;
        if !pause(stopped, if heard { CALM } else { Duration::ZERO }) {
            return;
        }
        bell.look(connection);
        // A slow disk takes its time to sync what was written; each look waits twice as long.
        next_look = match next_look {
            _ if heard => Some(CALM),
            Some(pause) if pause < LAST_LOOK => Some(pause * 2),
            Some(_) | None => None,
        };
    }
}

/// What Linux tells about a file.
#[cfg(target_os = "linux")]
mod kernel {
    use super::{Arc, Duration, Path};
    use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    use std::os::fd::OwnedFd;

    /// The write-ahead log of a database.
    #[derive(Debug)]
    pub(super) struct Log {
        notices: OwnedFd,
        pub(super) doorbell: Arc<OwnedFd>,
    }

    impl Log {
        pub(super) fn of(database: &Path) -> rustix::io::Result<Self> {
            let mut name = database.as_os_str().to_owned();
            name.push("-wal");
            let notices = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            add_watch(&notices, name, WatchFlags::MODIFY)?;
            let doorbell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            Ok(Self { notices, doorbell: Arc::new(doorbell) })
        }

        /// Waits until the log is written, the doorbell rings, or `at_most` has passed. Says whether
        /// the log was written.
        pub(super) fn wait(&self, at_most: Duration) -> rustix::io::Result<bool> {
            let at_most = Timespec::try_from(at_most).map_err(|_| rustix::io::Errno::INVAL)?;
            let mut files = [
                PollFd::new(&self.notices, PollFlags::IN),
                PollFd::new(&self.doorbell, PollFlags::IN),
            ];
            rustix::io::retry_on_intr(|| poll(&mut files, Some(&at_most)))?;
            let mut notices = [0; 4096];
            let mut heard = false;
            loop {
                match rustix::io::read(&self.notices, &mut notices) {
                    Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(heard),
                    Ok(_) => heard = true,
                    Err(rustix::io::Errno::INTR) => (),
                    Err(error) => return Err(error),
                }
            }
        }
    }

    pub(super) fn ring(doorbell: &OwnedFd) -> rustix::io::Result<()> {
        rustix::io::write(doorbell, &1u64.to_ne_bytes()).map(drop)
    }
}
