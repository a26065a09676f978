//! A file on this machine: one line of JSON a message, the same data a webhook gets.
//!
//! A line is written by one write at the end of the file, so lines of several writers stand one after
//! the other and never inside each other. It counts as accepted once the disk has it. The file belongs
//! to the worker's user alone, for a line may hold the address to acknowledge at.
//!
//! The time is limited, but a disk that hangs cannot be interrupted. So one channel has at most one
//! write under way, and others wait for it: a thread is lost to such a disk, and not one an attempt.

use crate::channel::{Outgoing, Refused};
use crate::direct::DirectChannel;
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::transport::ATTEMPT_TIMEOUT;
use crate::{settings, webhook};
use callout_core::message::MESSAGE_BYTES_MAX;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;
use std::fs::{File, OpenOptions, metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub(crate) static SPEC: Spec = Spec {
    kind: "file",
    title: "File on this machine",
    fields: &[Field {
        name: "path",
        value: Value::Path,
        required: true,
        doc: "The file; made if it is missing, readable by the worker's user alone. Its folder has to exist.",
    }],
    rate: "none",
    types: &["callout.message"],
    native: false,
    body_bytes_max: MESSAGE_BYTES_MAX + 16 * 1024,
    mentions: "passed on as data",
    idempotency: "the id in each line",
    ack: "address in the data",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: &[
        Advice {
            code: "",
            says: "no such folder",
            english: "The folder of the file does not exist. Make it, and give it to the worker's user.",
            chinese: "文件所在目录不存在。请创建该目录，并授权给运行工作进程的用户。",
        },
        Advice {
            code: "",
            says: "permission denied",
            english: "The worker's user may not write the file. Change its owner or its permissions.",
            chinese: "运行工作进程的用户无权写入该文件。请修改文件的属主或权限。",
        },
    ],
    apprise: &[],
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    path: PathBuf,
}

#[derive(Debug)]
struct Lines {
    path: PathBuf,
    /// Whoever writes holds it.
    turn: Arc<Mutex<()>>,
}

/// Makes a channel that writes into a file from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn DirectChannel>, Vec<Problem>> {
    let Settings { path } = settings::parse(settings)?;
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(vec![settings::problem("path", "may not hold a zero byte")]);
    }
    Ok(Box::new(Lines { path, turn: Arc::default() }))
}

#[async_trait::async_trait]
impl DirectChannel for Lines {
    async fn deliver(&self, out: &Outgoing<'_>, _at: Timestamp) -> Outcome {
        let Ok(turn) = timeout(ATTEMPT_TIMEOUT / 3, Arc::clone(&self.turn).lock_owned()).await
        else {
            return Outcome::Transient(Reason::text("an earlier write to this file has not ended"));
        };
        let line = format!("{}\n", webhook::envelope(out));
        let path = self.path.clone();
        let write = spawn_blocking(move || {
            let outcome = append(&path, &line);
            drop(turn);
            outcome
        });
        match timeout(ATTEMPT_TIMEOUT / 3, write).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Outcome::Unknown(Reason::text("the write has not ended")),
        }
    }

    fn preview(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<String, Refused> {
        Ok(format!("{}\n", webhook::envelope(out)))
    }

    fn lacks(&self) -> Option<Problem> {
        let text = match metadata(&self.path) {
            Ok(known) if known.is_file() => return None,
            Ok(_) => "is no ordinary file",
            Err(_) if folder(&self.path).is_dir() => return None,
            Err(_) => "is in a folder that does not exist",
        };
        Some(settings::problem("path", text))
    }
}

/// Puts one line at the end of the file and onto the disk.
fn append(path: &Path, line: &str) -> Outcome {
    let known = metadata(path);
    if known.as_ref().is_ok_and(|known| !known.is_file()) {
        // To open a pipe nobody reads would wait for ever.
        return endpoint("it is no ordinary file");
    }
    let new = known.is_err();
    let mut options = OpenOptions::new();
    let file = match options.read(true).append(true).create(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) => return not_opened(&error),
    };
    if let Err(error) = write(&file, line) {
        return Outcome::Transient(Reason::text(words(&error)));
    }
    match sync(&file, path, new) {
        Ok(()) => Outcome::Accepted(Reason::text(format!("{} bytes written", line.len()))),
        Err(error) => {
            let text = format!("written, but the disk may not have it: {}", words(&error));
            Outcome::Unknown(Reason::text(text))
        }
    }
}

/// Writes the line whole or not at all.
fn write(mut file: &File, line: &str) -> io::Result<()> {
    let before = file.metadata()?.len();
    let mut last = [b'\n'];
    if let Some(end) = before.checked_sub(1) {
        file.read_at(&mut last, end)?;
    }
    // A line that the loss of power tore shall not take this one with it.
    let line = if last == [b'\n'] { line.to_owned() } else { format!("\n{line}") };
    let count = file.write(line.as_bytes())?;
    if count == line.len() {
        return Ok(());
    }
    // The disk became full within the line. What there is of it goes again, unless somebody has written
    // behind it meanwhile.
    let written = u64::try_from(count).unwrap_or(u64::MAX);
    if file.metadata()?.len() == before.saturating_add(written) {
        file.set_len(before)?;
    }
    Err(io::ErrorKind::StorageFull.into())
}

fn not_opened(error: &io::Error) -> Outcome {
    let kind = error.kind();
    if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        endpoint("there is no such folder")
    } else {
        Outcome::Transient(Reason::text(words(error)))
    }
}

fn sync(file: &File, path: &Path, new: bool) -> io::Result<()> {
    file.sync_all()?;
    if !new {
        return Ok(());
    }
    // A file that was made is in its folder only once the folder is on the disk.
    File::open(folder(path))?.sync_all()
}

/// The folder of the file; that of a bare name is where the worker runs.
fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn endpoint(text: &str) -> Outcome {
    Outcome::Rejected { blame: Blame::Endpoint, reason: Reason::text(text) }
}

/// The error in words, without its number.
fn words(error: &io::Error) -> String {
    error.kind().to_string()
}
