use super::*;
use crate::config;

/// Every line that shows a default or an example, without its comment sign.
fn uncommented() -> String {
    let is_setting = |line: &str| {
        line.starts_with('[')
            || line.split_once(" = ").is_some_and(|(key, _)| {
                key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !key.is_empty()
            })
    };
    let all: Vec<&Spec> = callout_channels::REGISTRY.iter().map(|row| row.spec).collect();
    let template = template(&all);
    let lines = template.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting) if is_setting(setting) => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_commented_line_is_a_setting_the_program_knows() {
    let folder = tempfile::tempdir().unwrap();
    let text = uncommented();
    write_private(&folder.path().join("callout.toml"), &text).unwrap();
    let key = "0123456789abcdef0123456789abcdef";
    write_private(&folder.path().join("ack.key"), key).unwrap();
    write_private(&folder.path().join("api.token"), key).unwrap();
    let config::ConfigErrors(errors) =
        config::load(&folder.path().join("callout.toml")).map(|_| ()).unwrap_err();
    for error in errors {
        // Examples are no real values; credentials, files and addresses are not there.
        let expected = ["environment variable", "roots.pem", "is no address"];
        let known = expected.iter().any(|text| error.problem.contains(text))
            || error.problem.starts_with("channels.my-")
                && ![" is a text", " is a list", " is a table", " is a whole number"]
                    .iter()
                    .any(|mistyped| error.problem.ends_with(mistyped));
        assert!(known, "{error}");
    }
}

#[test]
fn every_kind_of_channel_has_its_section() {
    let text = uncommented();
    for registration in callout_channels::REGISTRY {
        assert!(text.contains(&format!("[channels.my-{}]", registration.spec.kind)));
    }
}

#[test]
fn only_the_kinds_that_were_asked_for_have_sections() {
    let none = template(&[]);
    assert!(!none.contains("my-") && none.contains("callout channels --kinds KIND"));
    let one = template(&[kind("webhook").unwrap()]);
    assert_eq!(one.matches("my-").count(), 1);
    assert!(one.contains("[channels.my-webhook]"));
    let said = kind("weebhook").unwrap_err();
    assert_eq!(said, "there is no such kind of channel; did you mean webhook?");
}

#[test]
fn people_are_written_down_for_kinds_that_can_mention_them() {
    let all: Vec<&Spec> = callout_channels::REGISTRY.iter().map(|row| row.spec).collect();
    let text = template(&all);
    for row in callout_channels::REGISTRY {
        let kind = row.spec.kind;
        let listed = text.contains(&format!("# {kind} = \"...\""));
        assert_eq!(listed, row.spec.mentions.contains("people") && kind != "wecom_app", "{kind}");
    }
    let mail = template(&[kind("email").unwrap()]);
    assert!(mail.contains("# slack = \"...\"") && !mail.contains("# email ="));
    assert!(template(&[kind("aliyun_sms").unwrap()]).contains("# param_chars_max = 20\n"));
}
