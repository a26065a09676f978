//! The configuration that `callout init` writes: every default as a commented line, and sections of
//! channels from their specifications, for the kinds that were asked for: all would be a book.

use crate::reference::example;
use callout_channels::spec::Spec;
use std::fmt::Write as _;

const HEAD: &str = r#"# Callout's configuration. `callout check` says what is wrong with it.
# Commented lines show the defaults. What has none stands there as an example: addresses, people, steps,
# routes, and in a channel's section every setting without a plain value behind "Default:".
# Relative paths start at this file's folder.
# A secret is "literal", { env = "NAME" } or { file = "path" }.

# "en" or "zh": the language of what Callout adds to messages, of its own messages, of text messages and calls,
# and of the advice about failures (`callout test`, `why`, `channels`). Commands speak English apart from that.
# Default: "en"; for the advice, the language of the environment.
# locale = "en"
# Where people are: messages show their time there. Default: the machine's zone.
# time_zone = "Asia/Shanghai"

[store]
# url = "sqlite:callout.db"
# How long messages that are over are kept: accepted and cancelled ones, dead and expired ones.
# retention = { accepted = "7d", dead = "30d" }

[server]
# listen = "127.0.0.1:8470"
# The server's address as people reach it, from their phones too. With it, messages that somebody has to
# acknowledge carry a link to do so; without it, they say how to do it by command.
# public_url = "https://callout.example.com"
# Seals these links. Whoever has this key can acknowledge everything.
ack_key = { file = "ack.key" }

# Who may use the HTTP API. Scopes: send, read, operate.
[[server.tokens]]
name = "api"
token = { file = "api.token" }
scopes = ["send", "read", "operate"]

[http]
# A proxy for everything that is sent. Default: none.
# proxy = "http://proxy.example.com:3128"
# Further trusted root certificates, as a PEM file. Default: none.
# roots = "roots.pem"
# Link-local addresses that may be called all the same.
# allow_link_local = []
# How long one request may take, 5s to 30s.
# timeout = "15s"

[retry]
# The longest wait before the second try on a channel; each further one doubles, up to cap.
# base = "2s"
# cap = "5m"
# Tries on one channel before the next channel's turn.
# attempts = 3
# The longest pause after a whole chain failed; each further one doubles, up to round_cap.
# round_base = "15s"
# round_cap = "15m"

# Whom messages can mention, by name, with their ids at each kind of channel.
# [people.alice]
"#;

const MIDDLE: &str = r#"
# Channels: the ways out. Every channel also takes
#   rate = "20/min"      how often it may be used; default: what the provider allows
#   concurrency = 4      sends at a time, 1 to 256
# `callout channels --kinds` lists the kinds, `callout channels --kinds KIND` the settings of one.
# This first one is a placeholder; put your own address here, or another kind of channel.
[channels.placeholder]
kind = "webhook"
url = "http://127.0.0.1:9000/"
"#;

const TAIL: &str = r#"
# Receivers: ordered lists of channels; the first that accepts wins.
[receivers.ops]
channels = ["placeholder"]
# How long one channel may keep failing before the next one's turn. Default: 20s for critical
# messages, 2m for others.
# failover_after = "20s"
# Mention everybody in critical and error messages.
# mention_all = false
# Mention these people, by name, in every message.
# mention = []

# Who is told when nobody acknowledges: the next step follows when ack_within has passed (default 5m).
# After the last step it starts over, repeat times (0 to 10, default 2).
# [receivers.lead]
# channels = ["placeholder"]
# [escalation.critical]
# steps = [{ to = ["ops"], ack_within = "5m" }, { to = ["lead"], ack_within = "10m" }]
# repeat = 2

[alerts]
# Whether those who were told hear who acknowledged or resolved an alert.
# follow_up = true

# Who hears of messages that cannot be delivered, and of alerts that nobody acknowledges.
[operator]
receiver = "ops"

# Routes: the first that matches decides. The last one has to match everything.
# [[routes]]
# match = { level = ["error", "critical"], labels = ["env=prod", 'host=~"db-.*"'] }
# to = ["ops"]
# Somebody has to acknowledge these; the policy's first step is told together with `to`.
# escalation = "critical"

[[routes]]
to = ["ops"]
"#;

/// The whole file, with a commented section for each of these kinds.
pub fn template(kinds: &[&Spec]) -> String {
    let mut text = HEAD.to_owned();
    let can_mention = kinds.iter().filter(|spec| spec.mentions_people());
    let names: Vec<&str> = can_mention.map(|spec| spec.kind).collect();
    for kind in if names.is_empty() { &["slack"][..] } else { &names } {
        _ = writeln!(text, "# {kind} = \"...\"");
    }
    text.push_str(MIDDLE);
    for spec in kinds {
        text.push_str(&channel(spec));
    }
    text.push_str(TAIL);
    text
}

fn channel(spec: &Spec) -> String {
    let kind = spec.kind;
    let mut text = format!("\n# {}\n# [channels.my-{kind}]\n# kind = \"{kind}\"\n", spec.title);
    _ = writeln!(text, "# rate = \"{}\"", spec.rate);
    for field in spec.fields {
        _ = writeln!(text, "# # {}\n# {} = {}", field.doc, field.name, example(spec, field));
    }
    text
}
