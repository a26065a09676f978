//! The sections with fixed keys: server, tokens, secrets, store, HTTP, retry.

use super::*;

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
fn a_channel_says_all_that_is_wrong_with_it_at_once() {
    check_with(
        "[channels.mail]\nkind = \"email\"\nsmtp = \"mail.example.com:25\"\nfrom = \"nobody\"\nto = []\npassword = { env = \"UNSET\" }\n",
        expect![[r#"
            error: channels.mail.smtp has to begin with smtp:// or smtps://
              callout.toml:3:8
                3 | smtp = ***
                  |        ^^^
              help: The server: smtp://[user@]host[:port] with STARTTLS, port 587 by default, or smtps://... with TLS from the start, port 465. A user name or password has its special characters percent-encoded, such as %40 for @.

            error: channels.mail.from has to be like Ops <ops@example.com>
              callout.toml:4:8
                4 | from = ***
                  |        ^^^
              help: Who writes, such as Callout <alerts@example.com>.

            error: channels.mail.to has to be a text or a list of texts, none of them empty
              callout.toml:5:6
                5 | to = ***
                  |      ^^^
              help: Who reads, at most 50, such as Ops <ops@example.com>; each sees the others.

            error: channels.mail.password: environment variable UNSET is not set
              callout.toml:6:12
                6 | password = { env = "UNSET" }
                  |            ^^^^^^^^^^^^^^^^^
              help: set UNSET, or use { file = "path" }
        "#]],
    );
    check_warnings(
        &format!("{GOOD}[channels.lines]\nkind = \"file\"\npath = \"/nowhere/x.jsonl\"\n[receivers.lines]\nchannels = [\"lines\"]\n[[routes]]\nto = [\"lines\"]\n").replacen("[[routes]]\nto = [\"ops\"]\n", "", 1),
        expect![[r#"
            channels.lines.path is in a folder that does not exist
              callout.toml:11:1
                11 | path …
                   | ^^^^
              help: The file; made if it is missing, readable by the worker's user alone. Its folder has to exist.
        "#]],
    );
}
