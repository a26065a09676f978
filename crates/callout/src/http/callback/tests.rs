//! A channel that hears its provider, played by a fake: what it signs is a header, what it says a line.

use super::*;
use crate::config::{self, Config};
use crate::http::{ack::Door, api, auth::Gate};
use crate::{assemble, narrate};
use axum::Router;
use axum::body::{Body, to_bytes};
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::plan::Directory;
use callout_core::ticket::{Links, TICKET_TTL, Ticket};
use callout_store::clock::Reading;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::{AnswerRequest, NewMessage, PlanRequest, Story};
use callout_store::{Create, SqliteStore, Store};
use callout_worker::Worker;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// Signs with its name. It presses for `press TICKET BY ONCE` and says `pong` to anything else.
struct Fake(&'static str);

impl Hears for Fake {
    fn callback(&self) -> Option<&dyn Callback> {
        Some(self)
    }
}

impl Callback for Fake {
    fn hear(&self, inbound: &Inbound<'_>, _: Timestamp) -> Option<Heard> {
        if (inbound.header)("x-signature")? != self.0 {
            return None;
        }
        let said = std::str::from_utf8(inbound.body).ok()?;
        let mut words = said.splitn(4, ' ');
        if words.next() != Some("press") {
            let body = format!("pong {} {}", inbound.method, inbound.url);
            return Some(Heard::Other(Reply { body, ..Reply::empty() }));
        }
        let [ticket, once, by] = [words.next()?, words.next()?, words.next()?];
        let ticket = callout_core::secret::Secret::new(ticket);
        Some(Heard::Pressed(Press { ticket, by: by.to_owned(), once: once.to_owned() }))
    }

    fn reply(&self, pressed: &Pressed, locale: Locale) -> Reply {
        Reply { body: format!("{pressed:?} {}", locale.name()), ..Reply::empty() }
    }
}

struct Stage {
    router: Router,
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    links: Links,
    api: Arc<Api>,
    _folder: TempDir,
}

const CONFIG: &str = r#"
locale = "zh"
[server]
public_url = "https://callout.example.com/alerts"
ack_key = "the key that seals the links of this test"
[channels.hook]
kind = "webhook"
url = "http://127.0.0.1:9/"
[receivers.ops]
channels = ["hook"]
[[routes]]
to = ["ops"]
"#;

fn read(folder: &TempDir) -> Config {
    let file = folder.path().join("callout.toml");
    std::fs::write(&file, CONFIG).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    config::load(&file).unwrap_or_else(|errors| panic!("{errors:?}"))
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = read(&folder);
        let (clock, now) = (Arc::new(SystemClock), SystemClock.now());
        let store = SqliteStore::open(&config.store_path, Create::IfMissing, now).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let setup = assemble::worker(config, store.clone(), clock.clone()).unwrap();
        let (directory, links) = (setup.directory.clone(), setup.links.clone().unwrap());
        assert!(Ears::of(&setup.lanes).ears.is_empty(), "a webhook hears nothing");
        // Nothing is to be delivered here.
        let mut worker = Worker::spawn(setup).await.unwrap();
        let status = worker.status();
        worker.stop();
        worker.ended().await.unwrap();
        let ear = |channel: &str, provider, key| Ear {
            channel: channel.parse().unwrap(),
            provider,
            hears: Arc::new(Fake(key)),
        };
        let ears = vec![ear("one", "fake", "key-1"), ear("two", "fake", "key-2")];
        let (door, gate) =
            (Door::new(Some(links.clone()), jiff::tz::TimeZone::UTC), Gate::new(Vec::new()));
        let ears = Ears::new(ears);
        let api = Api::new(store.clone(), clock, directory.clone(), gate, door, ears, status);
        let api = Arc::new(api);
        Self { router: api::router(api.clone()), store, directory, links, api, _folder: folder }
    }

    /// An open alert.
    async fn alert(&self, title: &str) -> MessageId {
        let (now, entropy) = (SystemClock.now(), SystemClock.entropy());
        let id = MessageId::new(now, entropy);
        let mut message = Message::new(Level::Critical, title);
        (message.require_ack, message.dedup_key) = (true, Some("disk".to_owned()));
        self.store.enqueue(vec![NewMessage { id, created_at: now, message }]).await.unwrap();
        let directory = self.directory.clone();
        let ask = PlanRequest {
            reading: Reading::default(),
            now,
            directory,
            limit: 10,
            entropy: SystemClock.entropy(),
        };
        assert_eq!(self.store.plan(ask).await.unwrap().planned, 1);
        id
    }

    fn ticket(&self, message: MessageId, epoch: u32, expires_at: Timestamp) -> String {
        let receiver = "ops".parse().unwrap();
        self.links.seal.ticket(&Ticket { message, receiver, epoch, expires_at })
    }

    fn good_ticket(&self, message: MessageId) -> String {
        self.ticket(message, 0, SystemClock.now() + TICKET_TTL)
    }

    async fn call(&self, path: &str, key: &str, said: impl Into<Body>) -> (u16, String) {
        let mut request = Request::post(path).header("x-signature", key).body(said.into()).unwrap();
        let peer = SocketAddr::from(([192, 0, 2, 7], 1000));
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Presses the button, and returns what the provider is answered.
    async fn press(&self, ticket: &str, once: &str, by: &str) -> String {
        let said = format!("press {ticket} {once} {by}");
        let (status, body) = self.call("/v1/callbacks/fake", "key-2", said).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn answers(&self, id: MessageId, answer: Answer) {
        let ask = AnswerRequest {
            now: SystemClock.now(),
            directory: self.directory.clone(),
            message: id.to_string(),
            answer,
            who: Actor::at_the_command_line("Bob"),
            note: None,
            only: None,
            epoch: None,
            entropy: SystemClock.entropy(),
        };
        assert!(matches!(self.store.answer(ask).await.unwrap(), Answered::Done(_)));
    }

    async fn story(&self, id: MessageId) -> Story {
        self.store.story(id.to_string()).await.unwrap().unwrap()
    }

    /// The alert's state, and how many deeds are written down.
    async fn stands(&self, id: MessageId) -> (&'static str, usize) {
        let story = self.story(id).await;
        (story.alert.unwrap().state.name(), story.journal.len())
    }
}

#[tokio::test]
async fn a_press_acknowledges_and_says_who_and_where_from() {
    let stage = Stage::new().await;
    let id = stage.alert("disk full").await;
    let ticket = stage.good_ticket(id);
    assert_eq!(stage.press(&ticket, "a", "ada (fake U1)").await, "Taken zh");
    let told = narrate::story(&stage.story(id).await, SystemClock.now(), &jiff::tz::TimeZone::UTC);
    let deed = "acknowledged by ada (fake U1), in the channel, from fake callback, link of ops";
    assert!(told.contains(deed), "{told}");
    let again = stage.press(&ticket, "b", "Bob").await;
    assert_eq!(again, "Answered { by: \"ada (fake U1)\", resolved: false } zh");
    assert_eq!(stage.stands(id).await, ("acknowledged", 1));
}

#[tokio::test]
async fn what_nobody_recognises_gets_one_answer_and_is_slowed_down() {
    let stage = Stage::new().await;
    let id = stage.alert("disk full").await;
    let said = format!("press {} a Eve", stage.good_ticket(id));
    let refused = stage.call("/v1/callbacks/fake", "wrong", said.clone()).await;
    assert_eq!(refused.0, 401);
    for path in ["/v1/callbacks/nobody", "/v1/callbacks/%ff", "/v1/callbacks/slack"] {
        assert_eq!(stage.call(path, "key-1", said.clone()).await, refused, "{path}");
    }
    for _ in 0..16 {
        assert_eq!(stage.call("/v1/callbacks/fake", "wrong", said.clone()).await, refused);
    }
    assert_eq!(stage.call("/v1/callbacks/fake", "wrong", said.clone()).await.0, 429);
    assert_eq!(stage.call("/v1/callbacks/nobody", "wrong", said).await.0, 429);
    assert_eq!(stage.stands(id).await, ("open", 0));
    // A right call passes all the same.
    assert_eq!(stage.press(&stage.good_ticket(id), "a", "ada").await, "Taken zh");
}

#[tokio::test]
async fn the_same_call_again_has_no_second_effect() {
    let stage = Stage::new().await;
    let id = stage.alert("disk full").await;
    let ticket = stage.good_ticket(id);
    assert_eq!(stage.press(&ticket, "a", "ada").await, "Taken zh");
    assert_eq!(stage.press(&ticket, "a", "ada").await, "Taken zh", "the first answer was lost");
    stage.answers(id, Answer::Unacknowledge).await;
    assert_eq!(stage.press(&ticket, "a", "ada").await, "Failed zh");
    assert_eq!(stage.stands(id).await, ("open", 2));
    assert_eq!(stage.press(&ticket, "b", "ada").await, "Taken zh", "a new press counts");
}

#[tokio::test]
async fn an_old_foreign_or_wrong_ticket_opens_nothing() {
    let stage = Stage::new().await;
    let id = stage.alert("disk full").await;
    let now = SystemClock.now();
    let nobody = MessageId::new(now, [9; 10]);
    for (once, ticket) in [
        stage.ticket(id, 0, now),
        stage.ticket(id, 1, now + TICKET_TTL),
        stage.good_ticket(nobody),
        "x".to_owned(),
        stage.good_ticket(id).replace(char::is_lowercase, "a"),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(stage.press(ticket, &once.to_string(), "ada").await, "Gone zh", "{ticket}");
    }
    assert_eq!(stage.stands(id).await, ("open", 0));
    assert!(stage.api.ears.memory.known().is_empty(), "no room is lost for those that open one");
}

#[tokio::test]
async fn what_is_over_is_said_to_be_over_unless_a_newer_alert_took_its_place() {
    let stage = Stage::new().await;
    let id = stage.alert("disk full").await;
    stage.answers(id, Answer::Resolve).await;
    let ticket = stage.good_ticket(id);
    let over = "Answered { by: \"Bob\", resolved: true } zh";
    assert_eq!(stage.press(&ticket, "a", "ada").await, over);
    stage.answers(id, Answer::Unacknowledge).await;
    assert_eq!(stage.press(&ticket, "b", "ada").await, "Gone zh", "of an earlier life");
    let mut alert = stage.story(id).await.alert.unwrap();
    alert.superseded_by = Some("0192".to_owned());
    assert_eq!(standing(&alert, "ada"), Pressed::Gone);
}

#[tokio::test]
async fn another_word_of_the_provider_is_answered_and_the_address_is_the_public_one() {
    let stage = Stage::new().await;
    let (status, body) = stage.call("/v1/callbacks/fake?a=%20b", "key-1", "ping").await;
    let url = "https://callout.example.com/alerts/v1/callbacks/fake?a=%20b";
    assert_eq!((status, body), (200, format!("pong POST {url}")));
    let huge = "x".repeat(BODY_BYTES_MAX + 1);
    assert_eq!(stage.call("/v1/callbacks/fake", "key-1", huge).await.0, 413);
    let most = "x".repeat(BODY_BYTES_MAX);
    assert_eq!(stage.call("/v1/callbacks/fake", "key-1", most).await.0, 200);
}

#[test]
fn an_outbox_that_cannot_be_written_is_worth_another_press() {
    assert_eq!(became(Err(StoreError::Closed), "ada"), Pressed::Failed);
    assert_eq!(became(Ok(Answered::Unknown), "ada"), Pressed::Gone);
    assert_eq!(became(Ok(Answered::NoAlert { why: String::new() }), "ada"), Pressed::Gone);
}

#[test]
fn a_name_is_one_clean_line_whatever_the_provider_sends() {
    assert_eq!(name(" ada\n\u{202e}x (slack U1) ", "slack"), "ada x (slack U1)");
    for nothing in ["", " \n ", "\u{200b}"] {
        assert_eq!(name(nothing, "slack"), "somebody on slack");
    }
    for long in ["x", "值", "🔥"] {
        assert!(name(&long.repeat(1000), "slack").starts_with(long), "kept");
    }
}

#[test]
fn presses_are_remembered_for_a_while_and_not_without_end() {
    let memory = Memory::default();
    let at = |seconds| Timestamp::EPOCH + Duration::from_secs(seconds);
    let once = |n: usize| Once::of("fake", &n.to_string());
    assert!(memory.takes(once(0), at(0)));
    assert!(!memory.takes(once(0), at(599)));
    assert!(memory.takes(Once::of("other", "0"), at(599)), "another provider's");
    assert!(memory.takes(once(0), at(600)));
    memory.forget(once(0));
    assert!(memory.takes(once(0), at(601)));
    for n in 2..PRESSES_MAX {
        assert!(memory.takes(once(n), at(700)));
    }
    assert!(!memory.takes(once(PRESSES_MAX), at(701)), "full");
    assert!(memory.takes(once(PRESSES_MAX), at(1300)));
    assert_eq!(memory.known().len(), 1);
}
