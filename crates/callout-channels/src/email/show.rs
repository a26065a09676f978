//! A letter for people to look at: decoded, each part with its type, files by name and size.
//!
//! It reads the bytes that are sent, so it shows what a mail program would make of them. Only what our own
//! letters hold is understood: UTF-8 everywhere, and parts inside parts.

use super::decoded;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Headers that say how the letter is packed, which is not to be seen once it is unpacked.
const PACKING: [&str; 3] = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"];

/// Shows a letter.
pub(super) fn letter(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let all = Part::of(&text);
    let seen = all.headers.iter().filter(|(name, _)| !PACKING.contains(name));
    let mut shown: String =
        seen.map(|(name, value)| format!("{name}: {}\n", words(value))).collect();
    all.show(&mut shown);
    shown
}

/// The letter, or a part of it.
struct Part<'a> {
    headers: Vec<(&'a str, String)>,
    body: &'a str,
}

impl<'a> Part<'a> {
    fn of(text: &'a str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut headers: Vec<(&str, String)> = Vec::new();
        for line in head.lines() {
            match (line.starts_with(' '), headers.last_mut()) {
                (true, Some((_, value))) => value.push_str(line),
                _ => {
                    headers.extend(line.split_once(": ").map(|(name, value)| (name, value.into())))
                }
            }
        }
        Self { headers, body }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    fn show(&self, shown: &mut String) {
        let kind = self.header("Content-Type");
        if let Some((_, boundary)) = kind.split_once("boundary=") {
            let line = format!("--{}\n", boundary.trim_matches('"'));
            let end = format!("\n--{}--", boundary.trim_matches('"'));
            let inner = self.body.split_once(&end).map_or(self.body, |(inner, _)| inner);
            inner.split(&line).skip(1).for_each(|part| Part::of(part).show(shown));
            return;
        }
        let (bytes, disposition) = (self.bytes(), self.header("Content-Disposition"));
        *shown += &if disposition.is_empty() {
            let text = String::from_utf8_lossy(&bytes).replace('\r', "");
            format!("\n--- {kind}\n{}\n", text.trim_end())
        } else {
            let name = file_name(disposition).unwrap_or_default();
            format!("\n--- {kind}: {name}, {} bytes\n", bytes.len())
        };
    }

    fn bytes(&self) -> Vec<u8> {
        match self.header("Content-Transfer-Encoding") {
            "base64" => STANDARD.decode(self.body.replace('\n', "")).unwrap_or_default(),
            "quoted-printable" => unquoted(&self.body.replace("=\n", "")),
            _ => self.body.as_bytes().to_vec(),
        }
    }
}

/// What `=F0=9F` stands for.
fn unquoted(text: &str) -> Vec<u8> {
    let mut pieces = text.split('=');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (hex, rest) = piece.split_at_checked(2).unwrap_or(("", piece));
        bytes.extend(u8::from_str_radix(hex, 16).ok());
        bytes.extend(rest.as_bytes());
    }
    bytes
}

/// A header's value without encoded words; the space between two of them is none.
fn words(value: &str) -> String {
    let (mut shown, mut rest) = (String::new(), value);
    while let Some((before, tail)) = rest.split_once("=?utf-8?b?")
        && let Some((word, tail)) = tail.split_once("?=")
    {
        if shown.is_empty() || !before.trim().is_empty() {
            shown += before;
        }
        let bytes = STANDARD.decode(word).unwrap_or_default();
        shown += &String::from_utf8_lossy(&bytes);
        rest = tail;
    }
    shown + rest
}

/// The name of the file that a part is, whole or in pieces, quoted or encoded.
fn file_name(disposition: &str) -> Option<String> {
    let (_, mut rest) = disposition.split_once(';')?;
    let (mut name, mut encoded) = (String::new(), false);
    while let Some((key, tail)) = rest.split_once('=') {
        encoded |= key.ends_with('*');
        rest = if let Some(quoted) = tail.strip_prefix('"') {
            take_quoted(quoted, &mut name)
        } else {
            let (value, tail) = tail.split_once(';').unwrap_or((tail, ""));
            name.push_str(value);
            tail
        };
    }
    if encoded { decoded(name.strip_prefix("utf-8''")?).ok() } else { Some(name) }
}

/// Adds what stands before the closing quote to `name`; returns what stands behind it.
fn take_quoted<'a>(quoted: &'a str, name: &mut String) -> &'a str {
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => break,
            '\\' => name.extend(rest.next()),
            c => name.push(c),
        }
    }
    rest.as_str()
}
