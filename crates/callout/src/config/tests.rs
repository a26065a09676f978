mod escalation;
mod file;
mod routing;
mod sections;

use super::*;
use expect_test::{Expect, expect};
use std::fs;

/// Variables that are set in these tests.
fn variables(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("0123456789abcdef".to_owned()),
        "EMPTY" => Some(String::new()),
        "APPRISE" => Some("ntfys://tk_hunter2hunter2@ntfy.example.com/topic".to_owned()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Config, ConfigErrors> {
    interpret(&Source::new(Path::new("callout.toml"), text, false), &variables)
}

/// A valid configuration to break.
const GOOD: &str = r#"
[channels.hook]
kind = "webhook"
url = "https://hooks.example.com/x"
[receivers.ops]
channels = ["hook"]
[operator]
receiver = "ops"
[[routes]]
to = ["ops"]
"#;

/// All errors of `text`.
fn check(text: &str, expected: Expect) {
    match read(text) {
        Ok(_) => expected.assert_eq("no error\n"),
        Err(errors) => expected.assert_eq(&format!("{errors}\n")),
    }
}

/// All errors of a good configuration with `text` before it.
fn check_with(text: &str, expected: Expect) {
    check(&format!("{text}{GOOD}"), expected);
}

fn check_warnings(text: &str, expected: Expect) {
    let warnings = read(text).unwrap().warnings;
    let lines: Vec<String> = warnings.iter().map(|warning| format!("{warning}\n")).collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn a_small_configuration_takes_all_defaults() {
    let config = read(GOOD).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.store_path, Path::new("callout.db"));
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8470");
    assert_eq!(config.retention, Retention::default());
    assert_eq!(config.directory.retry, callout_core::retry::RetryPolicy::default());
    let hook = config.channels.values().next().unwrap();
    assert_eq!((hook.rate.to_string(), hook.concurrency), ("none".to_owned(), 4));
}

#[test]
fn every_setting_arrives() {
    let config = read(
        r#"
        locale = "zh"
        time_zone = "Asia/Shanghai"
        [store]
        url = "sqlite:/var/lib/x.db"
        retention = { accepted = "1d", dead = "2d" }
        [server]
        listen = "0.0.0.0:80"
        public_url = "https://c.example.com/"
        ack_key = "0123456789abcdef0123456789abcdef"
        [[server.tokens]]
        name = "ci"
        token = { env = "TOKEN" }
        scopes = ["send", "operate"]
        [http]
        proxy = "http://proxy:3128"
        allow_link_local = ["169.254.1.1"]
        timeout = "20s"
        [people."张三"]
        dingtalk = "13800000000"
        slack = "U1"
        [channels.hook]
        kind = "webhook"
        url = "https://hooks.example.com/x"
        rate = "5/s, 100/min"
        concurrency = 9
        [receivers."运维"]
        channels = ["hook"]
        failover_after = "7s"
        mention_all = true
        mention = ["张三"]
        [retry]
        base = "1s"
        cap = "9s"
        attempts = 5
        round_base = "10s"
        round_cap = "90s"
        [operator]
        receiver = "运维"
        [[routes]]
        match = { level = ["error", "critical"], labels = ["env=prod", 'host=~"db.*"'] }
        to = ["运维"]
        [[routes]]
        to = []
        "#,
    )
    .unwrap();
    assert_eq!(config.locale, Some(Locale::Chinese));
    assert_eq!(config.zone().iana_name(), Some("Asia/Shanghai"));
    assert_eq!(config.store_path, Path::new("/var/lib/x.db"));
    assert_eq!(config.server.public_url.as_deref(), Some("https://c.example.com"));
    assert_eq!(config.server.ack_key.unwrap().expose().len(), 32);
    let token = config.server.tokens.first().unwrap();
    assert_eq!(token.scopes, [Scope::Send, Scope::Operate]);
    assert_eq!(token.token.expose(), "0123456789abcdef");
    assert_eq!(config.http.timeout.as_secs(), 20);
    assert_eq!(config.http.allow.len(), 1);
    assert!(config.http.proxy.is_some());
    assert_eq!(config.people["张三"]["dingtalk"], "13800000000");
    let receiver = config.directory.receivers.values().next().unwrap();
    assert!(receiver.mention_all && receiver.mention == ["张三"]);
    assert_eq!(receiver.failover_after.unwrap().as_secs(), 7);
    assert_eq!(config.directory.retry.attempts_max, 5);
    let route = config.directory.routes.first().unwrap();
    assert_eq!(route.to_string(), "level error or critical, env=prod, host=~\"db.*\"");
    let hook = config.channels.values().next().unwrap();
    assert_eq!((hook.rate.to_string(), hook.concurrency), ("5/s, 100/min".to_owned(), 9));
}

#[test]
fn all_errors_come_at_once_in_the_order_of_the_file() {
    check(
        r#"
locale = "de"
time_zone = "Mars/Olympus"
[sever]
[channels.hook]
kind = "webhok"
[channels.ding]
kind = "dingtalk"
acess_token = "very-secret-token"
concurrency = 0
[receivers.ops]
channels = ["hok", "ding"]
[[routes]]
match = { level = "urgent" }
to = ["opps"]
"#,
        expect![[r#"
            error: locale "de" is not known
              callout.toml:2:10
                2 | locale = "de"
                  |          ^^^^
              help: write "en" or "zh"

            error: time_zone "Mars/Olympus" is not known
              callout.toml:3:13
                3 | time_zone = "Mars/Olympus"
                  |             ^^^^^^^^^^^^^^
              help: write a name such as "Asia/Shanghai" or "UTC"

            error: unknown key `sever`
              callout.toml:4:2
                4 | [sever]
                  |  ^^^^^
              help: did you mean `server`?

            error: "webhok" is not a known kind of channel
              callout.toml:6:8
                6 | kind = "webhok"
                  |        ^^^^^^^^
              help: did you mean webhook?

            error: channels.ding has no `access_token`
              callout.toml:7:11
                7 | [channels.ding]
                  |           ^^^^
              help: The robot's token: the value of access_token in its webhook address.

            error: unknown key `acess_token` in channels.ding
              callout.toml:9:1
                9 | acess_token …
                  | ^^^^^^^^^^^
              help: did you mean `access_token`?

            error: channels.ding.concurrency is out of range
              callout.toml:10:15
                10 | concurrency = 0
                   |               ^
              help: write a whole number from 1 to 256

            error: no channel is called "hok"
              callout.toml:12:13
                12 | channels = ["hok", "ding"]
                   |             ^^^^^
              help: did you mean "hook"?

            error: routes.match.level: "urgent" is not a level; the levels are info, warning, error and critical
              callout.toml:14:19
                14 | match = { level = "urgent" }
                   |                   ^^^^^^^^
              help: write info, warning, error or critical

            error: no receiver is called "opps"
              callout.toml:15:7
                15 | to = ["opps"]
                   |       ^^^^^^
              help: did you mean "ops"?
        "#]],
    );
}

#[test]
fn the_caret_stands_under_the_value_behind_chinese_text() {
    check_with(
        "[people.\"值班 工程师\"]\nslack = 5\n[receivers.\"运维群\"]\nchannels = [ 'hook' , 'hoook' ]  # 中文\n",
        expect![[r#"
            error: people.值班 工程师.slack is a whole number
              callout.toml:2:1
                2 | slack …
                  | ^^^^^
              help: it has to be a text in quotes

            error: no channel is called "hoook"
              callout.toml:4:23
                4 | channels = [ 'hook' , 'hoook' ]  # 中文
                  |                       ^^^^^^^
              help: did you mean "hook"?
        "#]],
    );
}

#[test]
fn no_error_ever_shows_a_credential() {
    const SECRET: &str = "hunter2hunter2";
    for line in [
        "[channels.x]\nkind = \"dingtalk\"\naccess_token = \"hunter2hunter2 x\"",
        "[channels.x]\nkind = \"dingtalk\"\nacces_token = \"hunter2hunter2\"",
        "[channels.x]\nkind = \"dingtalk\"\naccess_token = \"hunter2hunter2\n",
        "[channels.x]\nkind = \"dingtalk\"\naccess_token = [\"hunter2hunter2\"]",
        "[channels.x]\nkind = \"webhook\"\nurl = \"gopher://hunter2hunter2\"",
        "[channels.x]\nkind = \"webhook\"\nurl = 5\nheaders = \"hunter2hunter2\"",
        "channels.x = { kind = 5, token = \"hunter2hunter2\" }",
        "channels.x = { kind = \"webhok\", url = \"hunter2hunter2\" }",
        "channels.x = { kind = \"dingtalk\", access_token = \"hunter2hunter2\", x = 1 }",
        "channels.x = { kind = \"dingtalk\", access_token = 'hunter2hunter2', message_uuid = \"\" }",
        "[channels.x]\nkind = \"webhook\"\nurl = \"\"\nsecret = [\"hunter2hunter2\", 5]",
        "[channels.x]\nkind = \"webhook\"\nurl = \"\"\nheaders = { a = \"x\\\"hunter2hunter2\", b = 5 }",
        "[server]\nack_key = \"hunter2hunter2\"",
        "[server]\nack_key = hunter2hunter2",
        "[[server.tokens]]\nname = \"a\"\ntoken = \"hunter2hunter2\"\nscopes = 5",
        "[[server.tokens]]\ntoken = \"hunter2hunter2\"\ntoken = \"hunter2hunter2\"",
        "[http]\nproxy = \"hunter2hunter2\"",
        "[http]\nproxy = { env = \"X\", password = \"hunter2hunter2\" }",
    ] {
        let errors = read(&format!("{line}\n{GOOD}")).map(|_| ()).unwrap_err().to_string();
        assert!(!errors.contains(SECRET), "{errors}");
    }
}
