//! The built program, from outside: commands, exit codes, JSON shapes, the HTTP API, signals.

use crate::stage::sink::{Reply, Sink, errcode, json};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The program, built from the sources that are being tested.
pub(crate) fn callout() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--locked", "--workspace", "--bins"]);
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        // What cargo tells a test about itself would make it build anew every crate that asks for it.
        let told = std::env::vars_os().map(|(name, _)| name).filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with("CARGO_PKG") || name.starts_with("CARGO_MANIFEST")
        });
        for name in told {
            build.env_remove(name);
        }
        assert!(build.status().unwrap().success());
        let test = std::env::current_exe().unwrap();
        let program = test.parent().unwrap().parent().unwrap().join("callout");
        assert!(program.exists(), "{}", program.display());
        program
    })
}

pub(crate) const TOKEN: &str = "a-token-for-everything";

/// A folder with a configuration: the given channels, all of them the chain of receiver `ops`.
#[derive(Clone)]
pub(crate) struct Folder(Arc<tempfile::TempDir>);

impl Folder {
    pub(crate) fn new(channels: &str) -> Self {
        let folder = Self(Arc::new(tempfile::tempdir().unwrap()));
        let names: Vec<String> = channels
            .lines()
            .filter_map(|line| line.strip_prefix("[channels.")?.strip_suffix(']'))
            .map(|name| format!("{name:?}"))
            .collect();
        folder.write(&format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\
             [[server.tokens]]\nname = \"test\"\ntoken = \"{TOKEN}\"\nscopes = [\"send\", \"read\", \"operate\"]\n\
             {channels}\n\
             [receivers.ops]\nchannels = [{}]\n[operator]\nreceiver = \"ops\"\n[[routes]]\nto = [\"ops\"]\n",
            names.join(", ")
        ));
        folder
    }

    /// Replaces the configuration.
    pub(crate) fn write(&self, config: &str) {
        std::fs::write(self.config(), config).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(self.config(), std::fs::Permissions::from_mode(0o600))
                .unwrap();
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.0.path().join("callout.toml")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.path().join("callout.db")
    }

    /// Runs one command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        Command::new(callout())
            .args(args)
            .env("CALLOUT_CONFIG", self.config())
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// Runs one command that has to succeed, and reads what it printed as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{args:?}: {e}: {}", text(&output.stdout)))
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running `callout serve`.
pub(crate) struct Served {
    pub(crate) child: tokio::process::Child,
    pub(crate) address: String,
    said: Arc<std::sync::Mutex<String>>,
    // A program whose files are removed ends.
    _folder: Folder,
}

impl Served {
    pub(crate) async fn start(folder: &Folder) -> Self {
        use tokio::io::AsyncBufReadExt;
        let mut child = tokio::process::Command::new(callout())
            .args(["serve", "--config"])
            .arg(folder.config())
            .env("RUST_LOG", "trace")
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = tokio::io::BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::new(std::sync::Mutex::new(String::new()));
        let mut address = None;
        while address.is_none() {
            let line = lines.next_line().await.unwrap().expect("the program says where it listens");
            address = line
                .split("http://")
                .nth(1)
                .and_then(|at| at.split_whitespace().next())
                .map(str::to_owned);
            said.lock().unwrap().push_str(&(line + "\n"));
        }
        let log = said.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                log.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Self { child, address: address.unwrap(), said, _folder: folder.clone() }
    }

    /// Everything it has said so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        request(&self.address, "GET", path, &bearer(TOKEN), "").await.unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

pub(crate) async fn post(address: &str, path: &str, body: &str) -> std::io::Result<(u16, Value)> {
    request(address, "POST", path, &bearer(TOKEN), body).await
}

/// What came back for an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case, in the order they came in.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One HTTP request on a connection of its own. `headers` end with a line break each.
pub(crate) async fn exchange(
    address: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // Not every server closes the connection as it is asked to.
    while !is_whole(&answer, method) && stream.read_buf(&mut answer).await? > 0 {}
    let answer = text(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let pair = |(name, value): (&str, &str)| (name.to_lowercase(), value.trim().to_owned());
    Ok(Answer {
        status: status.ok_or(std::io::ErrorKind::UnexpectedEof)?,
        headers: lines.map(pair).collect(),
        body: body.to_owned(),
    })
}

/// Whether all that an answer's headers promise is there.
fn is_whole(answer: &[u8], method: &str) -> bool {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
    let head = text(&answer[..end]).to_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.is_some_and(|length: usize| method == "HEAD" || answer.len() >= end + 4 + length)
}

/// As [`exchange`], for JSON.
async fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<(u16, Value)> {
    let Answer { status, body, .. } = exchange(address, method, path, headers, body).await?;
    Ok((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
}

fn robots(sink: &Sink) -> String {
    format!(
        "[channels.ding]\nkind = \"dingtalk\"\naccess_token = \"a-secret-token-of-ding\"\nendpoint = \"{}\"\n\
         [channels.wecom]\nkind = \"wecom\"\nkey = \"a-secret-key-of-wecom\"\nendpoint = \"{}\"\n",
        sink.address("ding"),
        sink.address("wecom")
    )
}

#[test]
fn the_demo_shows_retry_failover_and_acceptance_and_ends() {
    let output = Command::new(callout()).arg("demo").output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for word in ["transient", "backoff", "failover", "wecom", "accepted"] {
        assert!(said.contains(word), "{word} is not in\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_critical_alert_survives_a_failing_provider_end_to_end() {
    let sink = Sink::start().await;
    sink.always("ding", errcode(300_001));
    let folder = Folder::new(&robots(&sink));
    let mut served = Served::start(&folder).await;

    let sent = folder.json(&[
        "send",
        "--level",
        "critical",
        "--title",
        "磁盘满了",
        "--label",
        "host=db-1",
        "--wait",
        "--json",
    ]);
    let id = sent["id"].as_str().unwrap();
    let shown = folder.json(&["show", id, "--json"]);
    assert_eq!(
        (&shown["id"], &shown["state"], &shown["level"], &shown["title"]),
        (&sent["id"], &"accepted".into(), &"critical".into(), &"磁盘满了".into())
    );
    let delivery = &shown["deliveries"][0];
    assert_eq!(
        (&delivery["receiver"], &delivery["state"], &delivery["channel"]),
        (&"ops".into(), &"accepted".into(), &"wecom".into())
    );
    let attempts = delivery["attempts"].as_array().unwrap();
    let outcomes: Vec<_> = attempts
        .iter()
        .map(|a| {
            (
                a["channel"].as_str().unwrap(),
                a["outcome"].as_str().unwrap(),
                a["code"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(outcomes, [("ding", "rejected", "300001"), ("wecom", "accepted", "0")]);
    assert!(attempts.iter().all(|a| a["detail"].is_string()
        && a["started_at"].is_string()
        && a["duration_ms"].is_u64()));

    let why = text(&folder.run(&["why", &id[..18]]).stdout);
    assert!(why.contains("300001") && why.contains("route 1"), "{why}");
    let stats = folder.json(&["stats", "--json"]);
    assert!(stats.to_string().contains("accepted"), "{stats}");

    served.signal("-TERM");
    assert_eq!(served.child.wait().await.unwrap().code(), Some(0));
    let said = served.said();
    assert!(!said.contains("a-secret-"), "a secret was logged:\n{said}");
    assert!(!shown.to_string().contains("a-secret-"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_takes_messages_and_tells_what_became_of_them() {
    let sink = Sink::start().await;
    let folder = Folder::new(&robots(&sink));
    let served = Served::start(&folder).await;
    let body = r#"{"level":"error","title":"backup failed","idempotency_key":"backup-7"}"#;
    let (status, first) = post(&served.address, "/v1/messages", body).await.unwrap();
    assert_eq!(status, 202);
    let (status, again) = post(&served.address, "/v1/messages", body).await.unwrap();
    assert_eq!((status, &again), (202, &first), "the same key and body is the same message");
    let (status, other) =
        post(&served.address, "/v1/messages", &body.replace("failed", "worked")).await.unwrap();
    assert_eq!((status, &other["error"]["code"]), (409, &"key_taken".into()));

    sink.has_received("ding", 1).await;
    let path = format!("/v1/messages/{}", first["id"].as_str().unwrap());
    let mut shown = served.get(&path).await;
    while shown.1["state"] == "pending" {
        shown = served.get(&path).await;
    }
    assert_eq!((shown.0, &shown.1["state"]), (200, &"accepted".into()));
    assert_eq!(sink.count("ding"), 1);
    let (_, listed) = served.get("/v1/messages?state=accepted&level=error").await;
    assert_eq!(listed["messages"][0]["id"], first["id"]);
    assert_eq!(served.get("/v1/messages?level=loud").await.0, 400);
    assert_eq!(served.get("/v1/messages/ffffffff").await.0, 404);
    let (status, cancelled) = post(&served.address, &format!("{path}/cancel"), "").await.unwrap();
    assert_eq!((status, &cancelled["error"]["code"]), (409, &"nothing_to_do".into()));
    assert!(
        served
            .get("/metrics")
            .await
            .1
            .as_str()
            .unwrap()
            .contains("callout_messages{state=\"accepted\"} 1")
    );

    for (bad, status) in [
        ("{", 400),
        (r#"{"level":"error"}"#, 400),
        (r#"{"level":"error","title":""}"#, 400),
        (r#"{"level":"error","title":"x","to":["nobody"]}"#, 400),
    ] {
        let answer = post(&served.address, "/v1/messages", bad).await.unwrap();
        assert_eq!(answer.0, status, "{bad}");
        assert!(answer.1["error"]["message"].as_str().unwrap().len() > 10, "{bad}");
    }
    let huge = format!(r#"{{"level":"error","title":"x","body":"{}"}}"#, "x".repeat(300_000));
    assert_eq!(post(&served.address, "/v1/messages", &huge).await.unwrap().0, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_health_answers_without_a_credential() {
    let sink = Sink::start().await;
    let folder = Folder::new(&robots(&sink));
    let served = Served::start(&folder).await;
    for (method, path, open) in [
        ("GET", "/healthz", true),
        ("GET", "/readyz", true),
        ("GET", "/metrics", false),
        ("GET", "/v1/messages", false),
        ("POST", "/v1/messages", false),
        ("GET", "/v1/messages/x", false),
        ("POST", "/v1/messages/x/cancel", false),
        ("POST", "/v1/messages/x/replay", false),
        ("POST", "/v1/messages/x/ack", false),
        ("POST", "/v1/messages/x/unack", false),
        ("POST", "/v1/messages/x/resolve", false),
        ("POST", "/v1/messages/x/escalate", false),
        ("GET", "/v1/callbacks/slack", false),
        ("POST", "/v1/callbacks/slack", false),
        ("POST", "/v1/callbacks/nobody", false),
    ] {
        let status = request(&served.address, method, path, "", "").await.unwrap().0;
        assert_eq!(status, if open { 200 } else { 401 }, "{method} {path}");
    }
    assert_eq!(request(&served.address, "GET", "/nothing", "", "").await.unwrap().0, 404);
    assert_eq!(request(&served.address, "DELETE", "/healthz", "", "").await.unwrap().0, 405);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_opens_its_addresses_and_no_others() {
    let sink = Sink::start().await;
    let folder = Folder::new(&robots(&sink));
    let tokens = ["send", "read", "operate"].map(|scope| {
        format!("[[server.tokens]]\nname = \"{scope}\"\ntoken = \"a-token-that-may-{scope}\"\nscopes = [\"{scope}\"]\n")
    });
    let config = std::fs::read_to_string(folder.config()).unwrap();
    folder
        .write(&config.replace("[channels.ding]", &format!("{}[channels.ding]", tokens.concat())));
    let served = Served::start(&folder).await;
    for (method, path, wanted) in [
        ("GET", "/metrics", "read"),
        ("GET", "/v1/messages", "read"),
        ("POST", "/v1/messages", "send"),
        ("GET", "/v1/messages/x", "read"),
        ("POST", "/v1/messages/x/cancel", "operate"),
        ("POST", "/v1/messages/x/replay", "operate"),
        ("POST", "/v1/messages/x/ack", "operate"),
        ("POST", "/v1/messages/x/unack", "operate"),
        ("POST", "/v1/messages/x/resolve", "operate"),
        ("POST", "/v1/messages/x/escalate", "operate"),
    ] {
        for scope in ["send", "read", "operate"] {
            let credential = bearer(&format!("a-token-that-may-{scope}"));
            let answer = request(&served.address, method, path, &credential, "").await.unwrap();
            assert_eq!(
                answer.0 == 403,
                scope != wanted,
                "{method} {path} with {scope}: {answer:?}"
            );
        }
    }
    // No token makes a call a provider's.
    let credential = bearer("a-token-that-may-operate");
    let path = "/v1/callbacks/slack";
    assert_eq!(request(&served.address, "POST", path, &credential, "").await.unwrap().0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_answered_over_the_api() {
    let sink = Sink::start().await;
    let folder = Folder::new(&robots(&sink));
    let served = Served::start(&folder).await;
    let enqueue = |body: &'static str| post(&served.address, "/v1/messages", body);
    let id = |answer: (u16, Value)| answer.1["id"].as_str().unwrap().to_owned();
    let alert =
        id(enqueue(r#"{"level":"error","title":"disk full","require_ack":true}"#).await.unwrap());
    let other =
        id(enqueue(r#"{"level":"error","title":"bystander","require_ack":true}"#).await.unwrap());
    let plain = id(enqueue(r#"{"level":"error","title":"plain"}"#).await.unwrap());
    sink.has_received("ding", 3).await;
    let answer = async |id: &str, what: &str, body: &str| {
        post(&served.address, &format!("/v1/messages/{id}/{what}"), body).await.unwrap()
    };
    let (status, acked) = answer(&alert, "ack", r#"{"by":"alice","note":"on it"}"#).await;
    assert_eq!(
        (status, &acked["state"], &acked["acked_by"]),
        (200, &"acknowledged".into(), &"alice".into())
    );
    let (status, again) = answer(&alert, "ack", "").await;
    assert_eq!((status, &again["error"]["code"]), (409, &"already_acknowledged".into()));
    assert_eq!(again["alert"]["acked_by"], "alice");
    let (status, refused) = answer(&alert, "escalate", "").await;
    assert_eq!((status, &refused["error"]["code"]), (409, &"refused".into()));
    let (status, none) = answer(&plain, "ack", "").await;
    assert_eq!((status, &none["error"]["code"]), (409, &"no_alert".into()));
    assert_eq!(answer("ffffffff", "ack", "").await.0, 404);
    for bad in ["{", r#"{"who":"alice"}"#, r#"{"by":" "}"#, r#"{"note":"a\u0007b"}"#] {
        assert_eq!(answer(&other, "ack", bad).await.0, 400, "{bad}");
    }
    let (_, listed) = served.get("/v1/messages?alert=unacked").await;
    assert_eq!(
        (listed["messages"].as_array().unwrap().len(), &listed["messages"][0]["id"]),
        (1, &other.clone().into())
    );
    assert_eq!(served.get("/v1/messages?alert=loud").await.0, 400);

    let (status, open) = answer(&alert, "unack", "").await;
    assert_eq!((status, &open["state"], &open["step"]), (200, &"open".into(), &1.into()));
    assert!(open["next_step_at"].is_string());
    assert_eq!(answer(&alert, "escalate", "").await.1["steps"][2]["cause"], "pushed");
    assert_eq!(answer(&alert, "resolve", r#"{"by":"bob"}"#).await.1["resolved_by"], "bob");
    let (_, shown) = served.get(&format!("/v1/messages/{alert}")).await;
    let journal = shown["journal"].as_array().unwrap();
    assert!(
        journal.iter().any(|e| e["event"] == "acknowledged"
            && e["by"] == "alice"
            && e["via"] == "api"
            && e["origin"] == "127.0.0.1"
            && e["detail"] == "on it"),
        "{shown}"
    );
    assert!(
        journal.iter().any(|e| e["event"] == "unacknowledged" && e["by"] == "test"),
        "the token's name"
    );
    let (_, shown) = served.get(&format!("/v1/messages/{other}")).await;
    assert_eq!(shown["alert"]["state"], "open");
    let (_, metrics) = served.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("\ncallout_alerts_open 1\n"), "{metrics}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acts_is_taken_from_the_system_and_not_from_the_environment() {
    let sink = Sink::start().await;
    let folder = Folder::new(&robots(&sink));
    let _served = Served::start(&folder).await;
    for (n, name) in [Some("mallory"), None].into_iter().enumerate() {
        let title = n.to_string();
        let sent = folder.json(&["send", "--require-ack", "--title", &title, "--json"]);
        let id = sent["id"].as_str().unwrap();
        sink.has_received("ding", n + 1).await;
        let mut ack = Command::new(callout());
        ack.args(["ack", id]).env("CALLOUT_CONFIG", folder.config());
        for variable in ["USER", "LOGNAME", "USERNAME"] {
            match name {
                Some(name) => ack.env(variable, name),
                None => ack.env_remove(variable),
            };
        }
        let output = ack.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let shown = folder.json(&["show", id, "--json"]);
        let journal = shown["journal"].as_array().unwrap();
        let entry = journal.iter().find(|entry| entry["event"] == "acknowledged").unwrap();
        let by = entry["by"].as_str().unwrap();
        assert!(!by.is_empty() && by != "mallory", "{entry}");
        assert_eq!(entry["origin"], format!("the account {by}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once() {
    let sink = Sink::start().await;
    sink.always("ding", Reply::Silence);
    sink.always("wecom", Reply::Silence);
    let folder = Folder::new(&robots(&sink));
    let mut served = Served::start(&folder).await;
    assert_eq!(folder.run(&["send", "--level", "critical", "--title", "x"]).status.code(), Some(0));
    sink.has_received("ding", 1).await;
    assert_eq!(served.get("/readyz").await.0, 200);
    served.signal("-TERM");
    while served.get("/readyz").await.0 == 200 {}
    served.signal("-TERM");
    assert_ne!(served.child.wait().await.unwrap().code(), Some(0));
    // The try that was cut off is taken over at once by the next start.
    sink.recovers("ding");
    let again = Served::start(&folder).await;
    sink.has_received("ding", 2).await;
    drop(again);
}

#[test]
fn a_broken_configuration_is_refused_with_every_mistake_and_its_place() {
    let folder = Folder::new("");
    folder.write("[channels.a]\nkind = \"dingtlak\"\n[receivers.ops]\nchanels = [\"a\"]\n[[routes]]\nto = [\"opps\"]\n");
    for command in ["check", "serve"] {
        let output = folder.run(&[command]);
        assert_eq!(output.status.code(), Some(78));
        let said = text(&output.stderr);
        for part in [
            "callout.toml:2:8",
            "dingtalk",
            "callout.toml:4:1",
            "channels",
            "callout.toml:6:",
            "ops",
        ] {
            assert!(said.contains(part), "{part} is not in\n{said}");
        }
    }
    assert_eq!(folder.run(&["sned"]).status.code(), Some(2));
}

#[test]
fn what_init_writes_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        Command::new(callout()).args(args).current_dir(folder.path()).output().unwrap()
    };
    assert_eq!(run(&["init"]).status.code(), Some(0));
    let checked = run(&["check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    assert_eq!(run(&["init"]).status.code(), Some(1), "it never overwrites");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_was_damaged_is_set_aside_and_the_rest_flows() {
    let sink = Sink::start().await;
    let folder = Folder::new(&robots(&sink));
    let sent = folder.json(&["send", "--level", "error", "--title", "genuine", "--json"]);
    let id = sent["id"].as_str().unwrap();
    let other = folder.json(&["send", "--level", "error", "--title", "bystander", "--json"]);
    // Somebody, or a failing disk, changes the stored row behind our back.
    let database = callout_client::rusqlite::Connection::open(folder.database()).unwrap();
    database.execute("UPDATE callout_message SET title = 'forged' WHERE id = ?1", [id]).unwrap();
    drop(database);
    let served = Served::start(&folder).await;
    sink.has_received("ding", 2).await;
    let shown = folder.json(&["show", id, "--json"]);
    assert_eq!(shown["state"], "dead", "{shown}");
    assert_eq!(folder.json(&["list", "--state", "dead", "--json"])[0]["id"], id);
    let mut bystander = folder.json(&["show", other["id"].as_str().unwrap(), "--json"]);
    while bystander["state"] == "pending" {
        bystander = folder.json(&["show", other["id"].as_str().unwrap(), "--json"]);
    }
    assert_eq!(bystander["state"], "accepted");
    assert!(
        sink.received().iter().all(|r| !r.body.contains("forged") || r.body.contains("damaged")),
        "never sent as it is"
    );
    drop(served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn testing_a_channel_shows_the_providers_answer() {
    let sink = Sink::start().await;
    sink.will("ding", [json(200, r#"{"errcode":310000,"errmsg":"keywords not in content"}"#)]);
    let folder = Folder::new(&robots(&sink));
    let refused = folder.run(&["test", "ding"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stdout) + &text(&refused.stderr);
    assert!(said.contains("310000") && said.contains("keywords not in content"), "{said}");
    assert!(!said.contains("a-secret-"), "{said}");
    assert_eq!(folder.run(&["test", "wecom"]).status.code(), Some(0));
}
