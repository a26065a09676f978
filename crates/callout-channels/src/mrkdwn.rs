//! The markups of chat programs that are not Markdown, made from Markdown.
//!
//! Everything is escaped on the way, so the only marks in the result are those written here: nothing in
//! a message can mention anybody or open a tag. One scanner serves Slack's mrkdwn and the HTML of Telegram and of mail.

use crate::fit::{self, Fence};

/// How one markup writes what the scanner finds. Pairs are what stands before and behind.
struct Marks {
    escape: fn(&str) -> String,
    bold: (&'static str, &'static str),
    italic: (&'static str, &'static str),
    strike: (&'static str, &'static str),
    code: (&'static str, &'static str),
    /// What begins a quoted line.
    quote: &'static str,
    link: fn(&str, &str) -> String,
    /// Fenced code, from its lines, the fences included.
    fenced: fn(&[&str]) -> String,
}

static SLACK: Marks = Marks {
    escape,
    bold: ("*", "*"),
    italic: ("_", "_"),
    strike: ("~", "~"),
    code: ("`", "`"),
    quote: ">",
    link: link_to,
    fenced: |lines| escape(&lines.join("\n")),
};

static TELEGRAM: Marks = Marks {
    escape,
    bold: ("<b>", "</b>"),
    italic: ("<i>", "</i>"),
    strike: ("<s>", "</s>"),
    code: ("<code>", "</code>"),
    quote: "┃",
    link: anchor,
    fenced: |lines| {
        let code = lines.get(1..lines.len().saturating_sub(1)).unwrap_or_default();
        if code.is_empty() {
            String::new()
        } else {
            format!("<pre>{}</pre>", escape(&code.join("\n")))
        }
    },
};

/// Escapes the three characters that mean something to Slack, and to Telegram outside of attributes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Turns Markdown into mrkdwn: bold, italic, strike, headings, lists, quotes, code, links, addresses.
pub(crate) fn convert(markdown: &str) -> String {
    SLACK.convert(markdown)
}

/// Turns Markdown whose fences are closed into the HTML that Telegram knows, as [`convert`] does.
pub(crate) fn telegram_html(markdown: &str) -> String {
    TELEGRAM.convert(markdown)
}

/// Turns one line of Markdown that is no fenced code into HTML with the same few tags.
pub(crate) fn html_line(line: &str) -> String {
    TELEGRAM.line(line)
}

impl Marks {
    fn convert(&self, markdown: &str) -> String {
        let mut fence = Fence::default();
        let (mut done, mut code) = (Vec::new(), Vec::new());
        for line in markdown.lines() {
            let fenced = fence.takes(line);
            if fenced {
                code.push(line);
            }
            if !fence.is_open() && !code.is_empty() {
                done.push((self.fenced)(&std::mem::take(&mut code)));
            }
            if !fenced {
                done.push(self.line(line));
            }
        }
        if !code.is_empty() {
            done.push((self.fenced)(&code));
        }
        done.join("\n")
    }

    fn line(&self, line: &str) -> String {
        let text = line.trim_start();
        let indent = " ".repeat(line.len() - text.len());
        let hashes = text.chars().take_while(|c| *c == '#').count();
        if let Some(heading) = text.get(hashes..).filter(|_| (1..=6).contains(&hashes))
            && let Some(heading) = heading.strip_prefix(' ')
        {
            let heading = heading.trim().trim_end_matches('#').replace("**", "").replace("__", "");
            return between(self.bold, &self.inline(heading.trim()));
        }
        if let Some(quoted) = text.strip_prefix('>') {
            return format!("{}{}", self.quote, self.inline(quoted));
        }
        let item = ["- ", "* ", "+ "].iter().find_map(|mark| text.strip_prefix(mark));
        match item {
            Some(item) => format!("{indent}• {}", self.inline(item)),
            None => indent + &self.inline(text),
        }
    }

    fn inline(&self, text: &str) -> String {
        let (mut done, mut rest) = (String::with_capacity(text.len()), text);
        while !rest.is_empty() {
            let (made, tail) = self
                .code(rest)
                .or_else(|| self.link(rest))
                .or_else(|| self.pair(rest, "**", self.bold))
                .or_else(|| self.pair(rest, "__", self.bold))
                .or_else(|| self.pair(rest, "~~", self.strike))
                .or_else(|| self.pair(rest, "*", self.italic))
                .or_else(|| self.address(rest, &done))
                .unwrap_or_else(|| self.prose(rest));
            done += &made;
            rest = tail;
        }
        done
    }

    /// At least one character, and all behind it up to where something else could begin.
    fn prose<'a>(&self, text: &'a str) -> (String, &'a str) {
        let first = text.chars().next().map_or(0, char::len_utf8);
        let rest = text.get(first..).unwrap_or_default().as_bytes();
        let begins = |byte: &u8| matches!(byte, b'`' | b'!' | b'[' | b'*' | b'_' | b'~' | b'h');
        let end = rest.iter().position(begins).map_or(text.len(), |at| first + at);
        let (prose, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        ((self.escape)(prose), rest)
    }

    fn code<'a>(&self, text: &'a str) -> Option<(String, &'a str)> {
        let (code, tail) = text.strip_prefix('`')?.split_once('`')?;
        Some((between(self.code, &(self.escape)(code)), tail))
    }

    /// Text between two equal marks. One level only; what is inside is not looked at again.
    fn pair<'a>(&self, text: &'a str, mark: &str, made: (&str, &str)) -> Option<(String, &'a str)> {
        let (inside, tail) = text.strip_prefix(mark)?.split_once(mark)?;
        let tight = !inside.is_empty() && inside.trim() == inside && !inside.contains('`');
        tight.then(|| (between(made, &(self.escape)(inside)), tail))
    }

    fn link<'a>(&self, text: &'a str) -> Option<(String, &'a str)> {
        let text = text.strip_prefix('!').unwrap_or(text).strip_prefix('[')?;
        let (label, tail) = text.split_at_checked(text.find(['[', ']'])?)?;
        let tail = tail.strip_prefix("](").filter(|url| is_web(url))?;
        let end = tail.find(|c: char| c == ')' || c.is_whitespace())?;
        let (url, tail) = tail.split_at_checked(end)?;
        Some(((self.link)(url, label), tail.strip_prefix(')')?))
    }

    /// A bare address at the beginning of a word.
    fn address<'a>(&self, text: &'a str, before: &str) -> Option<(String, &'a str)> {
        if !is_web(text) || before.ends_with(char::is_alphanumeric) {
            return None;
        }
        let end =
            text.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | ')' | '"' | '`'));
        let (url, _) = text.split_at_checked(end.unwrap_or(text.len()))?;
        let url = url.trim_end_matches(['.', ',', ';', ':', '!', '?', '*', '_', '~']);
        Some(((self.link)(url, ""), text.get(url.len()..)?))
    }
}

fn between((before, behind): (&str, &str), text: &str) -> String {
    format!("{before}{text}{behind}")
}

fn is_web(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric() || c == '['))
}

/// Slack's link to a web address; without a label it shows the address.
pub(crate) fn link_to(url: &str, label: &str) -> String {
    let url = escape(&fit::link_target(url));
    let label = escape(&label.replace('|', "/"));
    if label.is_empty() { format!("<{url}>") } else { format!("<{url}|{label}>") }
}

/// Telegram's link to an address; without a label it shows the address.
pub(crate) fn anchor(url: &str, label: &str) -> String {
    let url = escape(&fit::link_target(url)).replace('"', "&quot;");
    let label = escape(label);
    let label = if label.is_empty() { &url } else { &label };
    format!("<a href=\"{url}\">{label}</a>")
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

    #[test]
    fn markdown_becomes_the_html_of_telegram_and_opens_no_tag() {
        for (markdown, html) in [
            ("**bold** and *it* and ~~no~~", "<b>bold</b> and <i>it</i> and <s>no</s>"),
            ("## Head **x** & y", "<b>Head x &amp; y</b>"),
            ("- a\n  * b", "• a\n  • b"),
            ("> said <b>", "┃ said &lt;b&gt;"),
            ("[x|y](https://e.org/a?b=1&c=2)", "<a href=\"https://e.org/a?b=1&amp;c=2\">x|y</a>"),
            ("[x](tg://user?id=1)", "[x](tg://user?id=1)"),
            ("[x](https://e.org/\"><b>)", "<a href=\"https://e.org/%22%3E%3Cb%3E\">x</a>"),
            ("see https://e.org/a.", "see <a href=\"https://e.org/a\">https://e.org/a</a>."),
            ("`a<b` **", "<code>a&lt;b</code> **"),
            (
                "a\n```sh\n**a** </pre>\n\nb\n```\n**b**",
                "a\n<pre>**a** &lt;/pre&gt;\n\nb</pre>\n<b>b</b>",
            ),
            ("```\n```\nx", "\nx"),
            ("<a href=\"tg://user?id=1\">x</a>", "&lt;a href=\"tg://user?id=1\"&gt;x&lt;/a&gt;"),
        ] {
            assert_eq!(telegram_html(markdown), html, "{markdown}");
        }
    }
}
