use super::*;

fn typed(action: &str, name: &str, note: &str) -> Result<Wish, Hint> {
    Typed { action: action.to_owned(), name: name.to_owned(), note: note.to_owned() }.wish()
}

#[test]
fn a_wish_needs_a_known_action_and_a_name() {
    let wish = typed("ack", "  王小明 ", " on it\r\n").unwrap();
    assert_eq!((wish.answer, wish.by.as_str()), (Answer::Acknowledge, "王小明"));
    assert_eq!(wish.note.as_deref(), Some("on it"));
    assert_eq!(typed("unack", "Ada", "  ").unwrap().note, None);
    for (action, name, note, hint) in [
        ("", "Ada", "", Hint::Form),
        ("ACK", "Ada", "", Hint::Form),
        ("cancel", "Ada", "", Hint::Form),
        ("ack", "", "", Hint::Name),
        ("ack", " \u{3000}\t", "", Hint::Name),
        ("ack", "A\u{0}da", "", Hint::NameLong),
        ("ack", &"x".repeat(257), "", Hint::NameLong),
        ("ack", "Ada", &"记".repeat(NOTE_CHARS_MAX + 1), Hint::Note),
    ] {
        assert_eq!(typed(action, name, note).unwrap_err(), hint, "{action} {name}");
    }
    assert!(typed("ack", "Ada", &"记".repeat(NOTE_CHARS_MAX)).is_ok());
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn only_what_a_browser_calls_foreign_is() {
    let url = "https://callout.example.com/x";
    for (pairs, foreign) in [
        (&[][..], false),
        (&[("sec-fetch-site", "same-origin"), ("origin", "null")], false),
        (&[("sec-fetch-site", "none")], false),
        (&[("sec-fetch-site", "cross-site")], true),
        (&[("sec-fetch-site", "same-site"), ("origin", "https://callout.example.com")], true),
        (&[("origin", "null")], false),
        (&[("origin", "https://callout.example.com")], false),
        (&[("origin", "https://callout.example.com.evil.org")], true),
        (&[("origin", "https://evil.org"), ("host", "callout.example.com")], true),
        (&[("origin", "http://127.0.0.1:8470"), ("host", "127.0.0.1:8470")], false),
        (&[("origin", "nonsense")], true),
    ] {
        assert_eq!(is_foreign(&headers(pairs), url), foreign, "{pairs:?}");
    }
}

#[test]
fn a_name_is_remembered_as_it_was_typed() {
    for name in ["Ada", "王小明", "a;b=\"c\", <d>"] {
        let cookie = remember(name, "https://x.org").unwrap();
        let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        let mut sent = HeaderMap::new();
        sent.insert(header::COOKIE, format!("other=1; {pair}").parse().unwrap());
        assert_eq!(remembered(&sent).as_deref(), Some(name));
    }
    for damaged in ["callout_name=", "callout_name=%%%", "callout_name=AA", "callout_name"] {
        let mut sent = HeaderMap::new();
        sent.insert(header::COOKIE, damaged.parse().unwrap());
        assert_eq!(remembered(&sent), None, "{damaged}");
    }
}

#[test]
fn the_cookie_is_for_the_page_alone() {
    let rest =
        |url| remember("A", url).unwrap().to_str().unwrap().split_once(';').unwrap().1.to_owned();
    let common = "Max-Age=31536000; HttpOnly; SameSite=Lax";
    assert_eq!(rest("http://127.0.0.1:8470"), format!(" Path=/a; {common}"));
    assert_eq!(rest("https://x.org/ops"), format!(" Path=/ops/a; {common}; Secure"));
}
