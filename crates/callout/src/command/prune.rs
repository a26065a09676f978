//! `callout prune`
//!
//! JSON: `{"deleted"}`.

use super::select::before;
use super::{Failure, config, open};
use crate::cli::Output;
use crate::print::{self, Answer};
use callout_core::time::{format_duration, parse_duration};
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::PruneRequest;
use callout_store::{Create, Store as _};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// How many messages are looked at in one transaction.
const BATCH: usize = 500;

/// Arguments of `callout prune`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Delete accepted and cancelled messages that ended longer ago [default: as configured]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    accepted_before: Option<Duration>,
    /// Delete dead and expired messages that ended longer ago [default: as configured]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    dead_before: Option<Duration>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

/// Deletes old messages that are over.
///
/// # Errors
/// If nobody said yes, or what the store says.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    let store = open(&config, Create::Never)?;
    let accepted = args.accepted_before.unwrap_or(config.retention.accepted);
    let dead = args.dead_before.unwrap_or(config.retention.dead);
    let question = format!(
        "Delete accepted and cancelled messages older than {}, dead and expired ones older than {}?",
        format_duration(accepted),
        format_duration(dead)
    );
    if !args.yes {
        match print::ask(&question) {
            Answer::Yes => {}
            Answer::No => {
                return Err(Failure::new("nothing was deleted", "answer y, or pass --yes"));
            }
            Answer::Nobody => {
                return Err(Failure::usage(question, "there is nobody to ask; pass --yes"));
            }
        }
    }
    let now = SystemClock.now();
    let (mut deleted, mut after) = (0, Some(0));
    while let Some(position) = after {
        let ask = PruneRequest {
            accepted_before: before(now, accepted),
            dead_before: before(now, dead),
            after: position,
            limit: BATCH,
        };
        let report = store.prune(ask).await?;
        deleted += report.deleted;
        after = report.next;
    }
    if args.output.json {
        print::json(&json!({ "deleted": deleted }));
    } else {
        print::out(format_args!("deleted {}", super::check::count(deleted, "message")));
    }
    Ok(())
}
