//! What the page shows of an alert, in words.
//!
//! Whatever somebody else wrote is made harmless here and escaped by the template.

use super::form;
use super::history::{self, Entry};
use super::words::{Words, fill};
use crate::json;
use crate::print::local_in;
use callout_channels::{cut_text, harmless_line, harmless_text};
use callout_core::alert::{State, Via};
use callout_core::escalation::Timer;
use callout_core::id::ReceiverName;
use callout_core::message::Message;
use callout_core::time::Timestamp;
use callout_store::model::{Alert, Story};
use jiff::tz::TimeZone;
use serde::Serialize;

/// The most UTF-16 units of a title.
const TITLE_MAX: usize = 200;
/// Of a body, before the reader asks for all of it.
const BODY_START: usize = 480;
/// Of a body.
const BODY_MAX: usize = 6000;
/// Of a label's name or value, or of a person's name.
const WORD_MAX: usize = 120;
/// The most labels.
const LABELS_MAX: usize = 12;
/// A title with more characters is shown whole among the details, for at the top it may be cut.
const TITLE_SHORT: usize = 60;

/// Who reads: in which language and zone, and when.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) words: &'static Words,
    pub(super) zone: TimeZone,
    pub(super) now: Timestamp,
}

/// An instant.
#[derive(Debug, Serialize)]
pub(super) struct Moment {
    /// For programs.
    pub(super) iso: String,
    /// For people, with the zone.
    pub(super) local: String,
    /// Seen from now.
    pub(super) when: String,
}

/// An alert as the page shows it.
#[derive(Debug, Serialize)]
pub(super) struct View {
    level: &'static str,
    level_word: &'static str,
    /// `open`, `exhausted`, `acknowledged`, `resolved` or `superseded`.
    state: &'static str,
    state_word: &'static str,
    pub(super) title: String,
    /// The title once more, if it is long.
    long_title: Option<String>,
    headline: String,
    /// Since when it stands like this.
    since: Since,
    /// For how long it has been going on, or when it began.
    lasted: String,
    next: String,
    next_at: Option<Moment>,
    repeated: Option<String>,
    buttons: Vec<Button>,
    /// What the form says that the page showed.
    seen: String,
    newer: Option<Newer>,
    body: Option<Body>,
    labels: Vec<(String, String)>,
    history: Vec<Entry>,
    sent_to: String,
    /// What to type instead of using the page, if there is something to do.
    command: Option<String>,
    /// The message's id, for commands.
    pub(super) id: String,
}

/// An instant with the words before and after it.
#[derive(Debug, Serialize)]
struct Since {
    before: &'static str,
    at: Moment,
    after: &'static str,
}

/// An alert that took the place of another.
#[derive(Debug)]
pub(super) struct Successor {
    /// Relative to the page.
    pub(super) link: String,
    pub(super) title: String,
    pub(super) alert: Alert,
}

/// The way to it.
#[derive(Debug, Serialize)]
struct Newer {
    link: String,
    title: String,
    state_word: &'static str,
}

/// A body, the whole of it only if the beginning is not all.
#[derive(Debug, Serialize)]
struct Body {
    start: String,
    whole: Option<String>,
}

/// One thing that can be done.
#[derive(Debug, Serialize)]
struct Button {
    action: &'static str,
    word: &'static str,
    means: String,
}

/// How an alert stands, for the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// People are being told.
    Open,
    /// Nobody is left to tell.
    Exhausted,
    /// Somebody has it.
    Acknowledged,
    /// It is over.
    Resolved,
    /// Another alert took its place.
    Superseded,
}

impl Standing {
    pub(super) fn of(alert: &Alert) -> Self {
        match (&alert.state, &alert.timer) {
            _ if alert.superseded_by.is_some() => Self::Superseded,
            (State::Open, Timer::Exhausted { .. }) => Self::Exhausted,
            (State::Open, _) => Self::Open,
            (State::Acknowledged(_), _) => Self::Acknowledged,
            (State::Resolved(_), _) => Self::Resolved,
        }
    }

    /// What can be done about it, the most likely first.
    pub(super) fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Open | Self::Exhausted => &["ack", "escalate", "resolve"],
            Self::Acknowledged => &["resolve", "unack"],
            // Opening it again would end this link; there is a command for it.
            Self::Resolved | Self::Superseded => &[],
        }
    }

    /// The command that is most likely wanted.
    fn command(self) -> Option<&'static str> {
        match self {
            Self::Open | Self::Exhausted => Some("ack"),
            Self::Acknowledged => Some("resolve"),
            Self::Resolved | Self::Superseded => None,
        }
    }

    fn names(self, words: &Words) -> (&'static str, &'static str) {
        match self {
            Self::Open => ("open", words.open),
            Self::Exhausted => ("exhausted", words.exhausted),
            Self::Acknowledged => ("acknowledged", words.acknowledged),
            Self::Resolved => ("resolved", words.resolved),
            Self::Superseded => ("superseded", words.replaced),
        }
    }
}

impl Reader {
    pub(super) fn moment(&self, at: Timestamp) -> Moment {
        let words = self.words;
        let (past, ahead) = (self.now.since(at), at.since(self.now));
        let said = |phrase, length| fill(phrase, &[("length", &words.length(length))]);
        let when = match (past.as_secs(), ahead.as_secs()) {
            (0, 0) if at > self.now => words.any_moment.to_owned(),
            (0, 0) => words.just_now.to_owned(),
            (0, _) => said(words.in_a_while, ahead),
            _ => said(words.ago, past),
        };
        Moment { iso: json::time(at), local: local_in(at, &self.zone), when }
    }

    pub(super) fn names(&self, names: &[ReceiverName]) -> String {
        self.words.names(names.iter().map(ReceiverName::as_str))
    }
}

/// Somebody's name as it may be shown.
pub(super) fn person(name: &str) -> String {
    cut_text(&harmless_line(name), WORD_MAX)
}

/// Puts an alert into words for `reader`, who was sent its link as `receiver`.
pub(super) fn view(
    story: &Story,
    alert: &Alert,
    successor: Option<&Successor>,
    receiver: &ReceiverName,
    reader: &Reader,
) -> View {
    let words = reader.words;
    let standing = Standing::of(alert);
    let (state, state_word) = standing.names(words);
    let message = story.message.as_ref().ok();
    let (level, level_word) = level(&story.summary.level, words);
    let (next, next_at) = next(alert, reader);
    let id = &story.summary.id;
    let title = line(&story.summary.title);
    View {
        level,
        level_word,
        state,
        state_word,
        long_title: (title.chars().count() > TITLE_SHORT).then(|| title.clone()),
        title,
        headline: headline(alert, standing, words),
        since: since(alert, reader),
        lasted: lasted(alert, reader),
        next,
        next_at,
        repeated: repeated(alert, reader),
        buttons: buttons(standing, alert, reader),
        seen: form::seen(alert),
        newer: successor.map(|newer| self::newer(newer, words)),
        body: message.and_then(|message| body(&message.body)),
        labels: message.map(labels).unwrap_or_default(),
        history: history::of(story, alert, reader),
        sent_to: fill(words.sent_to, &[("name", receiver.as_str())]),
        command: standing.command().map(|command| format!("callout {command} {id}")),
        id: id.clone(),
    }
}

fn line(title: &str) -> String {
    cut_text(&harmless_line(title), TITLE_MAX)
}

fn newer(successor: &Successor, words: &Words) -> Newer {
    let (_, state_word) = Standing::of(&successor.alert).names(words);
    Newer { link: successor.link.clone(), title: line(&successor.title), state_word }
}

fn since(alert: &Alert, reader: &Reader) -> Since {
    let at = alert.state.deed().map_or(alert.opened_at, |deed| deed.at);
    let phrase = if at > reader.now { reader.words.opens } else { reader.words.since };
    let (before, after) = phrase.split_once("{time}").unwrap_or((phrase, ""));
    Since { before: before.trim(), at: reader.moment(at), after: after.trim() }
}

fn level(name: &str, words: &Words) -> (&'static str, &'static str) {
    match name {
        "info" => ("info", words.level_info),
        "warning" => ("warning", words.level_warning),
        "error" => ("error", words.level_error),
        // A damaged row may hold anything; better too loud.
        _ => ("critical", words.level_critical),
    }
}

fn headline(alert: &Alert, standing: Standing, words: &Words) -> String {
    let by = |phrase, name: &str| fill(phrase, &[("name", &person(name))]);
    match &alert.state {
        _ if standing == Standing::Superseded => words.superseded.to_owned(),
        State::Open if standing == Standing::Exhausted => words.nobody_has_it_at_all.to_owned(),
        State::Open => words.nobody_has_it.to_owned(),
        State::Acknowledged(deed) => by(words.has_it, &deed.by),
        State::Resolved(deed) if deed.via == Via::Message => words.over_by_itself.to_owned(),
        State::Resolved(deed) => by(words.over, &deed.by),
    }
}

fn lasted(alert: &Alert, reader: &Reader) -> String {
    let words = reader.words;
    let when = reader.moment(alert.opened_at).when;
    if alert.opened_at > reader.now {
        return fill(words.opens_when, &[("when", &when)]);
    }
    if matches!(alert.state, State::Resolved(_)) {
        return fill(words.opened, &[("when", &when)]);
    }
    let length = words.length(reader.now.since(alert.opened_at));
    fill(words.open_for, &[("length", &length)])
}

/// What happens if nobody acts, and when.
fn next(alert: &Alert, reader: &Reader) -> (String, Option<Moment>) {
    let words = reader.words;
    match (Standing::of(alert), alert.timer.upcoming(&alert.policy)) {
        (Standing::Open, Some(next)) => {
            let at = reader.moment(next.at.max(reader.now));
            let phrase = if next.to.is_empty() { words.next_end } else { words.next_told };
            let when = if next.at <= reader.now { words.any_moment } else { &at.when };
            let values = [("names", reader.names(&next.to)), ("when", when.to_owned())];
            let values = values.each_ref().map(|(key, value)| (*key, value.as_str()));
            let text = fill(phrase, &values);
            (text, Some(at))
        }
        (Standing::Open | Standing::Exhausted, _) => (words.next_nothing.to_owned(), None),
        (Standing::Superseded, _) => (words.next_newer.to_owned(), None),
        (Standing::Acknowledged | Standing::Resolved, _) => (words.next_stopped.to_owned(), None),
    }
}

fn repeated(alert: &Alert, reader: &Reader) -> Option<String> {
    let when = reader.moment(alert.last_repeat_at.unwrap_or(alert.opened_at)).when;
    let n = alert.repeats.to_string();
    match alert.repeats {
        0 => None,
        1 => Some(fill(reader.words.repeated_once, &[("when", &when)])),
        _ => Some(fill(reader.words.repeated, &[("n", &n), ("when", &when)])),
    }
}

fn buttons(standing: Standing, alert: &Alert, reader: &Reader) -> Vec<Button> {
    let words = reader.words;
    let button = |action: &&'static str| {
        let (word, means) = match *action {
            "ack" => (words.acknowledge, words.acknowledge_means.to_owned()),
            "escalate" => (words.escalate, escalate_means(alert, reader)),
            "resolve" => (words.resolve, words.resolve_means.to_owned()),
            _ => (words.unack, words.unack_means.to_owned()),
        };
        Button { action, word, means }
    };
    standing.actions().iter().map(button).collect()
}

fn escalate_means(alert: &Alert, reader: &Reader) -> String {
    // Beyond the end the steps begin again.
    let next = alert.timer.upcoming(&alert.policy).map(|next| next.to).unwrap_or_default();
    let to = if next.is_empty() { alert.policy.receivers(0) } else { &next };
    fill(reader.words.escalate_means, &[("names", &reader.names(to))])
}

fn body(text: &str) -> Option<Body> {
    let text = harmless_text(text);
    let whole = cut_text(text.trim_start_matches('\n'), BODY_MAX);
    let start = cut_text(&whole, BODY_START);
    let whole = (start != whole).then_some(whole);
    (!start.is_empty()).then_some(Body { start, whole })
}

fn labels(message: &Message) -> Vec<(String, String)> {
    let shown = message.labels.iter().take(LABELS_MAX);
    shown.map(|(name, value)| (person(name), person(value))).collect()
}
