//! Escalation policies and what links need: what is taken, what is refused, what is odd.

use super::*;
use callout_core::escalation::{ACK_WITHIN, REPEAT};
use std::time::Duration;

/// A receiver for the second step.
const LEAD: &str = "[receivers.lead]\nchannels = [\"hook\"]\n";

/// A good configuration whose only route follows `policy`.
fn with_policy(policy: &str) -> String {
    format!("{policy}{LEAD}{GOOD}escalation = \"critical\"\n")
}

#[test]
fn a_policy_arrives_at_its_route() {
    let config = read(&with_policy(
        "[alerts]\nfollow_up = false\n[escalation.critical]\nrepeat = 0\nsteps = [{ to = [\"ops\", \"lead\"], ack_within = \"90s\" }, { to = [\"lead\"] }]\n",
    ))
    .unwrap();
    let policy = config.directory.routes[0].escalation.clone().unwrap();
    assert_eq!(config.policies["critical"], policy);
    assert_eq!((policy.name.as_deref(), policy.repeat), (Some("critical"), 0));
    assert_eq!(policy.receivers(0).len(), 2);
    let waits: Vec<Duration> = policy.steps.iter().map(|step| step.ack_within).collect();
    assert_eq!(waits, [Duration::from_secs(90), ACK_WITHIN]);
    assert!(!config.directory.follow_up);

    let config = read(&with_policy("[[escalation.critical.steps]]\nto = [\"lead\"]\n")).unwrap();
    assert_eq!(config.policies["critical"].repeat, REPEAT);
    assert!(config.directory.follow_up);
}

#[test]
fn a_route_may_leave_everything_to_its_policy() {
    let text = with_policy("[escalation.critical]\nsteps = [{ to = [\"ops\"] }]\n")
        .replace("to = [\"ops\"]\nescalation", "to = []\nescalation");
    let route = read(&text).unwrap().directory.routes[0].clone();
    assert!(route.to.is_empty() && route.escalation.is_some());
}

#[test]
fn a_step_that_makes_no_sense_is_refused_with_its_place() {
    check(
        &with_policy(
            r#"[escalation.critical]
steps = [
  { to = ["opps"], ack_within = "0s" },
  { to = [], ack_within = "8d" },
  { to = ["lead", "lead"], ack_witin = "5m" },
  { to = ["critical"] },
  { ack_within = "soon" },
]
"#,
        ),
        expect![[r#"
            error: no receiver is called "opps"
              callout.toml:3:11
                3 |   { to = ["opps"], ack_within = "0s" },
                  |           ^^^^^^
              help: did you mean "ops"?

            error: escalation.critical.steps.ack_within is out of range
              callout.toml:3:33
                3 |   { to = ["opps"], ack_within = "0s" },
                  |                                 ^^^^
              help: write a time between 1s and 7d, such as "20s", "5m" or "7d"

            error: escalation.critical.steps.to is empty
              callout.toml:4:10
                4 |   { to = [], ack_within = "8d" },
                  |          ^^
              help: name at least one receiver: to = ["…"]

            error: escalation.critical.steps.ack_within is out of range
              callout.toml:4:27
                4 |   { to = [], ack_within = "8d" },
                  |                           ^^^^
              help: write a time between 1s and 7d, such as "20s", "5m" or "7d"

            error: receiver "lead" stands twice in escalation.critical.steps.to
              callout.toml:5:19
                5 |   { to = ["lead", "lead"], ack_witin = "5m" },
                  |                   ^^^^^^
              help: remove one of the two

            error: unknown key `ack_witin` in escalation.critical.steps
              callout.toml:5:28
                5 |   { to = ["lead", "lead"], ack_witin …
                  |                            ^^^^^^^^^
              help: did you mean `ack_within`?

            error: "critical" is an escalation policy, and this has to be a receiver
              callout.toml:6:11
                6 |   { to = ["critical"] },
                  |           ^^^^^^^^^^
              help: a policy tells receivers only; a route uses it with escalation = "critical"

            error: escalation.critical.steps has no `to`
              callout.toml:7:3
                7 |   { ack_within = "soon" } …
                  |   ^^^^^^^^^^^^^^^^^^^^^^^
              help: name at least one receiver: to = ["…"]

            error: escalation.critical.steps.ack_within is not a length of time
              callout.toml:7:18
                7 |   { ack_within = "soon" },
                  |                  ^^^^^^
              help: write a time between 1s and 7d, such as "20s", "5m" or "7d"
        "#]],
    );
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_with_its_place() {
    check(
        &with_policy(
            r#"[alerts]
follow_up = "no"
folow_up = true
[escalation.critical]
repeat = 11
steps = [{ to = "ops" }]
[escalation.empty]
steps = []
[escalation.none]
[escalation."a b"]
steps = [{ to = ["ops"] }]
"#,
        ),
        expect![[r#"
            error: alerts.follow_up is a text
              callout.toml:2:1
                2 | follow_up …
                  | ^^^^^^^^^
              help: it has to be true or false

            error: unknown key `folow_up` in alerts
              callout.toml:3:1
                3 | folow_up …
                  | ^^^^^^^^
              help: did you mean `follow_up`?

            error: escalation.critical.repeat is out of range
              callout.toml:5:10
                5 | repeat = 11
                  |          ^^
              help: write a whole number from 0 to 10

            error: escalation.critical.steps.to is a text
              callout.toml:6:12
                6 | steps = [{ to …
                  |            ^^
              help: it has to be a list in square brackets

            error: escalation.empty.steps is empty
              callout.toml:8:9
                8 | steps = []
                  |         ^^
              help: say who is told, and how long they have: steps = [{ to = ["…"], ack_within = "5m" }]

            error: escalation.none has no `steps`
              callout.toml:9:13
                9 | [escalation.none]
                  |             ^^^^
              help: say who is told, and how long they have: steps = [{ to = ["…"], ack_within = "5m" }]

            error: a name has 1 to 64 letters, digits, '-', '_' or '.', in any script; "a b" does not
              callout.toml:10:13
                10 | [escalation."a b"]
                   |             ^^^^^
              help: choose another name
        "#]],
    );
}

#[test]
fn a_policy_has_so_many_steps_and_no_more() {
    let step = "{ to = [\"ops\"] }, ";
    let policy = |n| with_policy(&format!("[escalation.critical]\nsteps = [{}]\n", step.repeat(n)));
    assert!(read(&policy(10)).is_ok());
    check(
        &policy(11),
        expect![[r#"
        error: escalation.critical.steps has 11 steps; at most 10 fit
          callout.toml:2:9
            2 | steps = [{ to = ["ops"] }, { to = ["ops"] }, { to = ["ops"] }, { to = ["ops"] }, { to = ["ops"] }, { to = ["ops"] }, { to = ["ops"] }, { to = ["ops"] }, { to = ["ops"] }, { to = ["ops"] }, { to = ["ops"] }, ]
              |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          help: tell more people in one step, or let `repeat` tell them again
    "#]],
    );
}

#[test]
fn a_route_names_a_policy_that_exists() {
    check(
        &with_policy("[escalation.critcal]\nsteps = [{ to = [\"ops\"] }]\n"),
        expect![[r#"
            error: no escalation policy is called "critical"
              callout.toml:15:14
                15 | escalation = "critical"
                   |              ^^^^^^^^^^
              help: did you mean "critcal"?
        "#]],
    );
    check(
        &format!("{GOOD}escalation = 5\n"),
        expect![[r#"
        error: routes.escalation is a whole number
          callout.toml:11:1
            11 | escalation …
               | ^^^^^^^^^^
          help: it has to be a text in quotes
    "#]],
    );
    check(
        &format!("{GOOD}escalation = \"critical\"\n"),
        expect![[r#"
        error: no escalation policy is called "critical"
          callout.toml:11:14
            11 | escalation = "critical"
               |              ^^^^^^^^^^
          help: no escalation policy is configured
    "#]],
    );
}

#[test]
fn links_need_a_key() {
    let url = "[server]\npublic_url = \"https://callout.example.com\"\n";
    check_with(
        url,
        expect![[r#"
        error: links need a key that seals them, and there is no server.ack_key
          callout.toml:2:14
            2 | public_url = "https://callout.example.com"
              |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          help: add ack_key = { file = "ack.key" }; `callout init` makes such a file, and so does
            (umask 077; head -c 32 /dev/urandom | base64 > ack.key)
    "#]],
    );
    let config = read(&format!("{url}ack_key = \"0123456789abcdef0123456789abcdef\"\n{GOOD}"));
    assert!(config.unwrap().server.links().is_some());
    assert!(read(GOOD).unwrap().server.links().is_none());
}

#[test]
fn what_is_odd_about_alerts_is_a_warning() {
    let idle = "[escalation.idle]\nsteps = [{ to = [\"lead\"] }]\n";
    check_warnings(
        &with_policy(&format!("[escalation.critical]\nsteps = [{{ to = [\"ops\"] }}]\n{idle}")),
        expect![[r#"
            no route uses escalation policy "idle"
              callout.toml:3:13
                3 | [escalation.idle]
                  |             ^^^^
              help: add escalation = "idle" to a route, or remove it
            messages that have to be acknowledged cannot carry a link to do so
              callout.toml
              help: messages will say how to acknowledge by command instead; for links, add public_url to [server], the address at which people reach this server
        "#]],
    );
    let server = |url: &str| {
        format!(
            "[server]\npublic_url = \"{url}\"\nack_key = \"0123456789abcdef0123456789abcdef\"\n{GOOD}"
        )
    };
    check_warnings(
        &server("http://callout.example.com/alerts"),
        expect![[r#"
        server.public_url is not encrypted, and its links are credentials
          callout.toml:2:1
            2 | public_url …
              | ^^^^^^^^^^
          help: whoever sees one may acknowledge: put TLS in front, and write https://
    "#]],
    );
    for fine in [
        "https://callout.example.com",
        "http://127.0.0.1:8470",
        "http://localhost/x",
        "http://[::1]:8470",
    ] {
        assert_eq!(read(&server(fine)).unwrap().warnings, [], "{fine}");
    }
}

#[test]
fn a_public_address_is_short_and_holds_no_credential() {
    let server = |url: &str| {
        format!("[server]\npublic_url = \"{url}\"\nack_key = \"{}\"\n{GOOD}", "k".repeat(32))
    };
    check(
        &server("https://ops:hunter2@callout.example.com/x"),
        expect![[r#"
        error: server.public_url holds a name or password, and everybody would see it
          callout.toml:2:14
            2 | public_url = ***
              |              ^^^
          help: remove what stands before the @
    "#]],
    );
    check(
        &server(&format!("https://{}.example.com", "a".repeat(181))),
        expect![[r#"
        error: server.public_url has 201 bytes
          callout.toml:2:14
            2 | public_url = "https://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.com"
              |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          help: make it at most 200; links in messages have to fit into buttons
    "#]],
    );
    for good in [
        format!("https://{}.example.com/", "a".repeat(180)),
        "https://callout.example.com/of@ops".to_owned(),
    ] {
        assert!(read(&server(&good)).is_ok(), "{good}");
    }
    assert!(read(&server("https://ops@callout.example.com")).is_err());
}
