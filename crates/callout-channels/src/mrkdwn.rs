//! Slack's own markup, made from Markdown.
//!
//! Everything is escaped on the way, so the only angle brackets in the result are those of web links
//! written here: nothing in a message can mention anybody.

use crate::fit::{self, Fence};

/// Escapes the three characters that mean something to Slack.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Turns Markdown into mrkdwn: bold, italic, strike, headings, lists, quotes, code, links, addresses.
pub(crate) fn convert(markdown: &str) -> String {
    let mut fence = Fence::default();
    let lines = markdown
        .lines()
        .map(|line| if fence.takes(line) { escape(line) } else { convert_line(line) });
    lines.collect::<Vec<_>>().join("\n")
}

fn convert_line(line: &str) -> String {
    let text = line.trim_start();
    let indent = " ".repeat(line.len() - text.len());
    let hashes = text.chars().take_while(|c| *c == '#').count();
    if let Some(heading) = text.get(hashes..).filter(|_| (1..=6).contains(&hashes))
        && let Some(heading) = heading.strip_prefix(' ')
    {
        let heading = heading.trim().trim_end_matches('#').replace("**", "").replace("__", "");
        return format!("*{}*", inline(heading.trim()));
    }
    if let Some(quoted) = text.strip_prefix('>') {
        return format!(">{}", inline(quoted));
    }
    let item = ["- ", "* ", "+ "].iter().find_map(|mark| text.strip_prefix(mark));
    match item {
        Some(item) => format!("{indent}• {}", inline(item)),
        None => indent + &inline(text),
    }
}

fn inline(text: &str) -> String {
    let (mut done, mut rest) = (String::with_capacity(text.len()), text);
    while !rest.is_empty() {
        let (made, tail) = code(rest)
            .or_else(|| link(rest))
            .or_else(|| pair(rest, "**", "*"))
            .or_else(|| pair(rest, "__", "*"))
            .or_else(|| pair(rest, "~~", "~"))
            .or_else(|| pair(rest, "*", "_"))
            .or_else(|| address(rest, &done))
            .unwrap_or_else(|| one_char(rest));
        done += &made;
        rest = tail;
    }
    done
}

fn one_char(text: &str) -> (String, &str) {
    let mut rest = text.chars();
    let first = rest.next().map(|c| escape(c.encode_utf8(&mut [0; 4]))).unwrap_or_default();
    (first, rest.as_str())
}

fn code(text: &str) -> Option<(String, &str)> {
    let (code, tail) = text.strip_prefix('`')?.split_once('`')?;
    Some((format!("`{}`", escape(code)), tail))
}

/// Text between two equal marks. One level only; what is inside is not looked at again.
fn pair<'a>(text: &'a str, mark: &str, slack: &str) -> Option<(String, &'a str)> {
    let (inside, tail) = text.strip_prefix(mark)?.split_once(mark)?;
    let tight = !inside.is_empty() && inside.trim() == inside && !inside.contains('`');
    tight.then(|| (format!("{slack}{}{slack}", escape(inside)), tail))
}

fn link(text: &str) -> Option<(String, &str)> {
    let (label, tail) =
        text.strip_prefix('!').unwrap_or(text).strip_prefix('[')?.split_once("](")?;
    let (url, tail) = tail.split_once(')')?;
    if label.contains(['[', ']']) || !is_web(url) || url.contains(char::is_whitespace) {
        return None;
    }
    Some((link_to(url, label), tail))
}

/// A bare address at the beginning of a word.
fn address<'a>(text: &'a str, before: &str) -> Option<(String, &'a str)> {
    if !is_web(text) || before.ends_with(char::is_alphanumeric) {
        return None;
    }
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | ')' | '"' | '`'));
    let (url, _) = text.split_at_checked(end.unwrap_or(text.len()))?;
    let url = url.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_', '~']);
    Some((link_to(url, ""), text.get(url.len()..)?))
}

fn is_web(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '['))
}

/// A link to a web address; without a label it shows the address.
pub(crate) fn link_to(url: &str, label: &str) -> String {
    let url = escape(&fit::link_target(url));
    let label = escape(&label.replace('|', "/"));
    if label.is_empty() { format!("<{url}>") } else { format!("<{url}|{label}>") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_mrkdwn_and_nothing_mentions() {
        for (markdown, mrkdwn) in [
            ("**bold** and *it* and ~~no~~", "*bold* and _it_ and ~no~"),
            ("## Head **x**", "*Head x*"),
            ("- a\n  * b", "• a\n  • b"),
            ("> said <!here>", "> said &lt;!here&gt;"),
            ("[x|y](https://e.org/a?b=1&c=2)", "<https://e.org/a?b=1&amp;c=2|x/y>"),
            ("![pic](http://e.org/p.png)", "<http://e.org/p.png|pic>"),
            ("[x](javascript:alert)", "[x](javascript:alert)"),
            ("[<!channel>](https://e.org/>|x)", "<https://e.org/%3E%7Cx|&lt;!channel&gt;>"),
            ("see https://e.org/a.", "see <https://e.org/a>."),
            ("`a<b` **", "`a&lt;b` **"),
            ("```\n**a** <@U1>\n```\n**b**", "```\n**a** &lt;@U1&gt;\n```\n*b*"),
            (
                "<!channel> <@U1> <https://evil|x>",
                "&lt;!channel&gt; &lt;@U1&gt; &lt;<https://evil%7Cx>&gt;",
            ),
        ] {
            assert_eq!(convert(markdown), mrkdwn, "{markdown}");
        }
    }
}
