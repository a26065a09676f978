//! `callout why ID`
//!
//! JSON: [`json::why`].

use super::{Failure, config, open, select};
use crate::cli::Output;
use crate::{json, narrate, print};
use callout_store::Create;
use callout_store::clock::{Clock as _, SystemClock};
use std::path::Path;

/// Arguments of `callout why`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The message's id, or the beginning of it
    id: String,
    #[command(flatten)]
    output: Output,
}

/// Tells the whole story of one message.
///
/// # Errors
/// If there is no such message.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    let store = open(&config, Create::Never)?;
    let story = select::story(&store, &args.id).await?;
    let now = SystemClock.now();
    if args.output.json {
        print::json(&json::why(&story, now));
    } else {
        print::out_raw(&print::clean(&narrate::story(&story, now, &print::zone())));
    }
    Ok(())
}
