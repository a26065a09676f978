//! Logging in: some providers want a token that they give out for an hour or two.
//!
//! How to ask for one is the channel's to say, purely; the tokens, their age and the lock that lets
//! only one attempt ask at a time live here, in the transport, and nowhere on disk.

use crate::channel::{HttpRequest, HttpResponse};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long asking for a token may take, so that the message itself still has its time.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A token this close to its end is not used any more, unless it never lived much longer.
const TOKEN_RESERVE: Duration = Duration::from_secs(120);

/// A channel that has to log in before it speaks.
pub trait Login {
    /// Asks for a token.
    fn request(&self, at: Timestamp) -> HttpRequest;

    /// Reads the answer.
    ///
    /// # Errors
    /// What the refusal means for the message.
    fn token(&self, answer: &HttpResponse, at: Timestamp) -> Result<Token, Outcome>;

    /// Puts a token into a request.
    fn authorize(&self, request: HttpRequest, token: &Secret) -> HttpRequest;

    /// Whether this answer says that the token is not valid any more, and nothing was delivered.
    fn is_stale(&self, answer: &HttpResponse) -> bool;
}

/// The outcome of asking for a token where the answer is not the provider's. It quotes nothing, for what
/// looks like nonsense may hold a token.
pub(crate) fn not_theirs(answer: &HttpResponse, at: Timestamp) -> Outcome {
    let silent = HttpResponse { body: Vec::new(), ..answer.clone() };
    let outcome = silent.outcome_by_status(at);
    let Reason { code, detail } = outcome.reason().clone();
    let detail = format!("asking for an access token: {detail}");
    outcome.with_reason(Reason { code, detail: detail.trim_end_matches([':', ' ']).to_owned() })
}

/// What a provider gave us to speak with.
#[derive(Clone, Debug)]
pub struct Token {
    /// It.
    pub value: Secret,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What is known about one account.
#[derive(Default)]
struct Account {
    /// How often asking has failed.
    failures: AtomicU64,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    /// What came of asking, if it failed the last time.
    failure: Option<Outcome>,
}

struct Kept {
    token: Secret,
    use_until: Timestamp,
}

impl Kept {
    fn new(token: Token, at: Timestamp) -> Self {
        let life = token.expires_at.since(at);
        // A provider may give the same token again until it ends, and may not like to be asked often.
        let reserve = TOKEN_RESERVE.min(life / 2);
        Self { token: token.value, use_until: at + life.saturating_sub(reserve) }
    }

    fn is_good(&self, stale: Option<&Secret>, at: Timestamp) -> bool {
        at < self.use_until && stale.is_none_or(|stale| stale.expose() != self.token.expose())
    }
}

/// The tokens of one process, by what was asked to get them; two channels of one account share one.
/// Not printable, for an outcome kept here has not been through any mask.
#[derive(Clone)]
pub(crate) struct Tokens {
    accounts: Arc<Mutex<HashMap<[u8; 32], Arc<Account>>>>,
    /// How long getting a token may take; [`LOGIN_TIMEOUT`] outside tests.
    timeout: Duration,
}

impl Tokens {
    /// No tokens yet.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { accounts: Arc::default(), timeout }
    }

    /// The token to use: the one kept, unless it is `stale` or near its end, else a new one, for which
    /// `ask` is called while everybody else waits. Whoever waited hears of a failure too, so that an
    /// account is asked once by all, not once by each.
    pub(crate) async fn get(
        &self,
        login: &(dyn Login + Sync),
        stale: Option<&Secret>,
        at: Timestamp,
        ask: impl AsyncFnOnce(&HttpRequest) -> Result<HttpResponse, Outcome>,
    ) -> Result<Secret, Outcome> {
        let request = login.request(at);
        let account = self.account(&request);
        let failures = account.failures.load(Ordering::Acquire);
        let asking = async {
            let mut state = account.state.lock().await;
            if let Some(kept) = state.kept.as_ref().filter(|kept| kept.is_good(stale, at)) {
                return Ok(kept.token.clone());
            }
            if let Some(failure) = &state.failure
                && account.failures.load(Ordering::Acquire) != failures
            {
                return Err(failure.clone());
            }
            // Whoever comes next asks again if this fails or is given up.
            state.kept = None;
            let asked = ask(&request).await.and_then(|answer| login.token(&answer, at));
            match asked {
                Ok(token) => {
                    state.failure = None;
                    Ok(state.kept.insert(Kept::new(token, at)).token.clone())
                }
                Err(outcome) => {
                    account.failures.fetch_add(1, Ordering::Release);
                    Err(state.failure.insert(without_message(outcome)).clone())
                }
            }
        };
        match tokio::time::timeout(self.timeout, asking).await {
            Ok(token) => token,
            Err(_) => {
                let text = format!("no access token within {:?}", self.timeout);
                Err(Outcome::Transient(Reason::text(text)))
            }
        }
    }

    fn account(&self, request: &HttpRequest) -> Arc<Account> {
        let mut key = Sha256::new_with_prefix(request.url.expose());
        key.update([0]);
        key.update(&request.body);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.entry(key.finalize().into()).or_default().clone()
    }
}

/// What a failed login means for the message: nobody has heard of it yet, and no shorter one would
/// help.
fn without_message(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Unknown(reason) | Outcome::Accepted(reason) => Outcome::Transient(reason),
        Outcome::Rejected { reason, .. } => Outcome::Rejected { blame: Blame::Endpoint, reason },
        Outcome::Throttled { .. } | Outcome::Transient(_) => outcome,
    }
}

#[cfg(test)]
mod tests;
