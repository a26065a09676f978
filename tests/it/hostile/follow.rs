//! What follows an accepted message goes wrong in every way, and the message stays accepted.

use super::family::{Family, families, now, shown};
use super::modes::{Mode, modes};
use super::{impatient, patient};
use crate::stage::sink::{Door, Reply, Sink};
use callout_channels::channel::Ask;
use callout_channels::{Channel, Delivered, FOLLOW_UPS_MAX, Transport};
use callout_core::alert::{Regarding, Standing};
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::{Attachment, Message};
use callout_core::secret::Secret;
use std::sync::Arc;
use tokio::task::JoinSet;

/// A message of which something follows, with one kind or another: a picture, and how to acknowledge a body
/// of its own.
fn followed(family: &Family, channel: &Channel) -> Option<(Message, Option<Ask>)> {
    let mut pictured = Message::new(Level::Critical, "disk full");
    pictured.attachments = vec![Attachment { name: "a.png".into(), base64: "iVBORw0KGgo=".into() }];
    let mut native = Message::new(Level::Critical, "disk full");
    native.native.insert(family.kind.to_owned(), serde_json::json!({ "text": "disk full" }));
    let ask = Ask {
        url: Some(Secret::new("https://c.example/a/t1cket-t1cket")),
        command: "callout ack 1".to_owned(),
        note: None,
        telling: 1,
    };
    [(pictured, None), (native, Some(ask))]
        .into_iter()
        .find(|(message, ask)| family.shown(channel, message, ask.as_ref()).follow_up)
}

/// The alert that a message brings news of, of which a channel has told with these receipts.
fn about(receipts: Vec<String>) -> Regarding {
    Regarding {
        id: MessageId::new(now(), [3; 10]),
        message: Arc::new(Message::new(Level::Critical, "disk full")),
        created_at: now(),
        standing: Standing::Acknowledged,
        now: Standing::Acknowledged,
        receipts,
    }
}

/// The first message is taken; every other request meets `reply`.
fn takes_one(family: &Family, sink: &Sink, reply: Reply) {
    let (login, proof, mut taken) = (family.login(), family.proof().reply(), false);
    sink.lives_at(
        family.kind,
        Box::new(move |request| match login {
            Some(login) if request.target.contains(login.path) => login.grant(),
            _ if std::mem::replace(&mut taken, true) => reply.clone(),
            _ => proof.clone(),
        }),
    );
}

fn check(family: &Family, mode: &Mode, delivered: &Delivered, sink: &Sink) {
    let (kind, name, found) = (family.kind, mode.name, shown(&delivered.outcome));
    assert!(found.starts_with("accepted"), "{kind}: {name}: {found}");
    // A webhook has nothing that follows, so every mode is a failure here, and is told.
    // Who hangs is waited for until the time for all that follows is over, and no longer.
    let why = if mode.hangs { "no time left" } else { "" };
    let failed = format!("what should have followed failed: {why}");
    assert!(found.contains(&failed), "{kind}: {name}: {found}");
    let requests = sink.count(kind) - usize::from(family.login().is_some());
    assert_eq!(requests, delivered.sends as usize, "{kind}: {name}");
    assert!((2..=1 + FOLLOW_UPS_MAX).contains(&requests), "{kind}: {name}: {requests}");
    assert_eq!(sink.count("inside"), 0);
}

/// The modes that a request over a connection that is open already can meet.
fn met(hangs: bool) -> impl Iterator<Item = Mode> {
    modes().into_iter().filter(move |mode| {
        mode.hangs == hangs && mode.scheme == "http" && matches!(mode.door, Door::Open)
    })
}

/// What follows a message, and what changes one that was told, in one mode; returns how many there are of
/// both.
async fn in_mode(family: Arc<Family>, mode: Arc<Mode>, transport: Transport) -> [usize; 2] {
    let (mut follows, mut edits) = (0, 0);
    let sink = Sink::start().await;
    let channel = family.at(&sink, "http");
    if let Some((message, ask)) = followed(&family, &channel) {
        takes_one(&family, &sink, mode.reply.clone());
        let delivered = family.deliver(&channel, &transport, &message, ask.as_ref()).await;
        check(&family, &mode, &delivered, &sink);
        follows += 1;
    }
    if family.spec.edit {
        let sink = Sink::start().await;
        let channel = family.at(&sink, "http");
        takes_one(&family, &sink, mode.reply.clone());
        let news = Message::new(Level::Info, "Acknowledged: disk full");
        let about = about(family.receipts());
        let edited = family.deliver_about(&channel, &transport, &news, None, Some(&about)).await;
        check(&family, &mode, &edited, &sink);
        edits += 1;
    }
    [follows, edits]
}

/// Every kind in these modes at once.
async fn in_modes(modes: &[Arc<Mode>], transport: &Transport) {
    let mut running = JoinSet::new();
    for mode in modes {
        for family in families() {
            running.spawn(in_mode(family, mode.clone(), transport.clone()));
        }
    }
    let done = running.join_all().await;
    let sum = |at: usize| done.iter().map(|done| done[at]).sum::<usize>() / modes.len();
    assert!(
        sum(0) >= 10 && sum(1) >= 2,
        "{} kinds with something to follow, {} with edits",
        sum(0),
        sum(1)
    );
}

#[tokio::test]
async fn what_follows_may_go_wrong_in_every_way() {
    let modes: Vec<Arc<Mode>> = met(false).map(Arc::new).collect();
    for modes in modes.chunks(4) {
        in_modes(modes, &patient()).await;
    }
}

#[tokio::test]
async fn what_follows_may_hang() {
    let modes: Vec<Arc<Mode>> = met(true).map(Arc::new).collect();
    in_modes(&modes, &impatient()).await;
}
