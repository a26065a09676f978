use super::*;
use crate::config::Locale;
use axum::body::to_bytes;
use callout_core::alert::{Deed, State as AlertState, Via};
use callout_core::escalation::{self, Cause, Event, Policy, Reach, Step, Timer};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::MessageState;
use callout_store::model::{JournalEntry, StepRecord, Summary};
use jiff::tz::TimeZone;

fn at(minutes: u64) -> Timestamp {
    // 2026-11-22 05:40:00 UTC.
    Timestamp::from_unix_ms(1_795_326_000_000).unwrap() + Duration::from_secs(60 * minutes)
}

fn names(text: &str) -> Vec<callout_core::id::ReceiverName> {
    text.split(' ').filter(|name| !name.is_empty()).map(|name| name.parse().unwrap()).collect()
}

fn policy() -> Policy {
    let step =
        |to, minutes: u64| Step { to: names(to), ack_within: Duration::from_secs(60 * minutes) };
    Policy { name: None, steps: vec![step("ops 值班", 5), step("lead", 10)], repeat: 1 }
}

fn record(decision: u32, minutes: u64, to: &str, cause: Cause, round: u32) -> StepRecord {
    StepRecord {
        decision,
        at: at(minutes),
        step: 0,
        round,
        cause,
        late: Duration::ZERO,
        to: names(to),
        due_at: None,
    }
}

fn journal(minutes: u64, event: &str, by: &str, via: Via, detail: &str) -> JournalEntry {
    JournalEntry {
        at: at(minutes),
        event: event.to_owned(),
        detail: detail.to_owned(),
        by: Some(by.to_owned()),
        via: Some(via.name().to_owned()),
        origin: Some("192.0.2.1, link of ops".to_owned()),
    }
}

fn deed(by: &str, via: Via) -> Deed {
    Deed { by: by.to_owned(), at: at(4), via }
}

fn alert() -> Alert {
    Alert {
        state: AlertState::Open,
        timer: escalation::start(&policy(), at(0), at(0)),
        policy: policy(),
        opened_at: at(0),
        epoch: 0,
        repeats: 0,
        last_repeat_at: None,
        steps: vec![record(1, 0, "ops 值班", Cause::Opened, 0)],
        told: names("ops 值班"),
    }
}

fn story(message: Message) -> Story {
    Story {
        summary: Summary {
            id: MessageId::new(at(0), [7; 10]).to_string(),
            level: message.level.name().to_owned(),
            title: message.title.clone(),
            state: MessageState::Accepted,
            created_at: at(0),
            settled_at: None,
            deliveries: vec![],
            alert: None,
        },
        message: Ok(message),
        why: None,
        deliveries: vec![],
        journal: vec![],
        alert: None,
        belongs_to: None,
    }
}

fn plain_story() -> Story {
    story(Message::new(Level::Critical, "Disk full on db-1"))
}

fn reader_of(locale: Locale, minutes: u64) -> Reader {
    Reader { words: words::words(locale), zone: TimeZone::UTC, now: at(minutes) }
}

/// The page three minutes after the alert opened.
fn shown(story: &Story, alert: &Alert, locale: Locale) -> String {
    let view = view::view(story, alert, &names("ops")[0], &reader_of(locale, 3));
    html(page::alert(&view, &Typed::named("Ada".to_owned()), None, &reader_of(locale, 3)))
}

fn html(answer: Response) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let bytes = runtime.block_on(to_bytes(answer.into_body(), usize::MAX)).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a reader reads, and the buttons as `[action]`.
fn read(html: &str) -> String {
    let body = html.split_once("</style>").unwrap().1;
    let mut text = String::new();
    for part in body.split('<').skip(1) {
        let (tag, words) = part.split_once('>').unwrap();
        if let Some((_, rest)) = tag.split_once("name=\"action\" value=\"") {
            text += &format!("[{}] ", rest.split('"').next().unwrap());
        }
        text += words.trim();
        text.push(if words.trim().is_empty() { ' ' } else { '\n' });
    }
    text
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

fn has_not(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(!text.contains(part), "{part:?} is in\n{text}");
    }
}

#[test]
fn an_open_alert_shows_what_it_is_who_was_told_and_what_comes_next() {
    let mut story = plain_story();
    let message = story.message.as_mut().unwrap();
    message.body = "Writes fail.\n\nSince **03:12**.".to_owned();
    message.labels.insert("host".to_owned(), "db-1".to_owned());
    let mut alert = alert();
    (alert.repeats, alert.last_repeat_at) = (4, Some(at(2)));
    alert.told = names("ops");
    let page = shown(&story, &alert, Locale::English);
    has(&page, &["<html lang=\"en\">", "<title>Disk full on db-1</title>", "value=\"Ada\""]);
    has(&page, &["class=\"critical open\"", "datetime=\"2026-11-22T05:40:00.000Z\""]);
    let text = read(&page);
    has(&text, &["Critical", "Disk full on db-1", "Nobody has this yet", "3 minutes ago"]);
    has(&text, &["2026-11-22 05:40:00 UTC", "It has lasted 3 minutes", "Since **03:12**."]);
    has(&text, &["If nobody acts, lead will be told in 2 minutes", "2026-11-22 05:45:00 UTC"]);
    has(&text, &["Told ops, 值班 (not reached)", "Reported 4 more times, the last 1 minute ago"]);
    has(&text, &["[ack]", "[escalate]", "[resolve]", "Call lead", "host", "db-1"]);
    has(&text, &["This link was sent to ops", "callout ack 0"]);
    has_not(&text, &["[unack]"]);

    let page = shown(&story, &alert, Locale::Chinese);
    has(&page, &["<html lang=\"zh-CN\">"]);
    let text = read(&page);
    has(&text, &["严重", "还没有人接手", "3 分钟前", "若无人处理，2 分钟后将通知 lead"]);
    has(&text, &["已通知 ops、值班（未送达）", "又上报 4 次，最近一次1 分钟前", "通知 lead"]);
}

#[test]
fn after_the_last_step_it_says_that_nobody_is_left() {
    let mut alert = alert();
    let last = escalation::Place { round: 1, step: 1, ..alert.timer.place().clone() };
    alert.timer = Timer::Waiting { place: last, due_at: at(10) };
    let text = read(&shown(&plain_story(), &alert, Locale::English));
    has(&text, &["the calling ends in 7 minutes", "Call ops, 值班"]);

    let over = Event::Looked(Reach::Told);
    alert.timer = escalation::step(&alert.timer, over, &alert.policy, at(10)).unwrap();
    alert.steps.push(record(9, 2, "", Cause::Due, 1));
    alert.steps.push(record(10, 2, "lead", Cause::Pushed, 2));
    let page = shown(&plain_story(), &alert, Locale::English);
    has(&page, &["class=\"critical exhausted\""]);
    let text = read(&page);
    has(&text, &["Nobody has this, and nobody is left to tell", "Nobody was left to tell"]);
    has(&text, &["Help was asked for: told lead (not reached) · round 3"]);
    has(&text, &["Nobody else is called unless you escalate", "[ack]", "[escalate]", "[resolve]"]);
}

#[test]
fn an_alert_that_somebody_has_says_who_and_since_when() {
    let mut alert = alert();
    alert.state = AlertState::Acknowledged(Deed { at: at(1), ..deed("王小明", Via::Page) });
    alert.timer = escalation::step(&alert.timer, Event::Stopped, &alert.policy, at(1)).unwrap();
    let mut story = plain_story();
    story.journal.push(journal(1, "acknowledged", "王小明", Via::Page, "on my way"));
    let page = shown(&story, &alert, Locale::English);
    has(&page, &["class=\"critical acknowledged\"", "<button type=\"submit\" disabled hidden>"]);
    let text = read(&page);
    has(&text, &["王小明 has this", "2026-11-22 05:41:00 UTC", "2 minutes ago", "on my way"]);
    has(&text, &["Nobody else is called", "[resolve]", "[unack]", "王小明 acknowledged"]);
    has_not(&text, &["[ack]", "[escalate]", "192.0.2.1"]);
    let text = read(&shown(&story, &alert, Locale::Chinese));
    has(&text, &["王小明 已接手", "[unack]", "交还", "不再通知其他人"]);
}

#[test]
fn a_resolved_alert_says_by_whom_and_offers_nothing() {
    let mut alert = alert();
    alert.timer = escalation::step(&alert.timer, Event::Stopped, &alert.policy, at(1)).unwrap();
    for (deed, english, chinese) in [
        (deed("Ada", Via::Command), "Resolved by Ada", "已由 Ada 解决"),
        (deed("monitor", Via::Message), "The system that reported this", "上报方表示问题已解决"),
        (deed("callout", Via::Message), "A more serious alert", "取代了这一条"),
    ] {
        alert.state = AlertState::Resolved(deed);
        for (locale, said) in [(Locale::English, english), (Locale::Chinese, chinese)] {
            let page = shown(&plain_story(), &alert, locale);
            has(&page, &["class=\"critical resolved\"", said]);
            has_not(&page, &["<button", "<form", "<input"]);
        }
    }
}

#[test]
fn what_happened_is_told_in_order() {
    let mut alert = alert();
    alert.steps.push(record(2, 1, "lead", Cause::Due, 0));
    alert.steps.push(StepRecord {
        late: Duration::from_secs(7_200),
        ..record(3, 2, "ops", Cause::Unreachable, 1)
    });
    alert.steps.push(record(4, 3, "ops", Cause::Restarted, 0));
    let mut story = plain_story();
    story.journal = vec![
        journal(1, "escalated", "Ada", Via::Page, ""),
        journal(2, "replayed", "an operator", Via::Command, "not on this page"),
        journal(3, "unacknowledged", "Bob", Via::Api, "asleep"),
        journal(3, "reopened", "Bob", Via::Api, ""),
        journal(3, "superseded", "callout", Via::Message, "by 0192"),
    ];
    let text = read(&shown(&story, &alert, Locale::English));
    let places: Vec<usize> = [
        "Told ops",
        "Ada escalated",
        "Nobody had acknowledged: told lead",
        "Nobody could be reached: told ops · round 2 · 2 hours late, for Callout was down",
        "Bob gave it back",
        "asleep",
        "Bob opened it again",
        "A more serious alert",
        "Open again: told ops",
    ]
    .iter()
    .map(|part| text.find(part).unwrap_or_else(|| panic!("{part} is not in\n{text}")))
    .collect();
    assert!(places.is_sorted(), "{text}");
    has_not(&text, &["not on this page", "by 0192"]);
}

const HOSTILE: &str = "<script>alert(1)</script> \"'`&amp; {{ 7*7 }} {% raw %} \u{202e}drow\u{2066} \u{0}\u{1b}[31m \u{200b}x";

#[test]
fn what_strangers_write_stays_text() {
    let mut message = Message::new(Level::Error, HOSTILE);
    message.body = format!("{HOSTILE}\r\n</style></title>{HOSTILE}");
    message.labels.insert(HOSTILE.to_owned(), HOSTILE.to_owned());
    let mut story = story(message);
    story.journal.push(journal(1, "acknowledged", HOSTILE, Via::Page, HOSTILE));
    let mut alert = alert();
    alert.state = AlertState::Acknowledged(deed(HOSTILE, Via::Page));
    for locale in [Locale::English, Locale::Chinese] {
        let view = view::view(&story, &alert, &names("ops")[0], &reader_of(locale, 3));
        let mut typed = Typed::named(HOSTILE.to_owned());
        typed.note = HOSTILE.to_owned();
        let page = html(page::alert(&view, &typed, Some(Hint::Note), &reader_of(locale, 3)));
        has_not(&page, &["<script", "&amp;amp;amp;", "\u{202e}", "\u{2066}", "\u{0}", "\u{1b}"]);
        has(&page, &["&lt;script&gt;", "&quot;&#x27;", "{{ 7*7 }} {% raw %}"]);
        assert_eq!(page.matches("</style>").count(), 1);
        assert_eq!(page.matches("</title>").count(), 1);
        // Nothing but the attributes of the template.
        for tag in page.split('<').skip(1).filter_map(|rest| rest.split_once('>')) {
            assert!(tag.0.matches('"').count().is_multiple_of(2), "{}", tag.0);
            has_not(tag.0, &[" style=", " on", "javascript:", " src="]);
        }
    }
}

#[test]
fn a_long_body_is_folded_and_a_huge_one_is_cut() {
    let mut story = plain_story();
    story.message.as_mut().unwrap().body = "磁盘满了。".repeat(1_600);
    story.summary.title = "t".repeat(1_000);
    let page = shown(&story, &alert(), Locale::English);
    has(&page, &["<details>", "…</p></details>", "t…</h1>"]);
    assert!(page.len() < 64 * 1024);
    story.message.as_mut().unwrap().body = "short".to_owned();
    has_not(&shown(&story, &alert(), Locale::English), &["<details>"]);
    story.message.as_mut().unwrap().body = " \n ".to_owned();
    has_not(&shown(&story, &alert(), Locale::English), &["class=\"body\""]);
    story.message = Err("damaged".to_owned());
    has(&shown(&story, &alert(), Locale::English), &["Nobody has this yet"]);
}

#[test]
fn every_hint_and_notice_is_written_in_every_language() {
    for locale in [Locale::English, Locale::Chinese] {
        let reader = reader_of(locale, 3);
        let view = view::view(&plain_story(), &alert(), &names("ops")[0], &reader);
        for (hint, status) in [
            (Hint::Name, 400),
            (Hint::NameLong, 400),
            (Hint::Note, 400),
            (Hint::Form, 400),
            (Hint::Foreign, 403),
            (Hint::Busy, 503),
            (Hint::Unknown, 503),
            (Hint::Broken, 500),
            (Hint::Full, 507),
        ] {
            let mut typed = Typed::named("Ada".to_owned());
            typed.note = "kept".to_owned();
            let answer = page::alert(&view, &typed, Some(hint), &reader);
            assert_eq!(answer.status().as_u16(), status, "{hint:?}");
            let page = html(answer);
            has(&page, &["role=\"alert\"", "value=\"kept\"", "value=\"ack\""]);
            let hint = page.split_once("role=\"alert\"").unwrap().1.split_once("</p>").unwrap().0;
            assert_eq!(hint.contains("callout ack"), status >= 500);
        }
        for notice in [Notice::Gone, Notice::TooMany, Notice::Trouble, Notice::Method] {
            let page = html(page::notice(notice, StatusCode::NOT_FOUND, &reader));
            has(&page, &["<h1>", "name=\"robots\""]);
            has_not(&page, &["<form", "<button"]);
        }
    }
}

#[test]
fn the_policy_lets_the_style_sheet_in_and_nothing_else() {
    let answer = page::with_headers(StatusCode::OK.into_response());
    let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    has(policy, &["form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"]);
    has_not(policy, &["unsafe", "script-src", "img-src"]);
    let page = shown(&plain_story(), &alert(), Locale::English);
    has_not(&page, &["http://", "https://", "url(", "@import", "<script", "<link", "<img"]);
}

#[test]
fn a_link_to_an_alert_that_is_over_shows_it_for_a_day() {
    let mut alert = alert();
    let day = 24 * 60;
    assert!(!is_long_over(&alert, at(100 * day)));
    alert.state = AlertState::Resolved(deed("Ada", Via::Page));
    assert!(!is_long_over(&alert, at(4 + day)));
    assert!(is_long_over(&alert, at(5 + day)));
}
