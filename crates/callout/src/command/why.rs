//! `callout why ID`
//!
//! JSON: [`json::why`]. What to do about failures is said in the configuration's language, or that of the
//! environment; the rest of the story is English.

use super::show::Args;
use super::{Failure, config, open, select};
use crate::config::Config;
use crate::{advice, json, narrate, print};
use callout_core::outcome::Reason;
use callout_store::Create;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::AttemptRecord;
use std::path::Path;

/// Tells the whole story of one message.
///
/// # Errors
/// If there is no such message.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    let story = select::story(&open(&config, Create::Never)?, &args.id).await?;
    let now = SystemClock.now();
    let advise = |attempt: &AttemptRecord| advise(&config, attempt);
    if args.output.json {
        print::json(&json::why(&story, now, &advise));
    } else {
        let line = |attempt: &AttemptRecord| {
            Some(advice::line(&attempt.channel, advise(attempt)?, config.talk_locale()))
        };
        let told = narrate::advised(&story, now, &print::zone(), &line);
        print::out_raw(&print::clean(&told));
    }
    Ok(())
}

/// What to do about a try that failed, if its channel is still configured.
fn advise(config: &Config, attempt: &AttemptRecord) -> Option<&'static str> {
    let spec = config.channels.get(&attempt.channel)?.channel.spec();
    let reason = Reason { code: attempt.code.clone(), detail: attempt.detail.clone() };
    advice::of(spec, &reason, config.talk_locale())
}
