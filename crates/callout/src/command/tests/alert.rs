//! The commands about alerts, against a store whose messages were planned as a worker would.

use super::*;
use crate::command::{self, wait_for};
use callout_store::clock::Reading;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::model::{EscalateRequest, PlanRequest};
use callout_store::{Create, Store as _};
use std::sync::Arc;

/// A place whose critical messages have to be acknowledged, by `ops` and then by `lead`.
fn place() -> Place {
    let place = Place::new();
    let path = place.path("callout.toml");
    let policy = "[receivers.lead]\nchannels = [\"placeholder\"]\n\
                  [escalation.critical]\nrepeat = 0\n\
                  steps = [{ to = [\"ops\"], ack_within = \"5m\" }, { to = [\"lead\"] }]\n\
                  [[routes]]\nmatch = { level = \"critical\" }\nto = [\"ops\"]\nescalation = \"critical\"\n";
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, tail) = text.rsplit_once("[[routes]]").unwrap();
    std::fs::write(path, format!("{head}{policy}[[routes]]{tail}")).unwrap();
    place
}

/// Does what a worker would do now, but for sending.
fn work(place: &Place) {
    let config = crate::config::load(&place.path("callout.toml")).unwrap();
    let work = wait_for(async {
        let store = command::open(&config, Create::Never)?;
        let directory = Arc::new(config.directory);
        let (now, entropy) = (SystemClock.now(), SystemClock.entropy());
        let ask = PlanRequest {
            reading: Reading::default(),
            now,
            directory: directory.clone(),
            limit: 100,
            entropy,
        };
        store.plan(ask).await?;
        store
            .escalate(EscalateRequest {
                reading: Reading::default(),
                now,
                directory,
                limit: 100,
                entropy,
            })
            .await?;
        Ok(())
    });
    work.unwrap();
}

/// An alert that a worker has taken up.
fn alert(place: &Place) -> String {
    let id = place.send(&["disk full", "--level", "critical", "--dedup-key", "db-1/disk"]);
    work(place);
    id
}

fn alert_of(place: &Place, id: &str) -> Value {
    place.json(&["show", id])["alert"].clone()
}

fn listed(place: &Place, which: &str) -> usize {
    place.json(&["list", which]).as_array().unwrap().len()
}

#[test]
fn an_alert_is_acknowledged_given_back_escalated_and_resolved() {
    let place = place();
    let (id, bystander) = (alert(&place), alert_id_of_another_problem(&place));
    assert_eq!(alert_of(&place, &id)["state"], "open");
    assert_eq!((listed(&place, "--unacked"), listed(&place, "--acked")), (2, 0));

    let said = place.ok(&["ack", &id, "--by", "alice", "--note", "on it"]);
    assert!(said.contains("acknowledged by alice since"), "{said}");
    let now = alert_of(&place, &id);
    assert_eq!((&now["state"], &now["acked_by"]), (&"acknowledged".into(), &"alice".into()));
    assert_eq!(now["next_step_at"], Value::Null);
    assert_eq!((listed(&place, "--unacked"), listed(&place, "--acked")), (1, 1));
    assert!(place.ok(&["list"]).contains("acknowledged by alice"));
    let why = place.ok(&["why", &id]);
    assert!(why.contains("acknowledged by alice, by command") && why.contains("on it"), "{why}");

    let said = place.ok(&["unack", &id, "--by", "alice"]);
    assert!(said.contains("is open since") && said.contains("if nobody acknowledges it"), "{said}");
    let said = place.json(&["escalate", &id, "--by", "bob"]);
    assert_eq!((&said[0]["result"], &said[0]["alert"]["step"]), (&"done".into(), &2.into()));
    let said = place.json(&["resolve", "--key", "db-1/disk", "--by", "bob"]);
    assert_eq!(said[0]["id"], id.as_str());
    assert_eq!(alert_of(&place, &id)["resolved_by"], "bob");
    assert_eq!(alert_of(&place, &bystander)["state"], "open");
}

fn alert_id_of_another_problem(place: &Place) -> String {
    let id = place.send(&["bystander", "--require-ack", "--ack-within", "7m"]);
    work(place);
    id
}

#[test]
fn an_answer_that_makes_no_sense_says_why_and_ends_with_1() {
    let place = place();
    let id = alert(&place);
    let plain = place.send(&["nothing to acknowledge"]);
    work(&place);
    place.ok(&["ack", &id, "--by", "alice"]);
    let (code, out, talk) = place.run(&["ack", &id, &plain, "ffff", "--by", "bob"]);
    assert_eq!((code, out.as_str()), (1, ""));
    for part in ["acknowledged by alice", &plain, "no message's id begins with \"ffff\""] {
        assert!(talk.contains(part), "{part} is not in\n{talk}");
    }
    let (code, out, _) = place.run(&["ack", &id, &plain, "ffff", "--by", "bob", "--json"]);
    let answers: Value = serde_json::from_str(&out).unwrap();
    let results: Vec<&str> =
        answers.as_array().unwrap().iter().map(|one| one["result"].as_str().unwrap()).collect();
    assert_eq!((code, results), (1, vec!["refused", "no_alert", "unknown"]));
    assert_eq!(answers[0]["alert"]["acked_by"], "alice");
    assert_eq!(alert_of(&place, &id)["acked_by"], "alice");

    // One of two is done; the other is said.
    let other = alert_id_of_another_problem(&place);
    let (code, out, talk) = place.run(&["ack", &id, &other, "--by", "bob"]);
    assert_eq!(code, 1);
    assert!(out.contains(&other) && talk.contains(&id), "{out}{talk}");
    place.fails(
        &["ack", "--key", "no such key", "--by", "bob"],
        1,
        expect![[r#"
        error: no alert has the dedup key "no such key", or no worker has seen it yet
          help: `callout list` shows what there is
    "#]],
    );
}

#[test]
fn json_has_a_row_for_whatever_was_named() {
    let place = place();
    let (a, b) = (alert(&place), alert_id_of_another_problem(&place));
    let common: String =
        a.chars().zip(b.chars()).take_while(|(x, y)| x == y).map(|(x, _)| x).collect();
    let rows = |arguments: &[&str]| {
        let (code, out, talk) = place.run(&[&["ack", "--by", "bob", "--json"], arguments].concat());
        assert_eq!((code, talk.as_str()), (1, ""), "{arguments:?}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    // What is ambiguous stops nothing else.
    let said = rows(&[&common, &a]);
    assert_eq!(
        (&said[0]["id"], &said[0]["result"]),
        (&common.as_str().into(), &"ambiguous".into())
    );
    let why = said[0]["why"].as_str().unwrap();
    assert!(why.contains(&a) && why.contains(&b), "{why}");
    assert_eq!((&said[1]["id"], &said[1]["result"]), (&a.as_str().into(), &"done".into()));
    assert_eq!(alert_of(&place, &b)["state"], "open");

    let said = rows(&["--key", "no such key"]);
    assert_eq!((&said[0]["id"], &said[0]["result"]), (&Value::Null, &"unknown".into()));
    assert_eq!(
        said[0]["why"],
        "no alert has the dedup key \"no such key\", or no worker has seen it yet"
    );
    let keys = said[0].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys, ["alert", "id", "result", "why"]);
}

#[test]
fn an_answer_needs_a_message_and_a_name() {
    let place = place();
    let id = alert(&place);
    place.fails(
        &["ack", &id, "--by", " "],
        2,
        expect![[r#"
        error: by is empty; say who acts
          help: write it like --by alice --note "restarted it"
    "#]],
    );
    place.fails(
        &["ack", &id, "--by", "alice", "--note", "a\u{7}b"],
        2,
        expect![[r#"
        error: note contains a control character; write plain text
          help: write it like --by alice --note "restarted it"
    "#]],
    );
    for wrong in [
        vec!["ack"],
        vec!["ack", &id, "--key", "db-1/disk"],
        vec!["list", "--acked", "--unacked"],
        vec!["send", "x", "--resolve"],
        vec!["send", "x", "--resolve", "--dedup-key", "k", "--require-ack"],
        vec!["send", "x", "--ack-within", "0s"],
        vec!["send", "x", "--wait", "--wait-ack"],
    ] {
        assert_eq!(place.run(&wrong).0, 2, "{wrong:?}");
    }
    assert_eq!(alert_of(&place, &id)["state"], "open");
}

#[test]
fn waiting_for_an_acknowledgment_ends_when_it_is_clear() {
    let place = place();
    // Nobody takes it up.
    let (code, out, talk) = place.run(&["send", "x", "--require-ack", "--wait-ack=1ms", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["alert"]), (1, &Value::Null));
    assert!(talk.contains("not acknowledged within 1ms"), "{talk}");

    // The same key enqueues once, so that asking again is waiting again.
    let send = ["send", "y", "--level", "critical", "--idempotency-key", "k"];
    let id = place.send(&send[1..]);
    work(&place);
    let wait = || place.run(&[&send[..], &["--wait-ack=1ms", "--json"]].concat());
    assert_eq!(wait().0, 1);
    place.ok(&["ack", &id, "--by", "alice"]);
    let (code, out, talk) = wait();
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &answer["alert"]["acked_by"]), (0, &"alice".into()), "{talk}");
    assert!(talk.contains("\nacknowledged by alice (command) after "), "{talk}");
    let first = &answer["answers"][0];
    assert_eq!((&first["what"], &first["via"]), (&"acknowledged".into(), &"command".into()));
    assert!(first["after_ms"].is_u64() && first["by"] == "alice", "{answer}");
    place.ok(&["unack", &id, "--by", "alice"]);
    let (code, talk) = (wait().0, wait().2);
    assert!(code == 1 && !talk.contains("by alice"), "{talk}");
    place.ok(&["resolve", &id, "--by", "bob"]);
    let (code, _, talk) = wait();
    assert!(code == 0 && talk.contains("\nresolved by bob (command) after "), "{talk}");

    let plain = ["send", "z", "--idempotency-key", "plain"];
    place.send(&plain[1..]);
    work(&place);
    let (code, _, talk) = place.run(&[&plain[..], &["--wait-ack"]].concat());
    assert_eq!(code, 1);
    assert!(talk.contains("nobody has to acknowledge it"), "{talk}");
}

#[test]
fn the_same_problem_is_counted_and_its_end_resolves_it() {
    let place = place();
    let id = alert(&place);
    let again = place.send(&["still full", "--level", "critical", "--dedup-key", "db-1/disk"]);
    work(&place);
    assert_eq!(place.state(&again), "merged");
    let story = place.json(&["show", &again]);
    assert_eq!(story["belongs_to"], id.as_str());
    assert!(place.ok(&["show", &again]).contains(&id));
    assert_eq!(alert_of(&place, &id)["repeats"], 1);
    // A repeat stands for its alert.
    place.ok(&["ack", &again, "--by", "alice"]);
    assert_eq!(alert_of(&place, &id)["state"], "acknowledged");
    place.send(&["over", "--level", "info", "--dedup-key", "db-1/disk", "--resolve"]);
    work(&place);
    assert_eq!(alert_of(&place, &id)["state"], "resolved");
    let stats = place.json(&["stats"]);
    assert_eq!(stats["alerts"]["open"], 0);
    assert_eq!(stats["alerts"]["levels"][0]["level"], "critical");
    assert!(place.ok(&["stats"]).contains("LATEST ALERTS"));
}

#[test]
fn nothing_is_replayed_of_an_alert_that_somebody_has() {
    let place = place();
    let id = alert(&place);
    place.ok(&["ack", &id, "--by", "alice"]);
    let (code, _, talk) = place.run(&["replay", &id, "--yes"]);
    assert_eq!(code, 1);
    assert!(talk.contains("the alert is acknowledged by alice"), "{talk}");
}

#[test]
fn a_key_that_is_too_short_stops_the_server() {
    let place = Place::new();
    std::fs::write(place.path("ack.key"), "short").unwrap();
    place.fails(
        &["serve"],
        78,
        expect![[r#"
            error: server.ack_key has 5 bytes
              DIR/callout.toml:25:11
                25 | ack_key = ***
                   |           ^^^
              help: make it at least 32, from a random source
        "#]],
    );
}

/// An alert whose place a worse one has taken, and that one.
fn superseded(place: &Place) -> (String, String) {
    let old =
        place.send(&["slow", "--require-ack", "--dedup-key", "k", "--idempotency-key", "old"]);
    work(place);
    let new = place.send(&["down", "--level", "critical", "--dedup-key", "k"]);
    work(place);
    (old, new)
}

#[test]
fn an_alert_whose_place_was_taken_says_by_which() {
    let place = place();
    let (old, new) = superseded(&place);
    assert_eq!(alert_of(&place, &old)["superseded_by"], new.as_str());
    assert_eq!(alert_of(&place, &new)["superseded_by"], Value::Null);
    for command in ["show", "why"] {
        let said = place.ok(&[command, &old]);
        assert!(said.contains("took its place") && said.contains(&new), "{said}");
        assert!(!said.contains("resolved by callout") && !said.contains("unack"), "{said}");
    }
    let (code, _, talk) = place.run(&["unack", &old, "--by", "bob"]);
    assert_eq!(code, 1);
    assert!(talk.contains("it is superseded since") && talk.contains(&new), "{talk}");
    let (code, _, talk) = place.run(&["replay", &old, "--yes"]);
    assert_eq!(code, 1);
    assert!(talk.contains(&format!("`callout why {new}`")) && !talk.contains("unack"), "{talk}");
}

#[test]
fn whoever_waits_for_an_acknowledgment_waits_for_the_alert_that_took_its_place() {
    let place = place();
    let (_, new) = superseded(&place);
    let wait = || {
        let send =
            ["send", "slow", "--require-ack", "--dedup-key", "k", "--idempotency-key", "old"];
        let (code, out, talk) = place.run(&[&send[..], &["--wait-ack=1ms", "--json"]].concat());
        (code, serde_json::from_str::<Value>(&out).unwrap(), talk)
    };
    let (code, answer, talk) = wait();
    assert_eq!((code, &answer["alert"]["state"]), (1, &"open".into()), "{talk}");
    assert!(talk.contains("not acknowledged within") && talk.contains(&new), "{talk}");
    let waiting =
        format!("superseded: a newer alert for the same problem took its place; waiting for {new}");
    assert!(talk.contains(&waiting), "{talk}");
    place.ok(&["ack", &new, "--by", "alice"]);
    let (code, answer, talk) = wait();
    assert_eq!((code, &answer["alert"]["acked_by"]), (0, &"alice".into()), "{talk}");
}

#[test]
fn what_is_cancelled_was_acknowledged_by_nobody() {
    let place = place();
    let send = |key: &str| {
        let send = ["send", "x", "--level", "critical", "--idempotency-key", key];
        send.map(str::to_owned)
    };
    let wait = |key: &str| {
        let send = send(key);
        let send: Vec<&str> = send.iter().map(String::as_str).collect();
        let (code, _, talk) = place.run(&[&send[..], &["--wait-ack=1ms"]].concat());
        (code, talk)
    };
    assert_eq!((wait("open").0, wait("new").0, wait("acked").0), (1, 1, 1));
    let id = |key: &str| {
        let send = send(key);
        place.send(&send.iter().skip(1).map(String::as_str).collect::<Vec<_>>())
    };
    place.ok(&["cancel", &id("new"), "--yes"]);
    work(&place);
    place.ok(&["ack", &id("acked"), "--by", "alice"]);
    place.ok(&["cancel", &id("open"), &id("acked"), "--yes"]);
    for key in ["open", "new"] {
        let (code, talk) = wait(key);
        assert!(code == 1 && talk.contains("it was cancelled"), "{key}: {talk}");
    }
    // Somebody had it before.
    let (code, talk) = wait("acked");
    assert!(talk.contains("acknowledged by alice (command) after "), "{talk}");
    assert!(code == 0 && talk.contains("; cancelled by "), "{talk}");
}

#[test]
fn whoever_cancels_is_written_down_with_their_account() {
    let place = place();
    let id = alert(&place);
    place.ok(&["cancel", &id, "--yes"]);
    let account = crate::config::login_name().unwrap();
    let why = place.ok(&["why", &id]);
    let cancelled = format!("cancelled by {account}, by command, from the account {account}");
    assert_eq!(why.matches(&cancelled).count(), 1, "{why}");
    assert!(!why.contains("\nalso\n"), "{why}");
}

#[test]
fn statistics_say_that_open_alerts_have_no_time() {
    let place = place();
    alert(&place);
    let table = place.ok(&["stats"]);
    assert!(table.contains("TIME TO ACK p50") && !table.contains("HALF"), "{table}");
    let (_, help, _) = place.run(&["stats", "--help"]);
    assert!(help.contains("Only alerts that somebody has acknowledged"), "{help}");
}
