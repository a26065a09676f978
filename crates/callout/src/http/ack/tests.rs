use super::*;
use crate::config::Locale;
use axum::body::to_bytes;
use callout_core::alert::{Deed, State as AlertState, Via};
use callout_core::delivery::{Cause as Death, Place, State, Wait};
use callout_core::escalation::{self, Cause, Event, Policy, Reach, Step, Timer};
use callout_core::id::DeliveryId;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::MessageState;
use callout_store::model::{Delivery, JournalEntry, StepRecord, Summary};
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
        superseded_by: None,
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

/// A message that reached everybody of the first step.
fn plain_story() -> Story {
    let mut story = story(Message::new(Level::Critical, "Disk full on db-1"));
    story.deliveries = vec![reached(1, "ops"), reached(1, "值班")];
    story
}

fn place() -> Place {
    Place {
        channel: "hook".parse().unwrap(),
        attempt: 0,
        failover_at: None,
        round: 0,
        plain: false,
        soft: false,
        tries: 1,
    }
}

fn delivery(decision: u32, receiver: &str, state: State) -> Delivery {
    Delivery {
        id: DeliveryId(1),
        receiver: receiver.parse().unwrap(),
        state,
        expires_at: at(1_000),
        leased_at: None,
        decision: Some(decision),
        attempts: vec![],
    }
}

fn reached(decision: u32, receiver: &str) -> Delivery {
    delivery(decision, receiver, State::Accepted { at: at(0), place: place() })
}

fn missed(decision: u32, receiver: &str) -> Delivery {
    let state = State::Dead { at: at(0), cause: Death::Rejected, place: place() };
    delivery(decision, receiver, state)
}

fn waiting(decision: u32, receiver: &str) -> Delivery {
    let state = State::Ready { at: at(9), wait: Wait::New, place: place() };
    delivery(decision, receiver, state)
}

fn reader_of(locale: Locale, minutes: u64) -> Reader {
    Reader { words: words::words(locale), zone: TimeZone::UTC, now: at(minutes) }
}

/// The page three minutes after the alert opened.
fn shown(story: &Story, alert: &Alert, locale: Locale) -> String {
    let view = view::view(story, alert, None, &names("ops")[0], &reader_of(locale, 3));
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
    story.deliveries = vec![reached(1, "ops"), missed(1, "值班")];
    let mut alert = alert();
    (alert.repeats, alert.last_repeat_at) = (4, Some(at(2)));
    let page = shown(&story, &alert, Locale::English);
    has(&page, &["<html lang=\"en\">", "<title>Disk full on db-1</title>", "value=\"Ada\""]);
    has(&page, &["class=\"critical open\"", "datetime=\"2026-11-22T05:40:00.000Z\""]);
    let text = read(&page);
    has(&text, &["Critical", "Disk full on db-1", "Nobody has this yet", "3 minutes ago"]);
    has(&text, &["2026-11-22 05:40:00 UTC", "It has lasted 3 minutes", "Since **03:12**."]);
    has(&text, &["If nobody acts, lead will be told in 2 minutes", "2026-11-22 05:45:00 UTC"]);
    has(
        &text,
        &["First: told ops, 值班 (not reached)", "Reported 4 more times, the last 1 minute ago"],
    );
    has(&text, &["[ack]", "[escalate]", "[resolve]", "Call lead", "host", "db-1"]);
    has(&text, &["This link was sent to ops", "callout ack 0"]);
    has_not(&text, &["[unack]"]);

    let page = shown(&story, &alert, Locale::Chinese);
    has(&page, &["<html lang=\"zh-CN\">"]);
    let text = read(&page);
    has(&text, &["严重", "还没有人接手", "3 分钟前", "若无人处理，2 分钟后通知 lead"]);
    has(&text, &["已通知 ops、值班（未送达）", "又上报 4 次，最近一次：1 分钟前", "通知 lead"]);
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
    has(&text, &["Help was asked for: lead not reached · round 3"]);
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
        (deed("Ada", Via::Command), "Resolved by Ada", "Ada 已解决"),
        (deed("monitor", Via::Message), "The system that reported this", "上报方表示问题已解决"),
        (deed("callout", Via::Message), "The system that reported this", "上报方表示问题已解决"),
    ] {
        alert.state = AlertState::Resolved(deed);
        for (locale, said) in [(Locale::English, english), (Locale::Chinese, chinese)] {
            let page = shown(&plain_story(), &alert, locale);
            has(&page, &["class=\"critical resolved\"", said]);
            has_not(&page, &["<button", "<form", "<input", "callout ack", "<code>"]);
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
    story.deliveries.push(waiting(2, "lead"));
    story.deliveries.extend([reached(3, "ops"), reached(4, "ops")]);
    story.journal = vec![
        journal(1, "escalated", "Ada", Via::Page, ""),
        journal(2, "replayed", "an operator", Via::Command, "not on this page"),
        journal(3, "unacknowledged", "Bob", Via::Api, "asleep"),
        journal(3, "reopened", "Bob", Via::Api, ""),
        journal(3, "superseded", "callout", Via::Message, "0192 took its place"),
    ];
    let text = read(&shown(&story, &alert, Locale::English));
    let places: Vec<usize> = [
        "First: told ops",
        "Ada escalated",
        "Nobody had acknowledged: lead to be told",
        "Nobody could be reached: told ops · round 2 · 2 hours late, for Callout was down",
        "Bob gave it back",
        "asleep",
        "Bob opened it again",
        "A newer alert",
        "Open again: told ops",
    ]
    .iter()
    .map(|part| text.find(part).unwrap_or_else(|| panic!("{part} is not in\n{text}")))
    .collect();
    assert!(places.is_sorted(), "{text}");
    has_not(&text, &["not on this page", "0192"]);
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
        let view = view::view(&story, &alert, None, &names("ops")[0], &reader_of(locale, 3));
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
        let view = view::view(&plain_story(), &alert(), None, &names("ops")[0], &reader);
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
            assert!(!hint.contains("callout "), "nothing was wished");
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

/// The page after a form changed nothing.
fn hinted(alert: &Alert, form: &str, hint: Hint) -> String {
    let reader = reader_of(Locale::English, 3);
    let view = view::view(&plain_story(), alert, None, &names("ops")[0], &reader);
    let request = Request::post("/")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.to_owned().into())
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let typed = runtime.block_on(form::read(request)).unwrap();
    html(page::alert(&view, &typed, Some(hint), &reader))
}

#[test]
fn what_cannot_be_written_down_can_be_typed() {
    let mut taken = alert();
    taken.state = AlertState::Acknowledged(deed("Ada", Via::Page));
    for (alert, action, footer) in [
        (alert(), "ack", "ack"),
        (alert(), "resolve", "ack"),
        (alert(), "escalate", "ack"),
        (taken, "unack", "resolve"),
    ] {
        let id = plain_story().summary.id;
        let form = format!("action={action}&name=Ada");
        for hint in [Hint::Busy, Hint::Full, Hint::Broken, Hint::Unknown] {
            let page = hinted(&alert, &form, hint);
            let (before, after) = page.split_once("<footer").unwrap();
            has(before, &[&format!("<code>callout {action} {id}</code>")]);
            has(after, &[&format!("<code>callout {footer} {id}</code>")]);
        }
        let page = hinted(&alert, &form, Hint::Name);
        has_not(page.split_once("<footer").unwrap().0, &["<code>"]);
    }
}

#[test]
fn the_form_says_what_the_page_showed_and_no_key_presses_a_button() {
    let mut taken = alert();
    taken.state = AlertState::Acknowledged(deed("Ada", Via::Page));
    let last = escalation::Place { decision: 7, ..taken.timer.place().clone() };
    taken.timer = Timer::Stopped { place: last };
    for (alert, seen) in [(alert(), "open.1"), (taken, "acknowledged.7")] {
        let page = shown(&plain_story(), &alert, Locale::English);
        has(&page, &[&format!("<input type=\"hidden\" name=\"seen\" value=\"{seen}\">")]);
        // A browser takes the first button for the one that the key Enter means.
        let first = page.split_once("<button").unwrap().1.split('>').next().unwrap();
        assert_eq!(first, " type=\"submit\" disabled hidden");
    }
}

#[test]
fn an_alert_whose_place_was_taken_leads_to_the_newer_one() {
    let mut old = alert();
    old.timer = escalation::step(&old.timer, Event::Stopped, &old.policy, at(1)).unwrap();
    old.state = AlertState::Resolved(deed("callout", Via::Message));
    old.superseded_by = Some("0192".to_owned());
    let newer =
        Successor { link: "AQxyz".to_owned(), title: "Disk <full>".to_owned(), alert: alert() };
    for (locale, parts, wrong) in [
        (
            Locale::English,
            ["A newer alert for the same problem took its place", "Open the newer alert", "Open"],
            "Nobody else is called",
        ),
        (
            Locale::Chinese,
            ["同一问题已有新的告警，取代了这一条", "查看新的告警", "待处理"],
            "不再通知",
        ),
    ] {
        let reader = reader_of(locale, 3);
        let story = plain_story();
        let view = view::view(&story, &old, Some(&newer), &names("ops")[0], &reader);
        let page = html(page::alert(&view, &Typed::named(String::new()), None, &reader));
        has(&page, &parts);
        has(
            &page,
            &["critical superseded", "<a class=\"newer\" href=\"AQxyz\">", "Disk &lt;full&gt;"],
        );
        has_not(&page, &[wrong, "<form", "<button", "<code>", "more serious", "0192"]);
        let page = shown(&story, &old, locale);
        has(&page, &[parts[0]]);
        has_not(&page, &[wrong, "<a "]);
    }
}

#[test]
fn who_cancelled_the_message_is_told_and_nothing_that_the_program_noted() {
    let mut story = plain_story();
    story.journal = vec![
        journal(1, "cancelled", "Ada", Via::Command, "its message was cancelled"),
        JournalEntry { by: None, via: None, ..journal(2, "cancelled", "", Via::Page, "ops") },
    ];
    let mut alert = alert();
    alert.state = AlertState::Resolved(deed("Ada", Via::Command));
    let english = read(&shown(&story, &alert, Locale::English));
    has(&english, &["Ada cancelled the message"]);
    assert_eq!(english.matches("cancelled").count(), 1, "{english}");
    let chinese = read(&shown(&story, &alert, Locale::Chinese));
    has(&chinese, &["Ada 取消了这条消息"]);
    has_not(&chinese, &["cancelled"]);
}

#[test]
fn nobody_is_said_to_be_told_whom_that_step_did_not_reach() {
    let mut alert = alert();
    alert.told = names("ops 值班 lead");
    alert.steps.push(record(2, 1, "lead", Cause::Due, 0));
    alert.steps.push(record(3, 2, "ops 值班 lead", Cause::Due, 1));
    let mut story = plain_story();
    story.deliveries.push(missed(2, "lead"));
    story.deliveries.extend([reached(3, "ops"), missed(3, "值班"), waiting(3, "lead")]);
    let text = read(&shown(&story, &alert, Locale::English));
    has(&text, &["First: told ops, 值班\n", "Nobody had acknowledged: lead not reached\n"]);
    has(&text, &["told ops, 值班 (not reached), lead (not yet reached) · round 2\n"]);
    has(&read(&shown(&story, &alert, Locale::Chinese)), &["无人确认，通知 lead，未送达"]);
}

#[test]
fn what_opens_later_is_not_open_since_then() {
    let mut alert = alert();
    alert.opened_at = at(8);
    alert.timer = escalation::start(&policy(), at(8), at(0));
    let mut story = plain_story();
    story.deliveries = vec![waiting(1, "ops"), waiting(1, "值班")];
    let text = read(&shown(&story, &alert, Locale::English));
    has(&text, &["opens\n", "2026-11-22 05:48:00 UTC", "Opens in 5 minutes"]);
    has(&text, &["First: ops, 值班 to be told"]);
    has_not(&text, &["since", "lasted", "told ops"]);
    let text = read(&shown(&story, &alert, Locale::Chinese));
    has(&text, &["将于", "触发", "5 分钟后触发", "第 1 步：待通知 ops、值班"]);
    has_not(&text, &["自", "已持续", "已通知"]);
}

#[test]
fn a_long_title_stands_whole_among_the_details() {
    let mut story = plain_story();
    has_not(&shown(&story, &alert(), Locale::English), &["class=\"title\""]);
    story.summary.title = "very long ".repeat(15);
    has(&shown(&story, &alert(), Locale::English), &["<p class=\"title\" dir=\"auto\">very long"]);
}
