//! Slack incoming webhook.
//!
//! Success is status 200 with the body `ok`, and nothing else; refusals are one word of plain text.
//! The message is Block Kit with the headline as its `text`, which is what notifications show.
//! Link previews are off: fetching a link is not ours to cause. What a native body leaves unsaid
//! follows it as plain text.
//!
//! Unverified: which status goes with each word, and whether Slack counts characters or UTF-16 units;
//! words are read before statuses, and we count UTF-16 units.

use crate::channel::{
    Field, HttpChannel, HttpRequest, HttpResponse, Outgoing, Problem, Refused, Spec, Value,
};
use crate::mrkdwn::{convert, escape, link_to};
use crate::render::{ACKNOWLEDGE, Ack, Called, Story};
use crate::{fit, settings};
use callout_core::message::Link;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};

pub(crate) static SPEC: Spec = Spec {
    kind: "slack",
    title: "Slack incoming webhook",
    fields: &[Field {
        name: "webhook_url",
        value: Value::Secret,
        required: true,
        doc: "The webhook's whole address, which begins with https://hooks.slack.com/services/.",
    }],
    rate: "1/s",
    types: &["blocks", "text"],
    body_bytes_max: 64 * 1024,
    mentions: "everybody in the channel; people (U…) and groups (S…) by id",
    idempotency: "none",
};

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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slack {
    webhook_url: Secret,
}

/// Makes a webhook from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let slack: Slack = settings::parse(settings)?;
    let url = settings::web_address("webhook_url", slack.webhook_url.expose());
    let url = url.map_err(|problem| vec![problem])?;
    if url.scheme() != "https" && !settings::is_loopback(&url) {
        return Err(vec![settings::problem("webhook_url", "has to begin with https://")]);
    }
    Ok(Box::new(slack))
}

impl HttpChannel for Slack {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let called = Called::of(out.mentions);
        let story = Story::of(out).with_unsent(out, 0);
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => native.clone(),
            (None, true) => plain(story, &called),
            (None, false) => rich(story, &called),
        };
        HttpRequest::post_json(self.webhook_url.clone(), &body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        let word = answer.text();
        match (answer.status, word.as_str()) {
            (200, "ok") => Outcome::Accepted(Reason::new(200, word)),
            (200 | 400..=499, word) => refusal(word).map_or_else(
                || answer.outcome_by_status(at),
                |blame| Outcome::Rejected { blame, reason: Reason::new(answer.status, word) },
            ),
            _ => answer.outcome_by_status(at),
        }
    }

    fn follow_up(
        &self,
        out: &Outgoing<'_>,
        _at: Timestamp,
        answers: &[HttpResponse],
    ) -> Option<HttpRequest> {
        out.unsaid(&SPEC).filter(|_| answers.is_empty())?;
        let text = plain(Story::of(out).in_short(), &Called::NOBODY);
        HttpRequest::post_json(self.webhook_url.clone(), &text).ok()
    }
}

/// Whom a refusal blames, by Slack's word for it.
fn refusal(word: &str) -> Option<Blame> {
    match word {
        "invalid_payload"
        | "no_text"
        | "too_many_attachments"
        | "invalid_blocks"
        | "invalid_blocks_format"
        | "invalid_attachments"
        | "msg_too_long"
        | "msg_blocks_too_long" => Some(Blame::Message),
        "user_not_found"
        | "invalid_token"
        | "action_prohibited"
        | "posting_to_general_channel_denied"
        | "no_service"
        | "No service"
        | "no_service_id"
        | "no_active_hooks"
        | "no_team"
        | "channel_not_found"
        | "channel_is_archived"
        | "team_disabled" => Some(Blame::Endpoint),
        _ => None,
    }
}

fn plain(story: Story, called: &Called<'_>) -> Json {
    let text = escape(&story.plain(fit::quiet_names, |_| true));
    let lines = [text].into_iter().chain(mentions(called)).collect::<Vec<_>>();
    json!({ "text": lines.join("\n"), "unfurl_links": false, "unfurl_media": false })
}

fn rich(story: Story, called: &Called<'_>) -> Json {
    let fits = |blocks: Json| fit::utf16_len(&blocks.to_string()) <= BLOCKS_UNITS_MAX;
    let story = story.fit(|story| blocks(story, called).is_some_and(fits));
    json!({
        "text": fallback(&story),
        "blocks": blocks(&story, called),
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// What notifications show, and clients that know no blocks.
fn fallback(story: &Story) -> String {
    let ack = match &story.ack {
        Some(Ack::Link(url)) => link_to(url.expose(), ACKNOWLEDGE),
        Some(Ack::Command(command)) => by_command(command),
        None => String::new(),
    };
    let mut lines = vec![harmless(&story.headline()), harmless(&story.note), ack];
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}

/// All blocks, or `None` if the body does not fit its sections.
fn blocks(story: &Story, called: &Called<'_>) -> Option<Json> {
    let headline = story.headline();
    let header = fit::utf16(&headline, HEADER_UNITS_MAX);
    let mut blocks = vec![json!({ "type": "header", "text": plain_text(&header) })];
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
    let image = |url| json!({ "type": "image", "image_url": url, "alt_text": "image" });
    blocks.extend(story.images.iter().map(image));
    if let Some(Ack::Command(command)) = &story.ack {
        blocks.push(section(&by_command(command)));
    }
    let links = story.links.iter().enumerate().map(button);
    let buttons: Vec<Json> = story.ack.iter().filter_map(ack_button).chain(links).collect();
    if !buttons.is_empty() {
        blocks.push(json!({ "type": "actions", "elements": buttons }));
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

fn by_command(command: &str) -> String {
    escape(&format!("{ACKNOWLEDGE}: {command}"))
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

fn ack_button(ack: &Ack) -> Option<Json> {
    let Ack::Link(url) = ack else { return None };
    Some(json!({
        "type": "button", "text": plain_text(ACKNOWLEDGE), "url": url.expose(),
        "style": "primary", "action_id": "acknowledge",
    }))
}

fn button((n, link): (usize, &Link)) -> Json {
    let text = plain_text(&fit::utf16(&link.text, BUTTON_UNITS_MAX));
    json!({ "type": "button", "text": text, "url": link.url, "action_id": format!("link-{n}") })
}
