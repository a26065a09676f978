use super::*;

fn typed(action: &str, name: &str, note: &str) -> Result<Wish, Hint> {
    typed_on("open.3", action, name, note)
}

fn typed_on(seen: &str, action: &str, name: &str, note: &str) -> Result<Wish, Hint> {
    let [action, seen, name, note] = [action, seen, name, note].map(str::to_owned);
    Typed { action, seen, name, note }.wish()
}

#[test]
fn a_step_back_or_on_is_meant_for_what_the_page_showed() {
    let seen = Seen { standing: Standing::Acknowledged, decision: 12 };
    for action in ["escalate", "unack"] {
        let wish = typed_on("acknowledged.12", action, "Ada", "").unwrap();
        assert_eq!(wish.only, Some(seen));
        for wrong in
            ["", "open", "open.", ".3", "closed.3", "open.-1", "open.3.4", "open.99999999999"]
        {
            let hint = typed_on(wrong, action, "Ada", "").unwrap_err();
            assert_eq!(hint, Hint::Form, "{action} {wrong}");
        }
    }
    for action in ["ack", "resolve"] {
        for seen in ["", "open.3", "nonsense"] {
            assert_eq!(typed_on(seen, action, "Ada", "").unwrap().only, None, "{action} {seen}");
        }
    }
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

#[tokio::test]
async fn the_button_of_a_telephone_sends_what_the_form_does() {
    // As `callout-channels/src/tests/push.rs` wants it of ntfy.
    let request = Request::post("/a/x")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body("action=ack&name=ntfy".into())
        .unwrap();
    assert!(!is_foreign(request.headers(), "https://callout.example.com"));
    let wish = read(request).await.unwrap().wish().unwrap();
    assert_eq!((wish.answer, wish.by.as_str()), (Answer::Acknowledge, "ntfy"));
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
