//! Logging in, against a server of a few lines on loopback.

use super::*;
use crate::channel::{Mentions, Outgoing};
use crate::mask::Mask;
use crate::transport::{Settings, Transport};
use crate::{Channel, Delivered};
use callout_core::alert::{Regarding, Standing};
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use serde_json::json;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The first token; the next ends in 1.
const TOKEN: &str = "t0ken-abcdefgh-0";
const SECRET: &str = "s3cret-of-the-application";
const SENT: &str = r#"{"errcode":0,"errmsg":"ok"}"#;

/// What is answered to a request line, given how many have gone to that path before; `None`: nothing,
/// ever.
type Answers = fn(line: &str, before: usize) -> Option<String>;

struct Server {
    address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
    /// Nothing is answered before this is true.
    gate: watch::Sender<bool>,
}

impl Server {
    async fn new(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (gate, open) = watch::channel(true);
        let seen = lines.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, answers, seen.clone(), open.clone()));
            }
        });
        Self { address, lines, gate }
    }

    /// How many requests have gone to `path`.
    fn count(&self, path: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(path)).count()
    }

    /// The calls in their order, without their queries.
    fn calls(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().map(|line| line.split(['?', '/']).nth(1).unwrap().to_owned()).collect()
    }

    fn channel(&self, to: &str) -> Channel {
        let endpoint = format!("http://{}/", self.address);
        let settings = json!({
            "corp_id": "ww1", "corp_secret": SECRET, "agent_id": 7, "to": to, "endpoint": endpoint,
        });
        Channel::build("wecom_app", settings).unwrap()
    }
}

async fn serve(
    mut stream: TcpStream,
    answers: Answers,
    lines: Arc<Mutex<Vec<String>>>,
    mut open: watch::Receiver<bool>,
) {
    let (mut read, mut buffer) = (String::new(), [0; 4096]);
    while !is_whole(&read) {
        let n = stream.read(&mut buffer).await.unwrap();
        read += &String::from_utf8_lossy(&buffer[..n]);
    }
    let line = read.lines().next().unwrap().to_owned();
    let path = line.split('?').next().unwrap().to_owned();
    let before = {
        let mut lines = lines.lock().unwrap();
        lines.push(line.clone());
        lines.iter().filter(|line| line.starts_with(&path)).count() - 1
    };
    open.wait_for(|open| *open).await.unwrap();
    let Some(body) = answers(&line, before) else { return std::future::pending().await };
    let length = body.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

fn is_whole(read: &str) -> bool {
    let length = read.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    read.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length)
}

fn granted(n: usize, expires_in: u32) -> Option<String> {
    let token = format!("{}{n}", TOKEN.trim_end_matches('0'));
    Some(json!({ "errcode": 0, "access_token": token, "expires_in": expires_in }).to_string())
}

fn refused(code: i64, text: &str) -> Option<String> {
    Some(json!({ "errcode": code, "errmsg": text }).to_string())
}

fn patient() -> Transport {
    Transport::new(Settings::default()).unwrap()
}

fn after(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_717_171_717_171).unwrap() + Duration::from_secs(seconds)
}

async fn attempt(channel: &Channel, transport: &Transport, at: Timestamp) -> Delivered {
    attempt_about(channel, transport, at, None).await
}

async fn attempt_about(
    channel: &Channel,
    transport: &Transport,
    at: Timestamp,
    about: Option<&Regarding>,
) -> Delivered {
    let (message, mentions) = (Message::new(Level::Error, "Disk full"), Mentions::default());
    let out = Outgoing {
        message: &message,
        id: MessageId::new(at, [7; 10]),
        created_at: at,
        mentions: &mentions,
        plain: false,
        ask: None,
        about,
        locale: Locale::English,
        zone: &crate::TimeZone::UTC,
    };
    channel.deliver(transport, &out, &move || at).await
}

/// Fifty attempts at once, half of them by each of two channels of one account.
async fn fifty(server: &Server, transport: &Transport) -> Vec<Outcome> {
    server.gate.send(false).unwrap();
    let channels = [Arc::new(server.channel("ada")), Arc::new(server.channel("bob"))];
    let tasks: Vec<_> = (0..50)
        .map(|n| (channels[n % 2].clone(), transport.clone()))
        .map(|(channel, transport)| {
            tokio::spawn(async move { attempt(&channel, &transport, after(0)).await.outcome })
        })
        .collect();
    // Every attempt is under way before the first is answered.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    server.gate.send(true).unwrap();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

fn named(outcomes: &[Outcome], name: &str) -> usize {
    outcomes.iter().filter(|outcome| outcome.name() == name).count()
}

#[tokio::test]
async fn all_channels_of_one_account_share_one_token() {
    let answers: Answers = |line, before| match line.contains("/gettoken") {
        true => granted(before, 7200),
        false => line.contains(TOKEN).then(|| SENT.to_owned()),
    };
    let (server, transport) = (Server::new(answers).await, patient());
    let outcomes = fifty(&server, &transport).await;
    assert_eq!(named(&outcomes, "accepted"), 50, "{outcomes:?}");
    assert_eq!((server.count("/gettoken?"), server.count("/message/send?")), (1, 50));
}

#[tokio::test]
async fn a_stale_token_is_renewed_once_and_the_message_sent_once_more() {
    let answers: Answers = |line, before| match line.contains("/gettoken") {
        true => granted(before, 7200),
        false if line.contains(TOKEN) => refused(42_001, "access_token expired"),
        false => Some(SENT.to_owned()),
    };
    let (server, transport) = (Server::new(answers).await, patient());
    let delivered = attempt(&server.channel("ada"), &transport, after(0)).await;
    assert_eq!(delivered.outcome.name(), "accepted", "{delivered:?}");
    assert_eq!(server.calls(), ["gettoken", "message", "gettoken", "message"]);

    let (server, transport) = (Server::new(answers).await, patient());
    let outcomes = fifty(&server, &transport).await;
    assert_eq!(named(&outcomes, "accepted"), 50, "{outcomes:?}");
    assert_eq!(server.count("/gettoken?"), 2);
}

#[tokio::test]
async fn a_token_that_stays_stale_ends_the_attempt() {
    let answers: Answers = |line, _| match line.contains("/gettoken") {
        true => granted(0, 7200),
        false => refused(40_014, "invalid access_token"),
    };
    let (server, transport) = (Server::new(answers).await, patient());
    let delivered = attempt(&server.channel("ada"), &transport, after(0)).await;
    assert_eq!(delivered.outcome.name(), "rejected", "{delivered:?}");
    assert_eq!(server.calls(), ["gettoken", "message", "gettoken", "message"]);
}

#[tokio::test]
async fn a_card_is_changed_with_the_same_token_and_with_a_new_one_if_it_became_stale() {
    let answers: Answers = |line, before| match line.contains("/gettoken") {
        true => granted(before, 7200),
        false if line.contains("update") && line.contains(TOKEN) => refused(42_001, "expired"),
        false => Some(SENT.to_owned()),
    };
    let (server, transport) = (Server::new(answers).await, patient());
    let about = Regarding {
        id: MessageId::new(after(0), [3; 10]),
        message: Arc::new(Message::new(Level::Error, "Disk full")),
        created_at: after(0),
        standing: Standing::Acknowledged,
        now: Standing::Acknowledged,
        receipts: vec!["0".to_owned(), "RC-1".to_owned(), "RC-2".to_owned()],
    };
    let channel = server.channel("ada");
    let delivered = attempt_about(&channel, &transport, after(9), Some(&about)).await;
    assert_eq!((delivered.outcome.reason().to_string(), delivered.sends), ("0: ok".to_owned(), 3));
    assert_eq!((server.count("/gettoken?"), server.count("/message/send?")), (2, 1));
    assert_eq!(server.count("/message/update_template_card?access_token="), 3);
}

/// Attempts at these seconds; returns how often each had to ask for a token.
async fn asked(answers: Answers, seconds: &[u64]) -> Vec<usize> {
    let (server, transport) = (Server::new(answers).await, patient());
    let (channel, mut asked, mut before) = (server.channel("ada"), Vec::new(), 0);
    for at in seconds {
        let delivered = attempt(&channel, &transport, after(*at)).await;
        assert_eq!(delivered.outcome.name(), "accepted", "{delivered:?}");
        let all = server.count("/gettoken?");
        asked.push(all - before);
        before = all;
    }
    asked
}

#[tokio::test]
async fn a_token_ends_by_the_clock_that_is_given() {
    let two_hours: Answers = |line, before| match line.contains("/gettoken") {
        true => granted(before, 7200),
        false => Some(SENT.to_owned()),
    };
    assert_eq!(asked(two_hours, &[0, 7079, 7080, 7081]).await, [1, 0, 1, 0]);
    // The same token again near its end: a provider is not asked for it with every message.
    let a_minute: Answers = |line, before| match line.contains("/gettoken") {
        true => granted(before, 60),
        false => Some(SENT.to_owned()),
    };
    assert_eq!(asked(a_minute, &[0, 29, 30, 59, 60]).await, [1, 0, 1, 0, 1]);
}

#[tokio::test]
async fn a_failed_login_is_shared_by_those_who_waited_and_forgotten_by_the_next() {
    let answers: Answers = |line, before| match (line.contains("/gettoken"), before) {
        (true, 0) => refused(-1, "busy"),
        (true, n) => granted(n, 7200),
        (false, _) => Some(SENT.to_owned()),
    };
    let (server, transport) = (Server::new(answers).await, patient());
    let outcomes = fifty(&server, &transport).await;
    assert_eq!(named(&outcomes, "transient"), 50, "{outcomes:?}");
    assert_eq!((server.count("/gettoken?"), server.count("/message/send?")), (1, 0));
    let delivered = attempt(&server.channel("ada"), &transport, after(0)).await;
    assert_eq!(delivered.outcome.name(), "accepted", "{delivered:?}");
    assert_eq!(server.count("/gettoken?"), 2);
}

#[tokio::test]
async fn a_refused_secret_blames_the_endpoint_and_nothing_is_sent() {
    for (code, name) in [(40_001, "rejected"), (40_013, "rejected"), (40_035, "rejected")] {
        let answers: Answers = match code {
            40_001 => |_, _| refused(40_001, "invalid secret"),
            40_013 => |_, _| refused(40_013, "invalid corpid"),
            _ => |_, _| refused(40_035, "bad parameter"),
        };
        let server = Server::new(answers).await;
        let delivered = attempt(&server.channel("ada"), &patient(), after(0)).await;
        assert_eq!(delivered.outcome.name(), name);
        let blame = matches!(&delivered.outcome, Outcome::Rejected { blame: Blame::Endpoint, .. });
        assert!(blame, "{delivered:?}");
        assert_eq!(server.calls(), ["gettoken"]);
    }
}

#[tokio::test]
async fn a_login_that_hangs_costs_the_message_nothing() {
    let server = Server::new(|_, _| None).await;
    let settings = Settings { timeout: Duration::from_millis(90), ..Settings::default() };
    let transport = Transport::new(settings).unwrap();
    let delivered = attempt(&server.channel("ada"), &transport, after(0)).await;
    assert_eq!(delivered.outcome.name(), "transient", "{delivered:?}");
    assert_eq!(server.count("/message/send?"), 0);
}

/// What comes of a token that has become stale where these answers take a while, and then nothing more comes.
async fn slowly(answers: Answers) -> String {
    let server = Server::new(answers).await;
    let settings = Settings { timeout: Duration::from_secs(1), ..Settings::default() };
    let transport = Transport::new(settings).unwrap();
    let outcome = attempt(&server.channel("ada"), &transport, after(0)).await.outcome;
    format!("{} {}", outcome.name(), outcome.reason())
}

#[tokio::test]
async fn logging_in_again_and_the_message_share_the_time_of_one_request() {
    fn stale() -> Option<String> {
        std::thread::park_timeout(Duration::from_millis(50));
        refused(42_001, "access_token expired")
    }
    let heard: Answers = |line, before| match (line.contains("/gettoken"), before) {
        (true, n) => granted(n, 7200),
        (false, 0) => stale(),
        (false, _) => None,
    };
    assert_eq!(slowly(heard).await, "unknown no answer within 1s, logging in included");
    let not_heard: Answers = |line, before| match (line.contains("/gettoken"), before) {
        (true, 0) => granted(0, 7200),
        (false, _) => stale(),
        (true, _) => None,
    };
    assert_eq!(slowly(not_heard).await, "transient no answer within 1s, logging in included");
}

#[tokio::test]
async fn asking_ends_after_its_limit_and_the_next_may_ask() {
    const LIMIT: Duration = Duration::from_millis(20);
    let server = Server::new(|_, _| None).await;
    let (channel, tokens) = (server.channel("ada"), Tokens::new(LIMIT));
    let login = channel.http().login().unwrap();
    let hung =
        tokens.get(login, None, after(0), async |_: &HttpRequest| std::future::pending().await);
    let waits =
        tokens.get(login, None, after(0), async |_: &HttpRequest| std::future::pending().await);
    let (hung, waits) = tokio::join!(hung, waits);
    let late = Outcome::Transient(Reason::text("no access token within 20ms"));
    assert_eq!((hung.unwrap_err(), waits.unwrap_err()), (late.clone(), late));
    let answer = HttpResponse {
        status: 200,
        retry_after: None,
        body: granted(0, 7200).unwrap().into_bytes(),
    };
    let next = tokens.get(login, None, after(5), async |_: &HttpRequest| Ok(answer)).await;
    assert_eq!(next.unwrap().expose(), TOKEN);
}

#[tokio::test]
async fn no_outcome_shows_a_token_or_the_secret() {
    let sending: Answers = |line, _| match line.contains("/gettoken") {
        true => granted(0, 7200),
        false => refused(40_035, &format!("not with {TOKEN}: {line}")),
    };
    let asking: Answers = |line, _| refused(40_001, line);
    let torn: Answers = |_, _| Some(format!("{{\"access_token\":\"{TOKEN}\", oops"));
    let bare: Answers = |_, _| Some(json!({ "access_token": TOKEN }).to_string());
    for (answers, name) in
        [(sending, "rejected"), (asking, "rejected"), (torn, "transient"), (bare, "transient")]
    {
        let (server, transport) = (Server::new(answers).await, patient());
        let delivered = attempt(&server.channel("ada"), &transport, after(0)).await;
        let shown = format!("{delivered:?} {transport:?}");
        assert_eq!(delivered.outcome.name(), name, "{shown}");
        assert!(!shown.contains(TOKEN) && !shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn a_token_is_hidden_wherever_it_stood_in_the_request() {
    let token = Token { value: Secret::new(TOKEN), expires_at: after(1) };
    assert!(!format!("{token:?}").contains(TOKEN));
    let echoed = Outcome::Transient(Reason::text(format!("Bearer {TOKEN} is old")));
    let hidden = Mask::new(&[], None).hiding(Some(&token.value)).outcome(echoed);
    assert_eq!(hidden.reason().detail, "Bearer *** is old");
}
