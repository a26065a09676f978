//! A request as a command for curl, which any POSIX shell reads as it is meant.

use crate::print;
use callout_channels::preview::{Body, Part, Shown};
use serde_json::Value;
use std::fmt::Write as _;

/// The command. It sends what is shown: whoever runs it puts credentials in place of `***`.
pub(super) fn command(shown: &Shown) -> String {
    // An address may contain what curl takes for a pattern.
    let mut lines = vec![format!("curl -gsS -X {} {}", shown.method, quote(&shown.url))];
    let form = matches!(shown.body, Body::Multipart(_));
    for (name, value) in &shown.headers {
        // curl draws the boundary of a multipart body itself.
        if !(form && name == "content-type") {
            lines.push(format!("-H {}", quote(&header(name, value))));
        }
    }
    if !form && shown.headers.iter().all(|(name, _)| name != "content-type") {
        // curl would say that it is a form.
        lines.push("-H 'content-type:'".to_owned());
    }
    match &shown.body {
        Body::Empty => {}
        Body::Json(json) => lines.push(data(&ascii_marks(json))),
        Body::Form(raw, _) => lines.push(data(raw)),
        Body::Multipart(parts) => lines.extend(parts.iter().map(part)),
        Body::Text(text) => lines.push(data(text)),
        Body::Binary => lines.push("--data-binary @BODY".to_owned()),
    }
    lines.join(" \\\n  ")
}

/// An empty header is sent only with a semicolon.
fn header(name: &str, value: &str) -> String {
    if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") }
}

/// Unlike `--data`, this reads no file for a body that begins with an `@`.
fn data(body: &str) -> String {
    format!("--data-raw {}", quote(body))
}

fn part(part: &Part) -> String {
    let Some(file) = &part.file else {
        return format!("--form-string {}", quote(&format!("{}={}", part.name, part.text)));
    };
    let quoted = file.replace('\\', "\\\\").replace('"', "\\\"");
    let kind = part.content_type.as_ref().map(|kind| format!(";type={kind}")).unwrap_or_default();
    format!("-F {}", quote(&format!("{}=@\"{quoted}\"{kind}", part.name)))
}

/// JSON in which what could steer a terminal, or hide on it, is written as an escape.
fn ascii_marks(json: &Value) -> String {
    let mut text = String::new();
    for c in json.to_string().chars() {
        if is_harmless(c) {
            text.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// One word of a POSIX shell, harmless on a terminal.
fn quote(text: &str) -> String {
    let clean = |c| if is_harmless(c) { c } else { '\u{fffd}' };
    let clean: String = text.chars().map(clean).collect();
    format!("'{}'", clean.replace('\'', "'\\''"))
}

fn is_harmless(c: char) -> bool {
    // White space at the end of a line would be trimmed.
    let alone = format!("x{c}x");
    matches!(c, '\n' | '\t') || print::clean(&alone) == alone
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::process::Command;

    fn shown(headers: &[(&str, &str)], body: Body) -> Shown {
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Shown {
            method: "POST",
            url: "https://example.com/a[1]?x=***&y='$HOME'".to_owned(),
            headers: headers.iter().map(header).collect(),
            body,
            body_bytes: 1,
            login: false,
            follow_up: false,
        }
    }

    /// What curl is called with, as a shell reads the command.
    fn arguments(shown: &Shown) -> Vec<String> {
        let script = format!("curl() {{ printf '%s\\0' \"$@\"; }}\n{}\n", command(shown));
        let ran = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
        let text = String::from_utf8(ran.stdout).unwrap();
        text.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect()
    }

    #[test]
    fn a_shell_reads_what_was_meant_quotes_and_lines_included() {
        let hostile = "it's \"$(id)\" `id` \\ !! $HOME\n\t磁盘  🔥 \n 'EOF'\nEOF\n";
        let json = json!({ "text": hostile, "at": "@all" });
        let request = shown(
            &[("content-type", "application/json"), ("title", "it's $HOME"), ("empty", "")],
            Body::Json(json.clone()),
        );
        let found = arguments(&request);
        assert_eq!(
            &found[..10],
            [
                "-gsS",
                "-X",
                "POST",
                "https://example.com/a[1]?x=***&y='$HOME'",
                "-H",
                "content-type: application/json",
                "-H",
                "title: it's $HOME",
                "-H",
                "empty;",
            ]
        );
        assert_eq!(found[10], "--data-raw");
        assert_eq!(serde_json::from_str::<Value>(&found[11]).unwrap(), json);

        let found = arguments(&shown(&[], Body::Text(hostile.to_owned())));
        assert_eq!(&found[4..], ["-H", "content-type:", "--data-raw", hostile]);
    }

    #[test]
    fn json_stays_the_same_although_nothing_in_it_steers_a_terminal() {
        let json = json!({ "text": "a\u{202e}b\u{1b}[31m\u{7f}\u{9b}" });
        let written =
            command(&shown(&[("content-type", "application/json")], Body::Json(json.clone())));
        assert!(!written.contains(['\u{202e}', '\u{1b}', '\u{7f}', '\u{9b}']), "{written:?}");
        let found = arguments(&shown(&[], Body::Json(json.clone())));
        assert_eq!(serde_json::from_str::<Value>(found.last().unwrap()).unwrap(), json);
    }

    #[test]
    fn files_are_named_and_other_parts_written_out() {
        let part = |name: &str, file: Option<&str>, text: &str| Part {
            name: name.to_owned(),
            file: file.map(str::to_owned),
            content_type: file.map(|_| "text/plain".to_owned()),
            text: text.to_owned(),
            bytes: 1,
        };
        let parts = vec![part("payload", None, "@it's"), part("media", Some("d\"f.txt"), "")];
        let headers = [("content-type", "multipart/form-data; boundary=b")];
        let found = arguments(&shown(&headers, Body::Multipart(parts)));
        assert_eq!(
            &found[4..],
            ["--form-string", "payload=@it's", "-F", "media=@\"d\\\"f.txt\";type=text/plain"]
        );
    }
}
