//! `callout show ID`
//!
//! JSON: [`json::story`].

use super::{Failure, config, open, select};
use crate::cli::Output;
use crate::{json, narrate, print};
use callout_core::message::Message;
use callout_core::time::Timestamp;
use callout_store::Create;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::{Alert, Delivery, Story};
use std::fmt::Write as _;
use std::path::Path;

/// Arguments of `callout show` and `callout why`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The message's id, or the beginning of it
    pub(super) id: String,
    #[command(flatten)]
    pub(super) output: Output,
}

/// Shows one message.
///
/// # Errors
/// If there is no such message.
pub async fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let story = select::story(&open(&config(named)?, Create::Never)?, &args.id).await?;
    if args.output.json {
        print::json(&json::story(&story));
    } else {
        print::out_raw(&print::clean(&view(&story, SystemClock.now())));
    }
    Ok(())
}

fn view(story: &Story, now: Timestamp) -> String {
    let summary = &story.summary;
    let mut facts = vec![
        ("id", summary.id.clone()),
        ("state", summary.state.name().to_owned()),
        ("level", summary.level.clone()),
        ("title", summary.title.clone()),
        ("enqueued", print::local(summary.created_at)),
    ];
    facts.extend(summary.settled_at.map(|at| ("settled", print::local(at))));
    facts.extend(story.why.iter().map(|why| ("why", why.clone())));
    match &story.message {
        Ok(message) => facts.extend(parts(message)),
        Err(problem) => facts.push(("damaged", problem.clone())),
    }
    facts.extend(story.alert.iter().flat_map(|alert| about_alert(alert, now)));
    facts.extend(story.belongs_to.iter().map(|id| ("belongs to", id.clone())));
    facts.extend(story.deliveries.iter().map(|delivery| ("delivery", one_line(delivery))));
    let mut text = String::new();
    for (name, value) in facts {
        _ = writeln!(text, "{name:<12}{value}");
    }
    if let Ok(message) = &story.message
        && !message.body.is_empty()
    {
        _ = writeln!(text, "\n{}", message.body.trim_end());
    }
    text
}

fn parts(message: &Message) -> Vec<(&'static str, String)> {
    let mut parts = Vec::new();
    let labels = message.labels.iter().map(|(name, value)| ("label", format!("{name}={value}")));
    parts.extend(labels);
    parts.extend(message.links.iter().map(|link| ("link", format!("{} {}", link.text, link.url))));
    parts.extend(message.images.iter().map(|url| ("image", url.clone())));
    parts.extend(message.attachments.iter().map(|file| ("attachment", file.name.clone())));
    parts.extend(message.mentions.iter().map(|name| ("mention", name.clone())));
    parts.extend(message.native.keys().map(|kind| ("native", kind.clone())));
    parts.extend(message.dedup_key.iter().map(|key| ("dedup key", key.clone())));
    parts.extend(message.idempotency_key.iter().map(|key| ("idem. key", key.clone())));
    parts
}

fn about_alert(alert: &Alert, now: Timestamp) -> Vec<(&'static str, String)> {
    let told: Vec<&str> = alert.told.iter().map(|name| name.as_str()).collect();
    let mut facts = vec![("alert", narrate::alert::standing(alert, now, &print::zone()))];
    facts.extend(alert.timer.due_at().map(|at| ("next step", print::local(at))));
    facts.push(("told", if told.is_empty() { "nobody yet".to_owned() } else { told.join(", ") }));
    facts
}

fn one_line(delivery: &Delivery) -> String {
    let place = delivery.state.place();
    let tries = super::check::count(usize::try_from(place.tries).unwrap_or(0), "try");
    let (receiver, state) = (&delivery.receiver, delivery.state.name());
    format!("{receiver}: {state} on {} after {tries}", place.channel)
}
