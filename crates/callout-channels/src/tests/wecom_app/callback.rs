//! What WeCom reports: the vendor's samples, and calls made here the way WeCom makes them.

use super::*;
use crate::callback::{Heard, Inbound, Pressed, Reply};
use aes::Aes256;
use cbc::cipher::{Array, BlockModeEncrypt, KeyIvInit};
use sha1::{Digest, Sha1};

const CORP: &str = "ww0123456789abcdef";

/// A call as it is made; each part can be damaged.
#[derive(Clone)]
struct Call {
    method: &'static str,
    token: &'static str,
    corp: &'static str,
    message: String,
    at_s: i64,
    /// Bytes at the end that fill the text up; made anew if empty.
    fill: Vec<u8>,
    /// Added to the length that is told.
    longer: u32,
}

fn call(message: &str) -> Call {
    Call {
        method: "POST",
        token: TOKEN,
        corp: CORP,
        message: message.to_owned(),
        at_s: now().unix_ms() / 1000,
        fill: Vec::new(),
        longer: 0,
    }
}

fn pressed(user: &str, key: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[{CORP}]]></ToUserName>\n<FromUserName><![CDATA[{user}]]></FromUserName>\
         <CreateTime>1717171717</CreateTime><MsgType><![CDATA[event]]></MsgType>\
         <Event><![CDATA[template_card_event]]></Event><EventKey><![CDATA[{key}]]></EventKey>\
         <TaskId><![CDATA[t]]></TaskId><CardType><![CDATA[button_interaction]]></CardType>\
         <SelectedItems><SelectedItem><EventKey>x</EventKey></SelectedItem></SelectedItems>\
         <ResponseCode><![CDATA[RC]]></ResponseCode><AgentID>1000002</AgentID></xml>"
    )
}

/// The last letter of the key stands for the same bytes as its neighbour here, without bits to spare.
fn encrypted(call: &Call) -> Vec<u8> {
    let key: [u8; 32] = STANDARD.decode(KEY.replace("B2C", "B2A=")).unwrap().try_into().unwrap();
    let mut text = b"0123456789abcdef".to_vec();
    let length = u32::try_from(call.message.len()).unwrap() + call.longer;
    text.extend(length.to_be_bytes());
    text.extend(call.message.as_bytes());
    text.extend(call.corp.as_bytes());
    let missing = 32 - text.len() % 32;
    let fill = vec![u8::try_from(missing).unwrap(); missing];
    text.extend(if call.fill.is_empty() { &fill } else { &call.fill });
    let (blocks, rest) = Array::slice_as_chunks_mut(&mut text);
    assert!(rest.is_empty());
    let first: [u8; 16] = key[..16].try_into().unwrap();
    cbc::Encryptor::<Aes256>::new(&key.into(), &first.into()).encrypt_blocks(blocks);
    text
}

fn signature(token: &str, time: &str, nonce: &str, encrypted: &str) -> String {
    let mut parts = [token, time, nonce, encrypted];
    parts.sort_unstable();
    Sha1::digest(parts.concat()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

const ADDRESS: &str = "https://callout.example.com/v1/callbacks/wecom";

/// The address and the body of `call`.
fn made(call: &Call) -> (String, String) {
    sealed(call, &STANDARD.encode(encrypted(call)))
}

fn sealed(call: &Call, encrypted: &str) -> (String, String) {
    let time = call.at_s.to_string();
    let signature = signature(call.token, &time, "nonce", encrypted);
    let mut pairs =
        vec![("msg_signature", signature.as_str()), ("timestamp", &time), ("nonce", "nonce")];
    if call.method == "GET" {
        pairs.push(("echostr", encrypted));
    }
    let body = format!(
        "<xml><ToUserName><![CDATA[{CORP}]]></ToUserName><AgentID><![CDATA[7]]></AgentID><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    );
    (format!("{ADDRESS}?{}", query(&pairs)), body)
}

fn hear(method: &str, (url, body): &(String, String)) -> Option<Heard> {
    hear_with(&button(), method, url, body, now())
}

fn hear_with(
    channel: &Channel,
    method: &str,
    url: &str,
    body: &str,
    at: Timestamp,
) -> Option<Heard> {
    let inbound = Inbound { method, url, header: &|_| None, body: body.as_bytes() };
    channel.callback().unwrap().hear(&inbound, at)
}

fn is_refused(call: &Call) -> bool {
    hear(call.method, &made(call)).is_none()
}

#[test]
fn the_samples_of_the_vendor_are_read() {
    let samples: Value = read_json(&fixtures().join("wecom_app/callback.json"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let channel = with(
        "wecom_app",
        json!({
            "corp_id": samples["corp_id"],
            "callback_token": samples["token"],
            "callback_key": samples["key"],
        }),
    );
    let hear = |method: &str, sample: &Value, encoded: bool| {
        let encrypted = text(&sample["encrypted"]);
        let names = ["msg_signature", "timestamp", "nonce"];
        let values = names.map(|name| text(&sample[name]));
        let mut url = format!("{ADDRESS}?{}", query(&[0, 1, 2].map(|n| (names[n], &*values[n]))));
        // Some callers leave the plus signs of Base64 as they are.
        let echo = if encoded { crate::sign::percent(&encrypted) } else { encrypted.clone() };
        url += &format!("&echostr={echo}");
        let body = format!("<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>");
        let at = values[1].parse::<i64>().unwrap() * 1000;
        hear_with(&channel, method, &url, &body, Timestamp::from_unix_ms(at).unwrap())
    };
    for encoded in [true, false] {
        let Some(Heard::Other(reply)) = hear("GET", &samples["verify"], encoded) else { panic!() };
        assert_eq!(reply, Reply { body: text(&samples["verify"]["message"]), ..Reply::empty() });
    }
    let heard = hear("POST", &samples["text"], true);
    assert!(matches!(heard, Some(Heard::Other(reply)) if reply == Reply::empty()));
}

#[test]
fn a_press_brings_the_ticket_and_who_pressed() {
    let call = call(&pressed("zhangsan", TICKET));
    let Some(Heard::Pressed(press)) = hear("POST", &made(&call)) else { panic!("no press") };
    assert_eq!((press.ticket.expose(), &*press.by), (TICKET, "zhangsan (WeCom)"));
    assert!(made(&call).0.contains(&press.once) && press.once.len() == 40);
    let reply = button().callback().unwrap().reply(&Pressed::Taken, Locale::Chinese);
    assert_eq!(reply, Reply::empty());

    // Names are one clean line, also with the five entities; a long one is cut.
    let hostile = pressed("x", TICKET).replace("<![CDATA[x]]>", "a&amp;&lt;b\n\u{202e}c");
    let Some(Heard::Pressed(press)) = hear("POST", &made(&Call { message: hostile, ..call }))
    else {
        panic!("no press")
    };
    assert_eq!(press.by, "a&<b c (WeCom)");
}

#[test]
fn what_is_no_press_is_answered_and_forgotten() {
    let press = pressed("zhangsan", TICKET);
    for message in [
        press.replace("template_card_event", "template_card_menu_event"),
        press.replace("[event]", "[text]"),
        pressed("zhangsan", "own key"),
        pressed("zhangsan", &"x".repeat(513)),
        pressed("zhangsan", ""),
        pressed("", TICKET),
        press.replace("</xml>", "<EventKey>again</EventKey></xml>"),
        press.replace("<xml>", "<!DOCTYPE x [<!ENTITY e \"x\">]><xml>"),
        press.replace("<![CDATA[zhangsan]]>", "&evil;"),
        press.replace("<![CDATA[zhangsan]]>", "&#65;"),
        press.replace("<xml>", "<xml a=\"b\">"),
        press.replace("</xml>", ""),
        press.replace("</xml>", "</xml><xml></xml>"),
        press.replace("<xml>", "text<xml>"),
        press.replace("<xml>", "<!-- x --><xml>"),
        press.replace(
            "<AgentID>",
            "<a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a><AgentID>",
        ),
        press.replace("<AgentID>", &("<a></a>".repeat(300) + "<AgentID>")),
        String::new(),
        "plain".to_owned(),
    ] {
        let heard = hear("POST", &made(&call(&message)));
        assert!(matches!(&heard, Some(Heard::Other(r)) if *r == Reply::empty()), "{message}");
    }
}

#[test]
fn what_is_not_certainly_from_wecom_is_not_heard() {
    let good = call(&pressed("zhangsan", TICKET));
    assert!(!is_refused(&good));
    for call in [
        Call { token: "another-token", ..good.clone() },
        Call { corp: "ww0123456789abcdeX", ..good.clone() },
        Call { corp: "", ..good.clone() },
        Call { method: "PUT", ..good.clone() },
        Call { longer: 1, ..good.clone() },
        Call { longer: 1 << 20, ..good.clone() },
    ] {
        assert!(is_refused(&call));
    }
    let (url, body) = made(&good);
    for (from, to) in [
        ("msg_signature=", "msg_signature=0"),
        ("msg_signature", "signature"),
        ("timestamp=17", "timestamp=017"),
        ("nonce=nonce", "nonce=nonsense"),
        ("timestamp=", "time="),
    ] {
        assert!(url.contains(from), "{from}");
        assert!(hear("POST", &(url.replacen(from, to, 1), body.clone())).is_none(), "{to}");
    }
    assert!(hear("POST", &(url.clone(), body.replace("Encrypt>", "Encrypted>"))).is_none());
    assert!(hear("POST", &(url.clone(), String::new())).is_none());
    assert!(hear("GET", &(url, body)).is_none(), "no echostr");
}

#[test]
fn an_old_or_early_call_is_not_heard() {
    let at_s = now().unix_ms() / 1000;
    let refused = |at_s| is_refused(&Call { at_s, ..call(&pressed("zhangsan", TICKET)) });
    for (seconds, expected) in [(-299, false), (300, false), (-301, true), (302, true)] {
        assert_eq!(refused(at_s + seconds), expected, "{seconds}");
    }
    assert!(refused(0) && refused(-1) && refused(i64::MAX) && refused(i64::MIN));
}

#[test]
fn a_damaged_text_is_not_heard_even_if_it_is_signed() {
    let good = call(&pressed("zhangsan", TICKET));
    let bytes = encrypted(&good);
    let heard = |bytes: &[u8]| hear("POST", &sealed(&good, &STANDARD.encode(bytes)));
    assert!(heard(&bytes).is_some());
    for cut in [0, 1, 15, 16, 17, 31, 32, 48, bytes.len() - 16, bytes.len() - 1] {
        assert!(heard(&bytes[..cut]).is_none(), "{cut}");
    }
    // A bit of the length, of the company, of the fill.
    for at in [17, bytes.len() - 33, bytes.len() - 17, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(heard(&damaged).is_none(), "{at}");
    }
    assert!(hear("POST", &sealed(&good, "!not base64!")).is_none());
    assert!(hear("POST", &sealed(&good, &"A".repeat(70_000))).is_none());
}

#[test]
fn a_wrong_fill_is_not_heard() {
    let message = pressed("zhangsan", TICKET);
    let length = 20 + message.len() + CORP.len();
    let missing = 32 - length % 32;
    let fill =
        |value: u8, len: usize| is_refused(&Call { fill: vec![value; len], ..call(&message) });
    let byte = u8::try_from(missing).unwrap();
    assert!(!fill(byte, missing));
    assert!(fill(0, missing) && fill(byte + 1, missing) && fill(33, missing) && fill(255, missing));
    let mut torn = vec![byte; missing];
    torn[0] ^= 1;
    assert!(missing > 1 && is_refused(&Call { fill: torn, ..call(&message) }));
}

#[test]
fn without_both_keys_nobody_listens_and_no_key_is_shown() {
    assert!(channel("wecom_app").callback().is_none());
    let shown = format!("{:?}", button());
    assert!(!shown.contains(TOKEN) && !shown.contains(KEY), "{shown}");
    assert_eq!(button().spec().callback, Some("wecom"));
}
