mod alert;

use crate::print::test::run;
use expect_test::{Expect, expect};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with a configuration.
struct Place {
    folder: TempDir,
}

impl Place {
    /// What `callout init` writes.
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let (code, _, talk) = run(&["init", place.folder.path().to_str().unwrap()]);
        assert_eq!(code, 0, "{talk}");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command with this folder's configuration.
    fn run(&self, arguments: &[&str]) -> (u8, String, String) {
        let config = self.path("callout.toml").to_str().unwrap().to_owned();
        run(&[arguments, &["--config", &config]].concat())
    }

    /// Runs a command that must succeed and returns its data.
    fn ok(&self, arguments: &[&str]) -> String {
        let (code, out, talk) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {talk}");
        out
    }

    /// The same, with JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[arguments, &["--json"]].concat())).unwrap()
    }

    /// Enqueues a message and returns its id.
    fn send(&self, arguments: &[&str]) -> String {
        let id = self.json(&[&["send"], arguments].concat())["id"].as_str().unwrap().to_owned();
        assert_eq!(id.len(), 36);
        id
    }

    fn state(&self, id: &str) -> String {
        self.json(&["show", id])["state"].as_str().unwrap().to_owned()
    }

    /// Checks what a command says on its way to a failure.
    fn fails(&self, arguments: &[&str], code: u8, expected: Expect) {
        let (found, out, talk) = self.run(arguments);
        let folder = self.folder.path().display().to_string();
        expected.assert_eq(&talk.replace(&folder, "DIR"));
        assert_eq!((found, out.as_str()), (code, ""));
    }
}

#[test]
fn what_init_writes_is_valid_and_private() {
    let place = Place::new();
    let (code, out, talk) = place.run(&["check"]);
    assert_eq!((code, talk.as_str()), (0, ""));
    assert!(
        out.ends_with("callout.toml: 1 channel, 1 receiver, 1 route, 0 escalation policies\n"),
        "{out}"
    );
    let check = place.json(&["check"]);
    assert_eq!((&check["ok"], &check["channels"]), (&Value::from(true), &Value::from(1)));
    for name in ["callout.toml", "ack.key", "api.token"] {
        assert_private(&place.path(name));
    }
    let key = std::fs::read_to_string(place.path("ack.key")).unwrap();
    assert_eq!(key.trim().len(), 43);
    assert_ne!(key, std::fs::read_to_string(place.path("api.token")).unwrap());
}

fn assert_private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn init_overwrites_nothing() {
    let place = Place::new();
    std::fs::remove_file(place.path("callout.toml")).unwrap();
    let before = std::fs::read(place.path("ack.key")).unwrap();
    let folder = place.folder.path().to_str().unwrap();
    place.fails(
        &["init", folder],
        1,
        expect![[r#"
        error: DIR/ack.key exists
          help: init overwrites nothing; name another folder
    "#]],
    );
    assert_eq!(std::fs::read(place.path("ack.key")).unwrap(), before);
    assert!(!place.path("callout.toml").exists());
}

#[test]
fn a_wrong_configuration_stops_every_command_with_78() {
    let place = Place::new();
    std::fs::write(place.path("callout.toml"), "[[routes]]\nto = [\"ops\"]\nx = 1\n").unwrap();
    place.fails(
        &["check"],
        78,
        expect![[r#"
            error: no receiver is called "ops"
              DIR/callout.toml:2:7
                2 | to = ["ops"]
                  |       ^^^^^
              help: no receiver is configured

            error: unknown key `x` in routes
              DIR/callout.toml:3:1
                3 | x …
                  | ^
              help: known here: match, to, escalation
        "#]],
    );
    for command in ["list", "send x", "stats", "channels", "migrate", "prune", "show 1"] {
        let arguments: Vec<&str> = command.split(' ').collect();
        assert_eq!(place.run(&arguments).0, 78, "{command}");
    }
    let (code, out, _) = place.run(&["check", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report["errors"].as_array().unwrap().len()), (78, 2));
    assert_eq!(report["errors"][0]["line"], 2);
    let (code, _, talk) = run(&["list", "--config", "/nowhere/callout.toml"]);
    assert_eq!(code, 78);
    assert!(talk.contains("callout init"), "{talk}");
}

#[test]
fn a_message_is_sent_listed_shown_explained_cancelled_and_replayed() {
    let place = Place::new();
    let id = place.send(&["disk full", "--level", "critical", "--label", "host=db-1"]);
    let other = place.send(&["bystander", "--level", "info"]);
    assert_ne!(id, other);

    let list = place.json(&["list", "--level", "critical", "--label", "host=db-1"]);
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(list[0]["title"], "disk full");
    assert_eq!(list[0]["state"], "pending");
    assert!(place.ok(&["list"]).lines().count() == 3);

    let story = place.json(&["show", &id]);
    assert_eq!(story["labels"]["host"], "db-1");
    assert_eq!(story["deliveries"], Value::Array(vec![]));
    assert!(place.ok(&["show", &id]).contains("host=db-1"));
    assert!(place.ok(&["why", &id]).contains("the worker decides who hears of it"));
    assert!(place.json(&["why", &id])["story"].is_array());

    let cancelled = place.json(&["cancel", &id, "--yes"]);
    assert_eq!((&cancelled["messages"], &cancelled["deliveries"]), (&1.into(), &1.into()));
    assert_eq!(place.state(&id), "cancelled");
    assert_eq!(place.state(&other), "pending");
    place.ok(&["replay", &id, "--yes"]);
    assert_eq!(place.state(&id), "pending");
    assert_eq!(place.json(&["stats"])["messages"]["pending"], 2);
    assert_eq!(place.json(&["stats"])["unplanned"], 2);
    for of in [&["list", "--unacked"][..], &["channels"], &["stats"]] {
        let talk = place.run(of).2;
        assert!(talk.contains("2 messages are not planned yet"), "{of:?}: {talk}");
    }
    place.fails(
        &["replay", &id, "--yes"],
        1,
        expect![[r#"
        about to replay 1 message
        error: nothing was replayed
          help: `callout show ID` shows how the message stands
    "#]],
    );
}

#[test]
fn a_filter_reaches_beyond_the_first_page() {
    let place = Place::new();
    let config = crate::config::load(&place.path("callout.toml")).unwrap();
    let many = super::select::PAGE * 2 + 7;
    let work = super::wait_for(async {
        use callout_store::{Create, Store as _};
        let store = super::open(&config, Create::IfMissing)?;
        let level = callout_core::level::Level::Warning;
        let created_at = callout_store::clock::now();
        let message = |n: usize| callout_store::model::NewMessage {
            id: callout_core::id::MessageId::new(
                created_at,
                std::array::from_fn(|byte| u8::try_from((n >> (8 * (byte % 4))) & 255).unwrap()),
            ),
            created_at,
            message: callout_core::message::Message::new(level, "many"),
        };
        store.enqueue((0..many).map(message).collect()).await?;
        Ok(())
    });
    work.unwrap();
    let bystander = place.send(&["bystander"]);
    let cancelled = place.json(&["cancel", "--level", "warning", "--yes"]);
    assert_eq!(cancelled["messages"], many);
    assert_eq!(place.json(&["stats"])["messages"]["cancelled"], many);
    assert_eq!(place.state(&bystander), "pending");
    let listed = place.json(&["list", "--limit", "500"]);
    assert_eq!(listed.as_array().unwrap().len(), many + 1);
    let (_, _, talk) = place.run(&["list", "--limit", "5"]);
    assert!(talk.contains("there are more"), "{talk}");
}

#[test]
fn without_a_terminal_a_bulk_command_needs_yes() {
    let place = Place::new();
    let id = place.send(&["x"]);
    place.fails(
        &["cancel", "--state", "pending"],
        2,
        expect![[r#"
        error: about to cancel 1 message, and there is nobody to ask
          help: callout cancel --yes ... does it without asking
    "#]],
    );
    place.fails(&["prune"], 2, expect![[r#"
        error: Delete accepted and cancelled messages older than 7d, dead and expired ones older than 30d?
          help: there is nobody to ask; pass --yes
    "#]]);
    place.fails(
        &["cancel"],
        2,
        expect![[r#"
        error: cancel needs either ids or filters
          help: callout cancel ID..., or such as callout cancel --state pending --since 2h
    "#]],
    );
    place.fails(
        &["replay", "--state", "dead", "--yes"],
        1,
        expect![[r#"
        error: there is nothing to replay
          help: `callout list` with the same filters shows how the messages stand
    "#]],
    );
    assert_eq!(place.state(&id), "pending");
}

#[test]
fn ids_may_be_cut_short_but_not_ambiguous() {
    let place = Place::new();
    place.fails(
        &["list"],
        1,
        expect![[r#"
        error: the store at DIR/callout.db cannot be opened
          there is no outbox at DIR/callout.db; `callout serve` or `callout migrate` creates it
    "#]],
    );
    let (a, b) = (place.send(&["a"]), place.send(&["b"]));
    let common = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
    let beginning = |n| a.chars().take(n).collect::<String>();
    assert_eq!(place.json(&["show", &beginning(common + 1)])["title"], "a");
    let (code, out, talk) = place.run(&["show", &beginning(common)]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(talk.contains(&a) && talk.contains(&b), "{talk}");
    place.fails(
        &["why", "ffff"],
        1,
        expect![[r#"
        error: no message's id begins with "ffff"
          help: `callout list` shows what there is
    "#]],
    );
}

#[test]
fn send_takes_every_part_of_a_message() {
    let place = Place::new();
    std::fs::write(place.path("log.txt"), "hello").unwrap();
    let file = place.path("log.txt").to_str().unwrap().to_owned();
    let id = place.send(&[
        "--title",
        "all",
        "--body",
        "- a list",
        "--to",
        "ops",
        "--link",
        "Look=https://x.example/?a=b",
        "--image",
        "https://x.example/i.png",
        "--mention",
        "all",
        "--attach",
        &file,
        "--idempotency-key",
        "k",
        "--delay",
        "1h",
        "--ttl",
        "2h",
    ]);
    let story = place.json(&["show", &id]);
    assert_eq!(story["body"], "- a list");
    assert_eq!(story["links"][0]["url"], "https://x.example/?a=b");
    assert_eq!(story["attachments"][0], serde_json::json!({ "name": "log.txt", "bytes": 5 }));
    assert_eq!((&story["delay_ms"], &story["ttl_ms"]), (&3_600_000.into(), &7_200_000.into()));
    assert_eq!(story["idempotency_key"], "k");
    assert_eq!(story["to"][0], "ops");
}

#[test]
fn the_same_idempotency_key_enqueues_once() {
    let place = Place::new();
    let first = place.send(&["x", "--idempotency-key", "k"]);
    let second = place.json(&["send", "x", "--idempotency-key", "k"]);
    assert_eq!((second["id"].as_str(), &second["fresh"]), (Some(&*first), &false.into()));
    let (code, _, talk) = place.run(&["send", "y", "--idempotency-key", "k"]);
    assert_eq!(code, 1);
    assert!(talk.contains(&first), "{talk}");
}

#[test]
fn a_message_that_makes_no_sense_is_wrong_usage() {
    let place = Place::new();
    place.fails(
        &["send", "x", "--to", "opps"],
        2,
        expect![[r#"
        error: no receiver is called "opps"
          help: did you mean ops?
    "#]],
    );
    place.fails(
        &["send", "x", "--mention", "bob"],
        2,
        expect![[r#"
        error: no person is called "bob"
          help: configured: all
    "#]],
    );
    place.fails(
        &["send", "x", "--image", "file:///x"],
        2,
        expect![[r#"
        error: the message was refused: images[0] is not an http:// or https:// address
          help: `callout send --help`
    "#]],
    );
    for wrong in [
        vec!["send"],
        vec!["send", "x", "--title", "y"],
        vec!["send", "x", "--level", "loud"],
        vec!["send", "x", "--delay", "5"],
        vec!["send", "x", "--label", "=x"],
        vec!["send", "x", "--link", "x"],
        vec!["list", "--since", "yesterday"],
        vec!["nonsense"],
    ] {
        assert_eq!(place.run(&wrong).0, 2, "{wrong:?}");
    }
    assert!(!place.path("callout.db").exists());
}

#[test]
fn waiting_for_a_message_that_nobody_delivers_ends_with_1() {
    let place = Place::new();
    let (code, out, talk) = place.run(&["send", "x", "--wait=1ms", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["state"]), (1, &"pending".into()));
    assert!(talk.contains("is `callout serve` running?"), "{talk}");
}

#[test]
fn a_channel_that_nobody_answers_fails_its_test() {
    let place = Place::new();
    // A port that was just free: nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = std::fs::read_to_string(place.path("callout.toml")).unwrap();
    std::fs::write(
        place.path("callout.toml"),
        config.replace("127.0.0.1:9000", &address.to_string()),
    )
    .unwrap();
    let (code, out, _) = place.run(&["test", "placeholder", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["outcome"]), (1, &"transient".into()), "{answer}");
    place.fails(
        &["test", "placehodler"],
        2,
        expect![[r#"
        error: no channel is called "placehodler"
          help: did you mean `callout test placeholder`?
    "#]],
    );
}

#[test]
fn channels_are_listed_before_and_after_their_first_use() {
    let place = Place::new();
    let channels = place.json(&["channels"]);
    assert_eq!(channels[0]["name"], "placeholder");
    assert_eq!(channels[0]["circuit"], "closed");
    assert!(place.ok(&["channels"]).contains("not used yet"));
    let kinds = place.json(&["channels", "--kinds"]);
    assert_eq!(kinds.as_array().unwrap().len(), callout_channels::REGISTRY.len());
    let listed = place.ok(&["channels", "--kinds"]);
    for row in callout_channels::REGISTRY {
        let line = listed.lines().find(|line| line.split(' ').next() == Some(row.spec.kind));
        assert!(line.unwrap().contains(row.spec.title), "{listed}");
    }
    assert_eq!(listed.lines().count(), callout_channels::REGISTRY.len() + 1);
    let kind = &kinds[0];
    for key in ["types", "native", "ack", "edit", "thread", "callback", "fields", "advice"] {
        assert!(kind.get(key).is_some(), "{key}");
    }
    let name = kind["kind"].as_str().unwrap();
    assert_eq!(&place.json(&["channels", "--kinds", name]), kind);
    let one = place.ok(&["channels", "--kinds", "webhook"]);
    assert!(one.contains("url                required, secret\n"), "{one}");
    assert!(one.contains("acknowledge by: "), "{one}");
    place.fails(
        &["channels", "--kinds", "weebhook"],
        2,
        expect![[r#"
            error: there is no kind of channel "weebhook"
              help: did you mean webhook?
        "#]],
    );
    for (word, meant) in [
        ("sms", "did you mean aliyun_sms or tencent_sms or twilio_sms?"),
        ("飞书", "did you mean feishu?"),
        ("Server酱", "did you mean serverchan?"),
    ] {
        for command in [&["channels", "--kinds"][..], &["init", "--channel"]] {
            let (code, _, talk) = place.run(&[command, &[word]].concat());
            assert!(code == 2 && talk.contains(meant), "{command:?}: {talk}");
        }
    }
    let config = std::fs::read_to_string(place.path("callout.toml")).unwrap();
    let zh = format!("locale = \"zh\"\n{config}");
    std::fs::write(place.path("callout.toml"), zh).unwrap();
    let one = place.ok(&["channels", "--kinds", "dingtalk"]);
    assert!(one.contains("请把"), "{one}");
    assert!(place.ok(&["channels", "--reference"]).starts_with("# Channels\n"));
}

#[test]
fn a_preview_shows_what_would_be_sent_and_no_credential() {
    let place = Place::new();
    let config = std::fs::read_to_string(place.path("callout.toml")).unwrap();
    let public = "[server]\npublic_url = \"https://callout.example.com\"";
    let headers =
        "9000/in/abcdefghijkl\"\nheaders = { authorization = \"Bearer abcdefghijklmno\" }";
    let config = config.replace("[server]", public).replace("9000/\"", headers);
    std::fs::write(place.path("callout.toml"), config).unwrap();
    let preview = ["preview", "--channel", "placeholder"];
    let (code, out, talk) = place.run(&preview);
    assert_eq!((code, talk.as_str()), (0, "nothing was sent; *** stands for a credential\n"));
    assert!(out.starts_with("POST http://127.0.0.1:9000/***\n"), "{out}");
    assert!(out.contains("authorization: Bearer ***\n") && !out.contains("abcdef"), "{out}");
    assert!(out.contains("Callout test message"), "{out}");

    let message = r#"{"level":"critical","title":"磁盘 it's full","body":"one\ntwo","labels":{"host":"db-1"}}"#;
    std::fs::write(place.path("m.json"), message).unwrap();
    let file = place.path("m.json").to_str().unwrap().to_owned();
    let asked = [&preview[..], &["--file", &file, "--ask"]].concat();
    let shown = place.json(&asked);
    let ack = &shown["request"]["body"]["json"]["data"]["ack"];
    assert_eq!(ack["url"], "***", "{shown}");
    assert!(ack["command"].as_str().unwrap().starts_with("callout ack "));
    assert_eq!(shown["text"], Value::Null);
    let curl = place.ok(&[&asked[..], &["--curl"]].concat());
    assert!(curl.starts_with("curl -gsS -X POST 'http://127.0.0.1:9000/***'"), "{curl}");
    assert!(curl.contains("磁盘 it'\\''s full"), "{curl}");

    let fails = |arguments: &[&str], code, expected: Expect| {
        place.fails(&[&["preview"], arguments].concat(), code, expected);
    };
    fails(
        &["--channel", "placehodler"],
        2,
        expect![[r#"
            error: no channel is called "placehodler"
              help: did you mean `callout preview --channel placeholder`?
        "#]],
    );
    std::fs::write(place.path("m.json"), r#"{"level":"error","titel":"x"}"#).unwrap();
    fails(
        &["--channel", "placeholder", "--file", &file],
        2,
        expect![[r#"
        error: the message in DIR/m.json cannot be read: unknown field `titel`, expected one of `level`, `title`, `body`, `labels`, `links`, `images`, `attachments`, `mentions`, `to`, `native`, `idempotency_key`, `dedup_key`, `delay`, `ttl`, `require_ack`, `ack_within`, `resolve` at line 1 column 24
          help: write it as for POST /v1/messages: {"level": "error", "title": "…"}
    "#]],
    );
}

#[test]
fn a_test_that_fails_says_what_to_do() {
    let place = Place::new();
    let config = std::fs::read_to_string(place.path("callout.toml")).unwrap();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let zh = format!("locale = \"zh\"\n{}", config.replace("9000", &port.to_string()));
    std::fs::write(place.path("callout.toml"), zh).unwrap();
    let (code, out, talk) = place.run(&["test", "placeholder"]);
    assert_eq!((code, talk.as_str()), (1, ""));
    assert!(out.starts_with("placeholder：暂时失败，用时 "), "{out}");
    assert!(out.contains("\n  处理建议（placeholder）：该地址没有服务在监听"), "{out}");
    let (_, out, _) = place.run(&["test", "placeholder", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert!(answer["advice"].as_str().unwrap().contains("监听"), "{answer}");
}

#[test]
fn a_backup_holds_the_messages_and_overwrites_nothing() {
    let place = Place::new();
    let id = place.send(&["x"]);
    let copy = place.path("copy.db").to_str().unwrap().to_owned();
    place.ok(&["backup", &copy]);
    place.fails(
        &["backup", &copy],
        1,
        expect![[r#"
        error: DIR/copy.db exists
          help: a backup never overwrites; name a new file
    "#]],
    );
    std::fs::rename(&copy, place.path("callout.db")).unwrap();
    assert_eq!(place.state(&id), "pending");
}

#[test]
fn prune_deletes_what_is_over_and_nothing_else() {
    let place = Place::new();
    let (over, open) = (place.send(&["over"]), place.send(&["open"]));
    place.ok(&["cancel", &over, "--yes"]);
    assert_eq!(place.json(&["prune", "--yes"])["deleted"], 0);
    // The cancellation has to lie before the present, if only by a millisecond.
    let prune = ["prune", "--yes", "--accepted-before", "0s"];
    assert!((0..1000).any(|_| place.json(&prune)["deleted"] == 1));
    assert_eq!(place.run(&["show", &over]).0, 1);
    assert_eq!(place.state(&open), "pending");
}

#[test]
fn migrate_creates_the_store_and_a_dry_run_does_not() {
    let place = Place::new();
    let dry = place.json(&["migrate", "--dry-run"]);
    assert_eq!(dry["steps"][0]["applied"], false);
    assert!(!place.path("callout.db").exists());
    place.ok(&["migrate"]);
    assert!(place.path("callout.db").exists());
    assert_eq!(place.json(&["migrate"])["steps"][0]["applied"], true);
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).1.contains("replay"), "{shell}");
    }
    assert!(run(&["man"]).1.contains("callout"));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", folder.path().to_str().unwrap()]).0, 0);
    assert!(folder.path().join("callout-send.1").exists());
}

#[test]
fn help_and_version_are_data() {
    let (code, out, talk) = run(&["--version"]);
    assert_eq!((code, talk.as_str()), (0, ""));
    assert!(out.starts_with("callout "));
    assert!(run(&["send", "--help"]).1.contains("--idempotency-key"));
}
