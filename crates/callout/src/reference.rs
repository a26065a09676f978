//! What each kind of channel can do and takes, in words: for `callout channels --kinds`, for the page
//! `docs/reference/channels.md`, and for what `callout init` writes. All of it follows from the
//! specifications.

use callout_channels::REGISTRY;
use callout_channels::spec::{Advice, Field, Spec, Value};
use std::fmt::Write as _;

const HEAD: &str = "# Channels

What `callout channels --reference` prints: every kind of channel, what it can do, what it takes, and what
to do about its provider's answers. A test keeps this page fresh. What all channels share is told in
[the configuration](configuration.md#channelsname).
";

/// What a kind can do, as names and values.
pub fn abilities(spec: &Spec) -> Vec<(&'static str, String)> {
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let native = if spec.native { format!("yes, under native.{}", spec.kind) } else { yes(false) };
    let callback =
        spec.callback.map_or_else(|| yes(false), |name| format!("at /v1/callbacks/{name}"));
    vec![
        ("acknowledge by", spec.ack.to_owned()),
        ("mentions", spec.mentions.to_owned()),
        ("message types", spec.types.join(", ")),
        ("bodies of your own", native),
        ("changes its message when the alert is answered", yes(spec.edit)),
        ("keeps news of an alert below its message", yes(spec.thread)),
        ("provider calls back", callback),
        ("against duplicates", spec.idempotency.to_owned()),
        ("default rate", spec.rate.to_owned()),
        ("largest request", format!("{} bytes", spec.body_bytes_max)),
    ]
}

/// What a setting may be, for people.
pub fn value(field: &Field) -> &'static str {
    match field.value {
        Value::Secret => "secret",
        Value::Secrets => "secret, or a list of secrets",
        Value::Url => "address",
        Value::Text => "text",
        Value::Switch => "true or false",
        Value::Texts => "table of secrets",
        Value::List => "text, or a list of texts",
        Value::Table => "table of texts",
        Value::Number => "whole number",
        Value::Duration => "time",
        Value::Path => "path",
    }
}

/// What a setting's value is by default, or what stands for it where a person has to write one.
pub fn example(spec: &Spec, field: &Field) -> String {
    if let Some(default) = field.default() {
        return match field.value {
            Value::Switch | Value::Number => default.to_owned(),
            _ => format!("\"{default}\""),
        };
    }
    match field.value {
        Value::Secret | Value::Secrets => {
            let name = format!("{}_{}", spec.kind, field.name).to_uppercase();
            format!("{{ env = \"{name}\" }}")
        }
        Value::Url => "\"https://...\"".to_owned(),
        Value::Text => "\"...\"".to_owned(),
        Value::Switch => "false".to_owned(),
        Value::Texts | Value::Table => "{}".to_owned(),
        Value::List => "[\"...\"]".to_owned(),
        Value::Number => "1".to_owned(),
        Value::Duration => "\"10s\"".to_owned(),
        Value::Path => "\"...\"".to_owned(),
    }
}

/// The whole page, in Markdown.
pub fn page() -> String {
    let sections = REGISTRY.iter().map(|row| section(row.spec));
    std::iter::once(HEAD.to_owned()).chain(sections).collect()
}

fn section(spec: &Spec) -> String {
    let mut text = format!("\n## `{}`: {}\n\n", spec.kind, spec.title);
    for (name, ability) in abilities(spec) {
        _ = writeln!(text, "- {name}: {}", markdown(&ability));
    }
    if let Some(callback) = spec.callback {
        _ = writeln!(
            text,
            "- where to switch that on: [acknowledging](../acknowledging.md#{callback})"
        );
    }
    text.push_str("\n| key | value | required | meaning |\n| --- | --- | --- | --- |\n");
    for field in spec.fields {
        let (required, doc) = (if field.required { "yes" } else { "no" }, cell(field.doc));
        _ = writeln!(text, "| `{}` | {} | {required} | {doc} |", field.name, value(field));
    }
    let kind = spec.kind;
    _ = writeln!(text, "\n```toml\n[channels.my-{kind}]\nkind = \"{kind}\"");
    for field in spec.fields {
        let off = if field.required { "" } else { "# " };
        _ = writeln!(text, "{off}{} = {}", field.name, example(spec, field));
    }
    text.push_str("```\n");
    if !spec.advice.is_empty() {
        text.push_str("\n| answer | what to do |\n| --- | --- |\n");
    }
    for advice in spec.advice {
        _ = writeln!(text, "| {} | {} |", cell(&answer(advice)), cell(advice.english));
    }
    text
}

/// Which answers an advice is for: `40035`, `40035 with "ip"`, `any with "ip"`.
pub fn answer(advice: &Advice) -> String {
    let code = if advice.code.is_empty() { "any" } else { advice.code };
    match advice.says {
        "" => code.to_owned(),
        says => format!("{code} with \"{says}\""),
    }
}

/// Text that stays text in Markdown; what stands between backticks stays code.
fn markdown(text: &str) -> String {
    let special = |c: char| matches!(c, '*' | '<' | '[');
    let mut is_code = false;
    let mut marked = String::new();
    for c in text.chars() {
        is_code ^= c == '`';
        if special(c) && !is_code {
            marked.push('\\');
        }
        marked.push(c);
    }
    marked
}

/// The same in a cell of a table.
fn cell(text: &str) -> String {
    markdown(text).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect_file;

    #[test]
    fn an_example_is_the_default_where_the_explanation_names_one() {
        for (kind, name, expected) in [
            ("aliyun_sms", "param_chars_max", "20"),
            ("tencent_sms", "param_chars_max", "6"),
            ("tencent_sms", "region", "\"ap-guangzhou\""),
            ("dingtalk", "endpoint", "\"https://oapi.dingtalk.com/robot/send\""),
            ("dingtalk", "message_uuid", "false"),
            ("dingtalk", "keyword", "\"...\""),
            ("serverchan", "endpoint", "\"https://...\""),
            ("command", "timeout", "\"10s\""),
            ("email", "tls", "\"...\""),
            ("telegram", "thread", "1"),
        ] {
            let spec = callout_channels::find(kind).unwrap().spec;
            let field = spec.fields.iter().find(|field| field.name == name).unwrap();
            assert_eq!(example(spec, field), expected, "{kind}.{name}");
        }
    }

    #[test]
    fn the_reference_of_the_channels_is_fresh() {
        expect_file!["../../../docs/reference/channels.md"].assert_eq(&page());
    }

    #[test]
    fn code_in_a_text_stays_code() {
        assert_eq!(markdown("set `a*b<c>` or *"), "set `a*b<c>` or \\*");
        assert_eq!(cell("`x` [a|b"), "`x` \\[a\\|b");
    }

    #[test]
    fn both_readmes_list_every_kind() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for name in ["README.md", "README.zh.md"] {
            let text = std::fs::read_to_string(root.join(name)).unwrap();
            let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
            let listed: Vec<&str> = rows.map(|(kind, _)| kind).collect();
            assert_eq!(listed, callout_channels::kinds().collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn every_kind_has_a_section_whose_example_is_a_configuration() {
        for row in REGISTRY {
            let text = section(row.spec);
            let (_, rest) = text.split_once("```toml\n").unwrap();
            let (toml, _) = rest.split_once("```").unwrap();
            let on = toml.replace("\n# ", "\n");
            for text in [toml, &on] {
                let table: toml::Table = text.parse().unwrap_or_else(|e| panic!("{e}:\n{text}"));
                let channel = &table["channels"][&format!("my-{}", row.spec.kind)];
                assert_eq!(channel["kind"].as_str(), Some(row.spec.kind));
            }
        }
    }
}
