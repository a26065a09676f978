//! Who may do what: bearer tokens with scopes, and how often.

use super::answer::Failure;
use super::tries::Tries;
use crate::config::{SCOPES, Scope, Token};
use axum::http::{HeaderMap, StatusCode, header};
use callout_core::alert::Via;
use callout_core::time::Timestamp;
use callout_store::model::Actor;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq;

/// Requests per second that one token may make over time.
const REQUESTS_PER_SECOND: f64 = 200.0;
/// Requests that one token may make at once after a pause.
const REQUESTS_BURST: f64 = 400.0;
/// Wrong tokens that one address may try within a minute.
const FAILURES_MAX: u32 = 10;

/// Tokens, and what was done with them lately.
#[derive(Debug)]
pub(crate) struct Gate {
    tokens: Vec<Token>,
    spent: Mutex<HashMap<usize, Bucket>>,
    failures: Tries,
}

#[derive(Debug)]
struct Bucket {
    level: f64,
    at: Timestamp,
}

impl Gate {
    pub(crate) fn new(tokens: Vec<Token>) -> Self {
        Self { tokens, spent: Mutex::default(), failures: Tries::new(FAILURES_MAX) }
    }

    /// Lets a request pass and says whose it is, or says why not.
    pub(crate) fn check(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        scope: Scope,
        now: Timestamp,
    ) -> Result<Actor, Failure> {
        // Somebody else's wrong guesses must not shut out a client that has a right token.
        let Some((number, token)) = self.find(headers) else {
            if self.failures.are_too_many(peer, now) {
                let message = "too many wrong tokens from this address; wait a minute";
                return Err(Failure::too_many(message));
            }
            if headers.contains_key(header::AUTHORIZATION) {
                self.failures.note(peer, now);
            }
            let message = "this needs a header `Authorization: Bearer TOKEN` with a token from [[server.tokens]]";
            return Err(Failure::new(StatusCode::UNAUTHORIZED, "unauthorized", message));
        };
        if !token.scopes.contains(&scope) {
            let word =
                SCOPES.iter().find(|(_, known)| *known == scope).map_or("", |(word, _)| word);
            let message = format!("the token {:?} has no scope {word:?}", token.name);
            return Err(Failure::new(StatusCode::FORBIDDEN, "forbidden", message));
        }
        if !self.spend(number, now) {
            return Err(Failure::too_many("this token makes too many requests"));
        }
        Ok(Actor { by: token.name.clone(), via: Via::Api, origin: Some(peer.to_string()) })
    }

    fn find(&self, headers: &HeaderMap) -> Option<(usize, &Token)> {
        let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, given) = given.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        // Every token is compared, each in constant time.
        let same = |token: &Token| {
            bool::from(token.token.expose().as_bytes().ct_eq(given.trim().as_bytes()))
        };
        self.tokens.iter().enumerate().fold(None, |found, (number, token)| {
            if same(token) { Some((number, token)) } else { found }
        })
    }

    fn spend(&self, token: usize, now: Timestamp) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = spent.entry(token).or_insert(Bucket { level: REQUESTS_BURST, at: now });
        let refill = now.since(bucket.at).as_secs_f64() * REQUESTS_PER_SECOND;
        bucket.level = (bucket.level + refill).min(REQUESTS_BURST);
        bucket.at = now;
        if bucket.level < 1.0 {
            return false;
        }
        bucket.level -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use callout_core::secret::Secret;
    use std::time::Duration;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(seconds)
    }

    fn gate() -> Gate {
        let token = |name: &str, secret: &str, scopes: &[Scope]| Token {
            name: name.to_owned(),
            token: Secret::new(secret),
            scopes: scopes.to_vec(),
        };
        Gate::new(vec![
            token("ci", "aaaaaaaaaaaaaaaa", &[Scope::Send]),
            token("desk", "bbbbbbbbbbbbbbbb", &[Scope::Read, Scope::Operate]),
        ])
    }

    fn check(gate: &Gate, authorization: &str, scope: Scope, now: Timestamp) -> u16 {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        match gate.check(&headers, IpAddr::from([127, 0, 0, 1]), scope, now) {
            Ok(_) => 200,
            Err(failure) => failure.into_response().status().as_u16(),
        }
    }

    #[test]
    fn a_token_opens_what_its_scopes_say_and_nothing_else() {
        let gate = gate();
        assert_eq!(check(&gate, "Bearer aaaaaaaaaaaaaaaa", Scope::Send, at(0)), 200);
        assert_eq!(check(&gate, "Bearer aaaaaaaaaaaaaaaa", Scope::Read, at(0)), 403);
        assert_eq!(check(&gate, "bearer bbbbbbbbbbbbbbbb", Scope::Operate, at(0)), 200);
        for wrong in
            ["", "Bearer", "Bearer aaaaaaaaaaaaaaab", "Bearer aaaa", "Basic aaaaaaaaaaaaaaaa"]
        {
            assert_eq!(check(&gate, wrong, Scope::Send, at(0)), 401, "{wrong}");
        }
    }

    #[test]
    fn guessing_tokens_is_slow() {
        let gate = gate();
        for _ in 0..FAILURES_MAX {
            assert_eq!(check(&gate, "Bearer x", Scope::Send, at(0)), 401);
        }
        assert_eq!(check(&gate, "Bearer y", Scope::Send, at(59)), 429);
        assert_eq!(check(&gate, "Bearer aaaaaaaaaaaaaaaa", Scope::Send, at(59)), 200, "no guess");
        assert_eq!(check(&gate, "Bearer y", Scope::Send, at(60)), 401);
    }

    #[test]
    fn a_busy_token_is_slowed_down() {
        let gate = gate();
        let served = (0..1000)
            .filter(|_| check(&gate, "Bearer aaaaaaaaaaaaaaaa", Scope::Send, at(0)) == 200)
            .count();
        assert_eq!(served, 400);
        assert_eq!(check(&gate, "Bearer aaaaaaaaaaaaaaaa", Scope::Send, at(1)), 200);
    }
}
