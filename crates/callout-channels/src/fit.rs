//! Making text fit and making it harmless.
//!
//! Cutting happens on the source text, at the boundary of a character, before any escaping. Cleaning
//! removes what no alert needs: control characters, marks that reverse the direction of writing, and
//! in single lines whatever cannot be seen. Nothing here can fail, whatever the budget.

use std::cell::LazyCell;

/// What stands where a text was cut.
const MARKER: &str = "…";
/// Put between two characters it separates them without being seen.
const INVISIBLE: char = '\u{200b}';

/// Cuts `text` to at most `max` bytes: whole characters, then a marker where the budget has room for it.
pub(crate) fn bytes(text: &str, max: usize) -> String {
    if text.len() <= max { text.to_owned() } else { cut(text, max, MARKER.len(), char::len_utf8) }
}

/// Cuts `text` to at most `max` UTF-16 code units, which is at least as many as characters.
pub fn utf16(text: &str, max: usize) -> String {
    let fits = text.len() <= max || utf16_len(text) <= max;
    if fits { text.to_owned() } else { cut(text, max, 1, char::len_utf16) }
}

/// How many UTF-16 code units `text` has.
pub(crate) fn utf16_len(text: &str) -> usize {
    // One for the first byte of each character, and one more for those beyond 16 bits, which have four.
    let mut units = 0;
    for byte in text.as_bytes() {
        units += usize::from(byte & 0xc0 != 0x80) + usize::from(*byte >= 0xf0);
    }
    units
}

/// Cuts `text`, which has more than `max` of what `size` counts, as a marker has `marker`.
fn cut(text: &str, max: usize, marker: usize, size: fn(char) -> usize) -> String {
    let (room, marker) = max.checked_sub(marker).map_or((max, ""), |room| (room, MARKER));
    let mut used = 0;
    let over = text.char_indices().find(|(_, c)| {
        used += size(*c);
        used > room
    });
    let kept = over.and_then(|(at, _)| text.get(..at)).unwrap_or(text);
    kept.to_owned() + marker
}

/// Cuts Markdown to about `max` bytes, without half a link or address at the end, and closes a fence.
pub(crate) fn markdown(text: &str, max: usize) -> String {
    if text.len() <= max {
        return close_fence(text);
    }
    let kept = bytes(text, max);
    let kept = kept.strip_suffix(MARKER).unwrap_or(&kept);
    let in_word = text.get(kept.len()..).is_some_and(|rest| !rest.starts_with(char::is_whitespace));
    let kept = without_half_link(kept, in_word);
    let end = if kept.is_empty() { "" } else { MARKER };
    close_fence(&(kept.to_owned() + end))
}

/// Drops a link that was cut, and, if the cut was inside a word, an address that was cut.
fn without_half_link(text: &str, in_word: bool) -> &str {
    let link = text.rfind('[').filter(|at| {
        let tail = text.get(*at..).unwrap_or_default();
        !tail.contains('\n') && !tail.contains(')') && (tail.contains("](") || !tail.contains(']'))
    });
    let word = text.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let address = text.get(word..).filter(|word| in_word && !word.ends_with(')'));
    let address = address.and_then(|tail| tail.find("http")).map(|at| word + at);
    match link.into_iter().chain(address).min() {
        Some(at) => text.get(..at).unwrap_or(text).trim_end_matches('!'),
        None => text,
    }
}

/// Whether a line of Markdown is inside fenced code, line by line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fence<'a> {
    open: Option<&'a str>,
}

impl<'a> Fence<'a> {
    /// Whether the next line would be fenced code.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the next line; returns whether it belongs to fenced code, fences included.
    pub(crate) fn takes(&mut self, line: &'a str) -> bool {
        let line = line.trim_start();
        let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'));
        let run = mark.map_or(0, |mark| line.chars().take_while(|c| *c == mark).count());
        let fence = line.get(..run).filter(|_| run >= 3);
        let was_open = self.open.is_some();
        self.open = match (self.open, fence) {
            (None, fence) => fence,
            (Some(begun), Some(fence)) if fence.starts_with(begun) => None,
            (begun, _) => begun,
        };
        was_open || self.open.is_some()
    }
}

/// The fence that is still open at the end of `text`, if there is one.
pub(crate) fn open_fence(text: &str) -> Option<&str> {
    let mut fence = Fence::default();
    for line in text.lines() {
        fence.takes(line);
    }
    fence.open
}

/// Closes a fence that `text` leaves open, so that what follows is no code.
pub(crate) fn close_fence(text: &str) -> String {
    match open_fence(text) {
        Some(fence) => format!("{text}\n{fence}"),
        None => text.to_owned(),
    }
}

/// One clean line: no line breaks, nothing invisible, no outer white space.
pub fn line(text: &str) -> String {
    if is_clean(text) {
        return text.trim().to_owned();
    }
    let spaced = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c });
    let seen = spaced.filter(|c| !is_harmful(*c) && !is_invisible(*c));
    seen.collect::<String>().trim().to_owned()
}

/// Whether [`line`] certainly leaves `text` as it is, which is seen at a glance and true of nearly all: visible
/// ASCII, Han and emoji, far from all that is harmful.
fn is_clean(text: &str) -> bool {
    let clean = |c| matches!(c, ' '..='~' | '\u{3001}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().all(clean)
}

/// Clean lines: only line feeds and tabs of the control characters, no reversing marks, no blank end.
pub fn text(text: &str) -> String {
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    unix.chars().filter(|c| !is_harmful(*c)).collect::<String>().trim_end().to_owned()
}

fn is_harmful(c: char) -> bool {
    let reverses = matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let no_character = matches!(c, '\u{fffe}' | '\u{ffff}');
    let control = c.is_control() && !matches!(c, '\n' | '\t');
    reverses || no_character || control || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Zero-width characters but the joiner, which holds emoji together.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{00ad}' | '\u{200b}' | '\u{200c}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Takes from `text` the power to mention anybody and to open a tag: an invisible character goes
/// behind an `@` that could begin a mention, and behind a `<` that could begin a tag.
///
/// Addresses such as `ops@example.com` stay as they are, and those of the web go on leading where they did:
/// there the `@` is percent-encoded.
pub(crate) fn quiet(text: &str) -> String {
    let opens = |next: char| next.is_ascii_alphabetic() || matches!(next, '@' | '/' | '!' | '#');
    quiet_with(text, opens)
}

/// As [`quiet`], but leaves code as it is, to be copied: only for providers whose text mentions nobody by
/// itself, for they may see the end of the code elsewhere.
pub(crate) fn quiet_prose(text: &str) -> String {
    let mut fence = Fence::default();
    let quiet_line = |line| {
        if fence.takes(line) { line.to_owned() } else { quiet_around_code(line) }
    };
    text.split('\n').map(quiet_line).collect::<Vec<_>>().join("\n")
}

/// One line, quiet but for what stands between two backticks.
fn quiet_around_code(line: &str) -> String {
    let (mut done, mut rest) = (String::with_capacity(line.len()), line);
    while let Some((prose, tail)) = rest.split_once('`')
        && let Some((code, tail)) = tail.split_once('`')
    {
        done += &format!("{}`{code}`", quiet(prose));
        rest = tail;
    }
    done + &quiet(rest)
}

/// As [`quiet`], but leaves tags alone: for text that will be escaped, or that knows no tags.
pub(crate) fn quiet_names(text: &str) -> String {
    quiet_with(text, |_| false)
}

fn quiet_with(text: &str, opens_tag: impl Fn(char) -> bool) -> String {
    if LOUD.iter().all(|c| !text.contains(*c)) {
        return text.to_owned();
    }
    let (mut quiet, mut done) = (String::with_capacity(text.len() + 16), 0);
    let mut begin = 0;
    for word in text.split_inclusive(ends_address) {
        let path = LazyCell::new(|| path_of_address(word));
        for (at, c) in word.match_indices(LOUD) {
            let after = begin + at + c.len();
            let (before, rest) = text.split_at_checked(begin + at).unwrap_or_default();
            let rest = rest.get(c.len()..).unwrap_or_default();
            let loud = match c {
                "<" => rest.starts_with(&opens_tag),
                _ => begins_mention(before.chars().next_back().unwrap_or(' '), rest),
            };
            if !loud {
                continue;
            }
            quiet += text.get(done..after).unwrap_or_default();
            if c == "@" && path.is_some_and(|path| at >= path) {
                quiet.pop();
                quiet += "%40";
            } else {
                quiet.push(INVISIBLE);
            }
            done = after;
        }
        begin += word.len();
    }
    quiet + text.get(done..).unwrap_or_default()
}

/// What mentions and tags begin with.
const LOUD: [char; 3] = ['@', '＠', '<'];

/// Whether an address in a text certainly ends before this character.
fn ends_address(c: char) -> bool {
    !c.is_ascii_graphic() || matches!(c, '<' | '>' | '"' | '`' | ')' | ']' | '|' | '\\')
}

/// Where in `word` what follows the host of a web address begins. From there on an `@` may as well be
/// percent-encoded, and the address still leads to the same place.
fn path_of_address(word: &str) -> Option<usize> {
    let scheme = word.find("http://").or_else(|| word.find("https://"))?;
    let host = scheme + word.get(scheme..)?.find("//")? + 2;
    Some(host + word.get(host..)?.find(['/', '?', '#'])?)
}

/// Digits in a row after an `@` that make a telephone number of it.
const MOBILE_DIGITS_MIN: usize = 5;

fn begins_mention(before: char, after: &str) -> bool {
    // Marks as well: what turns Markdown into another markup takes some of them away.
    let names = |c: char| c.is_alphanumeric() || "+_-.*~`[".contains(c);
    if !after.starts_with(names) {
        return false;
    }
    // An address of mail has ASCII before it; other writing knows no spaces.
    let digits = after.trim_start_matches('+').bytes().take_while(u8::is_ascii_digit).count();
    let all = after.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("all"));
    let longer = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let all = all && !after.get(3..).is_some_and(|rest| rest.starts_with(longer));
    let all = all || after.starts_with("所有人");
    !before.is_ascii_alphanumeric() || all || digits >= MOBILE_DIGITS_MIN
}

/// What would mark up a line, after the character it begins with, and the same without power.
const MARKS: [(char, &str, &str); 3] =
    [(']', "](", "]\u{200b}("), ('!', "![", "!\u{200b}["), ('*', "**", "*\u{200b}*")];

/// One line of text inside Markdown: quiet, and unable to become a link, an image, code, bold text or,
/// at its beginning, a heading, quote or list.
pub(crate) fn inline(text: &str) -> String {
    let mut inline = quiet(&line(text)).replace('`', "ˋ");
    for (begins, mark, apart) in MARKS {
        if inline.contains(begins) {
            inline = inline.replace(mark, apart);
        }
    }
    if inline.starts_with(['#', '>', '-', '*', '+', '|', '~', '=']) {
        inline.insert(0, INVISIBLE);
    }
    inline
}

/// Several lines as [`inline`] makes one: for plain text where a provider reads every text as Markdown.
pub(crate) fn flat(text: &str) -> String {
    text.lines().map(inline).collect::<Vec<_>>().join("\n")
}

/// An address that can stand in a Markdown link: what would end the link is percent-encoded.
pub(crate) fn link_target(url: &str) -> String {
    let ends = |byte: &u8| {
        matches!(
            byte,
            b' ' | b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'"' | b'`' | b'\\' | b'|' | b'*'
        )
    };
    if is_clean(url) && !url.as_bytes().iter().any(ends) {
        return url.to_owned();
    }
    let mut target = String::with_capacity(url.len());
    // What was made quiet stays so.
    for c in url.replace("@\u{200b}", "%40").chars() {
        match c {
            '(' | ')' | '<' | '>' | '[' | ']' | '"' | '`' | '\\' | '|' | '*' => {
                target.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c if c.is_whitespace() || is_harmful(c) || is_invisible(c) => {}
            c => target.push(c),
        }
    }
    target
}

/// One line of Markdown in which links stand for images, for providers that show none or stumble on them.
pub(crate) fn image_links(line: &str) -> String {
    line.replace("![](", "[🖼](").replace("![", "[")
}

/// Splits Markdown into at most `pieces_max` parts of at most `max` UTF-16 units, at line breaks where
/// possible; a fence that is open at the end of one part is closed there and opened again in the next.
pub(crate) fn split(text: &str, max: usize, pieces_max: usize) -> Vec<String> {
    let (mut pieces, mut rest) = (Vec::new(), text.to_owned());
    while !rest.is_empty() && pieces.len() < pieces_max {
        if utf16_len(&rest) <= max {
            pieces.push(close_fence(&rest));
            return pieces;
        }
        // Room for a fence to be closed.
        let end = split_at(&rest, max.saturating_sub(FENCE_UNITS));
        let (head, tail) = rest.split_at_checked(end).unwrap_or((&rest, ""));
        let again = open_fence(head).map_or(String::new(), |fence| format!("{fence}\n"));
        let next = again + tail.trim_start_matches('\n');
        pieces.push(close_fence(head.trim_end()));
        if next.len() >= rest.len() {
            return pieces; // A budget too small to make progress.
        }
        rest = next;
    }
    pieces
}

/// What closing a fence and opening it again may take.
const FENCE_UNITS: usize = 16;

fn split_at(text: &str, max: usize) -> usize {
    let mut units = 0;
    let fits = text.char_indices().take_while(|(_, c)| {
        units += c.len_utf16();
        units <= max
    });
    let end = fits.last().map_or(0, |(at, c)| at + c.len_utf8());
    let head = text.get(..end).unwrap_or_default();
    let breaks = [head.rfind('\n'), head.rfind(' ')];
    let found = breaks.into_iter().flatten().find(|at| *at > end / 2);
    found.map_or(end, |at| at + 1)
}

#[cfg(test)]
mod tests;
