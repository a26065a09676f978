//! What a program lives through until it dies, and what has to be true afterwards.

use crate::crash::{STUCK, serve};
use crate::program::{Folder, post};
use crate::stage::sink::{Sink, json};
use callout_client::rusqlite::{Connection, params};
use callout_client::{Level, Message, MessageId, Outbox, Receipt};
use callout_store::schema::{NOTE_VERSION, SQLITE, VERSION_TABLE};
use callout_store::{Create, SqliteStore, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::Child;

/// Attempts that each channel may have under way at once.
pub(super) const PERMITS: usize = 4;
/// How often new messages are put before a point has to have been reached.
const BURSTS: usize = 40;
/// Long enough for the writer to find itself idle.
const CALM: Duration = Duration::from_millis(650);

/// What tries were under way for, as providers know it: every telling of an alert has an id of its own.
const LEASED: &str = "
    SELECT d.channel, m.id || CASE WHEN d.decision > 1 THEN '-' || d.decision ELSE '' END
      FROM callout_delivery d JOIN callout_message m ON m.seq = d.message_seq
     WHERE d.state = 'leased'";

/// Where the program shall die.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    pub(super) point: &'static str,
    pub(super) nth: usize,
}

impl Death {
    /// The value of `CALLOUT_CRASH_AT`.
    pub(super) fn wish(self) -> String {
        format!("{}:{}", self.point, self.nth)
    }
}

/// One database, its providers, and what was acknowledged.
pub(super) struct Story {
    pub(super) sink: Sink,
    pub(super) folder: Folder,
    /// Titles by id.
    ledger: BTreeMap<String, String>,
    alerts: Vec<String>,
    made: usize,
    /// How often each channel may get each message once more, because a try was under way at a death.
    open: BTreeMap<(String, String), usize>,
}

impl Story {
    pub(super) async fn new() -> Self {
        Self::with(Sink::start().await)
    }

    /// `deaf` refuses everything, so that what only it is told goes to the next people at once.
    pub(super) fn with(sink: Sink) -> Self {
        sink.always("deaf", json(410, ""));
        let folder = Folder::new("");
        let channel = |name: &str| {
            format!(
                "[channels.{name}]\nkind = \"webhook\"\nurl = \"{}\"\nconcurrency = {PERMITS}\n\
                 [receivers.{name}]\nchannels = [\"{name}\"]\n",
                sink.address(name)
            )
        };
        let mut config = std::fs::read_to_string(folder.config()).unwrap();
        config.truncate(config.find("[receivers.ops]").unwrap());
        config += &["hook", "lead", "deaf"].map(channel).concat();
        config += "[alerts]\nfollow_up = false\n\
             [escalation.night]\nrepeat = 0\nsteps = [{ to = [\"deaf\"], ack_within = \"1s\" }, { to = [\"lead\"] }]\n\
             [[routes]]\nmatch = { level = \"critical\" }\nto = [\"hook\"]\nescalation = \"night\"\n\
             [[routes]]\nmatch = { level = \"info\" }\nto = [\"hook\"]\n\
             [[routes]]\nto = [\"hook\", \"lead\"]\n";
        folder.write(&config);
        Self {
            sink,
            folder,
            ledger: BTreeMap::new(),
            alerts: Vec::new(),
            made: 0,
            open: BTreeMap::new(),
        }
    }

    /// Enqueues through the client crate, whether the program runs or not.
    pub(super) fn put(&mut self, level: Level, title: &str) -> MessageId {
        let mut outbox = Outbox::create(self.folder.database()).unwrap();
        let Receipt { id, .. } = outbox.enqueue(&Message::new(level, title)).unwrap();
        self.ledger.insert(id.to_string(), format!("{level} {title}"));
        id
    }

    /// Makes the database as the first release did, with messages that nobody has looked at.
    pub(super) fn begin_as_the_first_release(&mut self) {
        let database = Connection::open(self.folder.database()).unwrap();
        let first = &SQLITE[0];
        database.execute_batch(&format!("{VERSION_TABLE}; {}", first.sql)).unwrap();
        let note = params![first.version, first.name, first.checksum(), 0];
        database.execute(NOTE_VERSION, note).unwrap();
        for n in 0..PERMITS {
            let (id, title) =
                (format!("018bcfe5-6800-7000-8000-00000000000{n}"), format!("old {n}"));
            let insert = "INSERT INTO callout_message (id, level, title, created_at) VALUES (?1, 'error', ?2, ?3)";
            let now = callout_store::clock::now().unix_ms();
            database.execute(insert, params![id, title, now]).unwrap();
            self.ledger.insert(id, title);
        }
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.ledger.len()
    }

    /// Starts the program, which dies at `death`. Its address is `None` if it died before it had one.
    pub(super) async fn start(&self, death: Death) -> (Child, Option<String>) {
        serve(&self.folder, Some(death.wish())).await
    }

    /// Runs the program until it dies, with new messages if `flow`.
    pub(super) async fn run_until_death(&mut self, death: Death, flow: bool) -> ExitStatus {
        let (mut child, address) = self.start(death).await;
        if flow && let Some(address) = address {
            for _ in 0..BURSTS {
                if self.burst(&address).await.is_err() {
                    break;
                }
                if let Ok(status) = tokio::time::timeout(CALM, child.wait()).await {
                    self.note_death();
                    return status.unwrap();
                }
            }
        }
        let status = tokio::time::timeout(STUCK, child.wait()).await.expect("it dies").unwrap();
        self.note_death();
        status
    }

    /// Looks at what the dead left: what its last lease was for may arrive once more, and nothing else.
    pub(super) fn note_death(&mut self) {
        // A look would mend it, so it is a copy that is looked at.
        let copy = tempfile::tempdir().unwrap();
        for ending in ["", "-wal", ".mark"] {
            let name = format!("callout.db{ending}");
            let _absent =
                std::fs::copy(self.folder.database().with_file_name(&name), copy.path().join(name));
        }
        let database = copy.path().join("callout.db");
        match SqliteStore::open(&database, Create::Never, callout_store::clock::now()) {
            Err(StoreError::Missing(_)) => return,
            opened => assert_eq!(opened.unwrap().lost(), None, "a process that dies loses nothing"),
        }
        let database = Connection::open(database).unwrap();
        let mut leased = database.prepare(LEASED).unwrap();
        let leased = leased.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        leased.for_each(|under_way| *self.open.entry(under_way.unwrap()).or_default() += 1);
    }

    /// Tells the program to stop once messages have flowed; it dies on its way.
    pub(super) async fn stop_into(&mut self, death: Death) -> ExitStatus {
        let (mut child, address) = self.start(death).await;
        self.burst(&address.expect("the program listens")).await.unwrap();
        terminate(&child);
        let status = tokio::time::timeout(STUCK, child.wait()).await.expect("it ends").unwrap();
        self.note_death();
        status
    }

    /// Some messages, some alerts, and an answer to an alert that somebody was told of.
    async fn burst(&mut self, address: &str) -> std::io::Result<()> {
        for level in ["warning", "critical", "error", "critical"] {
            self.made += 1;
            let title = format!("{level} {}", self.made);
            let body = serde_json::json!({"level": level, "title": title}).to_string();
            let (status, answer) = post(address, "/v1/messages", &body).await?;
            if status == 202 {
                let id = answer["id"].as_str().unwrap().to_owned();
                if level == "critical" {
                    self.alerts.push(id.clone());
                }
                self.ledger.insert(id, title);
            }
        }
        self.put(Level::Warning, &format!("by the client, at {}", self.made));
        // The one put a burst ago has been planned by now.
        if self.alerts.len() > 2 {
            let id = self.alerts.remove(0);
            post(address, &format!("/v1/messages/{id}/ack"), "{}").await?;
        }
        Ok(())
    }

    /// Starts the program again, for good, and waits until nothing is left to do.
    pub(super) async fn finish(&mut self, death: Death) {
        let (mut child, _) = self.start(Death { point: "nowhere", nth: 0 }).await;
        let all = async {
            while !self.missing().is_empty() || self.has_pending() {
                let seen = self.sink.received().len();
                let more = self.sink.has_received("hook", seen + 1);
                let _quiet = tokio::time::timeout(Duration::from_millis(30), more).await;
            }
        };
        if tokio::time::timeout(STUCK, all).await.is_err() {
            let pending = self.folder.json(&["list", "--state", "pending", "--json"]);
            panic!("{death:?}: {:?} have not arrived, {pending:#} wait", self.missing());
        }
        child.kill().await.unwrap();
    }

    /// Whether anything but an alert waits: those find nobody to tell for longer than this takes.
    fn has_pending(&self) -> bool {
        let pending =
            self.folder.json(&["list", "--state", "pending", "--limit", "1000", "--json"]);
        pending.as_array().unwrap().iter().any(|message| message["level"] != "critical")
    }

    /// What was acknowledged and has not reached the people it is for.
    fn missing(&self) -> Vec<(&String, &'static str)> {
        let arrived = self.arrived();
        let expected = self.ledger.iter().flat_map(|(id, title)| {
            // An alert goes on to the second step unless somebody answers; the first channel is sure.
            let one = title.starts_with("critical") || title.starts_with("info");
            let to = if one { &["hook"][..] } else { &["hook", "lead"] };
            to.iter().map(move |channel| (id, *channel))
        });
        expected
            .filter(|(id, to)| !arrived.contains_key(&((*to).to_owned(), (*id).clone())))
            .collect()
    }

    /// How often each channel got each message.
    fn arrived(&self) -> BTreeMap<(String, String), usize> {
        let mut times = BTreeMap::new();
        for received in self.sink.received().iter().filter(|received| received.channel != "deaf") {
            let id = received.header("webhook-id").to_owned();
            *times.entry((received.channel.clone(), id)).or_default() += 1;
        }
        times
    }

    /// Somebody else enqueued this and was told that it is safe.
    pub(super) fn was_told(&mut self, id: String, title: String) {
        self.ledger.insert(id, title);
    }

    /// Checks what arrived. Returns how much was acknowledged, and how much arrived twice.
    pub(super) fn judge(&self, death: Death) -> (usize, usize) {
        assert!(self.missing().is_empty(), "{death:?}");
        let arrived = self.arrived();
        let repeated: usize = arrived.values().map(|times| times - 1).sum();
        let open = |what| 1 + self.open.get(what).copied().unwrap_or_default();
        let more: Vec<_> = arrived.iter().filter(|(what, times)| **times > open(what)).collect();
        assert!(more.is_empty(), "{death:?}: repeated, and not on their way: {more:?}");
        // A channel hears of an alert once, by one of its two steps.
        let mut ids: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for received in self.sink.received() {
            let body: serde_json::Value = serde_json::from_str(&received.body).unwrap();
            let title = body["data"]["title"].as_str().unwrap().to_owned();
            ids.entry((received.channel.clone(), title))
                .or_default()
                .insert(received.header("webhook-id").to_owned());
        }
        let twice: Vec<_> = ids.iter().filter(|(_, ids)| ids.len() > 1).collect();
        assert!(twice.is_empty(), "{death:?}: the same message under two ids: {twice:?}");
        (self.ledger.len(), repeated)
    }
}

fn terminate(child: &Child) {
    let id = child.id().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
}
