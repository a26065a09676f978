//! The letter, and the settings of mail.

use super::*;
use callout_core::message::{BODY_BYTES_MAX, Link, TITLE_BYTES_MAX};

fn letter(out: &Outgoing<'_>) -> String {
    let settings = Value::Object(base_settings("email"));
    let email = crate::email::email(settings, crate::ATTEMPT_TIMEOUT).unwrap();
    String::from_utf8(email.letter(out, now()).unwrap()).unwrap()
}

/// The lines of the letter's own header.
fn head(letter: &str) -> Vec<&str> {
    letter.split("\r\n\r\n").next().unwrap().split("\r\n").collect()
}

#[test]
fn settings_of_mail_are_checked_for_what_they_mean() {
    for (over, expected) in [
        (json!({ "smtp": "smtp://mail.example.com" }), ""),
        (json!({ "smtp": "smtp://mail.example.com:25/", "tls": "none" }), ""),
        (json!({ "smtp": "smtp://a:b@127.0.0.1:25", "tls": "none" }), ""),
        (json!({ "smtp": "smtp://a:b@[::1]:25" }), ""),
        (json!({ "smtp": "smtp://a@mail.example.com", "password": "pw" }), ""),
        (
            json!({ "smtp": "smtp://a:b@mail.example.com", "tls": "none" }),
            "tls: may not be none wi",
        ),
        (
            json!({ "smtp": "smtps://mail.example.com", "tls": "none" }),
            "tls: may not be none with s",
        ),
        (json!({ "tls": "starttls" }), "tls: has to be required or none"),
        (json!({ "smtp": "smtp://a@mail.example.com" }), "password: is missing: smtp names a user"),
        (json!({ "smtp": "smtp://h", "password": "pw" }), "smtp: names no user"),
        (json!({ "password": "pw" }), "password: is also in smtp"),
        (json!({ "smtp": "https://mail.example.com" }), "smtp: has to begin with smtp://"),
        (json!({ "smtp": "mail.example.com" }), "smtp: is no address"),
        (json!({ "smtp": "mail.example.com:25" }), "smtp: has to begin with smtp://"),
        (json!({ "smtp": "smtp:///x" }), "smtp: has to name a host"),
        (json!({ "smtp": "smtp://a:p/w@mail.example.com" }), "smtp: "),
        (json!({ "smtp": "smtp://a:p#w@mail.example.com" }), "smtp: "),
        (json!({ "smtp": "smtp://a:%zz@mail.example.com" }), "smtp: holds a percent sign"),
        (json!({ "smtp": "smtp://a:%0d%0aQUIT@mail.example.com" }), "smtp: holds a percent sign"),
        (json!({ "smtp": "smtp://h?tls=no" }), "smtp: has to end after the host"),
        (json!({ "from": "nobody" }), "from: has to be like Ops"),
        (json!({ "from": "A <a@example.com>\r\nBcc: b@example.com" }), "from: has to be one line"),
        (json!({ "from": "告警@例子.中国" }), "from: has to hold an address in plain ASCII"),
        (
            json!({ "to": ["ops@example.com", "a@b.example, c@d.example"] }),
            "to: has to be like Ops",
        ),
        (json!({ "to": vec!["a@example.com"; 51] }), "to: has more than 50"),
        (json!({ "to": "ops@example.com" }), ""),
        (json!({ "roots": "/nowhere/roots.pem" }), "roots: cannot be read"),
        (json!({ "roots": "/dev/null" }), "roots: is no PEM file"),
    ] {
        let found = problems("email", over.clone());
        match found.as_slice() {
            [] => assert_eq!(expected, "", "{over}"),
            [problem] if !expected.is_empty() => {
                assert!(problem.starts_with(expected), "{over}: {problem}");
            }
            more => panic!("{over}: {more:?}"),
        }
    }
}

#[test]
fn every_try_is_the_same_letter_and_every_telling_another_in_its_thread() {
    let (message, mentions) = (Message::new(Level::Critical, "Disk full"), Mentions::default());
    let (first, second) = (ask(Some(LINK), None, 1), ask(Some(LINK), None, 2));
    let plain = outgoing(&message, &mentions, false);
    let told = |ask| letter(&Outgoing { ask, ..plain });
    assert_eq!(told(Some(&first)), told(Some(&first)));
    let root = format!("<{}@example.com>", id());
    assert!(head(&told(Some(&first))).contains(&&*format!("Message-ID: {root}")));
    assert!(!told(Some(&first)).contains("References"));
    let again = told(Some(&second));
    assert!(head(&again).contains(&&*format!("Message-ID: <{}-2@example.com>", id())));
    assert!(head(&again).contains(&&*format!("In-Reply-To: {root}")));
    assert!(head(&again).contains(&&*format!("References: {root}")));
}

#[test]
fn only_what_is_urgent_says_so() {
    for (level, urgent) in [
        (Level::Info, false),
        (Level::Warning, false),
        (Level::Error, true),
        (Level::Critical, true),
    ] {
        let (message, mentions) = (Message::new(level, "x"), Mentions::default());
        let letter = letter(&outgoing(&message, &mentions, false));
        assert_eq!(head(&letter).contains(&"X-Priority: 1"), urgent);
        assert_eq!(head(&letter).contains(&"Importance: high"), urgent);
        assert!(head(&letter).contains(&"Auto-Submitted: auto-generated"));
    }
}

#[test]
fn no_text_adds_a_header_and_no_line_is_too_long() {
    let mut message = Message::new(Level::Error, "x".repeat(TITLE_BYTES_MAX));
    message.body = "\u{1f525}&<\n".repeat(BODY_BYTES_MAX / 7);
    let hostile = "a =?utf-8?q?=0D=0ABcc:_b@example.com?= \u{85}Bcc: c@example.com";
    let titles = [message.title.clone(), "长".repeat(TITLE_BYTES_MAX / 3), hostile.to_owned()];
    message.links = vec![Link { text: "\"".repeat(256), url: "https://e.example/".to_owned() }];
    let image = |n| format!("https://img.example.com/{n}{}", "'".repeat(2000));
    message.images = (0..16).map(image).collect();
    let label = |n| (format!("{n}{}", "=".repeat(250)), "\"".repeat(1024));
    message.labels = (0..64).map(label).collect();
    let (mentions, ask) = (Mentions::default(), ask(Some(LINK), Some(hostile), 2));
    let names = |letter: &str| -> Vec<String> {
        let lines = head(letter).into_iter().filter(|line| !line.starts_with(' '));
        lines.map(|line| line.split(':').next().unwrap().to_owned()).collect()
    };
    let clean = Message::new(Level::Error, "x");
    for title in titles {
        message.title = title;
        for plain in [false, true] {
            let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, plain) };
            let letter = letter(&out);
            let expected = self::letter(&Outgoing { message: &clean, ..out });
            let count = |letter: &str| {
                names(letter).iter().filter(|n| *n != "Content-Transfer-Encoding").count()
            };
            assert_eq!(count(&letter), count(&expected));
            assert!(letter.len() <= crate::find("email").unwrap().spec.body_bytes_max);
            assert!(letter.lines().all(|line| line.len() <= 998));
            assert!(!head(&letter).join("").contains("=?utf-8?q?=0D"));
            assert!(!letter.replace("\r\n", "").contains(['\r', '\n']) && letter.is_ascii());
        }
    }
}

#[test]
fn a_preview_is_the_letter_as_it_is_read() {
    let mut message = Message::new(Level::Critical, "磁盘 db-3 =?utf-8?b?eA==?=");
    message.body = "x".repeat(200) + " = **四**\n```\n\ta=b \n```";
    message.attachments = ["a;\"b.bin", "日志.txt"]
        .map(|name| callout_core::message::Attachment {
            name: name.repeat(20),
            base64: STANDARD.encode([7; 1234]),
        })
        .into();
    let (mentions, ask) = (Mentions::default(), ask(Some(LINK), None, 1));
    let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
    let shown = channel("email").direct().unwrap().preview(&out, now()).unwrap();
    for part in [
        "From: Callout 告警 <alerts@example.com>\n",
        "To: Ops <ops@example.com>, Night, Shift <night@example.com>\n",
        "Subject: [CRITICAL] 磁盘 db-3 =\u{200b}?utf-8?b?eA==\u{200b}?=\n",
        "\n--- text/plain; charset=utf-8\n🔴 CRITICAL: 磁盘",
        &format!("\nAcknowledge:\n{LINK}\n"),
        &message.body,
        &format!("{} = <b>四</b></p>", "x".repeat(200)),
        &format!("<a href=\"{LINK}\" style=\""),
        &format!("\n--- application/octet-stream: {}, 1234 bytes\n", "a;\"b.bin".repeat(20)),
        &format!("\n--- text/plain; charset=utf-8: {}, 1234 bytes\n", "日志.txt".repeat(20)),
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    assert!(!shown.contains("=_") && !shown.contains("\u{fffd}") && !shown.contains('\r'));
    let shown = channel("email").direct().unwrap().preview(&Outgoing { plain: true, ..out }, now());
    assert!(shown.unwrap().contains("\n--- text/plain; charset=utf-8\n🔴"));
}

#[test]
fn markdown_of_the_body_is_html_and_opens_no_tag_of_its_own() {
    let mut message = Message::new(Level::Info, "x");
    message.body =
        "**b** *i* ~~s~~ `c<d`\n# Head\n- one\n  - two\n> said\n[t](https://e.org/?a=1&b=\"2) \
                    [j](javascript:alert) <img src=x onerror=y> https://e.org.\n```\n**no**\n```"
            .to_owned();
    let mentions = Mentions::default();
    let out = outgoing(&message, &mentions, false);
    let shown = channel("email").direct().unwrap().preview(&out, now()).unwrap();
    for part in [
        "<b>b</b> <i>i</i> <s>s</s> <code>c&lt;d</code><br>\n<b>Head</b><br>\n• one<br>\n&nbsp;&nbsp;• two<br>\n",
        "<a href=\"https://e.org/?a=1&amp;b=%222\">t</a> [j](javascript:alert) &lt;img src=x onerror=y&gt; \
         <a href=\"https://e.org\">https://e.org</a>.",
        ">**no**</pre>",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
}
