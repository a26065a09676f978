mod escalation;
mod reference;

use super::*;
use expect_test::{Expect, expect};
use std::fs;

/// Variables that are set in these tests.
fn variables(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some("0123456789abcdef".to_owned()),
        "EMPTY" => Some(String::new()),
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

            error: unknown key `sever`
              callout.toml:3:2
                3 | [sever]
                  |  ^^^^^
              help: did you mean `server`?

            error: "webhok" is not a known kind of channel
              callout.toml:5:8
                5 | kind = "webhok"
                  |        ^^^^^^^^
              help: did you mean "webhook"?

            error: channels.ding has no `access_token`
              callout.toml:6:11
                6 | [channels.ding]
                  |           ^^^^
              help: The robot's token: the value of access_token in its webhook address.

            error: unknown key `acess_token` in channels.ding
              callout.toml:8:1
                8 | acess_token …
                  | ^^^^^^^^^^^
              help: did you mean `access_token`?

            error: channels.ding.concurrency is out of range
              callout.toml:9:15
                9 | concurrency = 0
                  |               ^
              help: write a whole number from 1 to 256

            error: no channel is called "hok"
              callout.toml:11:13
                11 | channels = ["hok", "ding"]
                   |             ^^^^^
              help: did you mean "hook"?

            error: routes.match.level: "urgent" is not a level; the levels are info, warning, error and critical
              callout.toml:13:19
                13 | match = { level = "urgent" }
                   |                   ^^^^^^^^
              help: write info, warning, error or critical

            error: no receiver is called "opps"
              callout.toml:14:7
                14 | to = ["opps"]
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
fn errors_of_syntax_stand_alone_where_they_break_things() {
    check(
        "[channels.hook\nkind = \"webhook\"\n",
        expect![[r#"
            error: syntax: unclosed table, expected `]`
              callout.toml:1:15
                1 | [channels.hook
                  |               ^
        "#]],
    );
    check(
        "[server]\nlisten = \n[store]\nulr = 1\n",
        expect![[r#"
            error: syntax: string values must be quoted, expected literal string
              callout.toml:2:10
                2 | listen = ***
                  |          ^^^

            error: unknown key `ulr` in store
              callout.toml:4:1
                4 | ulr …
                  | ^^^
              help: did you mean `url`?
        "#]],
    );
    check(
        "[server]\nlisten = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n",
        expect![[r#"
        error: syntax: duplicate key
          callout.toml:3:1
            3 | listen …
              | ^^^^^^
    "#]],
    );
    check(
        "[receivers.运维]\n",
        expect![[r#"
        error: syntax: invalid unquoted key, expected letters, numbers, `-`, `_`
          callout.toml:1:12
            1 | [receivers.运维]
              |            ^^^^
          help: put the name in quotes: [channels."运维"]
    "#]],
    );
    check(
        "[http]\n[http]\n",
        expect![[r#"
            error: syntax: duplicate key
              callout.toml:2:2
                2 | [http]
                  |  ^^^^
        "#]],
    );
    check(
        "[[server.tokens]]\ntoken = \"unterminated-secret\nname = \"x\"\n",
        expect![[r#"
            error: syntax: invalid basic string, expected `"`
              callout.toml:2:29
                2 | token = ***
                  |         ^^^
        "#]],
    );
}

#[test]
fn wrong_types_are_named_without_the_value() {
    check_with(
        "[server]\nlisten = 8470\ntokens = \"x\"\n[store]\nretention = \"7d\"\nurl = true\n[http]\nallow_link_local = 1.5\ntimeout = 1979-05-27\n[people]\nalice = [\"x\"]\n",
        expect![[r#"
            error: server.listen is a whole number
              callout.toml:2:1
                2 | listen …
                  | ^^^^^^
              help: it has to be a text in quotes

            error: server.tokens is a text
              callout.toml:3:1
                3 | tokens …
                  | ^^^^^^
              help: it has to be a list in square brackets

            error: store.retention is a text
              callout.toml:5:1
                5 | retention …
                  | ^^^^^^^^^
              help: it has to be a table

            error: store.url is a switch (true or false)
              callout.toml:6:1
                6 | url …
                  | ^^^
              help: it has to be a text in quotes

            error: http.allow_link_local is a number with a fraction
              callout.toml:8:1
                8 | allow_link_local …
                  | ^^^^^^^^^^^^^^^^
              help: it has to be a list in square brackets

            error: http.timeout is a date
              callout.toml:9:1
                9 | timeout …
                  | ^^^^^^^
              help: it has to be a text in quotes

            error: people.alice is a list
              callout.toml:11:1
                11 | alice …
                   | ^^^^^
              help: it has to be a table
        "#]],
    );
    check(
        "channels = 3\nreceivers = []\nroutes = {}\n",
        expect![[r#"
        error: channels is a whole number
          callout.toml:1:1
            1 | channels …
              | ^^^^^^^^
          help: it has to be a table

        error: receivers is a list
          callout.toml:2:1
            2 | receivers …
              | ^^^^^^^^^
          help: it has to be a table

        error: routes is a table
          callout.toml:3:1
            3 | routes …
              | ^^^^^^
          help: it has to be a list in square brackets

        error: there is no route
          callout.toml
          help: end the file with a route without `match`, such as:
            [[routes]]
            to = ["ops"]
    "#]],
    );
}

#[test]
fn the_server_is_checked() {
    check_with(
        "[server]\nlisten = \"localhost\"\n",
        expect![[r#"
        error: server.listen: invalid socket address syntax
          callout.toml:2:10
            2 | listen = "localhost"
              |          ^^^^^^^^^^^
          help: write an address and a port, such as "127.0.0.1:8470"
    "#]],
    );
    check_with(
        "[server]\nlisten = \"0.0.0.0:8470\"\n",
        expect![[r#"
            error: anybody who reaches 0.0.0.0:8470 could use the API
              callout.toml:2:10
                2 | listen = "0.0.0.0:8470"
                  |          ^^^^^^^^^^^^^^
              help: add [[server.tokens]]; without any, the API answers nobody
        "#]],
    );
    check_with(
        "[server]\npublic_url = \"callout.example.com\"\nack_key = \"short\"\n",
        expect![[r#"
        error: server.public_url is not an http:// or https:// address
          callout.toml:2:14
            2 | public_url = "callout.example.com"
              |              ^^^^^^^^^^^^^^^^^^^^^
          help: write it like "https://callout.example.com"

        error: server.ack_key has 5 bytes
          callout.toml:3:11
            3 | ack_key = ***
              |           ^^^
          help: make it at least 32, from a random source
    "#]],
    );
}

#[test]
fn api_tokens_are_checked() {
    check_with(
        "[[server.tokens]]\nname = \"ci\"\ntoken = \"short\"\nscopes = []\n[[server.tokens]]\nname = \"ci\"\ntoken = { env = \"TOKEN\" }\nscopes = [\"sned\"]\n[[server.tokens]]\n",
        expect![[r#"
            error: server.tokens.token has 5 bytes
              callout.toml:3:9
                3 | token = ***
                  |         ^^^
              help: make it at least 16, from a random source

            error: this token opens nothing
              callout.toml:4:10
                4 | scopes = []
                  |          ^^
              help: write at least one of send, read, operate

            error: two tokens are called "ci"
              callout.toml:6:8
                6 | name = "ci"
                  |        ^^^^
              help: give each its own name

            error: no scope is called "sned"
              callout.toml:8:11
                8 | scopes = ["sned"]
                  |           ^^^^^^
              help: did you mean "send"?

            error: server.tokens has no `name`
              callout.toml:9:1
                9 | [[server.tokens]]
                  | ^^^^^^^^^^^^^^^^^
              help: name whose it is: name = "ci"

            error: server.tokens has no `scopes`
              callout.toml:9:1
                9 | [[server.tokens]]
                  | ^^^^^^^^^^^^^^^^^
              help: add scopes = ["send", "read", "operate"]

            error: server.tokens has no `token`
              callout.toml:9:1
                9 | [[server.tokens]]
                  | ^^^^^^^^^^^^^^^^^
              help: add token = { file = "api.token" }
        "#]],
    );
}

#[test]
fn secrets_that_are_not_there_are_named() {
    check_with(
        "[[server.tokens]]\nname = \"a\"\ntoken = { env = \"NOPE\" }\nscopes = [\"send\"]\n[[server.tokens]]\nname = \"b\"\ntoken = { env = \"EMPTY\" }\nscopes = [\"send\"]\n[[server.tokens]]\nname = \"c\"\ntoken = { evn = \"TOKEN\" }\nscopes = [\"send\"]\n[[server.tokens]]\nname = \"d\"\ntoken = { env = \"TOKEN\", file = \"x\" }\nscopes = [\"send\"]\n[[server.tokens]]\nname = \"e\"\ntoken = 12345678901234567\nscopes = [\"send\"]\n[[server.tokens]]\nname = \"f\"\ntoken = { file = \"/nowhere/at/all\" }\nscopes = [\"send\"]\n",
        expect![[r#"
            error: server.tokens.token: environment variable NOPE is not set
              callout.toml:3:9
                3 | token = { env = "NOPE" }
                  |         ^^^^^^^^^^^^^^^^
              help: set NOPE, or use { file = "path" }

            error: server.tokens.token takes an empty environment variable, EMPTY
              callout.toml:7:9
                7 | token = ***
                  |         ^^^
              help: give it a value

            error: unknown key `evn` in server.tokens.token
              callout.toml:11:11
                11 | token = { evn …
                   |           ^^^
              help: did you mean `env`?

            error: server.tokens.token needs exactly one of env and file
              callout.toml:15:9
                15 | token = { env = "TOKEN", file = "x" }
                   |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: write "literal", { env = "NAME" } or { file = "path" }

            error: server.tokens.token is a whole number
              callout.toml:19:1
                19 | token …
                   | ^^^^^
              help: it has to be "literal", { env = "NAME" } or { file = "path" }

            error: server.tokens.token: /nowhere/at/all cannot be read: No such file or directory (os error 2)
              callout.toml:23:9
                23 | token = { file = "/nowhere/at/all" }
                   |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              help: put the credential into that file, with mode 0600
        "#]],
    );
}

#[test]
fn store_http_and_retry_are_checked() {
    check_with(
        "[store]\nurl = \"postgres://x\"\nretention = { accepted = \"5\", daed = \"1d\", dead = \"0s\" }\n[http]\nproxy = \"proxy:3128\"\nallow_link_local = [\"localhost\"]\n",
        expect![[r#"
            error: store.url is not the address of a store
              callout.toml:2:7
                2 | url = ***
                  |       ^^^
              help: write "sqlite:callout.db"

            error: store.retention.accepted is not a length of time
              callout.toml:3:26
                3 | retention = { accepted = "5", daed = "1d", dead = "0s" }
                  |                          ^^^
              help: write a time between 1m and 3640d, such as "20s", "5m" or "7d"

            error: unknown key `daed` in store.retention
              callout.toml:3:31
                3 | retention = { accepted = "5", daed …
                  |                               ^^^^
              help: did you mean `dead`?

            error: store.retention.dead is out of range
              callout.toml:3:51
                3 | retention = { accepted = "5", daed = "1d", dead = "0s" }
                  |                                                   ^^^^
              help: write a time between 1m and 3640d, such as "20s", "5m" or "7d"

            error: http.proxy is not an http:// or https:// address
              callout.toml:5:9
                5 | proxy = ***
                  |         ^^^
              help: write it like "http://proxy:3128"

            error: http.allow_link_local: invalid IP address syntax
              callout.toml:6:21
                6 | allow_link_local = ["localhost"]
                  |                     ^^^^^^^^^^^
              help: write an address, such as "169.254.1.1"
        "#]],
    );
    check_with(
        "[http]\nroots = \"/nowhere/roots.pem\"\ntimeout = \"31s\"\n",
        expect![[r#"
            error: http.roots: /nowhere/roots.pem cannot be read: No such file or directory (os error 2)
              callout.toml:2:9
                2 | roots = "/nowhere/roots.pem"
                  |         ^^^^^^^^^^^^^^^^^^^^
              help: name a PEM file with root certificates

            error: http.timeout is out of range
              callout.toml:3:11
                3 | timeout = "31s"
                  |           ^^^^^
              help: write a time between 5s and 30s, such as "20s", "5m" or "7d"
        "#]],
    );
    check_with(
        "[retry]\nbase = \"10m\"\ncap = \"5m\"\nattempts = 0\nround_base = \"20m\"\n",
        expect![[r#"
            error: retry.cap is shorter than retry.base
              callout.toml:3:7
                3 | cap = "5m"
                  |       ^^^^
              help: the first wait cannot be longer than the longest

            error: retry.attempts is out of range
              callout.toml:4:12
                4 | attempts = 0
                  |            ^
              help: write a whole number from 1 to 20

            error: retry.round_cap is shorter than retry.round_base
              callout.toml:5:14
                5 | round_base = "20m"
                  |              ^^^^^
              help: the first wait cannot be longer than the longest
        "#]],
    );
}

#[test]
fn names_are_checked() {
    check_with(
        "[people.all]\n[people.bob]\ndingtlak = \"1\"\nslack = \" \"\n[channels.\"a b\"]\nkind = \"webhook\"\nurl = \"https://x.example.com\"\n[receivers.\"c d\"]\nchannels = [\"hook\"]\nmention = [\"bbo\"]\n",
        expect![[r#"
            error: "all" means everybody in the room
              callout.toml:1:9
                1 | [people.all]
                  |         ^^^
              help: give the person another name

            error: unknown key `dingtlak` in people.bob
              callout.toml:3:1
                3 | dingtlak …
                  | ^^^^^^^^
              help: did you mean `dingtalk`?

            error: people.bob.slack is empty
              callout.toml:4:9
                4 | slack = " "
                  |         ^^^
              help: write the person's id, or remove the line

            error: a name has 1 to 64 letters, digits, '-', '_' or '.', in any script; "a b" does not
              callout.toml:5:11
                5 | [channels."a b"]
                  |           ^^^^^
              help: choose another name

            error: a name has 1 to 64 letters, digits, '-', '_' or '.', in any script; "c d" does not
              callout.toml:8:12
                8 | [receivers."c d"]
                  |            ^^^^^
              help: choose another name

            error: no person is called "bbo"
              callout.toml:10:12
                10 | mention = ["bbo"]
                   |            ^^^^^
              help: did you mean "bob"?
        "#]],
    );
}

#[test]
fn channels_are_checked_by_their_specification() {
    check_with(
        "[channels.a]\n[channels.b]\nkind = \"webhook\"\n[channels.c]\nkind = \"webhook\"\nurl = \"ftp://user:pass@x\"\nrate = \"fast\"\nsecret = [\"whsec_x\", 5]\nheaders = { a = 1 }\n[channels.d]\nkind = \"dingtalk\"\naccess_token = \"two words\"\nendpoint = \"nowhere\"\nmessage_uuid = \"yes\"\n",
        expect![[r#"
            error: channels.a has no `kind`
              callout.toml:1:11
                1 | [channels.a]
                  |           ^
              help: add kind = "…", one of dingtalk, wecom, slack, webhook

            error: channels.b has no `url`
              callout.toml:2:11
                2 | [channels.b]
                  |           ^
              help: Where to post; http or https.

            error: channels.c.rate: "fast" is not a rate; write it like "20/min", "5/s" or "5/s, 100/min" (at most 1000 in a window), or "none"
              callout.toml:7:8
                7 | rate = "fast"
                  |        ^^^^^^
              help: write a rate such as "20/min", or "none"

            error: channels.c.secret is a whole number
              callout.toml:8:22
                8 | secret = [***, 5 …
                  |                ^
              help: it has to be "literal", { env = "NAME" } or { file = "path" }

            error: channels.c.headers.a is a whole number
              callout.toml:9:13
                9 | headers = { a …
                  |             ^
              help: it has to be "literal", { env = "NAME" } or { file = "path" }

            error: channels.d.message_uuid is a text
              callout.toml:14:1
                14 | message_uuid …
                   | ^^^^^^^^^^^^
              help: it has to be true or false
        "#]],
    );
    check_with(
        "[channels.c]\nkind = \"webhook\"\nurl = \"ftp://user:pass@x\"\n",
        expect![[r#"
            error: channels.c.url has to begin with https:// or http://
              callout.toml:3:7
                3 | url = ***
                  |       ^^^
              help: Where to post; http or https.
        "#]],
    );
}

#[test]
fn receivers_and_routes_are_checked() {
    check(
        "[channels.hook]\nkind = \"webhook\"\nurl = \"https://x.example.com\"\n[receivers.a]\nchannels = []\n[receivers.b]\nchannels = [\"hook\", \"hook\"]\nfailover_after = \"10ms\"\n[receivers.c]\n[operator]\nreceiver = \"d\"\n[[routes]]\nmatch = { labels = [\"host\", 'x=~\"(\"'], level = [] }\nto = [\"a\"]\nescalation = \"x\"\n[[routes]]\nmatch = { level = \"info\" }\nto = [\"a\"]\n",
        expect![[r#"
            error: receivers.a.channels is empty
              callout.toml:5:12
                5 | channels = []
                  |            ^^
              help: list its channels, the most wanted first: channels = ["…"]

            error: channel "hook" stands twice in receivers.b.channels
              callout.toml:7:21
                7 | channels = ["hook", "hook"]
                  |                     ^^^^^^
              help: remove one of the two

            error: receivers.b.failover_after is out of range
              callout.toml:8:18
                8 | failover_after = "10ms"
                  |                  ^^^^^^
              help: write a time between 1s and 1d, such as "20s", "5m" or "7d"

            error: receivers.c has no `channels`
              callout.toml:9:12
                9 | [receivers.c]
                  |            ^
              help: list its channels, the most wanted first: channels = ["…"]

            error: no receiver is called "d"
              callout.toml:11:12
                11 | receiver = "d"
                   |            ^^^
              help: known: a, b, c

            error: routes.match.labels: "host" is not a label matcher; write it like env=prod, team!=web, host=~"db-.*" or host!~test.*
              callout.toml:13:21
                13 | match = { labels = ["host", 'x=~"("'], level = [] }
                   |                     ^^^^^^
              help: write it like "env=prod" or 'host=~"db-.*"'

            error: routes.match.labels: the pattern in "x=~\"(\"" is no regular expression: found open group without closing ')'
              callout.toml:13:29
                13 | match = { labels = ["host", 'x=~"("'], level = [] }
                   |                             ^^^^^^^^
              help: write it like "env=prod" or 'host=~"db-.*"'

            error: this list of levels is empty
              callout.toml:13:48
                13 | match = { labels = ["host", 'x=~"("'], level = [] }
                   |                                                ^^
              help: leave `level` out to match all levels

            error: no escalation policy is called "x"
              callout.toml:15:14
                15 | escalation = "x"
                   |              ^^^
              help: no escalation policy is configured

            error: the last route does not match everything, so messages could fall through
              callout.toml:16:1
                16 | [[routes]]
                   | ^^^^^^^^^^
              help: end the file with a route without `match`, such as:
                [[routes]]
                to = ["ops"]
        "#]],
    );
}

#[test]
fn no_message_may_fall_through_and_no_route_lie_idle() {
    check(
        "[channels.hook]\nkind = \"webhook\"\nurl = \"https://x.example.com\"\n[receivers.a]\nchannels = [\"hook\"]\n[operator]\n[[routes]]\nto = [\"a\", \"a\"]\n[[routes]]\nmatch = { level = \"info\" }\nto = [\"a\"]\n[[routes]]\n",
        expect![[r#"
            error: operator has no `receiver`
              callout.toml:6:2
                6 | [operator]
                  |  ^^^^^^^^
              help: name a receiver

            error: receiver "a" stands twice in routes.to
              callout.toml:8:12
                8 | to = ["a", "a"]
                  |            ^^^
              help: remove one of the two

            error: no message reaches this route: route 1 takes all
              callout.toml:9:1
                9 | [[routes]]
                  | ^^^^^^^^^^
              help: move it up, or remove it

            error: no message reaches this route: route 1 takes all
              callout.toml:12:1
                12 | [[routes]]
                   | ^^^^^^^^^^
              help: move it up, or remove it

            error: routes has no `to`
              callout.toml:12:1
                12 | [[routes]]
                   | ^^^^^^^^^^
              help: name receivers, or record only with to = []
        "#]],
    );
    check(
        "",
        expect![[r#"
        error: there is no route
          callout.toml
          help: end the file with a route without `match`, such as:
            [[routes]]
            to = ["ops"]
    "#]],
    );
}

#[test]
fn what_is_odd_is_a_warning() {
    check_warnings(
        "[channels.hook]\nkind = \"webhook\"\nurl = \"https://x.example.com\"\n[channels.idle]\nkind = \"webhook\"\nurl = \"https://x.example.com\"\n[receivers.a]\nchannels = [\"hook\"]\n[receivers.b]\nchannels = [\"hook\"]\n[[routes]]\nto = [\"a\"]\n",
        expect![[r#"
            no receiver uses channel "idle"
              callout.toml:4:11
                4 | [channels.idle]
                  |           ^^^^
              help: add it to a receiver, or remove it
            no route leads to receiver "b"
              callout.toml:9:12
                9 | [receivers.b]
                  |            ^
              help: only messages that name it reach it; add a route, or remove it
            nobody hears of messages that cannot be delivered
              callout.toml
              help: add [operator] with receiver = "…", who hears when a message cannot be delivered
        "#]],
    );
}

#[test]
fn byte_order_mark_and_windows_line_ends_change_nothing() {
    let text = format!("\u{feff}[server]\r\nlisten = \"x\"\r\n{}", GOOD.replace('\n', "\r\n"));
    check(
        &text,
        expect![[r#"
        error: server.listen: invalid socket address syntax
          callout.toml:2:10
            2 | listen = "x"
              |          ^^^
          help: write an address and a port, such as "127.0.0.1:8470"
    "#]],
    );
    assert!(read(&GOOD.replace('\n', "\r\n")).is_ok());
}

/// The errors of the file at `path`, with the folder left out.
fn check_file(path: &Path, expected: Expect) {
    let folder = path.parent().unwrap().display().to_string();
    let errors = load(path).map(|_| ()).unwrap_err().to_string();
    expected.assert_eq(&format!("{}\n", errors.replace(&folder, "DIR")));
}

#[test]
fn a_file_that_cannot_be_read_comes_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    check_file(
        &folder.path().join("callout.toml"),
        expect![[r#"
        error: there is no configuration file
          DIR/callout.toml
          help: `callout init` writes one; --config FILE names another
    "#]],
    );
    let path = folder.path().join("latin1.toml");
    fs::write(&path, b"# ok\n# caf\xe9\n").unwrap();
    check_file(
        &path,
        expect![[r#"
        error: line 2 is not UTF-8
          DIR/latin1.toml
          help: save the file with the encoding UTF-8
    "#]],
    );
}

#[cfg(unix)]
#[test]
fn secrets_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let with_file = |file: &str| {
        GOOD.replace("\"https://hooks.example.com/x\"", &format!("{{ file = \"{file}\" }}"))
    };
    write("private", "https://x.example.com/\r\n", 0o600);
    write("shared", "https://x.example.com/", 0o640);
    write("empty", "\n", 0o600);

    let config = load(&write("literal-private.toml", GOOD, 0o600));
    assert!(config.is_ok());
    let config = load(&write("no-literal.toml", &with_file("private"), 0o644));
    assert!(config.is_ok());
    check_file(
        &write("literal-shared.toml", GOOD, 0o644),
        expect![[r#"
        error: it contains credentials and other users can read it
          DIR/literal-shared.toml
          help: chmod 600 DIR/literal-shared.toml, or use { env = "NAME" }
    "#]],
    );
    check_file(
        &write("shared.toml", &with_file("shared"), 0o600),
        expect![[r#"
        error: channels.hook.url: other users can read DIR/shared
          DIR/shared.toml:4:7
            4 | url = { file = "shared" }
              |       ^^^^^^^^^^^^^^^^^^^
          help: chmod 600 DIR/shared
    "#]],
    );
    check_file(
        &write("empty.toml", &with_file("empty"), 0o600),
        expect![[r#"
        error: channels.hook.url takes an empty file, DIR/empty
          DIR/empty.toml:4:7
            4 | url = ***
              |       ^^^
          help: give it a value
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

#[test]
fn the_file_is_found_where_people_put_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap().to_owned();
    let at = |variable: &'static str| {
        let home = home.clone();
        move |name: &str| (name == variable).then(|| home.clone())
    };
    let named = Path::new("named.toml");
    assert_eq!(locate_with(Some(named), &at("CALLOUT_CONFIG")).unwrap(), named);
    assert_eq!(locate_with(None, &at("CALLOUT_CONFIG")).unwrap(), folder.path());
    let missing = locate_with(None, &at("HOME")).unwrap_err().to_string();
    assert!(missing.contains(".config/callout/callout.toml") && missing.contains("callout init"));

    fs::create_dir_all(folder.path().join(".config/callout")).unwrap();
    let platform = folder.path().join(".config/callout/callout.toml");
    fs::write(&platform, "").unwrap();
    assert_eq!(locate_with(None, &at("HOME")).unwrap(), platform);
    fs::create_dir(folder.path().join("callout")).unwrap();
    let platform = folder.path().join("callout/callout.toml");
    fs::write(&platform, "").unwrap();
    assert_eq!(locate_with(None, &at("XDG_CONFIG_HOME")).unwrap(), platform);
}

#[test]
fn a_file_torn_anywhere_is_refused_without_showing_a_credential() {
    let whole = format!(
        "[channels.\"运维\"]\nkind = \"dingtalk\"\naccess_token = \"hunter2hunter2\"\n[people.\"张\"]\nslack = \"U1\"\n{GOOD}"
    );
    assert!(read(&whole).is_ok());
    for (at, c) in whole.char_indices() {
        let (head, tail) = whole.split_at(at);
        for torn in [
            head.to_owned(),
            format!("{head}{}", tail.strip_prefix(c).unwrap()),
            format!("{head}\"{tail}"),
            format!("{head}={tail}"),
            format!("{head}[{tail}"),
            format!("{head}\n{tail}"),
        ] {
            if let Err(errors) = read(&torn) {
                assert!(!errors.to_string().contains("unter2hunter"), "{torn}\n{errors}");
            }
        }
    }
}
