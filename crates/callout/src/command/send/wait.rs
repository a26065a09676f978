//! Waiting for what becomes of a message. It looks, and holds nothing while it waits.

use crate::command::Failure;
use crate::{json, narrate, print};
use anyhow::Context as _;
use callout_core::alert::State;
use callout_core::id::MessageId;
use callout_core::plan::MessageState;
use callout_core::time::format_duration;
use callout_store::Store;
use callout_store::clock::Clock;
use callout_store::model::Story;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often a waiting command looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What a wait brought.
pub(super) struct Waited {
    /// What JSON says about it.
    pub(super) shape: Map<String, Value>,
    /// Whether it is what was waited for.
    pub(super) verdict: Result<(), Failure>,
}

/// Waits until a message is accepted, or over in another way.
pub(super) async fn until_accepted(
    store: &dyn Store,
    clock: &dyn Clock,
    id: MessageId,
    most: Duration,
) -> Result<Waited, Failure> {
    let is_over = |story: &Story| story.summary.state != MessageState::Pending;
    let state = look(store, clock, id.to_string(), most, is_over).await?.summary.state;
    let help = format!("callout why {id}");
    let verdict = match state {
        MessageState::Accepted => Ok(()),
        MessageState::Pending => {
            let problem = format!("not accepted within {}", format_duration(most));
            Err(Failure::new(problem, format_args!("is `callout serve` running? {help}")))
        }
        over => Err(Failure::new(format_args!("the message is {}", over.name()), help)),
    };
    Ok(Waited { shape: Map::from_iter([("state".to_owned(), json!(state.name()))]), verdict })
}

/// Waits until somebody has acknowledged or resolved a message's alert, or that of the message it was
/// counted with. Where another alert took the place of that, it is the other one's turn.
pub(super) async fn until_acknowledged(
    store: &dyn Store,
    clock: &dyn Clock,
    id: MessageId,
    most: Duration,
) -> Result<Waited, Failure> {
    let until = clock.now() + most;
    let own = look(store, clock, id.to_string(), most, is_planned).await?;
    let state = own.summary.state;
    let owner = own.belongs_to.clone().filter(|_| own.alert.is_none());
    let mut about = owner.unwrap_or_else(|| id.to_string());
    let mut seen = BTreeSet::new();
    let story = loop {
        let left = until.since(clock.now());
        let story = look(store, clock, about.clone(), left, is_answered).await?;
        seen.insert(about);
        // Nothing but a damaged store leads in circles.
        match story.alert.as_ref().and_then(|alert| alert.superseded_by.clone()) {
            Some(newer) if !seen.contains(&newer) => {
                print::talk(format_args!(
                    "superseded: a newer alert for the same problem took its place; waiting for {newer}"
                ));
                about = newer;
            }
            Some(_) | None => break story,
        }
    };
    let alert = story.alert.as_ref().map(|alert| json::alert::alert(alert, &story.journal));
    let answers = answers(&story);
    if !answers.is_empty() {
        let words = answers.iter().map(Answer::words).collect::<Vec<_>>().join("; ");
        print::talk(print::clean(&words));
    }
    Ok(Waited {
        shape: Map::from_iter([
            ("state".to_owned(), json!(state.name())),
            ("alert".to_owned(), json!(alert)),
            ("answers".to_owned(), answers.iter().map(Answer::shape).collect()),
        ]),
        verdict: acknowledged(&story, most),
    })
}

/// What somebody did about an alert.
struct Answer<'a> {
    /// `acknowledged`, `resolved` or `cancelled`.
    what: &'a str,
    by: &'a str,
    via: &'a str,
    /// How long it had been open.
    after: Duration,
}

impl Answer<'_> {
    /// `acknowledged by Lin (page) after 12s`.
    fn words(&self) -> String {
        let Self { what, by, via, after } = self;
        format!("{what} by {by} ({via}) after {}", narrate::length(*after))
    }

    fn shape(&self) -> Value {
        let Self { what, by, via, after } = self;
        json!({ "what": what, "by": by, "via": via, "after_ms": json::ms(*after) })
    }
}

/// Who has an alert, and who ended it: the last answer of each kind, as far as it still counts.
fn answers(story: &Story) -> Vec<Answer<'_>> {
    let Some(alert) = &story.alert else { return Vec::new() };
    let is_acknowledged = json::alert::acknowledged(alert, &story.journal).is_some();
    let is_over = matches!(alert.state, State::Resolved(_));
    let counts = |what: &str| match what {
        "acknowledged" => is_acknowledged,
        "cancelled" => narrate::alert::cancelled(alert, &story.journal).is_some(),
        "resolved" => is_over,
        _ => false,
    };
    let mut answers: Vec<Answer<'_>> = Vec::new();
    for entry in story.journal.iter().filter(|entry| counts(&entry.event)) {
        let what = entry.event.as_str();
        answers.retain(|earlier| earlier.what != what);
        answers.push(Answer {
            what,
            by: entry.by.as_deref().unwrap_or("somebody"),
            via: entry.via.as_deref().unwrap_or("unknown"),
            after: entry.at.since(alert.opened_at),
        });
    }
    answers
}

/// Whether it is known what the message has to do with alerts.
fn is_planned(story: &Story) -> bool {
    story.why.is_some() || story.summary.state != MessageState::Pending
}

/// Whether there is nothing left to wait for.
fn is_answered(story: &Story) -> bool {
    match &story.alert {
        Some(alert) => !matches!(alert.state, State::Open) || json::alert::is_exhausted(alert),
        None => is_planned(story),
    }
}

fn acknowledged(story: &Story, most: Duration) -> Result<(), Failure> {
    let id = &story.summary.id;
    let why = format!("callout why {id}");
    match &story.alert {
        Some(alert) if !matches!(alert.state, State::Open) => {
            match narrate::alert::cancelled(alert, &story.journal) {
                Some(entry) if json::alert::acknowledged(alert, &story.journal).is_none() => {
                    let by = entry.by.as_deref().unwrap_or("somebody");
                    let problem = format!("nobody has acknowledged it: it was cancelled by {by}");
                    Err(Failure::new(problem, why))
                }
                Some(_) | None => Ok(()),
            }
        }
        Some(alert) if json::alert::is_exhausted(alert) => {
            let problem = "nobody has acknowledged it, and nobody is left to tell";
            Err(Failure::new(
                problem,
                format_args!("callout ack {id}, callout escalate {id}, or {why}"),
            ))
        }
        None if story.summary.state == MessageState::Cancelled => {
            Err(Failure::new("nobody has acknowledged it: it was cancelled", why))
        }
        None if is_planned(story) => {
            let problem =
                format!("nobody has to acknowledge it; it is {}", story.summary.state.name());
            let help = "pass --require-ack, or give its route an escalation policy";
            Err(Failure::new(problem, format_args!("{help}; {why}")))
        }
        Some(_) | None => {
            let problem = format!("not acknowledged within {}", format_duration(most));
            let help =
                format_args!("people are still being told; is `callout serve` running? {why}");
            Err(Failure::new(problem, help))
        }
    }
}

/// Looks until `is_enough`, or until `most` has passed, and returns what was seen last.
async fn look(
    store: &dyn Store,
    clock: &dyn Clock,
    id: String,
    most: Duration,
    is_enough: impl Fn(&Story) -> bool,
) -> Result<Story, Failure> {
    let deadline = clock.now() + most;
    let mut changes = store.changes();
    loop {
        let story = store.story(id.clone()).await?.context("the message was deleted")?;
        let now = clock.now();
        if is_enough(&story) || now >= deadline {
            return Ok(story);
        }
        // What other processes do gives no sign, so it looks now and then.
        let look_at = (now + LOOK_EVERY).min(deadline);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { clock.wait_until(look_at).await },
            () = clock.wait_until(look_at) => {}
        }
    }
}
