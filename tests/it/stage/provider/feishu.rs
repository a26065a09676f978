//! Feishu's custom bot: a token in the path, a signature in the body, five messages a second.

use super::{Book, Provider, Window, apart, base64, from_ms, hmac, says};
use crate::stage::sink::{Received, Reply, json};
use crate::stage::{minutes, seconds};
use callout_core::time::Timestamp;
use serde_json::{Value as Json, json};

const BODY_BYTES_MAX: usize = 20 * 1024;

pub(crate) struct Feishu {
    token: String,
    sign_key: Option<String>,
    /// One of them has to be in every message, if there are any.
    pub(crate) keywords: Vec<String>,
    per_second: Window,
    per_minute: Window,
    pub(crate) book: Book,
}

type Refusal = (u16, i64, &'static str);

impl Feishu {
    pub(crate) fn new(token: &str, sign_key: Option<&str>) -> Self {
        Self {
            token: token.to_owned(),
            sign_key: sign_key.map(str::to_owned),
            keywords: Vec::new(),
            per_second: Window::new(5, seconds(1)),
            per_minute: Window::new(100, minutes(1)),
            book: Book::default(),
        }
    }

    fn check(&mut self, request: &Received, now: Timestamp) -> Result<Json, Refusal> {
        if request.steps().last() != Some(&self.token.as_str()) {
            return Err((200, 19001, "param invalid: incoming webhook access token invalid"));
        }
        if request.body.len() > BODY_BYTES_MAX {
            return Err((200, 19036, "request body too large"));
        }
        let body: Json =
            serde_json::from_str(&request.body).map_err(|_| (400, 9499, "Bad Request"))?;
        self.signed(&body, now)?;
        whole(&body)?;
        let words = body.to_string();
        if !self.keywords.is_empty() && !self.keywords.iter().any(|word| words.contains(word)) {
            return Err((200, 19024, "Key Words Not Found"));
        }
        if !self.per_second.admits(now) || !self.per_minute.admits(now) {
            return Err((200, 11232, "frequency limited psm[lark.oapi.app_platform_runtime]"));
        }
        Ok(body)
    }

    /// The key is time and secret together, and nothing is signed with it. The time is a text.
    fn signed(&self, body: &Json, now: Timestamp) -> Result<(), Refusal> {
        let Some(key) = &self.sign_key else { return Ok(()) };
        let at = body["timestamp"].as_str().unwrap_or_default();
        let is_near = from_ms(at, 1000).is_some_and(|at| apart(at, now) <= seconds(3600));
        let sign = base64(&hmac(format!("{at}\n{key}").as_bytes(), b""));
        if is_near && body["sign"] == sign.as_str() {
            Ok(())
        } else {
            Err((
                200,
                19021,
                "sign match fail or timestamp is not within one hour from current time",
            ))
        }
    }
}

/// Whether all is there that its type needs.
fn whole(body: &Json) -> Result<(), Refusal> {
    let content = &body["content"];
    let is_whole = match body["msg_type"].as_str() {
        Some("text") => says(content, "text"),
        Some("post") => content["post"].as_object().is_some_and(|languages| !languages.is_empty()),
        Some("image") => says(content, "image_key"),
        Some("share_chat") => says(content, "share_chat_id"),
        Some("interactive") => return card(&body["card"]),
        _ => false,
    };
    if is_whole { Ok(()) } else { Err((200, 19002, "params error, msg_type need")) }
}

fn card(card: &Json) -> Result<(), Refusal> {
    let is_new = card["schema"] == "2.0";
    let elements = if is_new { &card["body"]["elements"] } else { &card["elements"] };
    let is_whole = elements.as_array().is_some_and(|elements| {
        !elements.is_empty() && elements.iter().all(|element| says(element, "tag"))
    });
    // The newer form has no elements at its root.
    if is_whole && !(is_new && card.get("elements").is_some()) {
        Ok(())
    } else {
        Err((200, 230_099, "Failed to create card content, ext=ErrCode: 200621"))
    }
}

impl Provider for Feishu {
    fn answer(&mut self, request: &Received, now: Timestamp) -> Reply {
        match self.check(request, now) {
            Ok(body) => {
                self.book.take(now, body);
                let taken = json!({
                    "StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success",
                });
                json(200, &taken.to_string())
            }
            Err((status, code, words)) => {
                self.book.refuse(now, code);
                json(status, &json!({ "code": code, "data": {}, "msg": words }).to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::provider::{by_hand, said};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_ms(1000 * (1_599_360_473 + seconds)).unwrap()
    }

    /// Of the signature's documented example.
    fn text() -> Json {
        json!({
            "timestamp": "1599360473", "sign": "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=",
            "msg_type": "text", "content": { "text": "disk full" },
        })
    }

    fn with(change: impl FnOnce(&mut Json)) -> Json {
        let mut body = text();
        change(&mut body);
        body
    }

    fn check(bot: &mut Feishu, path: &str, body: &Json, now: Timestamp, expected: i64) {
        let headers = [("content-type", "application/json")];
        let request = by_hand("POST", path, &headers, &body.to_string());
        assert_eq!(said(bot.answer(&request, now))["code"], expected, "{path} {body}");
    }

    #[test]
    fn it_takes_what_is_right_and_names_what_is_wrong() {
        let mut bot = Feishu::new("t", Some("demo"));
        let swapped = "DkEDUyVoOOJ539qBvUgMyzkzIdRWlf4e/V3Rq+ONJnQ=";
        check(&mut bot, "/hook/t", &text(), at(0), 0);
        check(&mut bot, "/hook/other", &text(), at(0), 19001);
        check(&mut bot, "/t", &with(|body| body["sign"] = swapped.into()), at(0), 19021);
        check(&mut bot, "/t", &with(|body| body["timestamp"] = 1_599_360_473.into()), at(0), 19021);
        check(&mut bot, "/t", &text(), at(3601), 19021);
        check(&mut bot, "/t", &with(|body| body["msg_type"] = "markdown".into()), at(0), 19002);
        let long = "x".repeat(BODY_BYTES_MAX);
        check(&mut bot, "/t", &with(|body| body["content"]["text"] = long.into()), at(0), 19036);
        bot.keywords = vec!["alert".to_owned()];
        check(&mut bot, "/t", &text(), at(0), 19024);
        assert_eq!((bot.book.taken.len(), bot.book.refused.len()), (1, 7));
    }

    #[test]
    fn a_card_has_its_elements_where_its_form_wants_them() {
        let mut bot = Feishu::new("t", None);
        let elements = json!([{ "tag": "markdown", "content": "x" }]);
        let card = |card: Json| json!({ "msg_type": "interactive", "card": card });
        check(&mut bot, "/t", &card(json!({ "elements": elements })), at(0), 0);
        let new = json!({ "schema": "2.0", "body": { "elements": elements } });
        check(&mut bot, "/t", &card(new), at(0), 0);
        let mixed = json!({ "schema": "2.0", "elements": elements });
        check(&mut bot, "/t", &card(mixed), at(0), 230_099);
    }

    #[test]
    fn five_go_in_a_second() {
        let mut bot = Feishu::new("t", Some("demo"));
        for _ in 0..5 {
            check(&mut bot, "/t", &text(), at(0), 0);
        }
        check(&mut bot, "/t", &text(), at(0), 11232);
        check(&mut bot, "/t", &text(), at(1), 0);
    }
}
