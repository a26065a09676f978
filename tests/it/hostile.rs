//! Every kind of channel that speaks HTTP, against everything a provider can do wrong.
//!
//! [`modes`] is the table of what a provider does and what that has to be taken for; [`family`] makes a
//! channel of every registered kind from its fixtures, so a new kind is here by itself. Only what a kind's
//! own table of answers calls a proof may be accepted.

mod bounds;
mod family;
mod follow;
mod modes;
#[cfg(target_os = "linux")]
mod program;

use crate::stage::sink::{Door, Received, Reply, Sink, Then, json};
use callout_channels::{ATTEMPT_TIMEOUT, Settings, Transport};
use callout_core::level::Level;
use callout_core::message::Message;
use family::{Family, Row, families};
use modes::{Mode, modes};
use std::sync::Arc;
use std::time::Duration;

/// The limit of a request to providers that hang. A connection gets half of it, which has to be plenty.
const IMPATIENT: Duration = Duration::from_secs(5);

fn patient() -> Transport {
    Transport::new(Settings::default()).unwrap()
}

fn impatient() -> Transport {
    Transport::new(Settings { timeout: IMPATIENT, ..Settings::default() }).unwrap()
}

/// A message that fits into one request everywhere.
fn news() -> Message {
    Message::new(Level::Warning, "disk full")
}

/// One attempt of `family` at a provider in `mode`, which keeps to it in every answer but that to a login.
/// Returns what is wrong about it.
async fn complaint(mode: Arc<Mode>, family: Arc<Family>, login_too: bool) -> Option<String> {
    let kind = family.kind;
    let sink = Sink::behind(mode.door).await;
    let (reply, login) = (mode.reply.clone(), family.login());
    sink.lives_at(
        kind,
        Box::new(move |request| match login {
            Some(login) if !login_too && request.target.contains(login.path) => login.grant(),
            _ => reply.clone(),
        }),
    );
    let channel = family.at(&sink, mode.scheme);
    let transport = if mode.hangs { impatient() } else { patient() };
    let message = news();
    let delivered = family.deliver(&channel, &transport, &message, None);
    let limit = if mode.hangs { 2 * IMPATIENT } else { ATTEMPT_TIMEOUT };
    let Ok(delivered) = tokio::time::timeout(limit, delivered).await else {
        return Some(format!("{kind}: {}: it is not given up within {limit:?}", mode.name));
    };
    let found = family::shown(&delivered.outcome);
    // Who finds no open door does not get as far as the message.
    let at_login = login_too || login.is_some() && !matches!(mode.door, Door::Open);
    let expected = if at_login { mode.at_login() } else { mode.expected(family.spec) };
    let right = expected.split(" or ").any(|expected| found.starts_with(expected));
    // What a provider is sent, it is sent once, and nothing is sent to where it points.
    let (most, elsewhere) = (1 + usize::from(login.is_some()), sink.count("inside"));
    let orderly = sink.count(kind) <= most && elsewhere == 0 && delivered.sends == 1;
    (!right || !orderly).then(|| {
        let (name, count) = (mode.name, sink.count(kind));
        format!("{kind}: {name}: expected {expected:?}, found {found:?}; {count} requests there, {elsewhere} elsewhere")
    })
}

/// All modes that hang, or all others, with every kind.
async fn check(hangs: bool, login_too: bool) {
    let mut complaints = Vec::new();
    let families = families();
    for modes in modes()
        .into_iter()
        .filter(|mode| mode.hangs == hangs)
        .collect::<Vec<_>>()
        .chunks(if hangs { 99 } else { 4 })
    {
        let mut running = tokio::task::JoinSet::new();
        for mode in modes.iter().cloned().map(Arc::new) {
            let asked = families.iter().filter(|family| !login_too || family.login().is_some());
            for family in asked {
                running.spawn(complaint(mode.clone(), family.clone(), login_too));
            }
        }
        complaints.extend(running.join_all().await.into_iter().flatten());
    }
    complaints.sort();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn whatever_a_provider_answers_is_taken_for_what_it_is() {
    check(false, false).await;
}

#[tokio::test]
async fn whoever_hangs_or_drips_is_given_up_and_unknown() {
    check(true, false).await;
}

#[tokio::test]
async fn a_login_that_goes_wrong_sends_nothing_and_blames_no_message() {
    check(false, true).await;
    check(true, true).await;
}

#[tokio::test]
async fn every_answer_of_a_kinds_own_table_is_read_the_same_over_the_wire() {
    let transport = patient();
    for family in families() {
        let sink = Sink::start().await;
        let channel = family.at(&sink, "http");
        for row in family.answers.iter().filter(|row| (200..300).contains(&row.status)) {
            let reply = row.reply();
            let login = family.login();
            let answers = move |request: &Received| match login {
                Some(login) if request.target.contains(login.path) => login.grant(),
                _ => reply.clone(),
            };
            sink.lives_at(family.kind, Box::new(answers));
            let delivered = family.deliver(&channel, &transport, &news(), None).await;
            let found = family::described(&delivered.outcome);
            assert_eq!(found, row.expected, "{}: {} {}", family.kind, row.status, row.body);
        }
    }
}

/// A proof, wrapped in something else, and whether it still counts.
fn wrapped(proof: &Row) -> Vec<(&'static str, Reply, bool)> {
    let (status, body, length) = (proof.status, proof.body.as_str(), proof.body.len());
    let bytes = |head: String, then| {
        Reply::Bytes(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes(), then)
    };
    let json = "content-type: application/json\r\n";
    vec![
        // The type of the content proves nothing, for or against.
        (
            "as a web page",
            bytes(
                format!("{status} X\r\ncontent-type: text/html\r\ncontent-length: {length}"),
                Then::Listen,
            ),
            true,
        ),
        (
            "after a hint",
            bytes(
                format!(
                    "103 Early\r\nlink: </x>\r\n\r\nHTTP/1.1 {status} X\r\ncontent-length: {length}"
                ),
                Then::Listen,
            ),
            true,
        ),
        (
            "with status 500",
            bytes(format!("500 X\r\n{json}content-length: {length}"), Then::Listen),
            false,
        ),
        (
            "with a redirect",
            bytes(format!("302 X\r\nlocation: /inside\r\ncontent-length: {length}"), Then::Listen),
            false,
        ),
        (
            "and not all of it",
            bytes(format!("{status} X\r\n{json}content-length: {}", length + 1), Then::Close),
            false,
        ),
        (
            "in chunks without an end",
            bytes(
                format!("{status} X\r\n{json}transfer-encoding: chunked\r\n\r\n{:x}", length + 3),
                Then::Close,
            ),
            false,
        ),
    ]
}

#[tokio::test]
async fn a_proof_counts_only_where_it_belongs() {
    let transport = patient();
    for family in families() {
        let sink = Sink::start().await;
        let channel = family.at(&sink, "http");
        for (how, reply, counts) in wrapped(family.proof()) {
            let login = family.login();
            sink.lives_at(
                family.kind,
                Box::new(move |request| match login {
                    Some(login) if request.target.contains(login.path) => login.grant(),
                    _ => reply.clone(),
                }),
            );
            let delivered = family.deliver(&channel, &transport, &news(), None).await;
            let found = family::shown(&delivered.outcome);
            assert_eq!(
                found.starts_with("accepted"),
                counts,
                "{}: the proof {how}: {found}",
                family.kind
            );
        }
        assert_eq!(sink.count("inside"), 0);
    }
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_answers_no_later_request() {
    let smuggled =
        b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 X\r\ncontent-length: 0\r\n\r\n";
    let transport = patient();
    let families = families();
    let webhook = families.iter().find(|family| family.kind == "webhook").unwrap();
    let sink = Sink::start().await;
    sink.will("webhook", [Reply::Bytes(smuggled.to_vec(), Then::Listen)]);
    sink.always("webhook", json(503, ""));
    let channel = webhook.at(&sink, "http");
    for expected in ["transient 500", "transient 503"] {
        let delivered = webhook.deliver(&channel, &transport, &news(), None).await;
        assert_eq!(family::shown(&delivered.outcome).trim_end_matches(": "), expected);
    }
}

#[tokio::test]
async fn a_provider_that_flaps_gets_each_message_once_an_attempt() {
    let transport = patient();
    for family in families() {
        let sink = Sink::start().await;
        let channel = family.at(&sink, "http");
        let (proof, mut asked) = (family.proof().reply(), 0);
        let login = family.login();
        sink.lives_at(
            family.kind,
            Box::new(move |request| match login {
                Some(login) if request.target.contains(login.path) => login.grant(),
                _ => {
                    asked += 1;
                    // The connection that was good a moment ago dies with the next request on it.
                    if asked % 2 == 0 { Reply::Close } else { proof.clone() }
                }
            }),
        );
        for n in 1..=6 {
            let delivered = family.deliver(&channel, &transport, &news(), None).await;
            let expected = if n % 2 == 0 { "unknown" } else { "accepted" };
            assert_eq!(delivered.outcome.name(), expected, "{} {n}", family.kind);
        }
        let logins = usize::from(login.is_some());
        assert_eq!(sink.count(family.kind), 6 + logins, "{}", family.kind);
    }
}

#[tokio::test]
async fn a_connection_that_the_provider_closed_while_it_was_idle_costs_nothing() {
    let transport = patient();
    let families = families();
    let webhook = families.iter().find(|family| family.kind == "webhook").unwrap();
    let sink = Sink::start().await;
    let last = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    for door in [Then::Close, Then::Reset] {
        sink.will("webhook", [Reply::Bytes(last.to_vec(), door)]);
        let channel = webhook.at(&sink, "http");
        for _ in 0..2 {
            let delivered = webhook.deliver(&channel, &transport, &news(), None).await;
            let name = delivered.outcome.name();
            // A reset may take the answer with it.
            assert!(name == "accepted" || matches!(door, Then::Reset), "{name}");
        }
    }
    assert_eq!(sink.count("webhook"), 4);
}
