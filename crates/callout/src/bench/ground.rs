//! Where measurements take place: a folder of their own on the disk in question, and one message.
//!
//! Nothing here opens the configured outbox or calls a configured channel. The configuration says where
//! the outbox lives, for that disk is what counts, and whether a worker lives there, for a measurement
//! would slow it down.

use super::Args;
use super::child::Child;
use crate::command::{self, Failure};
use crate::config::{self, Config};
use crate::demo::write_private;
use anyhow::Context as _;
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::MessageState;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::NewMessage;
use callout_store::{Create, Store};
use callout_worker::Presence;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// The message that floors write and send: 600 bytes of JSON.
pub(super) const BODY: &str = include_str!("body.json");
/// The receiver of all messages, and its only channel.
pub(super) const NAME: &str = "bench";
/// Requests under way at once.
pub(super) const IN_FLIGHT: usize = 64;
/// Messages that are enqueued at once where nobody times it.
const PREFILL_BATCH: usize = 1000;

/// Everything that measurements have in common.
pub(super) struct Ground {
    pub(super) rounds: usize,
    pub(super) messages: usize,
    /// Whether large outboxes are wanted, too.
    pub(super) full: bool,
    /// Where requests go; empty without HTTP.
    pub(super) sink_url: String,
    /// Ends with the ground.
    _sink: Option<Child>,
    folder: TempDir,
}

impl Ground {
    /// Finds a place, and refuses one where it would disturb.
    pub(super) fn new(args: &Args, named: Option<&Path>) -> Result<Self, Failure> {
        let configured = match config::locate(named) {
            Ok(file) => Some(config::load(&file)?),
            Err(error) if named.is_some() => return Err(error.into()),
            Err(_) => None,
        };
        if let Some(config) = &configured
            && !args.even_while_serving
        {
            refuse_if_in_use(config)?;
        }
        let folder = args.folder.clone().or_else(|| Some(folder_of(configured.as_ref()?)));
        let folder = folder.unwrap_or_else(|| PathBuf::from("."));
        let folder = tempfile::Builder::new().prefix("callout-bench-").tempdir_in(&folder);
        let folder = folder.context("there is no folder to measure in")?;
        let (sink, sink_url) = if args.channel_less {
            (None, String::new())
        } else {
            let (sink, address) = Child::sink()?;
            (Some(sink), format!("http://{address}/"))
        };
        let (rounds, messages, full) = (args.rounds, args.messages, args.full);
        Ok(Self { rounds, messages, full, sink_url, _sink: sink, folder })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A folder that lasts as long as one sample.
    pub(super) fn plot(&self) -> Result<Plot, Failure> {
        let folder = TempDir::new_in(self.folder.path()).context("there is no folder")?;
        Ok(Plot { folder })
    }
}

fn refuse_if_in_use(config: &Config) -> Result<(), Failure> {
    let path = &config.store_path;
    if path.exists()
        && Presence::is_any_beside(path, SystemClock.now()).context("looking for workers failed")?
    {
        return Err(Failure::new(
            format_args!("a worker serves {}, and measuring would slow it down", path.display()),
            "stop it first, or pass --even-while-serving",
        ));
    }
    Ok(())
}

/// The folder of the configured outbox.
fn folder_of(config: &Config) -> PathBuf {
    match config.store_path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A folder for one sample.
pub(super) struct Plot {
    folder: TempDir,
}

impl Plot {
    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration that sends everything to `url`.
    pub(super) fn config(&self, url: &str) -> Result<Config, Failure> {
        let file = self.file("callout.toml");
        write_private(&file, &configuration(url)).context("the configuration cannot be written")?;
        Ok(config::load(&file)?)
    }

    /// The outbox of a configuration.
    pub(super) fn store(&self, config: &Config) -> Result<Arc<dyn Store>, Failure> {
        Ok(Arc::new(command::open(config, Create::IfMissing)?))
    }
}

fn configuration(url: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\
         [channels.{NAME}]\nkind = \"webhook\"\nurl = \"{url}\"\nconcurrency = {IN_FLIGHT}\n\
         [receivers.{NAME}]\nchannels = [\"{NAME}\"]\n\
         [operator]\nreceiver = \"{NAME}\"\n[[routes]]\nto = [\"{NAME}\"]\n"
    )
}

/// A message of the size of [`BODY`].
pub(super) fn message() -> Message {
    let mut message = Message::new(Level::Error, "Disk full on db-1");
    message.body = "Writes fail since 03:12. ".repeat(21);
    message.labels.insert("host".to_owned(), "db-1.example.com".to_owned());
    message.labels.insert("service".to_owned(), "orders".to_owned());
    message
}

/// Such messages, new.
pub(super) fn new(n: usize) -> Vec<NewMessage> {
    let one = || {
        let created_at = SystemClock.now();
        let id = MessageId::new(created_at, SystemClock.entropy());
        NewMessage { id, created_at, message: message() }
    };
    std::iter::repeat_with(one).take(n).collect()
}

/// Enqueues new messages, all of which the store has to take.
pub(super) async fn enqueue(store: &dyn Store, messages: Vec<NewMessage>) -> Result<(), Failure> {
    for result in store.enqueue(messages).await? {
        result?;
    }
    Ok(())
}

/// Enqueues `n` messages as fast as it goes.
pub(super) async fn prefill(store: &dyn Store, n: usize) -> Result<(), Failure> {
    let mut left = n;
    while left > 0 {
        let batch = left.min(PREFILL_BATCH);
        enqueue(store, new(batch)).await?;
        left -= batch;
    }
    Ok(())
}

/// How many messages were accepted.
pub(super) async fn accepted(store: &dyn Store) -> Result<usize, Failure> {
    let stats = store.stats(SystemClock.now()).await?;
    let accepted = stats.messages.iter().find(|(state, _)| *state == MessageState::Accepted);
    Ok(accepted.and_then(|(_, n)| usize::try_from(*n).ok()).unwrap_or(0))
}

/// Makes sure that the provider took `n` messages, or the measurement is worth nothing.
pub(super) async fn check_accepted(store: &dyn Store, n: usize) -> Result<(), Failure> {
    let accepted = accepted(store).await?;
    if accepted == n {
        return Ok(());
    }
    Err(Failure::new(
        format_args!("only {accepted} of {n} messages were delivered"),
        "run it again; if that does not help, report it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use callout_store::enqueue::Row;

    #[test]
    fn the_message_is_as_long_as_the_floors() {
        let new = &new(1)[0];
        let row = Row::new(new.id, &new.message, new.created_at).unwrap();
        let ours = row.title.len() + row.body.len() + row.details.len();
        assert_eq!(BODY.trim_end().len(), 600);
        assert!(ours.abs_diff(600) < 30, "{ours}");
        assert!(serde_json::from_str::<serde_json::Value>(BODY).is_ok());
    }
}
