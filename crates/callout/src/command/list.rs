//! `callout list`
//!
//! JSON: an array of [`json::summary`].

use super::select::{self, FilterArgs};
use super::{Failure, config, open};
use crate::cli::Output;
use crate::{json, print};
use callout_store::Create;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::Summary;
use std::path::Path;

/// More of a title is not shown in a table.
const TITLE_CHARS_MAX: usize = 80;

/// Arguments of `callout list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    /// How many messages at most
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    output: Output,
}

/// Lists messages.
///
/// # Errors
/// What configuration and store say.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    let store = open(&config, Create::Never)?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let filter = args.filter.filter(SystemClock.now());
    let (messages, more) = select::all(&store, &filter, limit).await?;
    if args.output.json {
        print::json(&messages.iter().map(json::summary).collect());
    } else if messages.is_empty() {
        print::talk("no messages");
    } else {
        let header = ["ID", "STATE", "LEVEL", "ENQUEUED", "RECEIVERS", "TITLE"];
        print::table(&header, messages.iter().map(row).collect());
    }
    if more {
        print::talk(format_args!("there are more; --limit {} shows more", limit.saturating_mul(2)));
    }
    Ok(())
}

fn row(summary: &Summary) -> Vec<String> {
    let receivers = summary.deliveries.iter().map(|(receiver, standing)| {
        let standing = standing.name();
        if standing == summary.state.name() {
            receiver.to_string()
        } else {
            format!("{receiver} ({standing})")
        }
    });
    vec![
        summary.id.clone(),
        summary.state.name().to_owned(),
        summary.level.clone(),
        print::local(summary.created_at),
        receivers.collect::<Vec<_>>().join(", "),
        print::line(&summary.title, TITLE_CHARS_MAX),
    ]
}
