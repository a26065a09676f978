//! Slack's Web API: a bearer token, a channel, messages that are known by their `ts` and can be changed.

use super::{Book, Provider, Window, hex, hmac, says};
use crate::stage::seconds;
use crate::stage::sink::{Received, Reply};
use callout_core::time::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// How long who spoke too often has to wait, in seconds.
const RETRY_AFTER: u64 = 5;

pub(crate) struct SlackApi {
    token: String,
    channel: String,
    window: Window,
    /// What stands in the channel now, by `ts`.
    pub(crate) messages: BTreeMap<String, Json>,
    /// Changes of messages, in order: `ts` and what it became.
    pub(crate) edits: Vec<(String, Json)>,
    /// Posts only.
    pub(crate) book: Book,
}

impl SlackApi {
    pub(crate) fn new(token: &str, channel: &str) -> Self {
        Self {
            token: token.to_owned(),
            channel: channel.to_owned(),
            // About one a second; short bursts are tolerated.
            window: Window::new(5, seconds(5)),
            messages: BTreeMap::new(),
            edits: Vec::new(),
            book: Book::default(),
        }
    }

    /// What Slack sends when somebody presses a button: headers and body, signed with this secret.
    pub(crate) fn press(secret: &str, button: &Json, now: Timestamp) -> (String, String) {
        let payload = json!({
            "type": "block_actions",
            "user": { "id": "U0123", "username": "ada", "name": "ada" },
            "actions": [{
                "type": "button", "action_id": button["action_id"], "value": button["value"],
            }],
        });
        let letter = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        let body: String = payload.to_string().bytes().map(letter).collect();
        let body = format!("payload={body}");
        let at = now.unix_ms() / 1000;
        let sign = hex(&hmac(secret.as_bytes(), format!("v0:{at}:{body}").as_bytes()));
        let headers = format!(
            "content-type: application/x-www-form-urlencoded\r\n\
             x-slack-request-timestamp: {at}\r\nx-slack-signature: v0={sign}\r\n"
        );
        (headers, body)
    }

    /// The button of a message that can be pressed to acknowledge, as it stands in the channel now.
    pub(crate) fn button(&self, ts: &str) -> Option<Json> {
        let blocks = self.messages.get(ts)?["blocks"].as_array()?;
        let mut elements = blocks.iter().filter_map(|block| block["elements"].as_array()).flatten();
        elements.find(|element| element["action_id"] == "acknowledge").cloned()
    }

    fn check(&mut self, request: &Received, now: Timestamp) -> Result<Json, &'static str> {
        let bearer = request.header("authorization");
        match bearer.strip_prefix("Bearer ") {
            None => return Err("not_authed"),
            Some(token) if token != self.token => return Err("invalid_auth"),
            Some(_) => {}
        }
        let body: Json = serde_json::from_str(&request.body).map_err(|_| "invalid_arguments")?;
        if body["channel"] != self.channel.as_str() {
            return Err("channel_not_found");
        }
        if !self.window.admits(now) {
            return Err("ratelimited");
        }
        let has_blocks = body["blocks"].as_array().is_some_and(|blocks| !blocks.is_empty());
        if !says(&body, "text") && !has_blocks && body["attachments"].as_array().is_none() {
            return Err("no_text");
        }
        if body["blocks"].as_array().is_some_and(|blocks| blocks.len() > 50) {
            return Err("invalid_blocks");
        }
        match request.steps().last() {
            Some(&"chat.postMessage") => Ok(self.post(body, now)),
            Some(&"chat.update") => self.update(body),
            _ => Err("unknown_method"),
        }
    }

    fn post(&mut self, body: Json, now: Timestamp) -> Json {
        let number = self.messages.len() + 1;
        let ts = format!("{}.{number:06}", now.unix_ms() / 1000);
        self.messages.insert(ts.clone(), body.clone());
        self.book.take(now, body.clone());
        json!({ "ok": true, "channel": self.channel, "ts": ts, "message": body })
    }

    fn update(&mut self, body: Json) -> Result<Json, &'static str> {
        let ts = body["ts"].as_str().unwrap_or_default().to_owned();
        let Some(message) = self.messages.get_mut(&ts) else { return Err("message_not_found") };
        // What is not named stays.
        for part in ["text", "blocks", "attachments"] {
            if let Some(new) = body.get(part) {
                message[part] = new.clone();
            }
        }
        self.edits.push((ts.clone(), body.clone()));
        Ok(json!({ "ok": true, "channel": self.channel, "ts": ts, "text": body["text"] }))
    }
}

impl Provider for SlackApi {
    fn answer(&mut self, request: &Received, now: Timestamp) -> Reply {
        let (status, body) = match self.check(request, now) {
            Ok(body) => (200, body),
            Err(code) => {
                self.book.refuse(now, code);
                let status = if code == "ratelimited" { 429 } else { 200 };
                (status, json!({ "ok": false, "error": code }))
            }
        };
        let mut headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
        if status == 429 {
            headers.push(("retry-after", RETRY_AFTER.to_string()));
        }
        Reply::Answer(status, headers, body.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::provider::{by_hand, noon, said};

    fn call(slack: &mut SlackApi, token: &str, method: &str, body: &Json, at: u64) -> Json {
        let headers = [("authorization", token), ("content-type", "application/json")];
        let request = by_hand("POST", &format!("/api/{method}"), &headers, &body.to_string());
        said(slack.answer(&request, noon() + seconds(at)))
    }

    fn text(words: &str) -> Json {
        json!({ "channel": "C1", "text": words })
    }

    #[test]
    fn it_takes_what_is_right_and_names_what_is_wrong() {
        let mut slack = SlackApi::new("xoxb-1", "C1");
        let posted = call(&mut slack, "Bearer xoxb-1", "chat.postMessage", &text("disk full"), 0);
        assert_eq!((&posted["ok"], &posted["ts"]), (&json!(true), &json!("1700000000.000001")));
        let nothing = json!({ "channel": "C1" });
        let elsewhere = json!({ "channel": "C2", "text": "x" });
        for (token, method, body, error) in [
            ("", "chat.postMessage", text("x"), "not_authed"),
            ("Bearer xoxb-2", "chat.postMessage", text("x"), "invalid_auth"),
            ("Bearer xoxb-1", "chat.postMessage", elsewhere, "channel_not_found"),
            ("Bearer xoxb-1", "chat.postMessage", nothing, "no_text"),
            ("Bearer xoxb-1", "chat.shout", text("x"), "unknown_method"),
        ] {
            let answer = call(&mut slack, token, method, &body, 10);
            assert_eq!((&answer["ok"], &answer["error"]), (&json!(false), &json!(error)));
        }
        assert_eq!(slack.book.taken.len(), 1);
    }

    #[test]
    fn a_message_is_changed_by_its_name() {
        let mut slack = SlackApi::new("t", "C1");
        let posted = call(&mut slack, "Bearer t", "chat.postMessage", &text("disk full"), 0);
        let mut edit = text("acknowledged");
        edit["ts"] = posted["ts"].clone();
        assert_eq!(call(&mut slack, "Bearer t", "chat.update", &edit, 1)["ok"], true);
        edit["ts"] = "1.2".into();
        assert_eq!(
            call(&mut slack, "Bearer t", "chat.update", &edit, 2)["error"],
            "message_not_found"
        );
        assert_eq!(slack.messages.values().next().unwrap()["text"], "acknowledged");
        assert_eq!((slack.edits.len(), slack.book.taken.len()), (1, 1));
    }

    #[test]
    fn who_speaks_too_often_hears_how_long_to_wait() {
        let mut slack = SlackApi::new("t", "C1");
        for _ in 0..5 {
            call(&mut slack, "Bearer t", "chat.postMessage", &text("x"), 0);
        }
        let headers = [("authorization", "Bearer t")];
        let request = by_hand("POST", "/api/chat.postMessage", &headers, &text("x").to_string());
        let Reply::Answer(status, headers, _) = slack.answer(&request, noon()) else {
            panic!("no answer")
        };
        assert_eq!((status, headers[1].clone()), (429, ("retry-after", "5".to_owned())));
        assert_eq!(call(&mut slack, "Bearer t", "chat.postMessage", &text("x"), 5)["ok"], true);
    }
}
