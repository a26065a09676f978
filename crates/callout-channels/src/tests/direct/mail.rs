//! The conversation with a mail server, at each of its steps.

use super::sink::{Act, CERTIFICATE, Sink, Tls};
use super::*;
use crate::direct::DirectChannel;
use crate::email::{Email, email};
use std::time::Duration;

const PASSWORD: &str = "hunter2-hunter2";
const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(15);

fn certificate() -> String {
    format!("{}/src/tests/direct/certificate.pem", env!("CARGO_MANIFEST_DIR"))
}

/// A channel for one mailbox on `sink`, with `over` laid over its settings.
fn settings(sink: &Sink, over: Value) -> Value {
    let mut settings = json!({
        "smtp": format!("smtp://localhost:{}", sink.port),
        "from": "Callout <alerts@example.com>",
        "to": ["Ops <ops@example.com>"],
    });
    let Value::Object(over) = over else { panic!("a table, please") };
    settings.as_object_mut().unwrap().extend(over);
    settings
}

async fn tell(email: &Email) -> Outcome {
    let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
    email.deliver(&outgoing(&message, &mentions, false), now()).await
}

/// What comes of `script`, and how many letters were taken.
async fn run(
    tls: Tls,
    script: &[(&'static str, Act)],
    over: Value,
    limit: Duration,
) -> (String, usize) {
    let sink = Sink::start(tls, script);
    let outcome = tell(&email(settings(&sink, over), limit).unwrap()).await;
    (shown(&outcome), sink.letters().len())
}

/// What to do about a reason without a code.
fn advice(reason: &str) -> Option<&'static str> {
    crate::find("email").unwrap().spec.advise(&Reason::text(reason), Locale::English)
}

const THREE: [&str; 3] = ["ops@example.com", "night@example.com", "boss@example.com"];

/// Where, what the server does, whether we log in, what comes of it, how many letters it took.
type Row = (&'static str, Act, bool, &'static str, usize);

const BEFORE_THE_LETTER: &[Row] = &[
    ("greeting", Act::Say("554 no service"), false, "rejected endpoint 554: the greeting: no", 0),
    ("greeting", Act::Say("421 too busy"), false, "transient 421: the greeting: too busy", 0),
    ("greeting", Act::Say("HTTP/1.1 400 no"), false, "transient the answer is not SMTP (the gr", 0),
    ("greeting", Act::Close, false, "transient connection closed (the greeting)", 0),
    ("EHLO", Act::Say("502 5.5.1 what"), false, "rejected endpoint 502: EHLO: 5.5.1 what", 0),
    ("EHLO", Act::Say("450 later"), false, "transient 450: EHLO: later", 0),
    ("EHLO", Act::Say("250-a\n251 b"), false, "transient an answer with two codes (EHLO)", 0),
    ("AUTH", Act::Say("535 5.7.8 no"), true, "rejected endpoint 535: AUTH: 5.7.8 no", 0),
    ("AUTH", Act::Say("454 4.7.0 later"), true, "transient 454: AUTH: 4.7.0 later", 0),
    ("AUTH", Act::Say("334 "), true, "transient 334: AUTH:", 0),
    ("EHLO", Act::Say("250-a\n250 AUTH GSSAPI"), true, "rejected endpoint the server offers no", 0),
    ("MAIL", Act::Say("451 4.3.0 later"), false, "transient 451: MAIL: 4.3.0 later", 0),
    ("MAIL", Act::Say("550 5.7.1 not you"), false, "rejected endpoint 550: MAIL: 5.7.1 not", 0),
    ("MAIL", Act::Say("552 5.3.4 too big"), false, "rejected message 552: MAIL: 5.3.4 too", 0),
    ("MAIL", Act::Say("530 5.7.0 log in"), false, "rejected endpoint 530: MAIL: 5.7.0 log", 0),
    ("MAIL", Act::SayAndClose("421 4.3.2 bye"), false, "transient 421: MAIL: 4.3.2 bye", 0),
    ("RCPT", Act::Say("450 4.2.0 grey"), false, "transient 450: RCPT: 4.2.0 grey (refused: o*", 0),
    ("RCPT", Act::Say("550 5.1.1 who"), false, "rejected endpoint 550: RCPT: 5.1.1 who (ref", 0),
    ("RCPT", Act::Say("552 too many"), false, "transient 552: RCPT: too many (refused: o***@e", 0),
    ("RCPT", Act::Say("421 4.3.2 bye"), false, "transient 421: RCPT: 4.3.2 bye", 0),
    ("DATA", Act::Say("451 4.3.0 later"), false, "transient 451: DATA: 4.3.0 later", 0),
    ("DATA", Act::Say("554 5.5.1 none"), false, "rejected message 554: DATA: 5.5.1 none", 0),
    ("DATA", Act::Say("250 ok"), false, "transient 250: DATA: ok", 0),
    ("DATA", Act::Say("354 go\n250 queued as EVIL"), false, "transient the server answers be", 0),
    ("DATA", Act::Close, false, "transient connection closed (DATA)", 0),
];

const AT_ITS_END: &[Row] = &[
    ("letter", Act::Say("452 4.3.1 disk full"), false, "transient 452: the end of the letter", 1),
    ("letter", Act::Say("550 5.1.1 who"), false, "rejected endpoint 550: the end of the let", 1),
    ("letter", Act::Say("550 5.7.1 spam"), false, "rejected message 550: the end of the let", 1),
    ("letter", Act::Say("552 too big"), false, "rejected message 552: the end of the letter", 1),
    ("letter", Act::Say("554 5.7.1 spam"), false, "rejected message 554: the end of the let", 1),
    ("letter", Act::Say("251 perhaps"), false, "unknown 251: the end of the letter: perhaps", 1),
    ("letter", Act::Say("<html>"), false, "unknown the answer is not SMTP (the end", 1),
    ("letter", Act::Close, false, "unknown connection closed (the end of the letter)", 1),
    ("letter", Act::SayAndClose("250 2.0.0 as A1"), false, "accepted 250: 2.0.0 as A1", 1),
    ("letter", Act::Say("250-2.0.0 Ok\n250 queued"), false, "accepted 250: 2.0.0 Ok queued", 1),
    ("letter", Act::Say("250"), false, "accepted 250", 1),
    ("QUIT", Act::Close, false, "accepted 250: 2.0.0 Ok: queued as 4TEST1", 1),
];

#[tokio::test]
async fn every_refusal_means_what_it_says_where_it_is_said() {
    for (at, act, logs_in, expected, letters) in BEFORE_THE_LETTER.iter().chain(AT_ITS_END) {
        let sink = Sink::start(Tls::None, &[(at, act.clone())]);
        let smtp = format!("smtp://ops@127.0.0.1:{}", sink.port);
        let login = json!({ "smtp": smtp, "password": PASSWORD });
        let over = if *logs_in { login } else { json!({}) };
        let outcome = shown(&tell(&email(settings(&sink, over), LONG).unwrap()).await);
        assert!(outcome.starts_with(expected), "{at} {act:?}: {outcome}");
        assert_eq!(sink.letters().len(), *letters, "{at} {act:?}");
    }
}

#[tokio::test]
async fn whoever_falls_silent_is_unknown_only_after_the_end_of_the_letter() {
    use Act::{Drip, Endless, Silence};
    for (at, act, expected) in [
        ("greeting", Silence, "transient no answer within 400ms (the greeting)"),
        ("EHLO", Silence, "transient no answer within 400ms (EHLO)"),
        ("MAIL", Drip, "transient "),
        ("MAIL", Endless, "transient the answer is too long (MAIL)"),
        ("RCPT", Silence, "transient no answer within 400ms (RCPT)"),
        ("DATA", Silence, "transient no answer within 400ms (DATA)"),
        ("letter", Silence, "unknown no answer within 400ms (the end of the letter)"),
        ("letter", Drip, "unknown "),
        ("letter", Endless, "unknown the answer is too long (the end of the letter)"),
    ] {
        let (outcome, _) = run(Tls::None, &[(at, act.clone())], json!({}), SHORT).await;
        assert!(outcome.starts_with(expected), "{at} {act:?}: {outcome}");
        // What holds for a request that went out does not hold for each step of a conversation.
        let fell_silent = advice(&outcome).is_some_and(|advice| advice.contains("fell silent"));
        assert_eq!(fell_silent, outcome.contains("no answer within"), "{outcome}");
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let nobody = Sink::start(Tls::None, &[]);
    let smtp = json!({ "smtp": format!("smtp://127.0.0.1:{port}") });
    let outcome = tell(&email(settings(&nobody, smtp), LONG).unwrap()).await;
    assert_eq!(shown(&outcome), "transient connection refused");
    let smtp = json!({ "smtp": "smtp://callout-no-such-host.invalid" });
    let outcome = shown(&tell(&email(settings(&nobody, smtp), LONG).unwrap()).await);
    assert!(outcome.starts_with("transient the name does not resolve: "), "{outcome}");
}

#[tokio::test]
async fn one_refused_recipient_does_not_keep_the_letter_from_the_others() {
    use Act::Say;
    let over = || json!({ "to": THREE });
    let night = ("RCPT TO:<night", Say("550 5.1.1 <night@example.com>: unknown"));
    let boss = ("RCPT TO:<boss", Say("450 4.2.0 greylisted"));
    let ops = ("RCPT TO:<ops", Say("551 5.1.6 moved"));
    let (outcome, letters) = run(Tls::None, &[night.clone(), boss.clone()], over(), LONG).await;
    let expected = "accepted 250: 2.0.0 Ok: queued as 4TEST1; 2 of 3 recipients refused: \
                    n***@example.com 550 5.1.1 <n***@example.com>: unknown, \
                    b***@example.com 450 4.2.0 greylisted";
    assert_eq!((outcome.as_str(), letters), (expected, 1));
    let tells = ("letter", Say("250 2.0.0 for ops@example.com as A1"));
    let (outcome, _) = run(Tls::None, &[tells], json!({}), LONG).await;
    assert_eq!(outcome, "accepted 250: 2.0.0 for o***@example.com as A1");

    // All refused: worth another try as long as one is only put off.
    let all = [night.clone(), boss, ops.clone()];
    let (outcome, letters) = run(Tls::None, &all, over(), LONG).await;
    assert!(
        outcome.starts_with("transient 450: RCPT: 4.2.0 greylisted (refused: o***"),
        "{outcome}"
    );
    assert_eq!(letters, 0);
    let boss = ("RCPT TO:<boss", Say("553 5.1.3 no"));
    let (outcome, letters) = run(Tls::None, &[night, boss, ops], over(), LONG).await;
    assert!(outcome.starts_with("rejected endpoint 551: RCPT: 5.1.6 moved (refused"), "{outcome}");
    assert_eq!(letters, 0);
}

#[tokio::test]
async fn tls_is_not_given_up_for_anything() {
    let required = || json!({ "tls": "required", "roots": certificate() });
    let stripped = "rejected endpoint the server does not offer STARTTLS";
    let (outcome, _) = run(Tls::None, &[], required(), LONG).await;
    assert!(outcome.starts_with(stripped), "{outcome}");
    assert!(advice(&outcome).unwrap().contains("offers no TLS"), "{outcome}");

    let queued = "accepted 250: 2.0.0 Ok: queued as 4TEST1";
    let (outcome, letters) = run(Tls::Offered, &[], required(), LONG).await;
    assert_eq!((outcome.as_str(), letters), (queued, 1));

    for (answer, expected) in [
        ("454 4.7.0 later", "transient 454: STARTTLS: 4.7.0 later"),
        ("502 5.5.1 no", "rejected endpoint 502: STARTTLS: 5.5.1 no"),
        // Somebody on the way adds answers that would be read as the server's own inside TLS.
        ("220 go\n250-a\n250 AUTH PLAIN", "transient the server answers before it is asked"),
    ] {
        let script = [("STARTTLS", Act::Say(answer))];
        let (outcome, letters) = run(Tls::Offered, &script, required(), LONG).await;
        assert!(outcome.starts_with(expected), "{outcome}");
        assert_eq!(letters, 0);
    }
    let (outcome, _) = run(Tls::Offered, &[], json!({ "tls": "required" }), LONG).await;
    assert!(outcome.starts_with("transient TLS: invalid peer certificate"), "{outcome}");
    assert!(outcome.ends_with("(STARTTLS)"), "{outcome}");
    for about in ["UnknownIssuer", "certificate not valid for name \"x\"", "CaUsedAsEndEntity"] {
        let text = format!("TLS: invalid peer certificate: {about} (STARTTLS)");
        assert!(advice(&text).unwrap().contains("`roots`"), "{text}");
    }
    assert_eq!(advice("connection closed (STARTTLS)"), None);

    let sink = Sink::start(Tls::Wrapped, &[]);
    let smtp = format!("smtps://ops:{PASSWORD}@localhost:{}", sink.port);
    let over = json!({ "smtp": smtp, "roots": certificate() });
    let outcome = tell(&email(settings(&sink, over), LONG).unwrap()).await;
    assert_eq!((shown(&outcome).as_str(), sink.letters().len()), (queued, 1));
    // Right certificate, wrong name.
    let smtp = format!("smtps://127.0.0.1:{}", sink.port);
    let over = json!({ "smtp": smtp, "roots": certificate() });
    let outcome = shown(&tell(&email(settings(&sink, over), LONG).unwrap()).await);
    assert!(outcome.starts_with("transient TLS: ") && outcome.contains("127.0.0.1"), "{outcome}");
    // A server that speaks no TLS there.
    let plain = Sink::start(Tls::None, &[]);
    let over = json!({ "smtp": format!("smtps://localhost:{}", plain.port) });
    let outcome = shown(&tell(&email(settings(&plain, over), LONG).unwrap()).await);
    assert!(outcome.starts_with("transient TLS: "), "{outcome}");
    assert!(CERTIFICATE.starts_with("-----BEGIN CERTIFICATE"));
}

#[tokio::test]
async fn a_letter_arrives_as_it_was_written() {
    let mut message = Message::new(Level::Critical, "磁盘 db-3");
    message.body = ".\n..\n.hidden\n".repeat(20);
    message.attachments = vec![callout_core::message::Attachment {
        name: "all.bin".to_owned(),
        base64: STANDARD.encode((0..=255).cycle().take(60_000).collect::<Vec<u8>>()),
    }];
    let mentions = Mentions::default();
    for tls in [Tls::None, Tls::Wrapped] {
        let sink = Sink::start(tls, &[]);
        let scheme = if tls == Tls::None { "smtp" } else { "smtps" };
        let smtp = format!("{scheme}://localhost:{}", sink.port);
        let over = json!({ "smtp": smtp, "roots": certificate(), "to": THREE });
        let email = email(settings(&sink, over), LONG).unwrap();
        for plain in [false, true] {
            let out = outgoing(&message, &mentions, plain);
            let outcome = email.deliver(&out, now()).await;
            assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
            let expected = String::from_utf8(email.letter(&out, now()).unwrap()).unwrap();
            let taken = sink.letters().pop().unwrap();
            assert!(taken.contains("\r\n.\r\n..\r\n.hidden\r\n"), "{taken}");
            assert_eq!(taken.trim_end(), expected.trim_end());
            assert!(taken.lines().all(|line| line.len() < 998 && line.is_ascii()));
        }
        let said = sink.said();
        assert!(said[1].starts_with("MAIL FROM:<alerts@example.com> SIZE="), "{said:?}");
        assert!(said.contains(&"RCPT TO:<boss@example.com>".to_owned()), "{said:?}");
    }
}

#[tokio::test]
async fn both_ways_to_log_in_say_the_password_and_no_outcome_does() {
    let plain = STANDARD.encode(format!("\0a b@example.com\0{PASSWORD}"));
    let (user, word) = (STANDARD.encode("a b@example.com"), STANDARD.encode(PASSWORD));
    let only_login = ("EHLO", Act::Say("250-sink\n250-AUTH=LOGIN\n250 8BITMIME"));
    let login = || {
        vec![
            only_login.clone(),
            ("AUTH LOGIN", Act::Say("334 VXNlcm5hbWU6")),
            (Box::leak(user.clone().into_boxed_str()), Act::Say("334 UGFzc3dvcmQ6")),
        ]
    };
    let secret: &'static str = Box::leak(word.clone().into_boxed_str());
    let accepts = login().into_iter().chain([(secret, Act::Say("235 ok"))]).collect::<Vec<_>>();
    let echoes = login().into_iter().chain([(secret, Act::Echo("535 5.7.8"))]).collect::<Vec<_>>();
    for (script, expected, heard) in [
        (vec![], "accepted", vec![format!("AUTH PLAIN {plain}")]),
        (accepts, "accepted", vec!["AUTH LOGIN".to_owned(), user.clone(), word.clone()]),
        (vec![("AUTH", Act::Echo("535 5.7.8 not"))], "rejected endpoint 535", vec![]),
        (vec![("AUTH", Act::Say("535 wrong hunter2-hunter2"))], "rejected endpoint 535", vec![]),
        (echoes, "rejected endpoint 535", vec![]),
    ] {
        let sink = Sink::start(Tls::None, &script);
        let smtp = format!("smtp://a%20b%40example.com:{PASSWORD}@127.0.0.1:{}", sink.port);
        let channel = Channel::build("email", settings(&sink, json!({ "smtp": smtp }))).unwrap();
        let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
        let outcome = delivered(&channel, &outgoing(&message, &mentions, false)).await;
        let text = format!("{outcome:?} {} {channel:?}", shown(&outcome));
        assert!(shown(&outcome).starts_with(expected), "{text}");
        assert!(heard.iter().all(|line| sink.said().contains(line)), "{:?}", sink.said());
        for leak in [PASSWORD, word.get(..12).unwrap(), plain.get(24..).unwrap()] {
            assert!(!text.contains(leak), "{leak} in {text}");
        }
    }
}
