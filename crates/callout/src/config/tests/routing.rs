//! Names, channels, receivers and routes, and what leads nowhere.

use super::*;

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
fn channels_where_a_duplicate_costs_money_are_known_as_such() {
    let config = read(
        "[channels.hook]\nkind = \"webhook\"\nurl = \"https://x.example.com\"\n\
         [channels.sms]\nkind = \"tencent_sms\"\nsecret_id = \"an-id-of-a-key\"\n\
         secret_key = \"a-key-of-the-account\"\nsdk_app_id = \"1400006666\"\nsign_name = \"值班\"\n\
         template_id = \"77\"\nphones = [\"+8613800000000\"]\n\
         [receivers.ops]\nchannels = [\"hook\", \"sms\"]\n[[routes]]\nto = [\"ops\"]\n",
    )
    .unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(config.directory.ringing.is_empty(), "a short message rings nobody up");
    let costly: Vec<_> = config.directory.costly.iter().map(ChannelName::as_str).collect();
    assert_eq!(costly, ["sms"]);
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
              help: add kind = "…", one of dingtalk, wecom, wecom_app, feishu, slack, slack_api, teams, telegram, discord, mattermost, rocketchat, googlechat, aliyun_sms, tencent_sms, twilio_sms, twilio_voice, ntfy, bark, serverchan, pushplus, pagerduty, webhook, email, command, file, or apprise = "…" with an Apprise address

            error: channels.b has no `url`
              callout.toml:2:11
                2 | [channels.b]
                  |           ^
              help: Where to post; http or https.

            error: channels.c.url has to begin with https:// or http://
              callout.toml:6:7
                6 | url = ***
                  |       ^^^
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

            error: channels.d.access_token contains white space; was it copied whole and alone?
              callout.toml:12:16
                12 | access_token = ***
                   |                ^^^
              help: The robot's token: the value of access_token in its webhook address.

            error: channels.d.endpoint is no address: relative URL without a base
              callout.toml:13:12
                13 | endpoint = ***
                   |            ^^^
              help: Where to post. Default: https://oapi.dingtalk.com/robot/send (international tenants: host oapi.dingtalk.io).

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
fn an_apprise_address_is_a_channel_and_takes_further_keys_of_its_kind() {
    let config = read(&format!(
        "[channels.ding]\napprise = \"dingtalk://SECkey0123456789@hunter2hunter2\"\nkeyword = \"ops\"\nrate = \"1/s\"\n[channels.phone]\napprise = {{ env = \"APPRISE\" }}\n{GOOD}"
    ))
    .unwrap();
    let shown: Vec<String> = config
        .channels
        .iter()
        .map(|(name, channel)| format!("{name} {} {}", channel.channel.spec().kind, channel.rate))
        .collect();
    assert_eq!(shown, ["ding dingtalk 1/s", "hook webhook none", "phone ntfy 60/5m"]);
    let debug = format!("{config:?}");
    assert!(!debug.contains("hunter2") && !debug.contains("0123456789"), "{debug}");
}

#[test]
fn wrong_apprise_addresses_are_named_and_not_shown() {
    check_with(
        "[channels.a]\nkind = \"dingtalk\"\napprise = \"dingtalk://hunter2\"\n[channels.b]\napprise = \"pigeon://hunter2\"\n[channels.c]\napprise = \"ntfys://hunter2/a/b\"\n[channels.d]\napprise = \"dingtalk://hunter2\"\naccess_token = \"hunter2\"\nkeywrod = \"x\"\n[channels.e]\napprise = { env = \"TOKEN\" }\n[channels.f]\napprise = \"schan://hunter2\"\nrate = \"fast\"\n[channels.g]\napprise = 7\n[channels.h]\napprise = \"dingtalk://hunter2?verify=no\"\n",
        expect![[r#"
            error: channels.a has both `kind` and `apprise`
              callout.toml:3:1
                3 | apprise …
                  | ^^^^^^^
              help: keep one of them

            error: channels.b.apprise begins with no scheme that Callout knows; it knows dingtalk, wecombot, feishu, lark, slack, workflow, workflows, tgram, discord, mmost, mmosts, rocket, rockets, gchat, twilio, ntfy, ntfys, bark, barks, schan, pushplus, pagerduty, mailto, mailtos
              callout.toml:5:11
                5 | apprise = ***
                  |           ^^^
              help: the reference of the configuration lists the addresses that Callout understands; write kind = "…" and its settings for anything else

            error: channels.c.apprise names several targets; write a channel for each, and list them in receivers
              callout.toml:7:11
                7 | apprise = ***
                  |           ^^^
              help: the reference of the configuration lists the addresses that Callout understands; write kind = "…" and its settings for anything else

            error: channels.d.access_token stands in the Apprise address too
              callout.toml:10:1
                10 | access_token …
                   | ^^^^^^^^^^^^
              help: take it out here or there

            error: unknown key `keywrod` in channels.d
              callout.toml:11:1
                11 | keywrod …
                   | ^^^^^^^
              help: did you mean `keyword`?

            error: channels.e.apprise is no Apprise address; write one such as "ntfys://…"
              callout.toml:13:11
                13 | apprise = ***
                   |           ^^^
              help: the reference of the configuration lists the addresses that Callout understands; write kind = "…" and its settings for anything else

            error: channels.f.key has to begin with SCT, or with sctp, a number and t; it is the key alone
              callout.toml:15:11
                15 | apprise = ***
                   |           ^^^
              help: The SendKey, which begins with SCT, or with sctp and a number.

            error: channels.f.rate: "fast" is not a rate; write it like "20/min", "5/s" or "5/s, 100/min" (at most 1000 in a window), or "none"
              callout.toml:16:8
                16 | rate = "fast"
                   |        ^^^^^^
              help: write a rate such as "20/min", or "none"

            error: channels.g.apprise is a whole number
              callout.toml:18:1
                18 | apprise …
                   | ^^^^^^^
              help: it has to be "literal", { env = "NAME" } or { file = "path" }

            error: channels.h.apprise has the option `verify`, which Callout does not honour; leave it out
              callout.toml:20:11
                20 | apprise = ***
                   |           ^^^
              help: the reference of the configuration lists the addresses that Callout understands; write kind = "…" and its settings for anything else
        "#]],
    );
}
