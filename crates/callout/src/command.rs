//! One file for each command, and what they share: configuration, store, failure.

pub mod answer;
pub mod backup;
pub mod channels;
pub mod check;
pub mod completions;
pub mod init;
pub mod list;
pub mod man;
pub mod migrate;
pub mod operate;
pub mod preview;
pub mod prune;
pub mod select;
pub mod send;
pub mod serve;
pub mod show;
pub mod simulate;
pub mod stats;
pub mod test;
pub mod why;

use crate::cli::{Cli, Command};
use crate::config::{self, Config, ConfigErrors, login_name};
use crate::{bench, demo, print};
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::{Actor, Answer};
use callout_store::{Create, SqliteStore, StoreError};
use std::fmt::Display;
use std::path::Path;

/// The exit code for a thing that failed.
pub const FAILED: u8 = 1;
/// The exit code for wrong usage.
pub const USAGE: u8 = 2;
/// The exit code for a disk that failed or files that were taken away (`EX_IOERR`).
pub const DISK: u8 = 74;
/// The exit code for a wrong configuration (`EX_CONFIG`), or a database that this program must not use.
pub const CONFIG: u8 = 78;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The thing asked for failed, and the command's data says so already.
    Said,
    /// The thing asked for failed.
    Failed {
        /// What and why.
        error: anyhow::Error,
        /// What to do about it.
        help: Option<String>,
    },
    /// The command was called in a way that makes no sense.
    Usage {
        /// What is wrong.
        problem: String,
        /// What to type instead.
        help: String,
    },
    /// The configuration is wrong.
    Config(ConfigErrors),
}

impl Failure {
    /// A failure with a remedy.
    pub fn new(problem: impl Display, help: impl Display) -> Self {
        Self::Failed { error: anyhow::anyhow!("{problem}"), help: Some(help.to_string()) }
    }

    /// Wrong usage with what to type instead.
    pub fn usage(problem: impl Display, help: impl Display) -> Self {
        Self::Usage { problem: problem.to_string(), help: help.to_string() }
    }

    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Said => FAILED,
            Self::Failed { error, .. } => {
                error.chain().find_map(|cause| cause.downcast_ref()).map_or(FAILED, code_of)
            }
            Self::Usage { .. } => USAGE,
            Self::Config(_) => CONFIG,
        }
    }

    /// Says it to the person.
    pub fn print(&self) {
        match self {
            Self::Said => {}
            Self::Failed { error, help } => {
                print::error(print::clean(&error.to_string()));
                for cause in error.chain().skip(1) {
                    print::talk(format_args!("  {}", print::clean(&cause.to_string())));
                }
                if let Some(help) = help {
                    print::talk(format_args!("  help: {}", print::clean(help)));
                }
            }
            Self::Usage { problem, help } => {
                print::error(print::clean(problem));
                print::talk(format_args!("  help: {}", print::clean(help)));
            }
            Self::Config(errors) => print_config_errors(errors),
        }
    }
}

/// The exit code for what the store says: it tells a supervisor whether starting again can help.
fn code_of(error: &StoreError) -> u8 {
    match error {
        StoreError::Failing { .. } | StoreError::Stopped(_) => DISK,
        StoreError::SchemaTooNew { .. }
        | StoreError::SchemaChanged { .. }
        | StoreError::UnsafeDisk(_) => CONFIG,
        _ => FAILED,
    }
}

fn print_config_errors(ConfigErrors(errors): &ConfigErrors) {
    for (n, error) in errors.iter().enumerate() {
        if n > 0 {
            print::talk("");
        }
        print::error(print::clean(&error.to_string()));
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed { error, help: None }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let help = match &error {
            StoreError::Busy(_) => Some("another process keeps it busy; ask again"),
            StoreError::Full(_) => Some("free some space, then ask again"),
            StoreError::Failing { .. } | StoreError::Stopped(_) => Some(
                "look into the system's log for the disk; what was acknowledged before is safe",
            ),
            StoreError::CommitUnknown(_) => {
                Some("look with `callout list`, or ask again with the same --idempotency-key")
            }
            _ => None,
        };
        Self::Failed { error: error.into(), help: help.map(str::to_owned) }
    }
}

/// Carries a command out.
///
/// # Errors
/// Why it did not do what it was asked.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let named = cli.config.as_deref();
    match cli.command {
        Command::Bench(args) => bench::run(&args, named),
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args, named),
        Command::Init(args) => init::run(&args),
        Command::Check(args) => check::run(&args, named),
        Command::Preview(args) => preview::run(&args, named),
        Command::Simulate(args) => simulate::run(&args, named),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Send(args) => wait_for(send::run(&args, named)),
        Command::Ack(args) => wait_for(answer::run(Answer::Acknowledge, &args, named)),
        Command::Unack(args) => wait_for(answer::run(Answer::Unacknowledge, &args, named)),
        Command::Resolve(args) => wait_for(answer::run(Answer::Resolve, &args, named)),
        Command::Escalate(args) => wait_for(answer::run(Answer::Escalate, &args, named)),
        Command::List(args) => wait_for(list::run(&args, named)),
        Command::Show(args) => wait_for(show::run(&args, named)),
        Command::Why(args) => wait_for(why::run(&args, named)),
        Command::Replay(args) => wait_for(operate::run(operate::Verb::Replay, &args, named)),
        Command::Cancel(args) => wait_for(operate::run(operate::Verb::Cancel, &args, named)),
        Command::Channels(args) => wait_for(channels::run(&args, named)),
        Command::Test(args) => wait_for(test::run(&args, named)),
        Command::Stats(args) => wait_for(stats::run(&args, named)),
        Command::Backup(args) => wait_for(backup::run(&args, named)),
        Command::Prune(args) => wait_for(prune::run(&args, named)),
        Command::Migrate(args) => wait_for(migrate::run(&args, named)),
    }
}

/// Runs a command's future to its end on this thread.
///
/// # Errors
/// Its own, or that there is no runtime.
pub fn wait_for(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(anyhow::Error::from)?;
    let done = runtime.block_on(work);
    // A name lookup that hangs must not keep the program.
    runtime.shutdown_background();
    done
}

/// Finds, reads and checks the configuration.
///
/// # Errors
/// Everything that is wrong with it.
pub fn config(named: Option<&Path>) -> Result<Config, Failure> {
    Ok(config::load(&config::locate(named)?)?)
}

/// Refuses a name that is not among those known, and says which one was meant.
///
/// # Errors
/// Wrong usage.
pub fn check_name(name: &str, what: &str, known: &[&str]) -> Result<(), Failure> {
    if known.contains(&name) {
        return Ok(());
    }
    let help = match config::nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("configured: {}", known.join(", ")),
    };
    Err(Failure::usage(format!("no {what} is called \"{name}\""), help))
}

/// Whoever types a command, under the name they give, from the account they use.
pub fn person(by: impl Into<String>) -> Actor {
    let origin = login_name().map(|name| format!("the account {name}"));
    Actor { origin, ..Actor::at_the_command_line(by) }
}

/// Opens the store that the configuration names.
///
/// # Errors
/// What the store says.
pub fn open(config: &Config, create: Create) -> Result<SqliteStore, Failure> {
    let (path, now) = (&config.store_path, SystemClock.now());
    let opened = if config.unsafe_disk {
        SqliteStore::open_anywhere(path, create, now)
    } else {
        SqliteStore::open(path, create, now)
    };
    let opened = opened.map_err(|error| {
        let place = format!("the store at {} cannot be opened", config.store_path.display());
        match Failure::from(error) {
            Failure::Failed { error, help } => {
                Failure::Failed { error: error.context(place), help }
            }
            other => other,
        }
    })?;
    if let Some(lost) = opened.lost() {
        print::warning(format_args!("{lost}; `callout serve` tells the operator when it starts"));
    }
    Ok(opened)
}

#[cfg(test)]
mod tests;
