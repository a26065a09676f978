//! What the WeCom group robot and the WeCom application have in common: the table of codes, their
//! Markdown, and files.

use crate::channel::{HttpRequest, Outgoing};
use crate::fit;
use crate::render::{Dialect, Story};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_core::level::Level;
use callout_core::message::Attachment;
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use std::borrow::Cow;
use std::time::Duration;

/// The most bytes of Markdown.
pub(crate) const MARKDOWN_BYTES_MAX: usize = 4096;
/// The most bytes of plain text.
const TEXT_BYTES_MAX: usize = 2048;
/// How many attachments follow a message; the others are named in it.
const FILES_MAX: usize = 4;
/// How long to wait after too many messages, and after too many at once.
const LIMITED: Duration = Duration::from_secs(60);
const CROWDED: Duration = Duration::from_secs(5);

/// The first of the two kinds of Markdown, which has colours.
pub(crate) const V1: Dialect =
    Dialect { line_end: "\n", links: true, images: false, quiet: fit::quiet };

/// What `out` says, with the attachments listed that do not follow it.
pub(crate) fn story(out: &Outgoing<'_>) -> Story {
    Story::of(out).with_unsent(out, FILES_MAX)
}

/// Short plain text that leaves `room` for so many bytes behind it.
pub(crate) fn plain(story: Story, room: usize) -> String {
    story.plain(fit::quiet, |text| text.len() + room <= TEXT_BYTES_MAX)
}

/// Markdown of the first kind, the level in its colour.
pub(crate) fn coloured(story: &Story) -> String {
    let level = story.words.marker(story.level);
    let font = format!("<font color=\"{}\">{level}</font>", colour(story.level));
    story.markdown(&V1).replacen(&level, &font, 1)
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warning | Level::Error | Level::Critical => "warning",
    }
}

/// An attachment, decoded.
pub(crate) struct File<'a> {
    pub(crate) name: &'a str,
    pub(crate) bytes: Vec<u8>,
}

/// The attachments that follow `out`.
pub(crate) fn files<'a>(out: &Outgoing<'a>) -> impl Iterator<Item = File<'a>> {
    let decoded = |file: &'a Attachment| {
        Some(File { name: &file.name, bytes: STANDARD.decode(&file.base64).ok()? })
    };
    out.message.attachments.iter().take(FILES_MAX).filter_map(decoded)
}

/// Whether these are the first bytes of a PNG or JPEG file.
pub(crate) fn is_image(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n") || bytes.starts_with(b"\xff\xd8\xff")
}

/// The request that uploads `file`, a part of `out`.
pub(crate) fn upload(url: Secret, out: &Outgoing<'_>, file: &File<'_>) -> HttpRequest {
    let boundary = format!("callout-{}", out.id);
    let name = fit::line(file.name).replace(['"', '\\'], "_");
    let mut body = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"media\"; filename=\"{name}\"; filelength={}\r\ncontent-type: application/octet-stream\r\n\r\n",
        file.bytes.len()
    )
    .into_bytes();
    body.extend_from_slice(&file.bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let kind = Secret::new(format!("multipart/form-data; boundary={boundary}"));
    let headers = vec![(Cow::Borrowed("content-type"), kind)];
    HttpRequest { method: "POST", url, headers, body }
}

/// What the service adds to a success when it understood the JSON only in part.
const HALF_UNDERSTOOD: &str = "Warning: wrong json format";

/// What `code` means; `text` is the provider's.
pub(crate) fn outcome(code: i64, text: &str, at: Timestamp) -> Outcome {
    let reason = Reason::new(code, text);
    match code {
        // It was shown, so it must not be sent again; the operator shall see what was lost.
        0 if text.contains(HALF_UNDERSTOOD) => {
            Outcome::Accepted(Reason::new(code, format!("only partly understood: {text}")))
        }
        0 => Outcome::Accepted(reason),
        45_009 => Outcome::Throttled { until: at + LIMITED, reason },
        45_033 => Outcome::Throttled { until: at + CROWDED, reason },
        40_007 | 40_008 | 40_009 | 40_033 | 40_035 | 40_058 | 40_063 | 41_006 | 44_004 | 45_001
        | 45_002 | 45_008 => Outcome::Rejected { blame: Blame::Message, reason },
        93_000 | 40_001 | 40_013 | 40_014 | 41_001 | 42_001 | 50_003 | 60_020 | 81_013
        | 301_002 => Outcome::Rejected { blame: Blame::Endpoint, reason },
        // Busy (-1, 6000), and codes we do not know: worth another try, which the attempt limit ends.
        _ => Outcome::Transient(reason),
    }
}
