//! A WeCom application: a token that has to be fetched and that runs out, receivers that may not exist,
//! and the same message dropped in silence when it comes twice.

use super::{Book, Provider, says};
use crate::stage::seconds;
use crate::stage::sink::{Received, Reply, json};
use callout_core::time::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

/// How long a token lives, in seconds.
const EXPIRES_IN: u64 = 7200;
/// How long the same message is dropped if nobody says, in seconds.
const DUPLICATE_INTERVAL: u64 = 1800;

pub(crate) struct WecomApp {
    corp_id: String,
    secret: String,
    agent_id: i64,
    members: BTreeSet<String>,
    /// Until when each token is good.
    tokens: BTreeMap<String, Timestamp>,
    /// Bodies that came with the wish not to be sent twice: until when, and their name.
    seen: BTreeMap<String, (Timestamp, String)>,
    /// How often the same message was dropped.
    pub(crate) dropped: usize,
    /// Cards that were changed, by their code.
    pub(crate) updates: Vec<(String, Json)>,
    codes: BTreeSet<String>,
    pub(crate) book: Book,
}

type Refusal = (i64, &'static str);

impl WecomApp {
    pub(crate) fn new(corp_id: &str, secret: &str, agent_id: i64, members: &[&str]) -> Self {
        Self {
            corp_id: corp_id.to_owned(),
            secret: secret.to_owned(),
            agent_id,
            members: members.iter().map(|name| (*name).to_owned()).collect(),
            tokens: BTreeMap::new(),
            seen: BTreeMap::new(),
            dropped: 0,
            updates: Vec::new(),
            codes: BTreeSet::new(),
            book: Book::default(),
        }
    }

    /// How often somebody fetched a token.
    pub(crate) fn logins(&self) -> usize {
        self.tokens.len()
    }

    /// Every token is worth nothing from now on.
    pub(crate) fn forget_tokens(&mut self) {
        for until in self.tokens.values_mut() {
            *until = Timestamp::EPOCH;
        }
    }

    fn check(&mut self, request: &Received, now: Timestamp) -> Result<Json, Refusal> {
        match (request.method.as_str(), request.steps().last()) {
            ("GET", Some(&"gettoken")) => self.token(request, now),
            ("POST", Some(&"send")) => self.send(request, now),
            ("POST", Some(&"update_template_card")) => self.update(request, now),
            _ => Err((40035, "invalid parameter")),
        }
    }

    fn token(&mut self, request: &Received, now: Timestamp) -> Result<Json, Refusal> {
        if request.query("corpid").as_ref() != Some(&self.corp_id) {
            return Err((40013, "invalid corpid"));
        }
        if request.query("corpsecret").as_ref() != Some(&self.secret) {
            return Err((40001, "invalid credential"));
        }
        let token = format!("token-{}", self.tokens.len() + 1);
        self.tokens.insert(token.clone(), now + seconds(EXPIRES_IN));
        Ok(json!({ "access_token": token, "expires_in": EXPIRES_IN }))
    }

    fn logged_in(&self, request: &Received, now: Timestamp) -> Result<(), Refusal> {
        let Some(token) = request.query("access_token") else {
            return Err((41001, "access_token missing"));
        };
        match self.tokens.get(&token) {
            None => Err((40014, "invalid access_token")),
            Some(until) if *until <= now => Err((42001, "access_token expired")),
            Some(_) => Ok(()),
        }
    }

    fn body(&self, request: &Received) -> Result<Json, Refusal> {
        let body: Json =
            serde_json::from_str(&request.body).map_err(|_| (40035, "invalid parameter"))?;
        if body["agentid"] != self.agent_id {
            return Err((301_002, "not allow operate another agent"));
        }
        Ok(body)
    }

    fn send(&mut self, request: &Received, now: Timestamp) -> Result<Json, Refusal> {
        self.logged_in(request, now)?;
        let body = self.body(request)?;
        let kind = body["msgtype"].as_str().unwrap_or_default();
        let part = &body[kind];
        let is_whole = match kind {
            "text" | "markdown" => says(part, "content"),
            "textcard" => says(part, "title") && says(part, "description") && says(part, "url"),
            "template_card" => says(part, "card_type"),
            "news" => part["articles"].as_array().is_some_and(|articles| !articles.is_empty()),
            _ => return Err((40008, "invalid message type")),
        };
        if !is_whole {
            return Err((44004, "empty content"));
        }
        let to = body["touser"].as_str().unwrap_or_default().split('|');
        let to: Vec<&str> = to.filter(|name| !name.is_empty()).collect();
        let is_known = |name: &&str| *name == "@all" || self.members.contains(*name);
        let (known, unknown): (Vec<_>, Vec<_>) = to.into_iter().partition(is_known);
        let others = says(&body, "toparty") || says(&body, "totag");
        if known.is_empty() && !others {
            return Err((81013, "user & party & tag all invalid"));
        }
        let id = self.once(request, &body, now);
        let mut answer = json!({ "invaliduser": unknown.join("|"), "msgid": id });
        if part["card_type"] == "button_interaction" {
            let code = format!("code-of-{id}");
            self.codes.insert(code.clone());
            answer["response_code"] = code.into();
        }
        Ok(answer)
    }

    /// Takes a message, unless it was taken before and that shall not happen twice.
    fn once(&mut self, request: &Received, body: &Json, now: Timestamp) -> String {
        if body["enable_duplicate_check"] != 1 {
            return self.book.take(now, body.clone());
        }
        if let Some((_, id)) = self.seen.get(&request.body).filter(|(until, _)| *until > now) {
            self.dropped += 1;
            return id.clone();
        }
        let id = self.book.take(now, body.clone());
        let length = body["duplicate_check_interval"].as_u64().unwrap_or(DUPLICATE_INTERVAL);
        self.seen.insert(request.body.clone(), (now + seconds(length), id.clone()));
        id
    }

    /// Changes a card. Each code is good for one change.
    fn update(&mut self, request: &Received, now: Timestamp) -> Result<Json, Refusal> {
        self.logged_in(request, now)?;
        let body = self.body(request)?;
        let code = body["response_code"].as_str().unwrap_or_default().to_owned();
        if !self.codes.remove(&code) {
            return Err((40035, "invalid response_code"));
        }
        self.updates.push((code, body));
        Ok(json!({ "invaliduser": [] }))
    }
}

impl Provider for WecomApp {
    fn answer(&mut self, request: &Received, now: Timestamp) -> Reply {
        let body = match self.check(request, now) {
            Ok(mut body) => {
                body["errcode"] = 0.into();
                body["errmsg"] = "ok".into();
                body
            }
            Err((code, words)) => {
                self.book.refuse(now, code);
                json!({ "errcode": code, "errmsg": words })
            }
        };
        json(200, &body.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::provider::{by_hand, noon, said};

    fn app() -> WecomApp {
        WecomApp::new("corp", "secret", 7, &["lin", "wang"])
    }

    fn login(app: &mut WecomApp, secret: &str, at: u64) -> Json {
        let target = format!("/cgi-bin/gettoken?corpid=corp&corpsecret={secret}");
        said(app.answer(&by_hand("GET", &target, &[], ""), noon() + seconds(at)))
    }

    fn send(app: &mut WecomApp, token: &str, body: &Json, at: u64) -> Json {
        let target = format!("/cgi-bin/message/send?access_token={token}");
        let request = by_hand("POST", &target, &[], &body.to_string());
        said(app.answer(&request, noon() + seconds(at)))
    }

    fn text(to: &str) -> Json {
        json!({
            "touser": to, "agentid": 7, "msgtype": "text", "text": { "content": "disk full" },
            "enable_duplicate_check": 1,
        })
    }

    #[test]
    fn a_token_has_to_be_fetched_and_runs_out() {
        let mut app = app();
        assert_eq!(send(&mut app, "token-1", &text("lin"), 0)["errcode"], 40014);
        assert_eq!(login(&mut app, "wrong", 0)["errcode"], 40001);
        assert_eq!(login(&mut app, "secret", 0)["access_token"], "token-1");
        assert_eq!(send(&mut app, "token-1", &text("lin"), 7199)["errcode"], 0);
        assert_eq!(send(&mut app, "token-1", &text("lin"), 7200)["errcode"], 42001);
        assert_eq!(login(&mut app, "secret", 7200)["access_token"], "token-2");
        app.forget_tokens();
        assert_eq!(send(&mut app, "token-2", &text("lin"), 7201)["errcode"], 42001);
        assert_eq!((app.logins(), app.book.taken.len()), (2, 1));
    }

    #[test]
    fn it_says_who_does_not_exist_and_drops_what_comes_twice() {
        let mut app = app();
        login(&mut app, "secret", 0);
        let part = send(&mut app, "token-1", &text("lin|ghost"), 0);
        assert_eq!((&part["errcode"], &part["invaliduser"]), (&json!(0), &json!("ghost")));
        assert_eq!(send(&mut app, "token-1", &text("ghost"), 0)["errcode"], 81013);
        let again = send(&mut app, "token-1", &text("lin|ghost"), 1799);
        assert_eq!((&again["msgid"], app.book.taken.len(), app.dropped), (&part["msgid"], 1, 1));
        send(&mut app, "token-1", &text("lin|ghost"), 1800);
        assert_eq!(app.book.taken.len(), 2);
        let mut foreign = text("lin");
        foreign["agentid"] = 8.into();
        assert_eq!(send(&mut app, "token-1", &foreign, 1)["errcode"], 301_002);
        let mut strange = text("lin");
        strange["msgtype"] = "poem".into();
        assert_eq!(send(&mut app, "token-1", &strange, 1)["errcode"], 40008);
    }

    #[test]
    fn a_card_can_be_changed_once_by_its_code() {
        let mut app = app();
        login(&mut app, "secret", 0);
        let mut card = text("lin");
        card["msgtype"] = "template_card".into();
        card["template_card"] = json!({ "card_type": "button_interaction" });
        let code = send(&mut app, "token-1", &card, 0)["response_code"].clone();
        let body = json!({ "agentid": 7, "response_code": code }).to_string();
        let target = "/cgi-bin/message/update_template_card?access_token=token-1";
        let request = by_hand("POST", target, &[], &body);
        assert_eq!(said(app.answer(&request, noon()))["errcode"], 0);
        assert_eq!(said(app.answer(&request, noon()))["errcode"], 40035);
        assert_eq!(app.updates.len(), 1);
    }
}
