use super::*;
use crate::alert::{Deed, Standing, Via};
use crate::plan::Known;
use crate::plan::tests::{directory, names};
use crate::time::Timestamp;
use expect_test::{Expect, expect};
use std::collections::BTreeSet;

fn in_chinese() -> Directory {
    Directory { locale: Locale::Chinese, ..directory() }
}

fn check_news(what: alert::Event, expected: Expect, chinese: Expect) {
    let id = MessageId::new(Timestamp::EPOCH, [1; 10]);
    let about = Message::new(Level::Critical, "disk *full*");
    let told = names(&["ops", "lead"]);
    let news =
        follow_up(&directory(), &about, id, &what, "O`Neill", Some("on my `way`"), &told).unwrap();
    assert_eq!(news.validate(), Ok(()));
    assert_eq!(news.to, ["ops", "lead"]);
    assert_eq!(news.labels[EVENT_LABEL], what.name());
    expected.assert_eq(&format!("{}: {}\n{}", news.level, news.title, news.body));
    let told_in_chinese =
        follow_up(&in_chinese(), &about, id, &what, "王芳", Some("马上看"), &told).unwrap();
    assert_eq!(told_in_chinese.validate(), Ok(()));
    assert_eq!(told_in_chinese.labels, news.labels);
    chinese.assert_eq(&format!("{}\n{}", told_in_chinese.title, told_in_chinese.body));
    assert_eq!(
        (standing_by(&news), standing_by(&told_in_chinese)),
        (Standing::after(what.name()), Standing::after(what.name()))
    );
    let mut silent = directory();
    silent.follow_up = false;
    assert_eq!(follow_up(&silent, &about, id, &what, "lin", None, &told), None);
    assert_eq!(follow_up(&directory(), &about, id, &what, "lin", None, &[]), None);
}

#[test]
fn those_who_were_told_hear_who_did_what() {
    let deed = || Deed { by: "lin".to_owned(), at: Timestamp::EPOCH, via: Via::Page };
    check_news(
        alert::Event::Acknowledged(deed()),
        expect![[r#"
            info: Acknowledged by O Neill: disk *full*
            **disk  full ** (critical)

            O Neill has it.

            > on my  way 
        "#]],
        expect![[r#"
            王芳已确认：disk *full*
            **disk  full **（严重）

            王芳已接手这条告警。

            > 马上看
        "#]],
    );
    check_news(
        alert::Event::Resolved(deed()),
        expect![[r#"
            info: Resolved by O Neill: disk *full*
            **disk  full ** (critical)

            O Neill says that it is over.

            > on my  way 
        "#]],
        expect![[r#"
            王芳已解决：disk *full*
            **disk  full **（严重）

            王芳表示问题已解决。

            > 马上看
        "#]],
    );
    check_news(
        alert::Event::Cancelled(deed()),
        expect![[r#"
            info: Cancelled by O Neill: disk *full*
            **disk  full ** (critical)

            O Neill called it off.

            > on my  way 
        "#]],
        expect![[r#"
            王芳已取消：disk *full*
            **disk  full **（严重）

            王芳取消了这条告警。

            > 马上看
        "#]],
    );
}

#[test]
fn those_who_were_told_hear_that_it_is_open_again() {
    check_news(
        alert::Event::Unacknowledged,
        expect![[r#"
            info: Open again by O Neill: disk *full*
            **disk  full ** (critical)

            O Neill gave it back.

            > on my  way 
        "#]],
        expect![[r#"
            王芳已重新打开：disk *full*
            **disk  full **（严重）

            王芳交还了这条告警。

            > 马上看
        "#]],
    );
    check_news(
        alert::Event::Reopened,
        expect![[r#"
            info: Open again by O Neill: disk *full*
            **disk  full ** (critical)

            O Neill opened it again.

            > on my  way 
        "#]],
        expect![[r#"
            王芳已重新打开：disk *full*
            **disk  full **（严重）

            王芳重新打开了这条告警。

            > 马上看
        "#]],
    );
}

#[test]
fn news_of_an_alert_are_valid_however_long_its_parts_are() {
    let id = MessageId::new(Timestamp::EPOCH, [1; 10]);
    let about = Message::new(Level::Critical, "x".repeat(crate::message::TITLE_BYTES_MAX));
    let many: Vec<ReceiverName> = (0..40).map(|n| format!("r{n}").parse().unwrap()).collect();
    let by = "王".repeat(85);
    let news =
        follow_up(&directory(), &about, id, &alert::Event::Reopened, &by, None, &many).unwrap();
    assert_eq!((news.validate(), news.to.len()), (Ok(()), LIST_MAX));
    for filler in ["x", "磁", "🔥"] {
        let most = crate::message::TITLE_BYTES_MAX;
        let about = Message::new(Level::Critical, filler.repeat(most / filler.len()));
        let event = alert::Event::Reopened;
        let news = follow_up(&directory(), &about, id, &event, &by, None, &many).unwrap();
        assert_eq!(news.validate(), Ok(()));
        assert!(news.title.ends_with(&format!("{filler}…")), "{}", news.title);
        assert!(news.title.len() > most - filler.len(), "{}", news.title.len());
    }
}

#[test]
fn a_name_reads_well_in_a_chinese_sentence() {
    let event = alert::Event::Acknowledged(Deed {
        by: String::new(),
        at: Timestamp::EPOCH,
        via: Via::Channel,
    });
    for (by, lead) in [
        ("张三", "张三已确认："),
        ("Lin", "Lin 已确认："),
        ("张三 (Slack U0123456789)", "张三（Slack U0123456789）已确认："),
        ("Lin (ops) (WeCom)", "Lin (ops)（WeCom）已确认："),
        ("Slack U1", "Slack U1 已确认："),
    ] {
        assert_eq!(super::in_chinese(&event, by).0, lead);
    }
}

#[test]
fn the_operator_hears_that_nobody_is_left_to_tell() {
    let id = MessageId::new(Timestamp::EPOCH, [1; 10]);
    let about = Message::new(Level::Critical, "disk full").with_label("host", "db-1");
    let news = exhausted(&directory(), &about, id, &names(&["ops", "lead"])).unwrap();
    assert_eq!(
        (news.validate(), news.level, news.to.as_slice()),
        (Ok(()), Level::Critical, &["lead".to_owned()][..])
    );
    assert!(news.body.contains("host: db-1") && news.body.contains("It reached ops, lead."));
    assert!(news.body.contains(&format!("callout ack {id}")), "{}", news.body);
    assert!(news.labels.contains_key(EVENT_LABEL));
    let mut nobody = directory();
    nobody.operator = None;
    assert_eq!(exhausted(&nobody, &about, id, &[]), None);
}

#[test]
fn a_report_about_a_report_is_never_written() {
    let (directory, id) = (directory(), MessageId::new(Timestamp::EPOCH, [1; 10]));
    let ops = "ops".parse().unwrap();
    let about = Message::new(Level::Critical, "disk full");
    let first =
        report(Notice::Expired, &directory, &about, id, &ops, "310000: no\u{7} keyword\n").unwrap();
    assert_eq!(first.validate(), Ok(()));
    assert_eq!(first.to, ["lead"]);
    assert_eq!(report(Notice::Expired, &directory, &first, id, &ops, ""), None);
}

fn check_report(notice: Notice, last_words: &str, english: Expect, chinese: Expect) {
    let id = MessageId::new(Timestamp::EPOCH, [1; 10]);
    let about = Message::new(Level::Critical, "disk *full*");
    let ops = "ops".parse().unwrap();
    for (directory, expected) in [(directory(), english), (in_chinese(), chinese)] {
        let report = report(notice, &directory, &about, id, &ops, last_words).unwrap();
        assert_eq!(report.validate(), Ok(()));
        expected.assert_eq(&format!("{}: {}\n{}", report.level, report.title, report.body));
    }
}

#[test]
fn the_operator_is_told_in_their_language() {
    check_report(
        Notice::ChainFailed,
        "-1: busy",
        expect![[r#"
        warning: Callout: not delivered to ops: no channel works yet, still trying
        **disk  full ** (critical)

        Last answer: -1: busy

        The whole story: `callout why 00000000-0000-7101-8101-010101010101`
    "#]],
        expect![[r#"
            warning: Callout：ops 未收到：所有通道暂时都无法送达，仍在重试
            **disk  full **（严重）

            最后一次返回：-1: busy

            完整经过：`callout why 00000000-0000-7101-8101-010101010101`
        "#]],
    );
    check_report(
        Notice::Dead(Cause::Rejected),
        "310000: no",
        expect![[r#"
        error: Callout: not delivered to ops: every channel refused it
        **disk  full ** (critical)

        Last answer: 310000: no

        The whole story: `callout why 00000000-0000-7101-8101-010101010101`
    "#]],
        expect![[r#"
            error: Callout：ops 未收到：所有通道均拒绝
            **disk  full **（严重）

            最后一次返回：310000: no

            完整经过：`callout why 00000000-0000-7101-8101-010101010101`
        "#]],
    );
    check_report(
        Notice::Dead(Cause::NoChannel),
        "",
        expect![[r#"
        error: Callout: not delivered to ops: its receiver has no channel
        **disk  full ** (critical)

        Last answer: none

        The whole story: `callout why 00000000-0000-7101-8101-010101010101`
    "#]],
        expect![[r#"
            error: Callout：ops 未收到：该接收人没有可用的通道
            **disk  full **（严重）

            最后一次返回：无

            完整经过：`callout why 00000000-0000-7101-8101-010101010101`
        "#]],
    );
}

#[test]
fn the_operator_is_told_in_their_language_what_went_wrong_here() {
    check_report(
        Notice::Dead(Cause::Quarantined),
        "",
        expect![[r#"
        error: Callout: not delivered to ops: the stored message is damaged
        **disk  full ** (critical)

        Last answer: none

        The whole story: `callout why 00000000-0000-7101-8101-010101010101`
    "#]],
        expect![[r#"
            error: Callout：ops 未收到：存储的消息已损坏
            **disk  full **（严重）

            最后一次返回：无

            完整经过：`callout why 00000000-0000-7101-8101-010101010101`
        "#]],
    );
    check_report(
        Notice::Expired,
        "",
        expect![[r#"
        error: Callout: not delivered to ops: it was not accepted in time
        **disk  full ** (critical)

        Last answer: none

        The whole story: `callout why 00000000-0000-7101-8101-010101010101`
    "#]],
        expect![[r#"
            error: Callout：ops 未收到：已过有效期
            **disk  full **（严重）

            最后一次返回：无

            完整经过：`callout why 00000000-0000-7101-8101-010101010101`
        "#]],
    );
}

#[test]
fn in_chinese_too_the_operator_hears_that_nobody_is_left_to_tell() {
    let id = MessageId::new(Timestamp::EPOCH, [1; 10]);
    let about = Message::new(Level::Critical, "disk full").with_label("host", "db-1");
    let say = |told: &[ReceiverName]| {
        let news = exhausted(&in_chinese(), &about, id, told).unwrap();
        assert_eq!(news.validate(), Ok(()));
        format!("{}\n{}", news.title, news.body)
    };
    expect![[r#"
        Callout：告警无人确认，且没有其他人可以通知了
        **disk full**（严重）

        host：db-1

        已送达 ops、lead。

        接手：`callout ack 00000000-0000-7101-8101-010101010101`

        完整经过：`callout why 00000000-0000-7101-8101-010101010101`
    "#]]
    .assert_eq(&say(&names(&["ops", "lead"])));
    assert!(say(&[]).contains("未能送达任何人。"));
}

#[test]
fn only_what_is_tied_by_more_than_a_label_brings_news() {
    let labelled = |event: &str| Message::new(Level::Info, "x").with_label(EVENT_LABEL, event);
    for (message, standing) in [
        (Message::new(Level::Info, "x"), None),
        (Message::resolved("db-1/disk"), Some(Standing::Resolved)),
        (labelled("acknowledged"), Some(Standing::Acknowledged)),
        (labelled("cancelled"), Some(Standing::Resolved)),
        (labelled("reopened"), Some(Standing::Open)),
        (labelled("exhausted"), None),
        (Message { dedup_key: Some("db-1/disk".into()), ..labelled("acknowledged") }, None),
    ] {
        assert_eq!(standing_by(&message), standing, "{message:?}");
    }
}

#[test]
fn nobody_is_rung_up_for_news() {
    let id = MessageId::new(Timestamp::EPOCH, [1; 10]);
    let about = Message::new(Level::Critical, "disk full");
    let told = names(&["ops", "lead"]);
    let known = Known {
        id,
        level: Level::Critical,
        state: alert::State::Open,
        exhausted: false,
        told: told.clone(),
    };
    let mut over = Message::new(Level::Info, "over");
    (over.resolve, over.dedup_key) = (true, Some("disk".into()));
    for (ringing, hear) in [
        (&[][..], &["ops", "lead"][..]),
        (&["sms"], &["ops"]),
        (&["dingtalk"], &["ops", "lead"]),
        (&["dingtalk", "wecom", "sms"], &[]),
    ] {
        let ringing = ringing.iter().map(|name| name.parse().unwrap()).collect();
        let directory = Directory { ringing, ..directory() };
        let news =
            follow_up(&directory, &about, id, &alert::Event::Unacknowledged, "lin", None, &told);
        assert_eq!(news.map(|news| news.to).unwrap_or_default(), hear);
        let at = Timestamp::EPOCH;
        let plan = directory.plan(&over, at, at, &BTreeSet::new(), Some(&known));
        let told: Vec<&str> = plan.deliveries.iter().map(|d| d.receiver.as_str()).collect();
        assert_eq!(told, hear);
    }
}
