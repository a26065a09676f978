//! The coloured attachment that Mattermost and Rocket.Chat know from the early days of Slack.
//!
//! The text of the message itself holds the headline and the mentions, for that is what notifications
//! show; the attachment below it holds all the rest.

use crate::fit;
use crate::render::{Dialect, Story};
use callout_core::level::Level;
use serde_json::{Value as Json, json};

/// How much of a name and of a value one field shows, in UTF-16 units.
const FIELD_NAME_UNITS_MAX: usize = 80;
const FIELD_VALUE_UNITS_MAX: usize = 300;
/// Values up to so many UTF-16 units stand two in a row.
const SHORT_VALUE_UNITS_MAX: usize = 30;

/// Both read Markdown everywhere, and make no buttons of links.
const DIALECT: Dialect = Dialect { line_end: "\n", links: true, images: true, quiet: fit::quiet };

/// A message of `story` that mentions `names`, each with its `@`.
pub(crate) fn message(story: &Story, names: &[String]) -> Json {
    let text = with_names(format!("**{}**", fit::inline(&story.headline())), names);
    json!({ "text": text, "attachments": [attachment(story)] })
}

/// The short plain form of `story` that mentions `names`. Both read any text as Markdown, so nothing of it
/// is left to be read.
pub(crate) fn plain(story: Story, names: &[String]) -> Json {
    json!({ "text": with_names(story.plain(fit::flat, |_| true), names) })
}

fn with_names(text: String, names: &[String]) -> String {
    if names.is_empty() { text } else { format!("{text}\n{}", names.join(" ")) }
}

fn attachment(story: &Story) -> Json {
    let fields: Vec<Json> = story.facts.iter().map(field).collect();
    let mut rest = story.clone();
    rest.facts.clear();
    json!({
        "color": colour(story.level),
        "fallback": fit::inline(&story.headline()),
        "text": rest.markdown_below_headline(&DIALECT),
        "fields": fields,
    })
}

fn field((name, value): &(String, String)) -> Json {
    json!({
        "title": fit::inline(&fit::utf16(name, FIELD_NAME_UNITS_MAX)),
        "value": fit::inline(&fit::utf16(value, FIELD_VALUE_UNITS_MAX)),
        "short": fit::utf16_len(value) <= SHORT_VALUE_UNITS_MAX,
    })
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Info => "#2f80ed",
        Level::Warning => "#f2c94c",
        Level::Error => "#f2994a",
        Level::Critical => "#d92d20",
    }
}
