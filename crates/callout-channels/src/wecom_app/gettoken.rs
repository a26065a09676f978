//! Logging in with the application's secret.

use super::{Answer, WeComApp};
use crate::channel::{HttpRequest, HttpResponse};
use crate::login::{Login, Token, not_theirs};
use crate::sign;
use crate::wecom_parts::outcome;
use callout_core::outcome::Outcome;
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use std::time::Duration;

/// How long a token is used whose end the answer does not tell, and the longest any is used.
const TOKEN_TTL_S: u64 = 7200;

#[derive(Deserialize)]
struct Grant {
    errcode: Option<i64>,
    #[serde(default)]
    errmsg: String,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Login for WeComApp {
    fn request(&self, _at: Timestamp) -> HttpRequest {
        let corp_id = sign::percent(&self.corp_id);
        let secret = sign::percent(self.corp_secret.expose());
        let url = self.url("gettoken", &format!("?corpid={corp_id}&corpsecret={secret}"));
        HttpRequest { method: "GET", url, headers: Vec::new(), body: Vec::new() }
    }

    fn token(&self, answer: &HttpResponse, at: Timestamp) -> Result<Token, Outcome> {
        let said = answer.json::<Grant>().ok_or_else(|| not_theirs(answer, at))?;
        match (said.errcode, said.access_token) {
            (Some(0), Some(token)) if answer.status == 200 && !token.is_empty() => {
                let lives = said.expires_in.unwrap_or(TOKEN_TTL_S).min(TOKEN_TTL_S);
                let expires_at = at + Duration::from_secs(lives);
                Ok(Token { value: Secret::new(token), expires_at })
            }
            (Some(0) | None, _) => Err(not_theirs(answer, at)),
            (Some(code), _) => Err(outcome(code, &said.errmsg, at)),
        }
    }

    fn authorize(&self, request: HttpRequest, token: &Secret) -> HttpRequest {
        let url = request.url.expose();
        let divider = if url.contains('?') { '&' } else { '?' };
        let token = sign::percent(token.expose());
        let url = Secret::new(format!("{url}{divider}access_token={token}"));
        HttpRequest { url, ..request }
    }

    fn is_stale(&self, answer: &HttpResponse) -> bool {
        let code = answer.json::<Answer>().and_then(|answer| answer.errcode);
        matches!(code, Some(40_001 | 40_014 | 42_001))
    }
}
