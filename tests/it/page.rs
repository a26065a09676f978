//! The acknowledge page, from outside: the built program, real sockets, and the store as the witness.

use crate::program::{Answer, Folder, Served, TOKEN, exchange};
use crate::stage::sink::Sink;
use callout_core::alert::{State, Via};
use callout_core::escalation::{Policy, Step};
use callout_core::id::{MessageId, ReceiverName};
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::plan::Directory;
use callout_core::receiver::Receiver;
use callout_core::retry::RetryPolicy;
use callout_core::route::Route;
use callout_core::secret::Secret;
use callout_core::ticket::{Seal, TICKET_TTL, Ticket};
use callout_core::time::Timestamp;
use callout_store::clock::Reading;
use callout_store::clock::{entropy, now};
use callout_store::model::{
    Actor, Alert, Answer as Deed, AnswerRequest, Answered, JournalEntry, NewMessage, PlanRequest,
    Story,
};
use callout_store::{Create, SqliteStore, Store};
use std::sync::Arc;
use std::time::Duration;

const KEY: &str = "the key that seals the links of this test";
/// How long ago the alert opened.
const AGE: Duration = Duration::from_secs(4 * 60);

/// A served program with one open alert, whose first receiver has been told.
pub(crate) struct Desk {
    pub(crate) served: Served,
    pub(crate) alert: MessageId,
    store: SqliteStore,
    directory: Arc<Directory>,
    _folder: Folder,
    _sink: Sink,
}

fn names(names: &[&str]) -> Vec<ReceiverName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Two receivers with one channel, told one after the other.
fn directory() -> Directory {
    let receiver = |name: ReceiverName| Receiver {
        name,
        channels: vec!["hook".parse().unwrap()],
        failover_after: None,
        mention_all: false,
        mention: vec![],
    };
    let step = |to, minutes: u64| Step { to, ack_within: Duration::from_secs(60 * minutes) };
    let steps = vec![step(names(&["ops"]), 8), step(names(&["lead"]), 60)];
    Directory {
        routes: vec![Route {
            levels: vec![],
            labels: vec![],
            to: names(&["ops"]),
            escalation: Some(Policy { name: None, steps, repeat: 1 }),
        }],
        receivers: names(&["ops", "lead"]).into_iter().map(|n| (n.clone(), receiver(n))).collect(),
        operator: Some("ops".parse().unwrap()),
        retry: RetryPolicy::default(),
        follow_up: true,
        locale: Locale::English,
        costly: [].into(),
        ringing: [].into(),
    }
}

impl Desk {
    pub(crate) async fn new(public_url: &str) -> Self {
        Self::about(disk_full(), public_url).await
    }

    pub(crate) async fn about(message: Message, public_url: &str) -> Self {
        let sink = Sink::start().await;
        let folder = Folder::new("");
        folder.write(&format!(
            "[server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"{public_url}\"\nack_key = \"{KEY}\"\n\
             [channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\n\
             [receivers.ops]\nchannels = [\"hook\"]\n[receivers.lead]\nchannels = [\"hook\"]\n\
             [operator]\nreceiver = \"ops\"\n[[routes]]\nto = [\"ops\"]\n",
            sink.address("hook"),
        ));
        let store = SqliteStore::open(&folder.database(), Create::IfMissing, now()).unwrap();
        let directory = Arc::new(directory());
        let created_at = before(AGE);
        let id = MessageId::new(created_at, entropy());
        store.enqueue(vec![NewMessage { id, created_at, message }]).await.unwrap();
        let (directory_now, entropy) = (directory.clone(), entropy());
        let ask = PlanRequest {
            reading: Reading::default(),
            now: created_at,
            directory: directory_now,
            limit: 10,
            entropy,
        };
        assert_eq!(store.plan(ask).await.unwrap().planned, 1);
        let served = Served::start(&folder).await;
        sink.has_received("hook", 1).await;
        let desk = Self { served, alert: id, store, directory, _folder: folder, _sink: sink };
        in_time(async { while desk.story().await.summary.settled_at.is_none() {} }).await;
        desk
    }

    pub(crate) async fn story(&self) -> Story {
        self.store.story(self.alert.to_string()).await.unwrap().unwrap()
    }

    /// How the alert stands and what was written down about it.
    async fn stands(&self) -> (Alert, Vec<JournalEntry>) {
        let story = self.story().await;
        (story.alert.unwrap(), story.journal)
    }

    /// Reports the same problem once more. Returns the message's id once it is planned.
    async fn report(&self, level: Level, title: &str) -> MessageId {
        let (created_at, directory) = (now(), self.directory.clone());
        let id = MessageId::new(created_at, entropy());
        let mut message = disk_full();
        (message.level, message.title) = (level, title.to_owned());
        // The program may plan it first, and has no escalation policy.
        message.require_ack = true;
        self.store.enqueue(vec![NewMessage { id, created_at, message }]).await.unwrap();
        let ask = PlanRequest {
            reading: Reading::default(),
            now: created_at,
            directory,
            limit: 10,
            entropy: entropy(),
        };
        self.store.plan(ask).await.unwrap();
        in_time(async {
            while self.store.story(id.to_string()).await.unwrap().unwrap().alert.is_none() {}
        })
        .await;
        id
    }

    /// What the page's form says that it showed.
    async fn seen(&self) -> String {
        let page = self.get(&self.path()).await.body;
        let seen = page.split_once("name=\"seen\" value=\"").unwrap().1;
        format!("seen={}", seen.split('"').next().unwrap())
    }

    /// What people did. Whom a worker reaches meanwhile is left out.
    async fn done(&self) -> (State, usize, Vec<JournalEntry>) {
        let (alert, journal) = self.stands().await;
        (alert.state, alert.steps.len(), journal)
    }

    fn ticket(&self) -> Ticket {
        let expires_at = now() + TICKET_TTL;
        Ticket { message: self.alert, receiver: "ops".parse().unwrap(), epoch: 0, expires_at }
    }

    /// The path of a link that works.
    pub(crate) fn path(&self) -> String {
        path(KEY, &self.ticket())
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        exchange(&self.served.address, method, path, headers, body).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", "").await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, FORM, body).await
    }

    /// Somebody acts by another way than the page.
    async fn command(&self, answer: Deed) {
        let ask = AnswerRequest {
            now: now(),
            directory: self.directory.clone(),
            message: self.alert.to_string(),
            answer,
            who: Actor::at_the_command_line("Bob"),
            note: None,
            only: None,
            epoch: None,
            entropy: entropy(),
        };
        assert!(matches!(self.store.answer(ask).await.unwrap(), Answered::Done(_)), "{answer:?}");
    }
}

/// What takes longer than this never happens.
async fn in_time(wait: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it happens in time");
}

fn before(length: Duration) -> Timestamp {
    Timestamp::EPOCH + now().since(Timestamp::EPOCH).checked_sub(length).unwrap()
}

pub(crate) fn disk_full() -> Message {
    let mut message = Message::new(Level::Critical, "Disk full on db-1");
    message.dedup_key = Some("disk-full".to_owned());
    message.body =
        "Writes to /var/lib/postgresql fail since 03:12.\n\nThe replica is 4 minutes behind and \
                    will stop at 100 %."
            .to_owned();
    for (name, value) in [("host", "db-1"), ("metric", "disk.used"), ("value", "99.8 %")] {
        message.labels.insert(name.to_owned(), value.to_owned());
    }
    message
}

fn path(key: &str, ticket: &Ticket) -> String {
    format!("/a/{}", Seal::new(Secret::new(key)).ticket(ticket))
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// Who fetches links without being asked, or shows them before they are opened.
const ROBOTS: &[&str] = &[
    "User-Agent: Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)\r\n",
    "User-Agent: Slack-ImgProxy (+https://api.slack.com/robots)\r\n",
    "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 SafeLinks\r\n",
    "",
    "User-Agent: \r\n",
    "User-Agent: BarracudaCentral (+https://www.barracudacentral.org)\r\n",
    "User-Agent: Mozilla/5.0 (compatible; proofpoint.com URL Defense)\r\n",
    "User-Agent: Mimecast URL Protection\r\n",
    "User-Agent: WhatsApp/2.23.20.0 A\r\n",
    "User-Agent: TelegramBot (like TwitterBot)\r\n",
    "User-Agent: Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Mobile Safari/537.36 AliApp(DingTalk/7.0.50) com.alibaba.android.rimet\r\n",
    "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 wxwork/4.1.9 MicroMessenger/7.0.1\r\n",
    "User-Agent: Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)\r\n",
    "User-Agent: facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)\r\n",
    "User-Agent: Twitterbot/1.0\r\n",
    "User-Agent: curl/8.5.0\r\nAccept: */*\r\n",
    "User-Agent: Mozilla/5.0 (X11; Linux x64) HeadlessChrome/120.0.0.0\r\nSec-Purpose: prefetch;prerender\r\nPurpose: prefetch\r\n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_at_a_link_changes_nothing_whoever_looks() {
    let desk = Desk::new("https://callout.example.com").await;
    let (path, before) = (desk.path(), desk.stands().await);
    // What a form would send, in the address: nobody may take it from there.
    let asking = format!("{path}?action=ack&name=Robot");
    for robot in ROBOTS {
        for (method, more, status) in [
            ("GET", "", 200),
            ("HEAD", "", 200),
            ("OPTIONS", "", 204),
            ("GET", "Range: bytes=0-1023\r\n", 200),
        ] {
            for path in [&path, &asking] {
                let answer = desk.ask(method, path, &format!("{robot}{more}"), "").await;
                assert_eq!(answer.status, status, "{method} {robot}");
                assert_eq!(answer.body.is_empty(), method != "GET", "{method} {robot}");
                assert_eq!(desk.stands().await, before, "{method} {robot}");
            }
        }
    }
    for method in ["PUT", "PATCH", "DELETE", "TRACE"] {
        let answer = desk.ask(method, &path, FORM, "action=ack&name=Robot").await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
        assert_eq!(desk.stands().await, before, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_form_acts_once_and_says_who_has_it() {
    let desk = Desk::new("https://callout.example.com").await;
    let path = desk.path();
    let page = desk.get(&path).await.body;
    for part in ["Disk full on db-1", "Nobody has this yet", "value=\"ack\"", "lead will be told"] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    let form = "action=ack&name=%E7%8E%8B%E5%B0%8F%E6%98%8E&note=on+it";
    let answer = desk.post(&path, form).await;
    assert_eq!(answer.status, 303);
    let target = answer.header("location").unwrap();
    assert_eq!(format!("/a/{target}"), path, "relative to the page, whatever is in front of it");
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["; Path=/a;", "; HttpOnly", "; SameSite=Lax", "; Secure", "; Max-Age=31536000"] {
        assert!(cookie.contains(part), "{part} is not in {cookie}");
    }
    let (alert, journal) = desk.stands().await;
    let State::Acknowledged(deed) = &alert.state else { panic!("{:?}", alert.state) };
    assert_eq!((deed.by.as_str(), deed.via), ("王小明", Via::Page));
    let written = journal.last().unwrap();
    assert_eq!((written.event.as_str(), written.detail.as_str()), ("acknowledged", "on it"));
    assert_eq!(written.origin.as_deref(), Some("127.0.0.1, link of ops"));

    // Again, by somebody else: the same answer, and nothing changes.
    let again = desk.post(&path, "action=ack&name=Eve").await;
    assert_eq!((again.status, again.header("location")), (303, Some(target)));
    let late = desk.post(&path, "action=escalate&name=Eve&seen=open.1").await;
    assert_eq!((late.status, late.header("location")), (303, Some(target)));
    assert_eq!(desk.stands().await, (alert, journal));
    let page = desk.ask("GET", &path, &format!("Cookie: {cookie}\r\n"), "").await.body;
    for part in
        ["王小明 has this", "on it", "value=\"王小明\"", "value=\"unack\"", "value=\"resolve\""]
    {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert!(!page.contains("value=\"ack\""), "{page}");
    let said = desk.served.said();
    assert!(!said.contains(target), "a link was logged:\n{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_button_does_what_it_says() {
    let desk = Desk::new("https://callout.example.com").await;
    let path = desk.path();
    let told = desk.stands().await.0.steps.len();
    let escalate = format!("action=escalate&name=Ada&{}", desk.seen().await);
    assert_eq!(desk.post(&path, &escalate).await.status, 303);
    assert_eq!(desk.stands().await.0.steps.len(), told + 1);
    assert_eq!(desk.post(&path, "action=ack&name=Ada").await.status, 303);
    let unack = format!("action=unack&name=Ada&note=asleep&{}", desk.seen().await);
    assert_eq!(desk.post(&path, &unack).await.status, 303);
    assert_eq!(desk.stands().await.0.state, State::Open);
    assert_eq!(desk.post(&path, "action=resolve&name=Bob").await.status, 303);
    let (alert, journal) = desk.stands().await;
    assert!(matches!(&alert.state, State::Resolved(deed) if deed.by == "Bob"));
    let events: Vec<&str> = journal.iter().map(|entry| entry.event.as_str()).collect();
    assert_eq!(events, ["escalated", "acknowledged", "unacknowledged", "resolved"]);
    // A page that was open all the time cannot open it again.
    assert_eq!(desk.post(&path, &unack).await.status, 303);
    assert_eq!(desk.stands().await, (alert, journal));
    let page = desk.get(&path).await.body;
    assert!(page.contains("Resolved by Bob") && !page.contains("<button"), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_meant_for_another_state_changes_nothing() {
    let desk = Desk::new("https://callout.example.com").await;
    let path = desk.path();
    let escalate = format!("action=escalate&name=Ada&{}", desk.seen().await);
    assert_eq!(desk.post(&path, &escalate).await.status, 303);
    let told = desk.done().await;
    // Pressed twice, or in another tab that is old.
    assert_eq!(desk.post(&path, &escalate).await.status, 303);
    assert_eq!(desk.done().await, told);
    // Whoever takes it has not to look again first.
    assert_eq!(desk.post(&path, "action=ack&name=Ada&seen=open.1").await.status, 303);
    let unack = format!("action=unack&name=Ada&{}", desk.seen().await);
    assert_eq!(desk.post(&path, &unack).await.status, 303);
    assert_eq!(desk.post(&path, "action=ack&name=Bob").await.status, 303);
    let taken = desk.done().await;
    assert!(matches!(&taken.0, State::Acknowledged(deed) if deed.by == "Bob"));
    assert_eq!(desk.post(&path, &unack).await.status, 303);
    assert_eq!(desk.done().await, taken, "it is another's now");
    for seen in ["", "&seen=", "&seen=acknowledged", "&seen=acknowledged.x", "&seen=taken.1"] {
        let answer = desk.post(&path, &format!("action=unack&name=Ada&note=kept{seen}")).await;
        assert_eq!(answer.status, 400, "{seen}");
        assert!(answer.body.contains("not understood") && answer.body.contains("value=\"kept\""));
        assert_eq!(desk.done().await, taken, "{seen}");
    }
    assert_eq!(desk.post(&path, "action=resolve&name=Ada&seen=open.1").await.status, 303);
    assert!(matches!(desk.done().await.0, State::Resolved(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_an_alert_whose_place_was_taken_leads_to_the_newer_one() {
    let mut minor = disk_full();
    minor.level = Level::Error;
    let desk = Desk::about(minor, "https://callout.example.com").await;
    let newer = desk.report(Level::Critical, "Disk full on db-1 and db-2").await;
    assert_eq!(desk.story().await.alert.unwrap().superseded_by, Some(newer.to_string()));
    let page = desk.get(&desk.path()).await;
    assert_eq!(page.status, 200);
    for part in ["A newer alert for the same problem took its place", "Disk full on db-1 and db-2"]
    {
        assert!(page.body.contains(part), "{part} is not in\n{}", page.body);
    }
    assert!(!page.body.contains("<button") && !page.body.contains("Nobody else is called"));
    let link = page.body.split_once("class=\"newer\" href=\"").unwrap().1;
    let link = format!("/a/{}", link.split('"').next().unwrap());
    let before = desk.stands().await;
    assert_eq!(desk.post(&desk.path(), "action=ack&name=Ada").await.status, 303);
    assert_eq!(desk.stands().await, before);
    let page = desk.get(&link).await.body;
    assert!(page.contains("This link was sent to ops") && page.contains("value=\"ack\""), "{page}");
    assert_eq!(desk.post(&link, "action=ack&name=Ada").await.status, 303);
    let story = desk.store.story(newer.to_string()).await.unwrap().unwrap();
    assert!(matches!(story.alert.unwrap().state, State::Acknowledged(deed) if deed.by == "Ada"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_is_not_the_pages_changes_nothing() {
    let desk = Desk::new("https://callout.example.com").await;
    let (path, before) = (desk.path(), desk.stands().await);
    let good = "action=ack&name=Ada&note=kept";
    let huge = format!("{good}{}", "x".repeat(20_000));
    let with = |more: &str| format!("{FORM}{more}\r\n");
    for (headers, body, status, said) in [
        (FORM.to_owned(), "action=ack&note=kept", 400, "say who you are"),
        (FORM.to_owned(), "action=ack&name=+&note=kept", 400, "say who you are"),
        (FORM.to_owned(), "action=ack&name=A%00&note=kept", 400, "not one plain line"),
        (FORM.to_owned(), "action=delete&name=Ada&note=kept", 400, "not understood"),
        (FORM.to_owned(), "name=Ada&note=kept", 400, "not understood"),
        (FORM.to_owned(), "action=ack&action=resolve&name=Ada", 400, "not understood"),
        (FORM.to_owned(), "action=ack&name=Ada&more=1", 400, "not understood"),
        (FORM.to_owned(), "", 400, "not understood"),
        (FORM.to_owned(), &huge, 400, "note is too long"),
        (String::new(), good, 400, "not understood"),
        ("Content-Type: text/plain\r\n".to_owned(), good, 400, "not understood"),
        (
            "Content-Type: application/json\r\n".to_owned(),
            "{\"action\":\"ack\"}",
            400,
            "not understood",
        ),
        (with("Sec-Fetch-Site: cross-site"), good, 403, "another site"),
        (with("Sec-Fetch-Site: same-site"), good, 403, "another site"),
        (with("Origin: https://evil.example.org"), good, 403, "another site"),
    ] {
        let answer = desk.ask("POST", &path, &headers, body).await;
        assert_eq!(answer.status, status, "{headers}{body}");
        assert!(answer.body.contains(said), "{body}: {said} is not in\n{}", answer.body);
        assert!(answer.body.contains("value=\"ack\""), "the form is there again");
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(desk.stands().await, before, "{headers}{body}");
    }
    let kept = desk.post(&path, "action=ack&name=&note=kept").await.body;
    assert!(kept.contains("value=\"kept\""), "{kept}");
    let own = with("Sec-Fetch-Site: same-origin\r\nOrigin: null");
    assert_eq!(desk.ask("POST", &path, &own, good).await.status, 303);
}

/// An answer without what differs between any two.
fn alike(answer: Answer) -> Answer {
    let headers = answer.headers.into_iter().filter(|(name, _)| name != "date").collect();
    Answer { headers, ..answer }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_do_not_work_all_look_alike() {
    let desk = Desk::new("https://callout.example.com").await;
    let (path, ticket) = (desk.path(), desk.ticket());
    let mut forged = path.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'Q' } else { 'A' });
    let unknown = MessageId::new(now(), entropy());
    desk.command(Deed::Resolve).await;
    desk.command(Deed::Unacknowledge).await;
    let before = desk.stands().await;
    assert_eq!(before.0.epoch, 1);
    let wrong = [
        ("reopened since", path.clone()),
        ("forged", forged),
        ("nonsense", "/a/x".to_owned()),
        ("not even text", "/a/%ff%fe".to_owned()),
        ("foreign", self::path("the key of another installation, no less", &ticket)),
        ("too old", self::path(KEY, &Ticket { expires_at: now(), epoch: 1, ..ticket.clone() })),
        ("of a deleted message", self::path(KEY, &Ticket { message: unknown, ..ticket.clone() })),
        ("of a later epoch", self::path(KEY, &Ticket { epoch: 2, ..ticket.clone() })),
    ];
    let mut looks: Vec<(&str, Answer)> = Vec::new();
    for (name, path) in &wrong {
        looks.push((name, alike(desk.get(path).await)));
        looks.push((name, alike(desk.post(path, "action=ack&name=Eve").await)));
    }
    let astray = ["/a".to_owned(), "/a/".to_owned(), format!("{path}/"), format!("{path}/x/y")];
    for path in &astray {
        looks.push((path, alike(desk.get(path).await)));
    }
    assert_eq!(looks[0].1.status, 404);
    assert!(looks[0].1.body.contains("This link does not work"));
    for (name, look) in &looks {
        assert_eq!(look, &looks[0].1, "{name}");
    }
    assert_eq!(desk.stands().await, before);
    let renewed = self::path(KEY, &Ticket { epoch: 1, ..ticket });
    assert_eq!(desk.get(&renewed).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_slowed_down_and_right_links_go_on_working() {
    let desk = Desk::new("https://callout.example.com").await;
    for n in 0..20 {
        assert_eq!(desk.get(&format!("/a/guess{n}")).await.status, 404);
    }
    for method in ["GET", "POST"] {
        let answer = desk.ask(method, "/a/guess", FORM, "action=ack&name=Eve").await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("60")));
    }
    assert_eq!(desk.get(&desk.path()).await.status, 200);
    assert_eq!(desk.post(&desk.path(), "action=ack&name=Ada").await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_the_pages_headers_and_speaks_the_readers_language() {
    let desk = Desk::new("http://127.0.0.1:8470").await;
    let path = desk.path();
    for (method, path, body) in [
        ("GET", path.as_str(), ""),
        ("HEAD", &path, ""),
        ("OPTIONS", &path, ""),
        ("PUT", &path, ""),
        ("POST", &path, "action=nothing"),
        ("POST", &path, "action=escalate&name=Ada&seen=open.1"),
        ("GET", "/a/wrong", ""),
        ("POST", "/a/wrong", "action=ack&name=Eve"),
        ("GET", "/a", ""),
        ("GET", "/a/", ""),
        ("PUT", "/a/", ""),
        ("GET", "/a/x/y", ""),
    ] {
        let answer = desk.ask(method, path, FORM, body).await;
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-robots-tag", "noindex, nofollow"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{method} {path}: {answer:?}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.ends_with("; frame-ancestors 'none'"), "{policy}");
        if let Some(cookie) = answer.header("set-cookie") {
            assert!(!cookie.contains("Secure"), "plain http: {cookie}");
        }
    }
    for (accepted, lang, said) in [
        ("", "en", "Nobody has this yet"),
        ("Accept-Language: fr\r\n", "en", "Nobody has this yet"),
        ("Accept-Language: zh-TW,zh;q=0.9,en;q=0.1\r\n", "zh-CN", "还没有人接手"),
        ("Accept-Language: zh;q=0.1,en\r\n", "en", "Nobody has this yet"),
    ] {
        let page = desk.ask("GET", &path, accepted, "").await.body;
        assert!(page.contains(&format!("<html lang=\"{lang}\">")), "{accepted}");
        assert!(page.contains(said), "{accepted}");
    }
    let gone = desk.ask("GET", "/a/wrong", "Accept-Language: zh\r\n", "").await.body;
    assert!(gone.contains("此链接无效"), "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_readable_while_nothing_can_be_written() {
    let desk = Desk::new("https://callout.example.com").await;
    let (path, before) = (desk.path(), desk.stands().await);
    let database = callout_client::rusqlite::Connection::open(desk._folder.database()).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(desk.get(&path).await.status, 200);
    let refused = desk.post(&path, "action=ack&name=Ada&note=kept").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    let command = format!("callout ack {}", desk.alert);
    for part in [command.as_str(), "nothing has been changed", "value=\"kept\"", "value=\"ack\""] {
        assert!(refused.body.contains(part), "{part} is not in\n{}", refused.body);
    }
    database.execute_batch("ROLLBACK").unwrap();
    assert_eq!(desk.stands().await, before);
    assert_eq!(desk.post(&path, "action=ack&name=Ada").await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_no_link_works() {
    let sink = Sink::start().await;
    let folder = Folder::new(&format!(
        "[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\n",
        sink.address("hook")
    ));
    let served = Served::start(&folder).await;
    let ticket = Ticket {
        message: MessageId::new(now(), entropy()),
        receiver: "ops".parse().unwrap(),
        epoch: 0,
        expires_at: now() + TICKET_TTL,
    };
    let answer = exchange(&served.address, "GET", &path("", &ticket), "", "").await.unwrap();
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("This link does not work"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_no_text_is_refused_in_the_shape_of_every_error() {
    let hook = "[channels.hook]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\n";
    let served = Served::start(&Folder::new(hook)).await;
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for (method, path) in [
        ("POST", "/v1/messages/%FF/ack"),
        ("POST", "/v1/messages/%FF/cancel"),
        ("POST", "/v1/messages/%FF/replay"),
        ("GET", "/v1/messages/%FF"),
    ] {
        let answer = exchange(&served.address, method, path, &token, "").await.unwrap();
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        assert!(answer.body.contains("\"code\":\"bad_request\""), "{path}: {}", answer.body);
    }
}
