//! What a message says, before any provider's markup.
//!
//! A [`Story`] is the message with every text cleaned. It is made shorter in one fixed order until the
//! channel says that it fits: the end of the body, the least important facts, the labels of the links,
//! then images, links and the rest of the body. The level, the id, a required keyword, mentions and what
//! is asked of the reader are not part of what can be cut, and the title goes last.

use crate::channel::{Ask, Mentions, Outgoing};
use crate::fit;
use crate::words::Words;
use callout_core::level::Level;
use callout_core::message::{Link, NAME_BYTES_MAX};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use jiff::tz::TimeZone;

/// The most characters (UTF-16 units) of the plain form, mentions not counted.
pub(crate) const PLAIN_UNITS_MAX: usize = 1000;
/// How much of the body is kept until facts and labels have been tried, in bytes.
const BODY_KEPT_BYTES: usize = 600;
/// How much of a link's label is kept when labels are cut, in bytes.
const LABEL_KEPT_BYTES: usize = 24;
/// How much of the title is always kept, in bytes.
const TITLE_KEPT_BYTES: usize = 120;
/// The most ids in the mentions of one message, and the most bytes of these.
const MENTIONED_MAX: usize = 50;
const MENTIONED_BYTES_MAX: usize = 500;
/// The most names of attachments that are listed, and the most bytes of one.
const LISTED_FILES_MAX: usize = 4;
const LISTED_FILE_BYTES_MAX: usize = 60;
/// A number with at least this many digits is a mobile, not the id of a user.
const MOBILE_DIGITS_MIN: usize = 11;
/// What Callout marks its own messages with is for programs, not for readers.
const OWN_LABELS: &str = "callout.";
/// The labels that say most, most important first; the others follow by name.
const WELL_KNOWN: [&str; 4] = ["host", "metric", "value", "threshold"];

/// What a message says, cleaned, before any markup.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) words: &'static Words,
    pub(crate) level: Level,
    /// One line.
    pub(crate) title: String,
    /// Why the reader hears of it now, on one line. May be empty.
    pub(crate) note: String,
    /// How to acknowledge it, if somebody has to.
    pub(crate) ack: Option<Ack>,
    /// Markdown with every fence closed. May be empty.
    pub(crate) body: String,
    /// Names and values, most important first.
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) links: Vec<Link>,
    pub(crate) images: Vec<String>,
    foot: String,
    unsent: Vec<String>,
    cut: bool,
}

/// How the reader acknowledges.
#[derive(Clone, Debug)]
pub(crate) enum Ack {
    /// At this address, which is a credential.
    Link(Secret),
    /// By typing this, one line.
    Command(String),
}

/// How to acknowledge by command, in one line.
pub(crate) fn by_command(words: &Words, command: &str) -> String {
    format!("{}{}{command}", words.acknowledge, words.colon)
}

impl Ack {
    fn of(ask: &Ask) -> Self {
        match &ask.url {
            Some(url) => Self::Link(url.clone()),
            None => Self::Command(fit::line(&ask.command)),
        }
    }

    /// As plain text. An address stands alone on its line, so that every client makes a link of it.
    fn plain(&self, words: &Words) -> String {
        match self {
            Self::Link(url) => {
                format!("{}{}\n{}", words.acknowledge, words.colon.trim_end(), url.expose())
            }
            Self::Command(command) => by_command(words, command),
        }
    }
}

/// How much there is of one part of a story.
type Size = fn(&Story) -> usize;
/// Leaves so much of it.
type Shorten = fn(&mut Story, usize);

/// What is cut, in this order: how much there is of it, and how to leave less.
const STEPS: &[(Size, Shorten)] = &[
    (|story| story.body.len(), |story, left| story.cut_body(left.max(BODY_KEPT_BYTES))),
    (|story| story.facts.len(), |story, left| story.facts.truncate(left)),
    (|_| NAME_BYTES_MAX, |story, left| story.cut_labels(left.max(LABEL_KEPT_BYTES))),
    (|story| story.images.len(), |story, left| story.images.truncate(left)),
    (|story| story.links.len(), |story, left| story.links.truncate(left)),
    (|story| story.body.len(), Story::cut_body),
    (|story| story.title.len(), |story, left| story.cut_title(left.max(TITLE_KEPT_BYTES))),
];

impl Story {
    /// Takes from `out` what is to be said.
    pub(crate) fn of(out: &Outgoing<'_>) -> Self {
        let message = out.message;
        let mut facts: Vec<(String, String)> = message
            .labels
            .iter()
            .filter(|(name, _)| !name.starts_with(OWN_LABELS))
            .map(|(name, value)| (fit::line(name), fit::line(value)))
            .collect();
        facts.sort_by_key(|(name, _)| {
            WELL_KNOWN.iter().position(|known| known == name).unwrap_or(WELL_KNOWN.len())
        });
        let link = |link: &Link| Link { text: fit::line(&link.text), url: link.url.clone() };
        Self {
            words: Words::of(out.locale),
            level: message.level,
            title: fit::line(&message.title),
            note: out.ask.and_then(|ask| ask.note.as_deref()).map(fit::line).unwrap_or_default(),
            ack: out.ask.map(Ack::of),
            body: fit::close_fence(&fit::text(&message.body)),
            facts,
            links: message.links.iter().map(link).collect(),
            images: message.images.clone(),
            foot: format!("{} · {}", local(out.created_at, out.zone), out.id),
            unsent: Vec::new(),
            cut: false,
        }
    }

    /// Lists the attachments from number `sent` on as not sent here.
    pub(crate) fn with_unsent(mut self, out: &Outgoing<'_>, sent: usize) -> Self {
        let unsent = out.message.attachments.iter().skip(sent).take(LISTED_FILES_MAX);
        self.unsent =
            unsent.map(|file| fit::bytes(&fit::line(&file.name), LISTED_FILE_BYTES_MAX)).collect();
        self
    }

    /// Leaves only what happened and what is asked of the reader.
    pub(crate) fn in_short(self) -> Self {
        let (body, facts, links, images) = (String::new(), Vec::new(), Vec::new(), Vec::new());
        Self { body, facts, links, images, ..self }
    }

    /// The level and the title, on one line.
    pub(crate) fn headline(&self) -> String {
        format!("{}{}{}", self.words.marker(self.level), self.words.colon, self.title)
    }

    /// When it happened, its id, and what is missing, on one line.
    pub(crate) fn foot(&self) -> String {
        let mut foot = self.foot.clone();
        if self.cut {
            foot += &format!(" · {}", self.words.shortened);
        }
        if !self.unsent.is_empty() {
            let names = self.unsent.join(self.words.between_names);
            foot += &format!(" · {}{}{names}", self.words.files_not_sent, self.words.colon);
        }
        foot
    }

    /// Makes the story shorter until it `fits`, or until nothing is left to cut.
    ///
    /// Every question whether it fits takes a rendering, which is dear while the story is far too long. So
    /// the steps are not tried one after the other: the first that is enough is found by halving.
    pub(crate) fn fit(mut self, fits: impl Fn(&Self) -> bool) -> Self {
        if fits(&self) {
            return self;
        }
        self.cut = true;
        let taken = |steps: usize| {
            let mut story = self.clone();
            STEPS.iter().take(steps).for_each(|(_, shorten)| shorten(&mut story, 0));
            story
        };
        // How many steps, taken to their end, are enough; all of them have to be.
        let enough = least(1, STEPS.len(), |steps| fits(&taken(steps)));
        let Some((size, shorten)) = STEPS.get(enough - 1) else { return self };
        let before = taken(enough - 1);
        let left = |n| {
            let mut story = before.clone();
            shorten(&mut story, n);
            story
        };
        let whole = size(&before);
        let away = least(0, whole, |away| fits(&left(whole - away)));
        left(whole - away)
    }

    fn cut_body(&mut self, left: usize) {
        self.body = fit::markdown(&self.body, left);
    }

    fn cut_labels(&mut self, left: usize) {
        for link in &mut self.links {
            link.text = fit::bytes(&link.text, left);
        }
    }

    fn cut_title(&mut self, left: usize) {
        self.title = fit::bytes(&self.title, left);
    }

    /// Short plain text that fits the smallest limits: headline, note, body, how to acknowledge, links,
    /// facts, foot. All but how to acknowledge has been through `quiet`.
    pub(crate) fn plain(self, quiet: fn(&str) -> String, fits: impl Fn(&str) -> bool) -> String {
        let short = |text: &str| fit::utf16_len(text) <= PLAIN_UNITS_MAX && fits(text);
        self.fit(|story| short(&story.plain_text(quiet))).plain_text(quiet)
    }

    fn plain_text(&self, quiet: fn(&str) -> String) -> String {
        let mut lines = vec![quiet(&self.headline()), quiet(&self.note), quiet(&self.body)];
        lines.extend(self.ack.as_ref().map(|ack| ack.plain(self.words)));
        let links = self.links.iter().map(|link| format!("{}: {}", link.text, link.url));
        let facts =
            self.facts.iter().map(|(name, value)| format!("{name}{}{value}", self.words.colon));
        lines.extend(links.chain(facts).chain([self.foot()]).map(|line| quiet(&line)));
        lines.retain(|line| !line.is_empty());
        lines.join("\n")
    }

    /// The story as Markdown, apart from links where these become buttons.
    pub(crate) fn markdown(&self, dialect: &Dialect) -> String {
        let headline = fit::inline(&self.headline());
        format!("### {headline}\n\n{}", self.markdown_below_headline(dialect))
    }

    /// As [`Story::markdown`], for forms that show the headline elsewhere.
    pub(crate) fn markdown_below_headline(&self, dialect: &Dialect) -> String {
        let mut parts = vec![fit::inline(&self.note)];
        parts.push(lines(&(dialect.quiet)(&self.body), dialect.line_end));
        let facts = self
            .facts
            .iter()
            .map(|(name, value)| (fit::inline(name), self.words.colon, fit::inline(value)))
            .map(|(name, colon, value)| format!("> {name}{colon}{value}"));
        parts.push(facts.collect::<Vec<_>>().join(dialect.line_end));
        match &self.ack {
            Some(Ack::Link(url)) if dialect.links => {
                let label = self.words.acknowledge;
                parts.push(format!("[{label}]({})", fit::link_target(url.expose())));
            }
            Some(Ack::Command(command)) => {
                parts.push(by_command(self.words, &fit::inline(command)));
            }
            Some(Ack::Link(_)) | None => {}
        }
        if dialect.links {
            let links = self.links.iter().map(markdown_link);
            parts.push(links.collect::<Vec<_>>().join(dialect.line_end));
        }
        let start =
            if dialect.images { "![](".to_owned() } else { format!("[{}](", self.words.image) };
        let images = self.images.iter().map(|url| format!("{start}{})", fit::link_target(url)));
        parts.push(images.collect::<Vec<_>>().join(dialect.line_end));
        parts.push(fit::inline(&self.foot()));
        parts.retain(|part| !part.is_empty());
        parts.join("\n\n")
    }
}

/// The least number from `low` to `high` that is `enough`, as all above it are; `high` has to be.
fn least(mut low: usize, mut high: usize, enough: impl Fn(usize) -> bool) -> usize {
    while low < high {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// What one provider's Markdown can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// What breaks a line inside a paragraph.
    pub(crate) line_end: &'static str,
    /// Whether links are written into the text.
    pub(crate) links: bool,
    /// Whether images are shown; a link stands for each otherwise.
    pub(crate) images: bool,
    /// Takes from the body the power to mention anybody.
    pub(crate) quiet: fn(&str) -> String,
}

fn markdown_link(link: &Link) -> String {
    let text = fit::inline(&link.text).replace(['[', ']'], "\u{200b}");
    format!("[{text}]({})", fit::link_target(&link.url))
}

/// Ends each line of a paragraph the way a dialect wants it; fenced code keeps its own.
fn lines(text: &str, line_end: &str) -> String {
    let mut done = String::with_capacity(text.len());
    let mut fence = fit::Fence::default();
    let mut before = "";
    for line in text.lines() {
        let code = fence.takes(line);
        if !done.is_empty() {
            let blank = before.trim().is_empty() || line.trim().is_empty();
            done += if code || blank { "\n" } else { line_end };
        }
        done += line;
        before = line;
    }
    done
}

/// An instant as RFC 3339, UTC.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_ms()).unwrap_or_default().to_string()
}

/// An instant for people: local time with its distance from UTC, for a zone's letters say less.
fn local(at: Timestamp, zone: &TimeZone) -> String {
    let at = jiff::Timestamp::from_second(at.unix_ms() / 1000).unwrap_or_default();
    let format = if *zone == TimeZone::UTC { "%F %T UTC" } else { "%F %T %:z" };
    at.to_zoned(zone.clone()).strftime(format).to_string()
}

/// Whom to mention, sorted by what the ids are.
#[derive(Debug)]
pub(crate) struct Called<'a> {
    pub(crate) all: bool,
    /// Telephone numbers.
    pub(crate) mobiles: Vec<&'a str>,
    /// Ids at the provider.
    pub(crate) users: Vec<&'a str>,
}

impl<'a> Called<'a> {
    /// Mentions nobody.
    pub(crate) const NOBODY: Self = Self { all: false, mobiles: Vec::new(), users: Vec::new() };

    /// Sorts `mentions`; leaves out ids that could be no id, and more than fit a message.
    pub(crate) fn of(mentions: &'a Mentions) -> Self {
        let mut room = MENTIONED_BYTES_MAX;
        let ids = mentions.ids.iter().map(String::as_str).filter(|id| is_id(id));
        let ids = ids.take(MENTIONED_MAX).take_while(|id| {
            let fits = id.len() <= room;
            room = room.saturating_sub(id.len());
            fits
        });
        let (mobiles, users) = ids.partition(|id| is_mobile(id));
        Self { all: mentions.all, mobiles, users }
    }

    /// Whether nobody is mentioned.
    pub(crate) fn nobody(&self) -> bool {
        !self.all && self.mobiles.is_empty() && self.users.is_empty()
    }
}

fn is_id(id: &str) -> bool {
    let legal =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '+' | '=' | '$' | ':');
    !id.is_empty() && id.chars().all(legal)
}

fn is_mobile(id: &str) -> bool {
    let digits = id.strip_prefix('+').unwrap_or(id);
    digits.len() >= MOBILE_DIGITS_MIN && digits.bytes().all(|b| b.is_ascii_digit())
}
