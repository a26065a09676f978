//! The letter as a page: tables and styles of its own, nothing from elsewhere.
//!
//! Mail programs know little of HTML, so there is little of it: no style sheet, no script, no image.
//! Images are links, for a picture that loads itself tells its server who reads.

use crate::fit::Fence;
use crate::mrkdwn;
use crate::render::{Ack, Story, by_command};
use callout_core::level::Level;
use callout_core::locale::Locale;

const FONT: &str =
    "font-family:-apple-system,'Segoe UI',Roboto,'PingFang SC','Microsoft YaHei',sans-serif;";
const CODE: &str = "font-family:Consolas,Menlo,monospace;font-size:13px;background:#f3f4f6;padding:8px 12px;white-space:pre-wrap;";
const LINE: &str = "margin:0 0 12px;font-size:15px;line-height:1.5;color:#1f2937;";

/// The page that says `story`.
pub(super) fn page(story: &Story, locale: Locale) -> String {
    let colour = colour(story.level);
    let (level, title) = (story.words.level(story.level), escaped(&story.title));
    let parts = [
        format!(
            "<p style=\"margin:0 0 4px;font-size:13px;font-weight:bold;color:{colour}\">{level}</p>"
        ),
        format!(
            "<h1 style=\"margin:0 0 12px;font-size:20px;line-height:1.3;color:#111827\">{title}</h1>"
        ),
        paragraph(&escaped(&story.note)),
        ack(story, colour),
        body(&story.body),
        facts(story),
        links(story),
        images(story),
        format!(
            "<p style=\"margin:16px 0 0;font-size:12px;color:#6b7280\">{}</p>",
            escaped(&story.foot())
        ),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n</head>\n\
         <body style=\"margin:0;padding:16px;background:#f3f4f6\">\n\
         <table role=\"presentation\" cellpadding=\"0\" cellspacing=\"0\" width=\"100%\" style=\"max-width:640px;margin:0 auto;background:#ffffff;border-top:6px solid {colour}\">\n\
         <tr><td style=\"padding:20px;{FONT}\">\n{}\n</td></tr>\n</table>\n</body>\n</html>\n",
        parts.join("\n"),
        lang = locale.pick("en", "zh-CN"),
    )
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Info => "#2563eb",
        Level::Warning => "#b45309",
        Level::Error => "#c2410c",
        Level::Critical => "#b91c1c",
    }
}

fn paragraph(html: &str) -> String {
    if html.is_empty() { String::new() } else { format!("<p style=\"{LINE}\">{html}</p>") }
}

fn ack(story: &Story, colour: &str) -> String {
    match &story.ack {
        Some(Ack::Link(url)) => paragraph(&button(url.expose(), story.words.acknowledge, colour)),
        Some(Ack::Command(command)) => paragraph(&escaped(&by_command(story.words, command))),
        None => String::new(),
    }
}

fn button(url: &str, text: &str, colour: &str) -> String {
    format!(
        "<a href=\"{}\" style=\"display:inline-block;padding:10px 18px;border-radius:4px;background:{colour};color:#ffffff;font-size:15px;text-decoration:none\">{}</a>",
        escaped(url),
        escaped(text)
    )
}

/// The body line by line, its marks as HTML, code in a box.
fn body(text: &str) -> String {
    let (mut done, mut prose, mut code) = (Vec::new(), Vec::new(), Vec::new());
    let mut fence = Fence::default();
    for line in text.lines() {
        if fence.takes(line) {
            done.extend(take(&mut prose, as_prose));
            code.push(line);
        } else {
            done.extend(take(&mut code, as_code));
            prose.push(line);
        }
    }
    done.extend(take(&mut prose, as_prose));
    done.extend(take(&mut code, as_code));
    done.join("\n")
}

/// What `lines` become, if there are any; then there are none.
fn take(lines: &mut Vec<&str>, make: fn(&[&str]) -> String) -> Option<String> {
    let html = (!lines.is_empty()).then(|| make(lines));
    lines.clear();
    html
}

fn as_prose(lines: &[&str]) -> String {
    let text = lines.join("\n");
    let lines = text.trim_matches('\n').lines().map(|line| {
        let text = line.trim_start();
        "&nbsp;".repeat(line.len() - text.len()) + &mrkdwn::html_line(text)
    });
    paragraph(&lines.collect::<Vec<_>>().join("<br>\n"))
}

/// The first and the last line are the fences.
fn as_code(lines: &[&str]) -> String {
    let inner = lines.get(1..lines.len().saturating_sub(1)).unwrap_or_default();
    format!("<pre style=\"margin:0 0 12px;{CODE}\">{}</pre>", escaped(&inner.join("\n")))
}

fn facts(story: &Story) -> String {
    if story.facts.is_empty() {
        return String::new();
    }
    let cell = "padding:4px 16px 4px 0;font-size:14px;vertical-align:top";
    let row = |(name, value): &(String, String)| {
        format!(
            "<tr><td style=\"{cell};color:#6b7280\">{}</td><td style=\"{cell};color:#1f2937\">{}</td></tr>",
            escaped(name),
            escaped(value)
        )
    };
    let rows: Vec<String> = story.facts.iter().map(row).collect();
    format!(
        "<table cellpadding=\"0\" cellspacing=\"0\" style=\"margin:0 0 12px;border-collapse:collapse\">\n{}\n</table>",
        rows.join("\n")
    )
}

fn links(story: &Story) -> String {
    let links = story.links.iter().map(|link| button(&link.url, &link.text, "#4b5563"));
    paragraph(&links.collect::<Vec<_>>().join("\n"))
}

fn images(story: &Story) -> String {
    let image = |url: &String| {
        let url = escaped(url);
        format!("{}{}<a href=\"{url}\">{url}</a>", story.words.image, story.words.colon)
    };
    paragraph(&story.images.iter().map(image).collect::<Vec<_>>().join("<br>\n"))
}

/// Text that can stand anywhere in HTML, between tags and inside quotes.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
