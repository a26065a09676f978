//! Slack's Block Kit, for both ways into Slack.
//!
//! A message is blocks with the headline as its `text`, which is what notifications show. Link previews
//! are off: fetching a link is not ours to cause.
//!
//! Unverified: whether Slack counts characters or UTF-16 units; we count UTF-16 units, which are at
//! least as many.

use crate::fit;
use crate::mrkdwn::{convert, escape, link_to};
use crate::render::{Ack, Called, Story, by_command};
use crate::words::Words;
use callout_core::message::Link;
use callout_core::secret::Secret;
use serde_json::{Value as Json, json};

/// The most UTF-16 units of all blocks as JSON; a little more was seen to be refused.
const BLOCKS_UNITS_MAX: usize = 12_000;
/// The most UTF-16 units in a header, a section and a button.
const HEADER_UNITS_MAX: usize = 150;
const SECTION_UNITS_MAX: usize = 3_000;
const BUTTON_UNITS_MAX: usize = 75;
/// The most sections for the body.
const BODY_SECTIONS_MAX: usize = 5;
/// How much source text goes into one section of the body: the first size at which every section fits.
/// Escaping makes five of one, so the last always does.
const BODY_PIECES: [usize; 3] = [2_900, 1_500, 550];
/// The most fields in one section, and how much of a name and a value fits one even when escaped.
const FIELDS_PER_SECTION: usize = 10;
const FIELD_NAME_UNITS_MAX: usize = 80;
const FIELD_VALUE_UNITS_MAX: usize = 300;
/// How much of a long title fits one section even when escaped.
const TITLE_UNITS_MAX: usize = 590;

/// The name of the button that acknowledges, by which a press of it is told from all others.
pub(crate) const ACKNOWLEDGE: &str = "acknowledge";

/// In what the ways into Slack, and what is said at first and later, differ.
#[derive(Debug, Default)]
pub(crate) struct Look<'a> {
    /// What a press of the button tells us; without it the button is a link to the page.
    pub(crate) ticket: Option<&'a Secret>,
    /// What became of the alert, one line; it stands above the message.
    pub(crate) news: Option<&'a str>,
}

/// Short plain text.
pub(crate) fn plain(story: Story, called: &Called<'_>) -> Json {
    let text = escape(&story.plain(fit::quiet_names, |_| true));
    let lines = [text].into_iter().chain(mentions(called)).collect::<Vec<_>>();
    json!({ "text": lines.join("\n") })
}

/// Blocks, cut to Slack's limits, and the text for where no blocks are shown.
pub(crate) fn rich(story: Story, called: &Called<'_>, look: &Look<'_>) -> Json {
    let fits = |blocks: Json| fit::utf16_len(&blocks.to_string()) <= BLOCKS_UNITS_MAX;
    let story = story.fit(|story| blocks(story, called, look).is_some_and(fits));
    json!({ "text": fallback(&story, look), "blocks": blocks(&story, called, look) })
}

/// The same message, without previews of its links.
pub(crate) fn unpreviewed(mut message: Json) -> Json {
    if let Some(parts) = message.as_object_mut() {
        parts.insert("unfurl_links".to_owned(), json!(false));
        parts.insert("unfurl_media".to_owned(), json!(false));
    }
    message
}

/// What notifications show, and clients that know no blocks.
fn fallback(story: &Story, look: &Look<'_>) -> String {
    let ack = match &story.ack {
        Some(Ack::Link(url)) => link_to(url.expose(), story.words.acknowledge),
        Some(Ack::Command(command)) => escape(&by_command(story.words, command)),
        None => String::new(),
    };
    let news = look.news.map(harmless).unwrap_or_default();
    let mut lines = vec![news, harmless(&story.headline()), harmless(&story.note), ack];
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

/// All blocks, or `None` if the body does not fit its sections.
fn blocks(story: &Story, called: &Called<'_>, look: &Look<'_>) -> Option<Json> {
    let headline = story.headline();
    let header = fit::utf16(&headline, HEADER_UNITS_MAX);
    let news = |news| section(&format!("*{}*", harmless(&fit::utf16(news, TITLE_UNITS_MAX))));
    let mut blocks: Vec<Json> = look.news.map(news).into_iter().collect();
    blocks.push(json!({ "type": "header", "text": plain_text(&header) }));
    if header != headline {
        blocks.push(section(&harmless(&fit::utf16(&story.title, TITLE_UNITS_MAX))));
    }
    if !story.note.is_empty() {
        blocks.push(section(&harmless(&story.note)));
    }
    blocks.extend(mentions(called).map(|text| section(&text)));
    blocks.extend(body(&story.body)?.iter().map(|text| section(text)));
    let fields: Vec<Json> = story.facts.iter().map(field).collect();
    let rows = fields.chunks(FIELDS_PER_SECTION);
    blocks.extend(rows.map(|row| json!({ "type": "section", "fields": row })));
    let image = |url| json!({ "type": "image", "image_url": url, "alt_text": story.words.image });
    blocks.extend(story.images.iter().map(image));
    if let Some(Ack::Command(command)) = &story.ack {
        blocks.push(section(&escape(&by_command(story.words, command))));
    }
    let links = story.links.iter().enumerate().map(button);
    let ack = story.ack.as_ref().and_then(|ack| ack_button(story.words, ack, look));
    let buttons: Vec<Json> = ack.into_iter().chain(links).collect();
    if !buttons.is_empty() {
        blocks.push(json!({ "type": "actions", "elements": buttons }));
    }
    if let (Some(Ack::Link(url)), Some(_)) = (&story.ack, look.ticket) {
        // The button leads nowhere, and the reader may want to see the whole alert first.
        let page = mrkdwn(&link_to(url.expose(), story.words.open_page));
        blocks.push(json!({ "type": "context", "elements": [page] }));
    }
    let foot = mrkdwn(&harmless(&story.foot()));
    blocks.push(json!({ "type": "context", "elements": [foot] }));
    Some(Json::Array(blocks))
}

/// The body in as few sections as it needs.
fn body(markdown: &str) -> Option<Vec<String>> {
    BODY_PIECES.iter().find_map(|size| {
        let pieces = fit::split(markdown, *size, BODY_SECTIONS_MAX + 1);
        let pieces: Vec<String> =
            pieces.iter().map(|text| convert(&fit::quiet_names(text))).collect();
        let legal = pieces.iter().all(|text| fit::utf16_len(text) <= SECTION_UNITS_MAX);
        (legal && pieces.len() <= BODY_SECTIONS_MAX).then_some(pieces)
    })
}

fn mentions(called: &Called<'_>) -> Option<String> {
    let people = called.users.iter().map(|id| match id.strip_prefix('S') {
        Some(_) => format!("<!subteam^{id}>"),
        None => format!("<@{id}>"),
    });
    let everybody = called.all.then(|| "<!channel>".to_owned());
    let names: Vec<String> = everybody.into_iter().chain(people).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

/// Text as markup in which nothing mentions anybody.
fn harmless(text: &str) -> String {
    escape(&fit::quiet_names(text))
}

fn plain_text(text: &str) -> Json {
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

/// Marked-up text in which Slack itself finds no further names and channels.
fn mrkdwn(text: &str) -> Json {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

fn section(text: &str) -> Json {
    json!({ "type": "section", "text": mrkdwn(text) })
}

fn field((name, value): &(String, String)) -> Json {
    let name = harmless(&fit::utf16(name, FIELD_NAME_UNITS_MAX));
    let value = harmless(&fit::utf16(value, FIELD_VALUE_UNITS_MAX));
    mrkdwn(&format!("*{name}*\n{value}"))
}

fn ack_button(words: &Words, ack: &Ack, look: &Look<'_>) -> Option<Json> {
    let Ack::Link(url) = ack else { return None };
    let (does, what) = match look.ticket {
        Some(ticket) => ("value", ticket),
        None => ("url", url),
    };
    Some(json!({
        "type": "button", "text": plain_text(words.acknowledge), does: what.expose(),
        "style": "primary", "action_id": ACKNOWLEDGE,
    }))
}

fn button((n, link): (usize, &Link)) -> Json {
    let text = plain_text(&fit::utf16(&link.text, BUTTON_UNITS_MAX));
    json!({ "type": "button", "text": text, "url": link.url, "action_id": format!("link-{n}") })
}
