//! DingTalk's group robot: a token, perhaps a signature or keywords, and twenty messages a minute.

use super::{Book, Provider, Window, apart, base64, from_ms, hmac, says};
use crate::stage::sink::{Received, Reply, json};
use crate::stage::{minutes, seconds};
use callout_core::time::Timestamp;
use serde_json::Value as Json;
use std::time::Duration;

/// How long a robot stays limited once it spoke too often.
const LIMITED: Duration = Duration::from_secs(600);
const BODY_BYTES_MAX: usize = 20_000;

pub(crate) struct DingTalk {
    token: String,
    sign_key: Option<String>,
    /// One of them has to be in every message, if there are any.
    pub(crate) keywords: Vec<String>,
    window: Window,
    limited_until: Option<Timestamp>,
    pub(crate) book: Book,
}

type Refusal = (i64, &'static str);

impl DingTalk {
    pub(crate) fn new(token: &str, sign_key: Option<&str>) -> Self {
        Self {
            token: token.to_owned(),
            sign_key: sign_key.map(str::to_owned),
            keywords: Vec::new(),
            window: Window::new(20, minutes(1)),
            limited_until: None,
            book: Book::default(),
        }
    }

    fn check(&mut self, request: &Received, now: Timestamp) -> Result<Json, Refusal> {
        if request.method != "POST" {
            return Err((43002, "require POST method"));
        }
        if !request.header("content-type").starts_with("application/json") {
            return Err((43004, "require json content type"));
        }
        match request.query("access_token") {
            None => return Err((88, "access_token is blank")),
            Some(token) if token != self.token => return Err((300_005, "token is not exist")),
            Some(_) => {}
        }
        if request.body.len() > BODY_BYTES_MAX {
            return Err((460_101, "message too long, exceed 20000 bytes"));
        }
        self.signed(request, now)?;
        let body: Json =
            serde_json::from_str(&request.body).map_err(|_| (40035, "invalid parameter"))?;
        whole(&body)?;
        let words = body.to_string();
        if !self.keywords.is_empty() && !self.keywords.iter().any(|word| words.contains(word)) {
            return Err((310_000, "keywords not in content"));
        }
        if self.limited_until.is_some_and(|until| until > now) || !self.window.admits(now) {
            self.limited_until = Some(now + LIMITED);
            return Err((130_101, "send too fast, exceed 20 times per minute"));
        }
        Ok(body)
    }

    fn signed(&self, request: &Received, now: Timestamp) -> Result<(), Refusal> {
        let Some(key) = &self.sign_key else { return Ok(()) };
        let at = request.query("timestamp").unwrap_or_default();
        if from_ms(&at, 1).is_none_or(|at| apart(at, now) > seconds(3600)) {
            return Err((310_000, "invalid timestamp"));
        }
        let sign = base64(&hmac(key.as_bytes(), format!("{at}\n{key}").as_bytes()));
        if request.query("sign").as_ref() == Some(&sign) {
            Ok(())
        } else {
            Err((310_000, "sign not match"))
        }
    }
}

/// Whether all is there that its type needs.
fn whole(body: &Json) -> Result<(), Refusal> {
    let kind = body["msgtype"].as_str().unwrap_or_default();
    let part = &body[kind];
    let is_whole = match kind {
        "text" => says(part, "content"),
        "markdown" => says(part, "title") && says(part, "text"),
        "link" => says(part, "title") && says(part, "text") && says(part, "messageUrl"),
        "actionCard" => {
            let one = says(part, "singleTitle") && says(part, "singleURL");
            let many = part["btns"].as_array().is_some_and(|buttons| {
                !buttons.is_empty()
                    && buttons.iter().all(|b| says(b, "title") && says(b, "actionURL"))
            });
            says(part, "title") && says(part, "text") && (one || many)
        }
        "feedCard" => part["links"].as_array().is_some_and(|links| {
            let complete =
                |l: &Json| says(l, "title") && says(l, "messageURL") && says(l, "picURL");
            !links.is_empty() && links.iter().all(complete)
        }),
        _ => return Err((400_105, "unsupported msgtype")),
    };
    if is_whole { Ok(()) } else { Err((40035, "missing parameter")) }
}

impl Provider for DingTalk {
    fn answer(&mut self, request: &Received, now: Timestamp) -> Reply {
        let (code, words) = match self.check(request, now) {
            Ok(body) => {
                self.book.take(now, body);
                (0, "ok")
            }
            Err((code, words)) => {
                self.book.refuse(now, code);
                (code, words)
            }
        };
        json(200, &serde_json::json!({ "errcode": code, "errmsg": words }).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::provider::{by_hand, said};

    const TEXT: &str = r#"{"msgtype":"text","text":{"content":"disk full"}}"#;
    /// Of the signature's documented example.
    const SIGNED: &str = "?access_token=t&timestamp=1577262236757\
        &sign=hmPWwU%2B7lVdm3ZZz0r9tSfx0L4Q26jWOZr9%2BGs6EZQM%3D";

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_ms(1_577_262_236_757).unwrap() + Duration::from_secs(seconds)
    }

    fn check(robot: &mut DingTalk, target: &str, body: &str, now: Timestamp, expected: i64) {
        let headers = [("content-type", "application/json")];
        let request = by_hand("POST", target, &headers, body);
        assert_eq!(said(robot.answer(&request, now))["errcode"], expected, "{target} {body}");
    }

    #[test]
    fn it_takes_what_is_right_and_names_what_is_wrong() {
        let mut robot = DingTalk::new("t", Some("this is secret"));
        check(&mut robot, SIGNED, TEXT, at(0), 0);
        check(&mut robot, SIGNED, TEXT, at(3601), 310_000);
        check(&mut robot, &SIGNED.replace("%2B7", "+7"), TEXT, at(0), 310_000);
        check(&mut robot, &SIGNED.replace("%2B7", "%252B7"), TEXT, at(0), 310_000);
        check(&mut robot, "?access_token=t", TEXT, at(0), 310_000);
        check(&mut robot, "?access_token=other", TEXT, at(0), 300_005);
        check(&mut robot, "", TEXT, at(0), 88);
        check(&mut robot, SIGNED, "{}", at(0), 400_105);
        check(&mut robot, SIGNED, r#"{"msgtype":"markdown","markdown":{}}"#, at(0), 40035);
        check(&mut robot, SIGNED, &TEXT.replace("full", &"x".repeat(20_000)), at(0), 460_101);
        robot.keywords = vec!["alert".to_owned()];
        check(&mut robot, SIGNED, TEXT, at(0), 310_000);
        check(&mut robot, SIGNED, &TEXT.replace("disk", "alert: disk"), at(0), 0);
        assert_eq!((robot.book.taken.len(), robot.book.refused.len()), (2, 10));
    }

    #[test]
    fn who_speaks_too_often_is_limited_for_ten_minutes() {
        let mut robot = DingTalk::new("t", None);
        for _ in 0..20 {
            check(&mut robot, "?access_token=t", TEXT, at(0), 0);
        }
        check(&mut robot, "?access_token=t", TEXT, at(59), 130_101);
        check(&mut robot, "?access_token=t", TEXT, at(61), 130_101);
        check(&mut robot, "?access_token=t", TEXT, at(61 + 600), 0);
    }
}
