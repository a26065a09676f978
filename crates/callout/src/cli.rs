//! The commands. Each one's arguments live in its own file.

use crate::bench;
use crate::command;
use crate::demo;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Delivers alerts that must not get lost.
///
/// `callout serve` runs the worker and the HTTP API. Every other command works directly on the
/// store, with or without a running server.
#[derive(Debug, Parser)]
#[command(
    name = "callout",
    version,
    disable_help_subcommand = true,
    after_long_help = "Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage, \
                       78 wrong configuration."
)]
pub struct Cli {
    /// The configuration file.
    ///
    /// Default: the file named in CALLOUT_CONFIG, else ./callout.toml, else callout/callout.toml in
    /// the user's configuration directory.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the whole main job in a temporary folder, with stand-ins for the providers
    Demo(demo::Args),
    /// Write a commented callout.toml, a signing key and an API token
    Init(command::init::Args),
    /// Check the configuration
    Check(command::check::Args),
    /// Run the worker and the HTTP API
    Serve(command::serve::Args),
    /// Enqueue a message
    Send(Box<command::send::Args>),
    /// Acknowledge an alert: nobody else is told
    #[command(after_long_help = command::answer::EXIT_CODES)]
    Ack(command::answer::Args),
    /// Take an acknowledgment or a resolution back: people are told again
    #[command(after_long_help = command::answer::EXIT_CODES)]
    Unack(command::answer::Args),
    /// Say that an alert's problem is over
    #[command(after_long_help = command::answer::EXIT_CODES)]
    Resolve(command::answer::Args),
    /// Tell the next people of an alert now
    #[command(after_long_help = command::answer::EXIT_CODES)]
    Escalate(command::answer::Args),
    /// List messages, newest first
    List(command::list::Args),
    /// Show one message
    Show(command::show::Args),
    /// Tell the whole story of one message in words
    Why(command::show::Args),
    /// Show who would be told what and when, without telling anybody
    Simulate(command::simulate::Args),
    /// Put dead, expired and cancelled deliveries back
    Replay(command::operate::Args),
    /// Call off deliveries that are not over
    Cancel(command::operate::Args),
    /// List the configured channels and how they fare
    Channels(command::channels::Args),
    /// Show what a channel would send for a message, without sending it
    Preview(command::preview::Args),
    /// Send one real test message now, show the provider's answer and what to do about it
    Test(command::test::Args),
    /// Show counts and times
    Stats(command::stats::Args),
    /// Write a consistent copy of the store while everything goes on
    Backup(command::backup::Args),
    /// Delete old messages that are over
    Prune(command::prune::Args),
    /// Measure this machine and what Callout makes of it
    Bench(bench::Args),
    /// Create the store, or bring its schema up to date
    Migrate(command::migrate::Args),
    /// Print a completion script for a shell
    Completions(command::completions::Args),
    /// Write the manual pages
    Man(command::man::Args),
}

/// How to print data.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Output {
    /// Print JSON instead of text for people
    #[arg(long)]
    pub json: bool,
}

#[cfg(test)]
mod tests;
