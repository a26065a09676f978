//! The card that asks somebody to acknowledge.
//!
//! A card has few lines, and clients fold what is longer; pressing the card opens the acknowledge page,
//! which shows the message whole. So nothing here is shortened for the sake of a line: the headline is
//! the title, the note stands right under it, time and id in the quotation, six facts and links in the
//! list, and the body with all the rest in the text.

use crate::channel::filled;
use crate::fit;
use crate::render::Story;
use callout_core::message::Link;
use callout_core::secret::Secret;
use serde_json::{Value as Json, json};

/// The most bytes of a card as JSON. The provider tells no limit; its messages are all smaller.
const CARD_BYTES_MAX: usize = 8 * 1024;
/// The most lines in a card's list, and how many of them are links.
const LINES_MAX: usize = 6;
const LINKED_LINES_MAX: usize = 3;
/// The most bytes of a button's key.
const KEY_BYTES_MAX: usize = 1024;

/// A card that leads to `url`; with a `ticket`, its button sends that to us.
pub(super) fn card(story: Story, url: &Secret, ticket: Option<&Secret>, task: &str) -> Json {
    let ticket = ticket.filter(|ticket| is_key(ticket.expose()));
    let card = |story: &Story| of(story, url, ticket, task);
    let story = story.fit(|story| card(story).to_string().len() <= CARD_BYTES_MAX);
    card(&story)
}

/// Whether `ticket` can be a button's key as it is.
fn is_key(ticket: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !ticket.is_empty() && ticket.len() <= KEY_BYTES_MAX && ticket.chars().all(legal)
}

fn of(story: &Story, url: &Secret, ticket: Option<&Secret>, task: &str) -> Json {
    let (list, text) = (list(story), text(story));
    let word = story.words.acknowledge;
    let note = (!story.note.is_empty()).then(|| fit::quiet(&story.note));
    let button = ticket.map(|key| json!([{ "text": word, "style": 1, "key": key.expose() }]));
    let jump = json!([{ "type": 1, "title": word, "url": url.expose() }]);
    filled(json!({
        "card_type": if ticket.is_some() { "button_interaction" } else { "text_notice" },
        "task_id": task,
        "main_title": filled(json!({ "title": fit::quiet(&story.headline()), "desc": note })),
        "quote_area": { "type": 0, "quote_text": fit::quiet(&story.foot()) },
        "sub_title_text": (!text.is_empty()).then_some(text),
        "horizontal_content_list": (!list.is_empty()).then_some(list),
        "card_action": { "type": 1, "url": url.expose() },
        "jump_list": button.is_none().then_some(jump),
        "button_list": button,
    }))
}

/// How many facts and how many links have a line of their own.
fn lines(story: &Story) -> (usize, usize) {
    let linked = story.links.len().min(LINKED_LINES_MAX);
    let told = story.facts.len().min(LINES_MAX - linked);
    (told, story.links.len().min(LINES_MAX - told))
}

fn list(story: &Story) -> Vec<Json> {
    let (told, linked) = lines(story);
    let word = story.words.link;
    let facts = story.facts.iter().take(told);
    let facts = facts
        .map(|(name, value)| json!({ "keyname": fit::quiet(name), "value": fit::quiet(value) }));
    let links = story.links.iter().take(linked);
    let links = links.map(|Link { text, url }| {
        json!({ "type": 1, "keyname": word, "value": fit::quiet(text), "url": url })
    });
    facts.chain(links).collect()
}

/// The body, and what the list has no line for.
fn text(story: &Story) -> String {
    let (told, linked) = lines(story);
    let facts = story.facts.iter().skip(told).map(|(name, value)| format!("{name}: {value}"));
    let links = story.links.iter().skip(linked).map(|link| format!("{}: {}", link.text, link.url));
    let images = story.images.iter().map(|url| format!("{}: {url}", story.words.image));
    let lines = [story.body.clone()].into_iter().chain(facts).chain(links).chain(images);
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    fit::quiet(&lines.join("\n"))
}
