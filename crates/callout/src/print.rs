//! The only place that prints: data to standard output, talk to standard error.
//!
//! Colours go away by themselves where nobody could see them or `NO_COLOR` asks for it. When nobody
//! reads the output any more, as in `callout list | head`, the program ends without a word.

use anstyle::{AnsiColor, Style};
use callout_channels::harmless_text;
use callout_core::time::Timestamp;
use comfy_table::{Cell, Table, TableStyle};
use jiff::tz::TimeZone;
use std::fmt::Display;
#[cfg(not(test))]
use std::io::Write as _;
use std::io::{BufRead as _, IsTerminal as _};

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();

/// Prints one line of data.
pub fn out(line: impl Display) {
    out_raw(&format!("{line}\n"));
}

/// Prints data as it is.
pub fn out_raw(text: &str) {
    #[cfg(test)]
    return test::CAPTURED.with_borrow_mut(|captured| captured.out.push_str(text));
    #[cfg(not(test))]
    {
        let mut stream = anstream::stdout();
        match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(problem) => {
                error(format_args!("the answer cannot be written: {problem}"));
                std::process::exit(i32::from(crate::command::FAILED));
            }
        }
    }
}

/// Prints one line of talk.
pub fn talk(line: impl Display) {
    talk_raw(&format!("{line}\n"));
}

/// Prints talk as it is.
pub fn talk_raw(text: &str) {
    #[cfg(test)]
    return test::CAPTURED.with_borrow_mut(|captured| captured.talk.push_str(text));
    #[cfg(not(test))]
    {
        // There is nowhere left to say that saying it failed.
        _ = anstream::stderr().write_all(text.as_bytes());
    }
}

/// Prints an error.
pub fn error(text: impl Display) {
    talk(format_args!("{RED}error:{RED:#} {text}"));
}

/// Prints a warning.
pub fn warning(text: impl Display) {
    talk(format_args!("{YELLOW}warning:{YELLOW:#} {text}"));
}

/// Prints a JSON document.
pub fn json(value: &serde_json::Value) {
    out(format_args!("{value:#}"));
}

/// Prints a table.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(header.iter().map(Cell::new));
    for row in rows {
        table.add_row(row.iter().map(|text| Cell::new(clean(text))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for line in table.lines() {
        out(line.trim_end());
    }
}

/// Somebody else's text without what could steer a terminal, or show it in another order than it has.
pub fn clean(text: &str) -> String {
    let visible = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    let text: String = text.chars().map(visible).collect();
    text.split('\n').map(harmless_text).collect::<Vec<_>>().join("\n")
}

/// Somebody else's text on one line, cut to `most` characters.
pub fn line(text: &str, most: usize) -> String {
    let text = clean(text).replace('\n', "\u{fffd}");
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// What a person says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Yes,
    /// Anything else.
    No,
    /// There is nobody to ask.
    Nobody,
}

/// Asks the person at the terminal.
pub fn ask(question: &str) -> Answer {
    let stdin = std::io::stdin();
    if cfg!(test) || !stdin.is_terminal() {
        return Answer::Nobody;
    }
    talk_raw(&format!("{question} [y/N] "));
    let mut line = String::new();
    match stdin.lock().read_line(&mut line) {
        Ok(_) if matches!(line.trim(), "y" | "Y" | "yes") => Answer::Yes,
        Ok(_) | Err(_) => Answer::No,
    }
}

/// Where the person is.
pub fn zone() -> TimeZone {
    if cfg!(test) { TimeZone::UTC } else { TimeZone::system() }
}

/// An instant for people: `2026-11-22 05:40:12 CET`.
pub fn local(at: Timestamp) -> String {
    local_in(at, &zone())
}

/// An instant for people in a time zone.
pub fn local_in(at: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_millisecond(at.unix_ms()) {
        Ok(instant) => instant.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
        Err(_) => format!("{} ms after 1970", at.unix_ms()),
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod test {
    use std::cell::RefCell;

    #[derive(Default)]
    pub(crate) struct Captured {
        pub(crate) out: String,
        pub(crate) talk: String,
    }

    thread_local! {
        pub(crate) static CAPTURED: RefCell<Captured> = RefCell::default();
    }

    /// Runs the program and returns its exit code and what it printed, without colours.
    pub(crate) fn run(arguments: &[&str]) -> (u8, String, String) {
        CAPTURED.take();
        let code = crate::run(std::iter::once("callout").chain(arguments.iter().copied()));
        let Captured { out, talk } = CAPTURED.take();
        let plain = |text: String| anstream::adapter::strip_str(&text).to_string();
        (code, plain(out), plain(talk))
    }
}
