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
    let template = template();
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
        let known = expected.iter().any(|text| error.problem.contains(text));
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
