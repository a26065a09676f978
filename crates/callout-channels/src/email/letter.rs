//! The letter: what is said, as RFC 5322 wants it written.
//!
//! The same message makes the same bytes, but for `Date`, which is the time of the attempt. The
//! `Message-ID` is the same on every try, so that a mailbox can tell a repetition; another telling of an
//! alert has another one and refers to the first, and so does news of it, so that they stand together.

use super::html;
use crate::channel::{Outgoing, Refused};
use crate::fit;
use crate::render::{Ack, Story, by_command};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_core::level::Level;
use callout_core::message::Attachment;
use callout_core::outcome::Reason;
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as File, Body, Mailbox, MessageBuilder, MultiPart, SinglePart};
use std::time::{Duration, SystemTime};

/// The most bytes of a subject, before it is encoded: a line of a header cannot hold any title.
const SUBJECT_BYTES_MAX: usize = 250;
/// What a name's ending says about a file, as far as mail programs show such files at once.
const FILE_TYPES: &[(&str, &str)] = &[
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("pdf", "application/pdf"),
    ("csv", "text/csv; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("log", "text/plain; charset=utf-8"),
    ("json", "application/json"),
];

/// Writes the letter that says `out` at `at`.
///
/// # Errors
/// If it cannot be written, which no checked message causes.
pub(super) fn write(
    from: &Mailbox,
    to: &[Mailbox],
    out: &Outgoing<'_>,
    at: Timestamp,
) -> Result<Vec<u8>, Refused> {
    let head = head(from, to, out, at);
    let letter = if out.plain {
        let story = Story::of(out).with_unsent(out, 0);
        head.singlepart(SinglePart::plain(story.plain(str::to_owned, |_| true)))
    } else {
        head.multipart(parts(out)?)
    };
    letter.map(|letter| letter.formatted()).map_err(|e| refused(&e))
}

fn refused(error: &dyn std::error::Error) -> Refused {
    Refused(Reason::text(format!("no letter: {error}")))
}

fn head(from: &Mailbox, to: &[Mailbox], out: &Outgoing<'_>, at: Timestamp) -> MessageBuilder {
    let story = Story::of(out);
    let domain = from.email.domain();
    let id = |key: &str| format!("<{key}@{domain}>");
    let ms = u64::try_from(at.unix_ms()).unwrap_or_default();
    let mut head = Message::builder()
        .from(from.clone())
        .subject(subject(&story))
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(ms))
        .message_id(Some(id(&out.key())));
    for mailbox in to {
        head = head.to(mailbox.clone());
    }
    let retold = out.ask.filter(|ask| ask.telling > 1).map(|_| out.id);
    if let Some(first) = out.about.map(|about| about.id).or(retold) {
        let first = id(&first.to_string());
        head = head.in_reply_to(first.clone()).references(first);
    }
    head = with(head, HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated");
    if matches!(story.level, Level::Error | Level::Critical) {
        head = with(head, HeaderName::new_from_ascii_str("X-Priority"), "1");
        head = with(head, HeaderName::new_from_ascii_str("Importance"), "high");
    }
    head
}

/// The level and as much of the title as a list of letters shows; all of it stands inside.
fn subject(story: &Story) -> String {
    let subject = format!("[{}] {}", story.words.level(story.level), story.title);
    // What only looks encoded would be decoded by the reader's program, and show what nobody checked.
    fit::bytes(&subject, SUBJECT_BYTES_MAX).replace("=?", "=\u{200b}?")
}

fn with(head: MessageBuilder, name: HeaderName, value: &str) -> MessageBuilder {
    head.raw_header(HeaderValue::new(name, value.to_owned()))
}

/// Text first, HTML after it, for the last form is the one to show; then the files.
fn parts(out: &Outgoing<'_>) -> Result<MultiPart, Refused> {
    let story = Story::of(out);
    let body = MultiPart::alternative()
        .boundary(boundary("body", out))
        .singlepart(SinglePart::plain(text(&story)))
        .singlepart(SinglePart::html(html::page(&story, out.locale)));
    let files = &out.message.attachments;
    if files.is_empty() {
        return Ok(body);
    }
    let mut all = MultiPart::mixed().boundary(boundary("file", out)).multipart(body);
    for file in files {
        all = all.singlepart(attached(file)?);
    }
    Ok(all)
}

/// No line of an encoded part begins like this: quoted-printable has no `=_`, Base64 no underscore. A
/// part that travels as it is may, so the id, which no producer knows beforehand, is part of it.
fn boundary(part: &str, out: &Outgoing<'_>) -> String {
    format!("=_{part}_{}", out.key())
}

fn attached(file: &Attachment) -> Result<SinglePart, Refused> {
    let bytes = STANDARD.decode(&file.base64).map_err(|e| refused(&e))?;
    let name = fit::line(&file.name);
    let ending = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let known = FILE_TYPES.iter().find(|(known, _)| *known == ending);
    let kind = known.map_or("application/octet-stream", |(_, kind)| kind);
    let kind = ContentType::parse(kind).map_err(|e| refused(&e))?;
    // Encoded even where it need not be, for line ends are part of a file.
    let bytes = Body::new_with_encoding(bytes, ContentTransferEncoding::Base64);
    let bytes = bytes.map_err(|_| Refused(Reason::text("no letter: a file cannot be encoded")))?;
    Ok(File::new(name).body(bytes, kind))
}

/// The whole story as plain text. Nothing needs to be cut: a letter has room.
fn text(story: &Story) -> String {
    let ack = story.ack.as_ref().map(|ack| match ack {
        Ack::Link(url) => acknowledge(story, url),
        Ack::Command(command) => by_command(story.words, command),
    });
    let links: Vec<String> =
        story.links.iter().map(|link| format!("{}: {}", link.text, link.url)).collect();
    let images: Vec<String> =
        story.images.iter().map(|url| format!("{}: {url}", story.words.image)).collect();
    let facts: Vec<String> =
        story.facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let mut parts = vec![
        story.headline(),
        story.note.clone(),
        ack.unwrap_or_default(),
        story.body.clone(),
        facts.join("\n"),
        links.join("\n"),
        images.join("\n"),
        story.foot(),
    ];
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n") + "\n"
}

/// The address stands alone on its line, so that every program makes a link of it.
fn acknowledge(story: &Story, url: &Secret) -> String {
    let words = story.words;
    format!("{}{}\n{}", words.acknowledge, words.colon.trim_end(), url.expose())
}
