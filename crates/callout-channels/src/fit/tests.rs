//! Cutting and cleaning.

use super::*;
use proptest::prelude::*;

#[test]
fn tiny_budgets_are_met() {
    for (max, cut) in [(0, ""), (1, ""), (2, ""), (3, "…"), (4, "…"), (6, "告…")] {
        assert_eq!(bytes("告警告警", max), cut, "{max}");
    }
    assert_eq!(bytes("abcd", 2), "ab");
    assert_eq!(utf16("🔥🔥", 4), "🔥🔥");
    assert_eq!(utf16("🔥🔥", 3), "🔥…");
    assert_eq!(utf16("🔥🔥", 0), "");
}

#[test]
fn untrusted_text_is_cleaned() {
    assert_eq!(line(" a\r\nb\tc\u{202e}\u{200b}\u{feff}\u{7}\u{ffff} "), "a  b c");
    assert_eq!(line("👨‍👩‍👧"), "👨‍👩‍👧");
    assert_eq!(text("a\r\nb\rc\t\u{1b}[31m\u{2066}\u{fffe}\n\n"), "a\nb\nc\t[31m");
}

#[test]
fn half_links_and_open_fences_do_not_remain() {
    for (source, max, cut) in [
        ("see [a label](https://e.example/x) now", 25, "see …"),
        ("see [a label](https://e.example/x) now", 12, "see …"),
        ("see ![a](https://e.example/x) now", 20, "see …"),
        ("see https://e.example/long/path", 20, "see …"),
        ("see [a](https://e.example/x) now", 31, "see [a](https://e.example/x)…"),
        ("```\ncode is long\n```", 14, "```\ncode is…\n```"),
        ("```\ncode", 100, "```\ncode\n```"),
        ("~~~~ x\n```\n", 100, "~~~~ x\n```\n\n~~~~"),
    ] {
        assert_eq!(markdown(source, max), cut, "{source}");
    }
}

#[test]
fn mentions_and_tags_lose_their_power_and_addresses_stay() {
    for (loud, calm) in [
        ("@all", "@\u{200b}all"),
        ("x@all", "x@\u{200b}all"),
        ("(@bob)", "(@\u{200b}bob)"),
        ("ops@example.com", "ops@example.com"),
        ("root@10.0.0.1", "root@10.0.0.1"),
        ("x@13800000000", "x@\u{200b}13800000000"),
        ("a < b <= c <3", "a < b <= c <3"),
        ("<@U1>", "<\u{200b}@\u{200b}U1>"),
        ("</font>", "<\u{200b}/font>"),
        ("@@all", "@@\u{200b}all"),
        ("@", "@"),
        ("a @ b", "a @ b"),
        ("x@allianz.example", "x@allianz.example"),
        ("x@all.example", "x@all.example"),
        ("x@ALL", "x@\u{200b}ALL"),
        ("x@all请看", "x@\u{200b}all请看"),
        ("告警@bob", "告警@\u{200b}bob"),
        ("@_bob @-bob", "@\u{200b}_bob @\u{200b}-bob"),
        ("@**bob** @`bob` @[bob](x)", "@\u{200b}**bob** @\u{200b}`bob` @\u{200b}[bob](x)"),
        ("https://e.org/@bob/x@y.z", "https://e.org/%40bob/x@y.z"),
        ("(http://e.org?to=@bob) @bob", "(http://e.org?to=%40bob) @\u{200b}bob"),
        ("https://@all/@all", "https://@\u{200b}all/%40all"),
        ("https://e.org/x，@all", "https://e.org/x，@\u{200b}all"),
        ("https://e.org/x)@all", "https://e.org/x)@\u{200b}all"),
        ("[a](https://e.org/@13800000000)", "[a](https://e.org/%4013800000000)"),
    ] {
        assert_eq!(quiet(loud), calm, "{loud}");
    }
}

#[test]
fn code_is_left_alone_where_that_is_asked_for_and_its_surroundings_are_not() {
    for (loud, calm) in [
        ("`@a` @a", "`@a` @\u{200b}a"),
        ("@a `@b` @c `@d", "@\u{200b}a `@b` @\u{200b}c `@\u{200b}d"),
        ("`@a\n@b`", "`@\u{200b}a\n@\u{200b}b`"),
        ("```\n@a\n\n<b>\n```\n@c\n", "```\n@a\n\n<b>\n```\n@\u{200b}c\n"),
        ("``", "``"),
        ("", ""),
    ] {
        assert_eq!(quiet_prose(loud), calm, "{loud}");
    }
}

#[test]
fn long_texts_are_split_with_whole_fences() {
    let pieces = split("```\naaaaaaaaaaaaaaa\nbbbbbbbbbbbbbbbbbb\nccc\n```\nend", 40, 9);
    assert_eq!(
        pieces,
        [
            "```
aaaaaaaaaaaaaaa
```",
            "```
bbbbbbbbbbbbbbbbbb
ccc
```
end"
        ]
    );
    assert_eq!(split("~~~", 3, 1), ["~~~\n~~~"]);
    assert_eq!(split("", 10, 3), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cutting_keeps_to_the_budget_and_never_fails(text in "\\PC*", max in 0usize..64) {
        let cut = bytes(&text, max);
        prop_assert!(cut.len() <= max || cut == text && text.len() <= max);
        prop_assert!(text.starts_with(cut.trim_end_matches('…')));
        prop_assert!(utf16_len(&utf16(&text, max)) <= max);
    }

    #[test]
    fn nothing_here_panics(text in "[`~\\[\\]()!<>@a-z告🔥 \n\r*#|\u{200b}\u{202e}]*", max in 0usize..64) {
        prop_assert!(open_fence(&markdown(&text, max)).is_none());
        for piece in split(&text, max, 5) {
            prop_assert!(open_fence(&piece).is_none());
        }
        let calm = quiet(&line(&text));
        prop_assert!(!calm.contains("<@") && !calm.contains("@all"));
        let seen = quiet_prose(&text).replace(INVISIBLE, "");
        prop_assert_eq!(seen.replace("%40", "@"), text.replace(INVISIBLE, ""));
        inline(&super::text(&text));
        let careful = line(&format!("{text}\u{7}"));
        prop_assert_eq!(line(&text), careful);
        link_target(&text);
        crate::mrkdwn::convert(&text);
    }
}
