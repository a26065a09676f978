//! What Callout itself says: to the operator about deliveries and alerts, and to those who were told of
//! an alert about what became of it. One table of phrases for each language, so that a message reads as one.

use super::Directory;
use crate::alert;
use crate::delivery::{Cause, Notice};
use crate::id::{MessageId, ReceiverName};
use crate::level::Level;
use crate::locale::Locale;
use crate::message::{LIST_MAX, Message, TITLE_BYTES_MAX};
use std::time::Duration;

/// Marks a message that Callout itself wrote; nothing is reported about these, or it would never end.
pub const EVENT_LABEL: &str = "callout.event";
/// Names the message that such a message is about.
const ABOUT_LABEL: &str = "callout.message";
/// The most labels of an alert that a report repeats.
const FACTS_MAX: usize = 8;
/// News of an alert are not worth delivering for longer.
const FOLLOW_UP_TTL: Duration = Duration::from_secs(3600);

/// What an operator is told about a delivery, as a message to the operator's receiver.
///
/// `None` without such a receiver, and about messages that are themselves such a report.
pub fn report(
    notice: Notice,
    directory: &Directory,
    about: &Message,
    id: MessageId,
    receiver: &ReceiverName,
    last_words: &str,
) -> Option<Message> {
    let operator = directory.operator.as_ref()?;
    if is_own(about) {
        return None;
    }
    let (event_name, level, english, chinese) = match notice {
        Notice::ChainFailed => (
            "chain_failed",
            Level::Warning,
            "no channel works yet, still trying",
            "所有通道暂时都无法送达，仍在重试",
        ),
        Notice::Dead(Cause::Rejected) => {
            ("dead", Level::Error, "every channel refused it", "所有通道均拒绝")
        }
        Notice::Dead(Cause::NoChannel) => {
            ("dead", Level::Error, "its receiver has no channel", "该接收人没有可用的通道")
        }
        Notice::Dead(Cause::Quarantined) => {
            ("quarantined", Level::Error, "the stored message is damaged", "存储的消息已损坏")
        }
        Notice::Dead(Cause::Poison) => {
            ("quarantined", Level::Error, "every try ended its worker", "每次尝试都使工作进程退出")
        }
        Notice::Expired => ("expired", Level::Error, "it was not accepted in time", "已过有效期"),
    };
    let locale = directory.locale;
    // The original title is somebody else's text: it goes into the body, cut by nobody but the channel.
    let title = locale.pick(
        format!("Callout: not delivered to {receiver}: {english}"),
        format!("Callout：{receiver} 未收到：{chinese}"),
    );
    let mut report = event(event_name, level, &title, id);
    let last = match last_words {
        "" => locale.pick("none", "无").to_owned(),
        words => plain(words),
    };
    let heading = heading(about, locale);
    report.body = locale.pick(
        format!("{heading}\n\nLast answer: {last}\n\nThe whole story: `callout why {id}`\n"),
        format!("{heading}\n\n最后一次返回：{last}\n\n完整经过：`callout why {id}`\n"),
    );
    report.to = vec![operator.to_string()];
    Some(report)
}

/// What an operator is told about an alert that nobody acknowledged, as a message to their receiver.
///
/// `None` without such a receiver.
pub fn exhausted(
    directory: &Directory,
    about: &Message,
    id: MessageId,
    told: &[ReceiverName],
) -> Option<Message> {
    let operator = directory.operator.as_ref()?;
    let locale = directory.locale;
    let title = locale.pick(
        "Callout: nobody acknowledged an alert, and nobody is left to tell",
        "Callout：告警无人确认，且没有其他人可以通知了",
    );
    let mut report = event("exhausted", about.level.max(Level::Error), title, id);
    let colon = locale.pick(": ", "：");
    let facts =
        about.labels.iter().map(|(name, value)| format!("{}{colon}{}", plain(name), plain(value)));
    let facts = facts.take(FACTS_MAX).collect::<Vec<_>>().join("\n");
    let told: Vec<&str> = told.iter().map(ReceiverName::as_str).collect();
    let reached = if told.is_empty() {
        locale.pick("Nobody could be reached.", "未能送达任何人。").to_owned()
    } else {
        locale.pick(
            format!("It reached {}.", told.join(", ")),
            format!("已送达 {}。", told.join("、")),
        )
    };
    let heading = heading(about, locale);
    let (take, story) = locale.pick(("Take it: ", "The whole story: "), ("接手：", "完整经过："));
    report.body = format!(
        "{heading}\n\n{facts}\n\n{reached}\n\n{take}`callout ack {id}`\n\n{story}`callout why {id}`\n"
    );
    report.to = vec![operator.to_string()];
    Some(report)
}

/// What an operator is told about a database that lacks what it once had, in the store's own words.
///
/// `None` without an operator's receiver.
pub fn lost(directory: &Directory, words: &str) -> Option<Message> {
    let operator = directory.operator.as_ref()?;
    let locale = directory.locale;
    let title =
        locale.pick("Callout: the database has lost something", "Callout：数据库丢失了部分内容");
    let mut report = Message::new(Level::Critical, title);
    report.labels.insert(EVENT_LABEL.to_owned(), "lost".to_owned());
    let advice = locale.pick(
        "Whoever sent something since then should send it again. If a backup was put back, that is all.",
        "请此后发送过消息的一方重新发送。如果是刚恢复了备份，则属正常现象。",
    );
    report.body = format!("{}\n\n{advice}\n", plain(words));
    report.to = vec![operator.to_string()];
    Some(report)
}

/// What those who were told of an alert hear when somebody has taken it, given it back or ended it.
///
/// `None` if this is switched off or nobody was told.
pub fn follow_up(
    directory: &Directory,
    about: &Message,
    id: MessageId,
    what: &alert::Event,
    by: &str,
    note: Option<&str>,
    told: &[ReceiverName],
) -> Option<Message> {
    let told: Vec<_> = told.iter().filter(|name| directory.hears_news(name)).collect();
    if !directory.follow_up || told.is_empty() {
        return None;
    }
    let by = plain(by);
    let (lead, words) = match directory.locale {
        Locale::English => in_english(what, &by),
        Locale::Chinese => in_chinese(what, &by),
    };
    // Which alert it is has to be seen where nothing but titles is: in lists, on lock screens.
    let left = TITLE_BYTES_MAX.saturating_sub(lead.len());
    let title = format!("{lead}{}", cut(&about.title, left));
    let mut news = event(what.name(), Level::Info, &title, id);
    let note = note.map(|note| format!("\n> {}\n", plain(note))).unwrap_or_default();
    news.body = format!("{}\n\n{words}\n{note}", heading(about, directory.locale));
    news.to = told.into_iter().take(LIST_MAX).map(ReceiverName::to_string).collect();
    news.ttl = Some(FOLLOW_UP_TTL);
    Some(news)
}

/// How the title begins, and the sentence of the body.
fn in_english(what: &alert::Event, by: &str) -> (String, String) {
    let (title, words) = match what {
        alert::Event::Acknowledged(_) => ("Acknowledged", "has it"),
        alert::Event::Resolved(_) => ("Resolved", "says that it is over"),
        alert::Event::Cancelled(_) => ("Cancelled", "called it off"),
        alert::Event::Unacknowledged => ("Open again", "gave it back"),
        alert::Event::Reopened => ("Open again", "opened it again"),
    };
    (format!("{title} by {by}: "), format!("{by} {words}."))
}

fn in_chinese(what: &alert::Event, by: &str) -> (String, String) {
    let (title, words) = match what {
        alert::Event::Acknowledged(_) => ("已确认", "已接手这条告警"),
        alert::Event::Resolved(_) => ("已解决", "表示问题已解决"),
        alert::Event::Cancelled(_) => ("已取消", "取消了这条告警"),
        alert::Event::Unacknowledged => ("已重新打开", "交还了这条告警"),
        alert::Event::Reopened => ("已重新打开", "重新打开了这条告警"),
    };
    let by = name_in_chinese(by);
    (format!("{by}{title}："), format!("{by}{words}。"))
}

/// A name as Chinese goes on behind it: `lin (Slack U1)` has wide brackets, and what ends in Latin letters
/// or digits a space.
fn name_in_chinese(by: &str) -> String {
    let bracketed = by.strip_suffix(')').and_then(|by| by.rsplit_once(" ("));
    let by = bracketed.map_or(by.to_owned(), |(name, more)| format!("{name}（{more}）"));
    let gap = if by.ends_with(|c: char| c.is_ascii_graphic()) { " " } else { "" };
    by + gap
}

/// At most `most` bytes of a text.
fn cut(text: &str, most: usize) -> String {
    const MARK: char = '…';
    if text.len() <= most {
        return text.to_owned();
    }
    let room = text.floor_char_boundary(most.saturating_sub(MARK.len_utf8()));
    text.get(..room).unwrap_or_default().chars().chain([MARK]).collect()
}

/// How an alert stands by what `message` says, for a message that is tied to one: its producer ended it,
/// or Callout tells what somebody did. `None` if it brings no news.
pub fn standing_by(message: &Message) -> Option<alert::Standing> {
    if message.resolve {
        return Some(alert::Standing::Resolved);
    }
    // A producer's message is tied to an alert by its dedup key. What Callout writes has none.
    if message.dedup_key.is_some() {
        return None;
    }
    alert::Standing::after(message.labels.get(EVENT_LABEL)?)
}

/// Whether Callout itself wrote a message: it names its event, and always whom it is for. A producer that
/// only copies the label is heard like any other.
pub(super) fn is_own(message: &Message) -> bool {
    message.labels.contains_key(EVENT_LABEL) && !message.to.is_empty() && !message.require_ack
}

fn event(name: &str, level: Level, title: &str, about: MessageId) -> Message {
    let mut message = Message::new(level, title);
    message.labels.insert(EVENT_LABEL.to_owned(), name.to_owned());
    message.labels.insert(ABOUT_LABEL.to_owned(), about.to_string());
    message
}

/// Which message it is, for people.
fn heading(about: &Message, locale: Locale) -> String {
    let title = plain(&about.title);
    locale.pick(
        format!("**{title}** ({})", about.level),
        format!("**{title}**（{}）", level_in_chinese(about.level)),
    )
}

fn level_in_chinese(level: Level) -> &'static str {
    match level {
        Level::Info => "信息",
        Level::Warning => "警告",
        Level::Error => "错误",
        Level::Critical => "严重",
    }
}

/// Somebody else's words on one line, without what would be markup or refused.
fn plain(words: &str) -> String {
    words.chars().map(|c| if c.is_control() || matches!(c, '*' | '`') { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
