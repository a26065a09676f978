//! What Slack, Twilio and WeCom send us, well signed, and the same unsigned. The first line is added to the
//! address, the rest is the body.

#![no_main]

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_channels::Channel;
use callout_channels::callback::{Heard, Inbound, Pressed};
use callout_core::locale::Locale;
use callout_fuzz::{hex, is_clean, mac_sha1, mac_sha256, now, settings};
use cbc::cipher::{BlockModeEncrypt as _, KeyIvInit as _, block_padding::NoPadding};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use sha1::{Digest as _, Sha1};

const WECOM: (&str, &str) = ("QDG6eK3wXt9", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C");

fuzz_target!(|bytes: &[u8]| {
    let (query, body) = bytes.split_at(bytes.iter().position(|b| *b == b'\n').unwrap_or(0));
    let query = String::from_utf8_lossy(query);
    let (body, seconds) = (body.get(1..).unwrap_or_default(), (now().unix_ms() / 1000).to_string());

    let mac =
        mac_sha256(b"8f742231b10eabcdef0123456789abcd", &[b"v0:", seconds.as_bytes(), b":", body]);
    let headers = [
        ("x-slack-signature", format!("v0={}", hex(&mac))),
        ("x-slack-request-timestamp", seconds.clone()),
    ];
    hear("slack_api", &[], "POST", "https://c.example/v1/callbacks/slack", &headers, body);

    let url = format!("https://c.example/v1/callbacks/twilio?{query}");
    let text = String::from_utf8_lossy(body);
    let mut fields: Vec<(String, String)> = callout_fuzz::form(&text);
    fields.sort();
    let signed = fields.iter().fold(url.clone(), |all, (name, value)| all + name + value);
    let mac = STANDARD.encode(mac_sha1(b"0f1e2d3c4b5a69788796a5b4c3d2e1f0", signed.as_bytes()));
    hear("twilio_voice", &[], "POST", &url, &[("x-twilio-signature", mac)], body);

    let key = STANDARD.decode(WECOM.1.replace("B2C", "B2A=")).expect("a key");
    let length = u32::try_from(body.len()).unwrap_or(0).to_be_bytes();
    let mut plain = [b"0123456789abcdef", &length[..], body, b"ww0123456789abcdef"].concat();
    let fill = 32 - plain.len() % 32;
    plain.extend(std::iter::repeat_n(u8::try_from(fill).unwrap_or(32), fill));
    let cipher = cbc::Encryptor::<Aes256>::new_from_slices(&key, &key[..16]).expect("a cipher");
    let encrypted = STANDARD.encode(cipher.encrypt_padded_vec::<NoPadding>(&plain));
    for (method, sealed) in [("POST", encrypted.as_str()), ("GET", &encrypted), ("POST", &text)] {
        let mut parts = [WECOM.0, &seconds, "n", sealed];
        parts.sort_unstable();
        let signature = hex(&Sha1::digest(parts.concat()));
        let echo: String =
            sealed.replace('+', "%2B").chars().filter(|c| !matches!(c, '#' | '&')).collect();
        let url = format!(
            "https://c.example/w?msg_signature={signature}&timestamp={seconds}&nonce=n&echostr={echo}&{query}"
        );
        let posted = format!("<xml><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>");
        let over = [("callback_token", WECOM.0), ("callback_key", WECOM.1)];
        hear("wecom_app", &over, method, &url, &[], posted.as_bytes());
    }
});

fn hear(
    kind: &str,
    over: &[(&str, &str)],
    method: &str,
    url: &str,
    headers: &[(&str, String)],
    body: &[u8],
) {
    let mut settings = settings(kind);
    over.iter().for_each(|(name, value)| settings[*name] = json!(value));
    let channel = Channel::build(kind, settings).expect("a channel");
    let callback = channel.callback().expect("it hears");
    let find = |name: &str| {
        headers.iter().find(|(have, _)| *have == name).map(|(_, value)| value.as_str())
    };
    let silent = Inbound { method, url, header: &|_| None, body };
    assert!(headers.is_empty() || callback.hear(&silent, now()).is_none(), "{kind}: unsigned");
    match callback.hear(&Inbound { method, url, header: &find, body }, now()) {
        Some(Heard::Pressed(press)) => {
            assert!(!press.by.trim().is_empty() && is_clean(&press.by), "{kind}: {:?}", press.by);
            let by = press.by;
            for pressed in
                [Pressed::Taken, Pressed::Gone, Pressed::Answered { by, resolved: false }]
            {
                let reply = callback.reply(&pressed, Locale::Chinese);
                assert!((200..500).contains(&reply.status), "{kind}: {reply:?}");
            }
        }
        Some(Heard::Other(reply)) => assert!(reply.status < 500 && reply.body.len() <= 128 * 1024),
        None => assert!(kind != "slack_api", "it was signed"),
    }
}
