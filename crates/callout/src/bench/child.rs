//! This program once more, in another process and another role.
//!
//! A child ends when its standard input does, so that it outlives nobody, however its parent dies.

use anyhow::Context as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

/// What a child is for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Role {
    /// Answers requests.
    Sink,
    /// `callout serve`.
    Serve,
}

/// A running child. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Child(std::process::Child);

impl Child {
    /// Starts a sink. Returns it with the address that it listens on.
    pub(super) fn sink() -> anyhow::Result<(Self, String)> {
        let mut child = Self::start(Role::Sink, None, Stdio::piped())?;
        let said = child.0.stdout.take().context("the sink has no output")?;
        let mut address = String::new();
        BufReader::new(said).read_line(&mut address).context("the sink cannot be heard")?;
        anyhow::ensure!(!address.trim().is_empty(), "the sink did not start");
        Ok((child, address.trim().to_owned()))
    }

    /// Starts `callout serve` with the configuration `file`.
    pub(super) fn serve(file: &Path) -> anyhow::Result<Self> {
        Self::start(Role::Serve, Some(file), Stdio::null())
    }

    fn start(role: Role, config: Option<&Path>, output: Stdio) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program cannot be found")?;
        let mut command = Command::new(program);
        command.args(["bench", "--role"]).arg(match role {
            Role::Sink => "sink",
            Role::Serve => "serve",
        });
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::null());
        Ok(Self(command.spawn().context("this program cannot be started again")?))
    }

    /// The number of the process.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            tracing::warn!(%error, "a process that was started for a measurement could not be ended");
        }
    }
}

/// Ends this process when whoever started it is gone.
pub(super) fn end_with_parent() -> anyhow::Result<()> {
    let watch = || {
        // An error is an end, too.
        std::io::stdin().read_to_end(&mut Vec::new()).map_or_else(drop, drop);
        std::process::exit(0);
    };
    std::thread::Builder::new().name("callout-parent".to_owned()).spawn(watch)?;
    Ok(())
}
