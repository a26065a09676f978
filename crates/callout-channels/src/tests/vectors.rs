//! Signatures, checksums, cutting and escaping against `fixtures/vectors.json`.

use super::*;
use crate::{fit, mrkdwn, sign};
use callout_core::message::Attachment;

fn vectors() -> Value {
    read_json(&fixtures().join("vectors.json"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn dingtalk_signatures_match_the_vectors() {
    let vectors = vectors();
    for vector in vectors["dingtalk_sign"].as_array().unwrap() {
        let at_ms = text(&vector["timestamp_ms"]).parse().unwrap();
        let query = sign::dingtalk_query(text(&vector["secret"]), at_ms);
        assert_eq!(query, text(&vector["query"]));
        let sign = query.split_once("&sign=").unwrap().1;
        assert_ne!(sign, text(&vector["wrong_double_encoded"]));
        assert_ne!(sign, text(&vector["sign_base64"]));
        if text(&vector["sign_base64"]).contains('/') {
            assert_ne!(sign, text(&vector["wrong_python_quote_default"]));
        }
    }
    let trap = &vectors["dingtalk_double_encoding_trap"];
    let settings = json!({ "access_token": "abc", "sign_key": trap["secret"] });
    let channel = Channel::build("dingtalk", settings).unwrap();
    let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
    let at = Timestamp::from_unix_ms(text(&trap["timestamp_ms"]).parse().unwrap()).unwrap();
    let request = channel.http().request(&outgoing(&message, &mentions, false), at).unwrap();
    assert_eq!(request.url.expose(), text(&trap["correct"]));
    assert_ne!(request.url.expose(), text(&trap["wrong"]));
}

#[test]
fn webhook_signatures_match_the_vectors() {
    let vectors = vectors();
    let signature = |vector: &Value, secret: &str| {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let at_s = text(&vector["webhook_timestamp"]).parse().unwrap();
        let body = text(&vector["body"]).as_bytes();
        sign::standard_webhook(&key, text(&vector["webhook_id"]), at_s, body)
    };
    let all = vectors["standard_webhooks"].as_array().unwrap();
    for vector in all {
        assert_eq!(signature(vector, text(&vector["secret"])), text(&vector["webhook_signature"]));
    }
    let both =
        [&all[1]["secret"], &all[2]["secret"]].map(|secret| signature(&all[1], text(secret)));
    let rotation = text(&vectors["standard_webhooks_rotation"]["webhook_signature"]);
    assert_eq!(both.join(" "), rotation);
}

#[test]
fn a_wecom_image_carries_the_checksum_of_its_raw_bytes() {
    let vectors = vectors();
    let vector = &vectors["wecom_image"];
    let mut message = Message::new(Level::Info, "x");
    let base64 = text(&vector["base64"]).to_owned();
    message.attachments = vec![Attachment { name: "x.png".to_owned(), base64 }];
    let mentions = Mentions::default();
    let all = requests(&channel("wecom"), &outgoing(&message, &mentions, false), &[]);
    let body: Value = serde_json::from_slice(&all[1].body).unwrap();
    assert_eq!(body["image"]["md5"], vector["md5_hex_of_raw_bytes"]);
    assert_eq!(body["image"]["base64"], vector["base64"]);
    assert_ne!(body["image"]["md5"], vector["wrong_md5_of_base64_text"]);
}

#[test]
fn texts_are_cut_and_escaped_as_the_vectors_say() {
    let vectors = vectors();
    for case in vectors["utf8_byte_truncation"]["cases"].as_array().unwrap() {
        let max = usize::try_from(case["max_bytes"].as_u64().unwrap()).unwrap();
        assert_eq!(fit::bytes(text(&case["input"]), max), text(&case["output"]));
    }
    for case in vectors["escaping"]["slack_mrkdwn"]["cases"].as_array().unwrap() {
        assert_eq!(mrkdwn::escape(text(&case["in"])), text(&case["out"]));
    }
}
