//! The built program on a disk that fails, fills up, or has its files taken away.
//!
//! A library loaded under the program makes chosen calls on the database's files fail, and can be switched
//! while the program runs. [`sweep`] fails every call in turn, [`full`] fills the disk while messages
//! flow, [`ready`] asks what load balancers hear of it, [`stops`] does what ends a program, [`unfit`] where
//! it does not start. The sink's log and the database are the witnesses.

mod full;
mod ready;
mod stops;
mod sweep;
mod unfit;

use crate::program::{Folder, TOKEN, callout, exchange, post};
use crate::stage::preload::{Later, library};
use crate::stage::sink::Sink;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;

/// The test is broken if the program does nothing for so long.
const STUCK: Duration = Duration::from_secs(60);
/// How soon everything flows again once the disk works.
const RECOVERY: Duration = Duration::from_secs(10);
/// Attempts that may be under way at once.
const PERMITS: usize = 4;
const ACK_KEY: &str = "the key that seals the links of these tests";

const EIO: i64 = 5;
const ENOSPC: i64 = 28;

/// Which calls fail, and how; `tests/preload/fail.c` says more.
#[derive(Clone, Copy, Debug, Default)]
struct Fault {
    kinds: i64,
    errno: i64,
    first: i64,
    /// 0: all from the first on.
    count: i64,
}

const OPEN: i64 = 1;
const WRITE: i64 = 2;
const SYNC: i64 = 4;
const TRUNCATE: i64 = 8;
const ALLOCATE: i64 = 64;

/// Every call that needs room on the disk.
const FULL: Fault = Fault { kinds: WRITE | ALLOCATE, errno: ENOSPC, first: 1, count: 0 };

/// Numbers that the library reads while the program runs.
struct Switch(File);

impl Switch {
    fn set(&self, fault: Fault) {
        let numbers = [fault.kinds, fault.errno, fault.first, fault.count, 0, 0, 0, 0];
        self.0.write_all_at(&numbers.map(i64::to_le_bytes).concat(), 0).unwrap();
    }

    fn number(&self, at: u64) -> i64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, at * 8).unwrap();
        i64::from_le_bytes(bytes)
    }

    /// How many calls have failed since it was set.
    fn failed(&self) -> i64 {
        self.number(5)
    }
}

/// A folder with a configuration and, one folder below, the database.
struct Place {
    folder: Folder,
    switch: Arc<Switch>,
    later: Later,
}

impl Place {
    fn new(sink: &Sink, channel: &str) -> Self {
        let folder = Folder::new("");
        folder.write(&format!(
            "[store]\nurl = \"sqlite:data/callout.db\"\n\
             [server]\nlisten = \"127.0.0.1:0\"\npublic_url = \"http://localhost:1\"\nack_key = \"{ACK_KEY}\"\n\
             [[server.tokens]]\nname = \"test\"\ntoken = \"{TOKEN}\"\nscopes = [\"send\", \"read\", \"operate\"]\n\
             [channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\nconcurrency = {PERMITS}\n\
             [receivers.ops]\nchannels = [\"hook\"]\n[operator]\nreceiver = \"ops\"\n[[routes]]\nto = [\"ops\"]\n",
            sink.address(channel)
        ));
        std::fs::create_dir(folder.database().with_file_name("data")).unwrap();
        let options = File::options().read(true).write(true).create_new(true).to_owned();
        let control = options.open(folder.config().with_file_name("control")).unwrap();
        let later = Later::within(folder.config().parent().unwrap());
        let place = Self { folder, switch: Arc::new(Switch(control)), later };
        place.switch.set(Fault::default());
        place
    }

    fn database(&self) -> PathBuf {
        self.folder.config().with_file_name("data").join("callout.db")
    }

    /// What the database holds, once nobody uses it; it has to be whole.
    fn titles(&self) -> Vec<String> {
        let Ok(database) = rusqlite::Connection::open(self.database()) else { return vec![] };
        let whole: String =
            database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
        let Ok(mut titles) = database.prepare("SELECT title FROM callout_message") else {
            return vec![];
        };
        titles.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

/// A running `callout serve`, or one that could not start.
struct Program {
    child: Child,
    address: Option<String>,
    said: Arc<Mutex<String>>,
    /// Reads what it says, to the end.
    listener: JoinHandle<()>,
}

impl Program {
    /// Starts it, and waits until it listens or has ended.
    async fn start(place: &Place) -> Self {
        let [fail, later] = ["fail.c", "later.c"].map(library);
        let mut child = tokio::process::Command::new(callout())
            .args(["serve", "--config"])
            .arg(place.folder.config())
            .env("LD_PRELOAD", format!("{}:{}", fail.display(), later.display()))
            .env("CALLOUT_LATER_CONTROL", &place.later.control)
            .env("CALLOUT_FAIL_PREFIX", place.database().parent().unwrap())
            .env("CALLOUT_FAIL_CONTROL", place.folder.config().with_file_name("control"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(String::new()));
        let mut address = None;
        let listen = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let found = line.split_once("listens on http://").map(|(_, at)| at.to_owned());
                said.lock().unwrap().push_str(&(line + "\n"));
                if found.is_some() {
                    address = found;
                    return;
                }
            }
        };
        tokio::time::timeout(STUCK, listen).await.expect("it starts or ends");
        let log = said.clone();
        let listener = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                log.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, address, said, listener }
    }

    /// Everything it has said so far.
    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn address(&self) -> &str {
        self.address.as_deref().expect("it listens")
    }

    /// Enqueues over HTTP. Returns the status and what was said; nothing, if there was no answer.
    async fn enqueue(&self, title: &str) -> Option<(u16, Value)> {
        let message = serde_json::json!({ "level": "error", "title": title }).to_string();
        let answer = post(self.address(), "/v1/messages", &message);
        tokio::time::timeout(STUCK, answer).await.expect("no request hangs").ok()
    }

    /// The status of an answer to a GET.
    async fn get(&self, path: &str) -> Option<u16> {
        let token = format!("Authorization: Bearer {TOKEN}\r\n");
        let answer = exchange(self.address(), "GET", path, &token, "");
        let answer = tokio::time::timeout(STUCK, answer).await.expect("no request hangs");
        answer.ok().map(|answer| answer.status)
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end by itself.
    async fn ends(&mut self) -> i32 {
        let ended = tokio::time::timeout(STUCK, self.child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("it goes on:\n{}", self.said()));
        let ended = ended.unwrap();
        (&mut self.listener).await.unwrap();
        ended.code().unwrap_or_else(|| panic!("{ended} ended it:\n{}", self.said()))
    }

    /// Stops it in good order.
    async fn stop(&mut self) -> i32 {
        if let Some(id) = self.child.id() {
            let told = Command::new("kill").args(["-TERM", &id.to_string()]).status();
            assert!(told.unwrap().success());
        }
        self.ends().await
    }
}

/// How often each title arrived on a channel.
fn arrivals(sink: &Sink, channel: &str) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for received in sink.received().iter().filter(|received| received.channel == channel) {
        let body: Value = serde_json::from_str(&received.body).unwrap();
        *times.entry(body["data"]["title"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    times
}

/// Asks again and again, but not for ever.
async fn comes_true(within: Duration, mut is: impl FnMut() -> bool) -> bool {
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let looking = async {
        while !is() {
            looks.tick().await;
        }
    };
    tokio::time::timeout(within, looking).await.is_ok()
}
