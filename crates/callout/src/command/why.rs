//! `callout why ID`
//!
//! JSON: [`json::why`].

use super::Failure;
use super::show::{self, Args};
use crate::{json, narrate, print};
use callout_store::clock::{Clock as _, SystemClock};
use std::path::Path;

/// Tells the whole story of one message.
///
/// # Errors
/// If there is no such message.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let story = show::read(args, named).await?;
    let now = SystemClock.now();
    if args.output.json {
        print::json(&json::why(&story, now));
    } else {
        print::out_raw(&print::clean(&narrate::story(&story, now, &print::zone())));
    }
    Ok(())
}
