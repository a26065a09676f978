//! A program on this machine.
//!
//! It gets the message on its standard input, as the JSON a webhook gets, and says by its exit status
//! what became of it: 0 is accepted, 75 (`EX_TEMPFAIL`) asks for another try, everything else is
//! wrong until somebody mends it. No shell is involved and nothing of the message becomes an argument,
//! so nobody who writes a message writes a command.
//!
//! The program runs in a process group of its own, which is killed when the time is up; what it had done
//! by then nobody knows, and the outcome says so. A program that dies of a signal is no different. A
//! child that it leaves behind on purpose lives on; we only stop listening to it.
//!
//! Its environment is `PATH`, `HOME`, `LANG` and `LC_ALL` of the worker, and `CALLOUT_ID` (the same on every
//! try, another one each time people are told of an alert again) and `CALLOUT_LEVEL`. What a worker
//! knows besides stays with the worker.

use crate::channel::{Outgoing, Refused};
use crate::direct::DirectChannel;
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::transport::ATTEMPT_TIMEOUT;
use crate::{fit, settings, webhook};
use callout_core::message::MESSAGE_BYTES_MAX;
use callout_core::outcome::{Blame, DETAIL_BYTES_MAX, Outcome, Reason};
use callout_core::time::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::Value as Json;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command as Process};
use tokio::time::timeout;

pub(crate) static SPEC: Spec = Spec {
    kind: "command",
    title: "Program on this machine",
    fields: &[
        Field {
            name: "program",
            value: Value::Text,
            required: true,
            doc: "What to run: an absolute path, or a bare name that is looked up in PATH. No shell.",
        },
        Field {
            name: "args",
            value: Value::List,
            required: false,
            doc: "Its arguments, as they are; everybody on the machine can see them. Default: none.",
        },
        Field {
            name: "timeout",
            value: Value::Duration,
            required: false,
            doc: "How long it may run before it is killed; at most 15s. Default: 10s.",
        },
    ],
    rate: "none",
    types: &["callout.message"],
    native: false,
    body_bytes_max: MESSAGE_BYTES_MAX + 16 * 1024,
    mentions: "passed on as data",
    idempotency: "CALLOUT_ID, the same on every try",
    ack: "address in the data",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: &[
        Advice {
            code: "127",
            says: "",
            english: "There is no such program, or it could not find one it needs. Check `program` and the PATH of the worker.",
            chinese: "找不到该程序，或它依赖的程序不存在。请检查 `program` 以及工作进程的 PATH。",
        },
        Advice {
            code: "126",
            says: "",
            english: "The program may not be run by the worker's user. Check its permissions and its first line.",
            chinese: "运行工作进程的用户无权执行该程序。请检查其权限和首行的解释器。",
        },
    ],
    apprise: &[],
};

const TIMEOUT: Duration = Duration::from_secs(10);
/// What a program exits with that wants to be tried again.
const TRY_AGAIN: i32 = 75;
/// What a shell reports for a program it may not run, and for one that is not there.
const MAY_NOT_RUN: i32 = 126;
const NOT_THERE: i32 = 127;
/// "Exec format error": neither a binary nor a script with a first line.
const NO_PROGRAM: i32 = 8;
/// How long we listen to what a program has left in its pipes once it has ended.
const LEFTOVERS_TIMEOUT: Duration = Duration::from_millis(200);
/// How long the end of a killed program may take.
const BURIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// What of the worker's environment a program gets.
const INHERITED: [&str; 4] = ["PATH", "HOME", "LANG", "LC_ALL"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    program: String,
    #[serde(default, deserialize_with = "settings::list")]
    args: Vec<String>,
    timeout: Option<u64>,
}

#[derive(Debug)]
struct Command {
    program: String,
    args: Vec<String>,
    timeout: Duration,
}

/// Makes a channel that runs a program from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn DirectChannel>, Vec<Problem>> {
    let Settings { program, args, timeout } = settings::parse(settings)?;
    let program = program.trim().to_owned();
    let mut problems = Vec::new();
    let mut wrong = |field, text: &str| problems.push(settings::problem(field, text));
    if !program.starts_with('/') && program.contains('/') {
        wrong("program", "has to be an absolute path or a bare name");
    }
    if program.contains('\0') {
        wrong("program", "may not hold a zero byte");
    }
    if args.iter().any(|arg| arg.contains('\0')) {
        wrong("args", "may not hold a zero byte");
    }
    let timeout = timeout.map_or(TIMEOUT, Duration::from_millis);
    if timeout.is_zero() || timeout > ATTEMPT_TIMEOUT {
        wrong("timeout", "has to be more than nothing and at most 15s");
    }
    if problems.is_empty() {
        Ok(Box::new(Command { program, args, timeout }))
    } else {
        Err(problems)
    }
}

#[async_trait::async_trait]
impl DirectChannel for Command {
    async fn deliver(&self, out: &Outgoing<'_>, _at: Timestamp) -> Outcome {
        let mut child = match self.process(out).spawn() {
            Ok(child) => child,
            Err(error) => return not_started(&error),
        };
        let group = Group::of(&child);
        let mut said = Said::default();
        let data = format!("{}\n", webhook::envelope(out));
        match timeout(self.timeout, attend(&mut child, &data, &mut said)).await {
            Ok(Ok(status)) => {
                group.leave();
                said.outcome(status)
            }
            Ok(Err(error)) => Outcome::Unknown(Reason::text(format!("lost sight of it: {error}"))),
            Err(_) => {
                drop(group);
                // A killed program that still does not end is left to the system.
                drop(timeout(BURIAL_TIMEOUT, child.wait()).await);
                let killed = format!("killed after {:?}", self.timeout);
                Outcome::Unknown(Reason::text(said.with_last_line(killed)))
            }
        }
    }

    fn preview(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<String, Refused> {
        let words = [&self.program].into_iter().chain(&self.args);
        let line = words.map(|word| fit::line(&format!("{word:?}"))).collect::<Vec<_>>().join(" ");
        let data = serde_json::to_string_pretty(&webhook::envelope(out));
        let data = data.map_err(|e| Refused(Reason::text(format!("no JSON: {e}"))))?;
        let (id, level) = (out.key(), out.message.level.name());
        Ok(format!("CALLOUT_ID={id} CALLOUT_LEVEL={level} {line}\n\n{data}\n"))
    }

    fn lacks(&self) -> Option<Problem> {
        let wrong = |text| Some(settings::problem("program", text));
        if self.program.starts_with('/') {
            return match std::fs::metadata(&self.program) {
                Ok(found) if is_program(&found) => None,
                Ok(_) => wrong("is nothing that may be run"),
                Err(_) => wrong("does not exist"),
            };
        }
        let path = std::env::var_os("PATH")?;
        let mut found = std::env::split_paths(&path).map(|folder| folder.join(&self.program));
        if found.any(|file| std::fs::metadata(file).is_ok_and(|found| is_program(&found))) {
            return None;
        }
        wrong("is in no folder of PATH")
    }
}

/// Whether somebody may run this file.
fn is_program(file: &Metadata) -> bool {
    file.is_file() && file.permissions().mode() & 0o111 != 0
}

impl Command {
    fn process(&self, out: &Outgoing<'_>) -> Process {
        let mut process = Process::new(&self.program);
        let inherited = std::env::vars_os()
            .filter(|(name, _)| INHERITED.iter().any(|inherited| name == inherited));
        process
            .args(&self.args)
            .env_clear()
            .envs(inherited)
            .env("CALLOUT_ID", out.key())
            .env("CALLOUT_LEVEL", out.message.level.name())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        process
    }
}

/// Nobody was told: the program never ran.
fn not_started(error: &io::Error) -> Outcome {
    let refused = |code: i32, text: &str| Outcome::Rejected {
        blame: Blame::Endpoint,
        reason: Reason::new(code, text),
    };
    let kind = error.kind();
    if kind == io::ErrorKind::NotFound {
        refused(NOT_THERE, "there is no such program")
    } else if kind == io::ErrorKind::PermissionDenied {
        refused(MAY_NOT_RUN, "it may not be run")
    } else if error.raw_os_error() == Some(NO_PROGRAM) {
        refused(MAY_NOT_RUN, "it is no program")
    } else {
        Outcome::Transient(Reason::text(format!("it did not start: {error}")))
    }
}

/// The process group of a running program: killed whole when this is dropped, be it that the time is up
/// or that nobody waits any more.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// The program has ended by itself, and its number may soon be another's.
    fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended this moment, which is as good.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

/// Feeds the program and listens to it until it ends.
async fn attend(child: &mut Child, data: &str, said: &mut Said) -> io::Result<ExitStatus> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let Said { out, err } = said;
    let feed = async {
        let Some(mut stdin) = stdin else { return };
        // A program need not read what it does not want to know.
        drop(stdin.write_all(data.as_bytes()).await);
    };
    let talk = async { tokio::join!(feed, listen(stdout, out), listen(stderr, err)) };
    let mut talk = pin!(talk);
    let mut silent = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = &mut talk, if !silent => silent = true,
        }
    };
    if !silent {
        // Whoever holds the pipes now is a child it left behind.
        drop(timeout(LEFTOVERS_TIMEOUT, talk).await);
    }
    Ok(status)
}

/// Reads to the end, however long that is, and keeps the end.
async fn listen(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        kept.extend(buffer.iter().take(count));
        let surplus = kept.len().saturating_sub(DETAIL_BYTES_MAX);
        kept.drain(..surplus);
    }
}

/// The ends of what the program said.
#[derive(Default)]
struct Said {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Said {
    fn outcome(&self, status: ExitStatus) -> Outcome {
        let Some(code) = status.code() else {
            let ended = format!("it ended by a signal: {status}");
            return Outcome::Unknown(Reason::text(self.with_last_line(ended)));
        };
        let reason = Reason::new(code, self.last_line());
        match code {
            0 => Outcome::Accepted(reason),
            TRY_AGAIN => Outcome::Transient(reason),
            _ => Outcome::Rejected { blame: Blame::Endpoint, reason },
        }
    }

    /// `what` happened, and the last it said before.
    fn with_last_line(&self, what: String) -> String {
        match self.last_line().as_str() {
            "" => what,
            last => format!("{what}: {last}"),
        }
    }

    /// The last line of what it complained of, else of what it said.
    fn last_line(&self) -> String {
        let last = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().rev().map(fit::line).find(|line| !line.is_empty());
            line.unwrap_or_default()
        };
        let complaint = last(&self.err);
        if complaint.is_empty() { last(&self.out) } else { complaint }
    }
}
