//! One attempt on one channel, from message to outcome.
//!
//! Every text that leaves here has been through the mask. What still belongs to an accepted message
//! (a file, a mention the main form cannot carry, how to acknowledge a native body) follows on a
//! best-effort basis, because repeating the message for its sake would be worse.

use crate::callback::Callback;
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::direct::DirectChannel;
use crate::login::Login;
use crate::mask::Mask;
use crate::preview::{Preview, Shown};
use crate::spec::{Problem, Spec};
use crate::transport::Transport;
use crate::{Build, find, kinds, settings};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use std::time::Duration;

/// The most requests that follow one accepted message.
pub const FOLLOW_UPS_MAX: usize = 12;
/// How long all requests that follow one accepted message may take together.
///
/// The message, logging in included, and these together end before a worker that was told to stop gives up
/// waiting.
pub const FOLLOW_UPS_TIMEOUT: Duration = Duration::from_secs(4);

/// One configured way out, ready to be used.
#[derive(Debug)]
pub struct Channel {
    spec: &'static Spec,
    /// Hides the credentials of the settings.
    mask: Mask,
    speaker: Speaker,
}

#[derive(Debug)]
enum Speaker {
    Http(Box<dyn HttpChannel>),
    Direct(Box<dyn DirectChannel>),
}

/// What became of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// What the provider said, without any credential.
    pub outcome: Outcome,
    /// How many requests were tried; each of them counts towards the provider's rate limit.
    pub sends: u32,
}

impl Channel {
    /// Makes a channel of `kind` from settings in which every credential is already a plain text.
    ///
    /// # Errors
    /// Everything that is wrong with the settings, never with a credential in the text.
    pub fn build(kind: &str, settings: serde_json::Value) -> Result<Self, Vec<Problem>> {
        let Some(row) = find(kind) else {
            let known = kinds().collect::<Vec<_>>().join(", ");
            let text = format!("is not a known kind of channel; the kinds are {known}");
            return Err(vec![Problem { field: "kind", text }]);
        };
        let checked = settings::check(row.spec, settings);
        let settings = checked.settings.clone();
        let mask = Mask::new(&settings::secrets(row.spec, &settings), None);
        let speaker = match row.build {
            Build::Http(build) => build(settings).map(Speaker::Http),
            Build::Direct(build) => build(settings).map(Speaker::Direct),
        };
        match speaker {
            Ok(speaker) if checked.problems.is_empty() => {
                Ok(Self { spec: row.spec, mask, speaker })
            }
            Ok(_) => Err(checked.problems),
            Err(found) => Err(checked.and(found)),
        }
    }

    /// A channel of a kind that is not in the registry. For tests that play the provider themselves.
    pub fn of(spec: &'static Spec, speaker: Box<dyn DirectChannel>) -> Self {
        Self { spec, mask: Mask::new(&[], None), speaker: Speaker::Direct(speaker) }
    }

    /// What is known about channels of this kind.
    pub fn spec(&self) -> &'static Spec {
        self.spec
    }

    /// What it needs of this machine and does not find there now, such as a folder or a program.
    pub fn lacks(&self) -> Option<Problem> {
        match &self.speaker {
            Speaker::Http(_) => None,
            Speaker::Direct(direct) => direct.lacks(),
        }
    }

    /// How it hears what its provider reports, if the settings allow that.
    pub fn callback(&self) -> Option<&dyn Callback> {
        match &self.speaker {
            Speaker::Http(http) => http.callback(),
            Speaker::Direct(_) => None,
        }
    }

    /// Says `out` once. Never sleeps, never tries again.
    pub async fn deliver(
        &self,
        transport: &Transport,
        out: &Outgoing<'_>,
        clock: &(dyn Fn() -> Timestamp + Send + Sync),
    ) -> Delivered {
        let http = match &self.speaker {
            Speaker::Http(http) => http.as_ref(),
            Speaker::Direct(direct) => {
                let outcome = self.mask(out).outcome(direct.deliver(out, clock()).await);
                return Delivered { outcome, sends: 1 };
            }
        };
        let request = match http.request(out, clock()) {
            Ok(request) => request,
            Err(Refused(reason)) => {
                let outcome = Outcome::Rejected { blame: Blame::Message, reason };
                return Delivered { outcome: self.mask(out).outcome(outcome), sends: 0 };
            }
        };
        let call = Call { channel: self, http, transport, out, clock };
        let outcome = call.send(request).await.1;
        let mut after = FollowUps::default();
        if matches!(outcome, Outcome::Accepted(_)) {
            let follow = call.follow_up(&mut after);
            if tokio::time::timeout(FOLLOW_UPS_TIMEOUT, follow).await.is_err() {
                after.failures.push("no time left for the rest".to_owned());
            }
        }
        Delivered { outcome: after.noted(outcome), sends: after.sends.saturating_add(1) }
    }

    /// What [`Channel::deliver`] would send, without any credential. Sends nothing.
    ///
    /// # Errors
    /// [`Refused`] if this channel has no way to say it.
    pub fn preview(&self, out: &Outgoing<'_>, at: Timestamp) -> Result<Preview, Refused> {
        let mask = self.mask(out);
        let clean = |Refused(Reason { code, detail })| {
            Refused(mask.outcome(Outcome::Unknown(Reason { code, detail })).reason().clone())
        };
        let http = match &self.speaker {
            Speaker::Http(http) => http.as_ref(),
            Speaker::Direct(direct) => {
                let text = direct.preview(out, at).map_err(clean)?;
                return Ok(Preview::Direct(mask.lines(&text)));
            }
        };
        let mut request = http.request(out, at).map_err(clean)?;
        let login = http.login();
        if let Some(login) = login {
            request = login.authorize(request, &Secret::new("***"));
        }
        let follow_up = http.follow_up(out, at, &[]).is_some();
        let shown = Shown::of(&request, &self.mask(out).with(&request));
        Ok(Preview::Http(Shown { login: login.is_some(), follow_up, ..shown }))
    }

    /// Reads an answer and hides credentials in what it says.
    pub(crate) fn judge(
        http: &dyn HttpChannel,
        answer: &HttpResponse,
        mask: &Mask,
        at: Timestamp,
    ) -> Outcome {
        let outcome = match answer.status {
            300..=399 => answer.outcome_by_status(at),
            _ => http.classify(answer, at),
        };
        mask.outcome(outcome)
    }

    /// Hides the credentials of the settings and of `out`.
    pub(crate) fn mask(&self, out: &Outgoing<'_>) -> Mask {
        self.mask.clone().asking(out.ask)
    }

    #[cfg(test)]
    pub(crate) fn speaks_http(&self) -> Option<&dyn HttpChannel> {
        match &self.speaker {
            Speaker::Http(http) => Some(http.as_ref()),
            Speaker::Direct(_) => None,
        }
    }

    #[cfg(test)]
    pub(crate) fn http(&self) -> &dyn HttpChannel {
        self.speaks_http().unwrap()
    }

    #[cfg(test)]
    pub(crate) fn direct(&self) -> Option<&dyn DirectChannel> {
        match &self.speaker {
            Speaker::Http(_) => None,
            Speaker::Direct(direct) => Some(direct.as_ref()),
        }
    }
}

/// One attempt on a channel that speaks HTTP.
struct Call<'a> {
    channel: &'a Channel,
    http: &'a dyn HttpChannel,
    transport: &'a Transport,
    out: &'a Outgoing<'a>,
    clock: &'a (dyn Fn() -> Timestamp + Send + Sync),
}

impl Call<'_> {
    /// Sends one request and reads what came of it.
    async fn send(&self, request: HttpRequest) -> (Option<HttpResponse>, Outcome) {
        match self.exchange(request).await {
            Ok((answer, mask)) => {
                let outcome = Channel::judge(self.http, &answer, &mask, (self.clock)());
                (Some(answer), outcome)
            }
            Err(outcome) => (None, outcome),
        }
    }

    /// Sends, and logs in where that is needed: all of it in the time of one request.
    async fn exchange(&self, request: HttpRequest) -> Result<(HttpResponse, Mask), Outcome> {
        let Some(login) = self.http.login() else { return self.once(request, None).await };
        let (limit, mut under_way) = (self.transport.timeout(), false);
        // Few channels log in, and what few do is not to make every attempt larger.
        let done = Box::pin(self.logged_in(login, request, &mut under_way));
        tokio::time::timeout(limit, done).await.unwrap_or_else(|_| {
            let reason = Reason::text(format!("no answer within {limit:?}, logging in included"));
            Err(if under_way { Outcome::Unknown(reason) } else { Outcome::Transient(reason) })
        })
    }

    /// Logs in, once more if the token has become stale, and sends. `under_way` says whether the message
    /// has left and may have been heard.
    async fn logged_in(
        &self,
        login: &(dyn Login + Sync),
        request: HttpRequest,
        under_way: &mut bool,
    ) -> Result<(HttpResponse, Mask), Outcome> {
        let token = self.token(login, None).await?;
        let authorized = login.authorize(request.clone(), &token);
        *under_way = true;
        let (answer, mask) = self.once(authorized, Some(&token)).await?;
        if !login.is_stale(&answer) {
            return Ok((answer, mask));
        }
        *under_way = false;
        let token = self.token(login, Some(&token)).await?;
        *under_way = true;
        self.once(login.authorize(request, &token), Some(&token)).await
    }

    async fn once(
        &self,
        request: HttpRequest,
        token: Option<&Secret>,
    ) -> Result<(HttpResponse, Mask), Outcome> {
        let mask = self.channel.mask(self.out).with(&request).hiding(token);
        match self.transport.exchange(&request).await {
            Ok(answer) => Ok((answer, mask)),
            Err(outcome) => Err(mask.outcome(outcome)),
        }
    }

    async fn token(
        &self,
        login: &(dyn Login + Sync),
        stale: Option<&Secret>,
    ) -> Result<Secret, Outcome> {
        let ask = async |request: &HttpRequest| self.transport.exchange(request).await;
        let token = self.transport.tokens().get(login, stale, (self.clock)(), ask).await;
        let mask = self.channel.mask(self.out).with(&login.request((self.clock)()));
        token.map_err(|outcome| mask.outcome(outcome))
    }

    async fn follow_up(&self, after: &mut FollowUps) {
        let mut answers = Vec::new();
        while let Some(request) = self.http.follow_up(self.out, (self.clock)(), &answers) {
            let Some(answer) = Box::pin(self.after(request, after)).await else { return };
            answers.push(answer);
        }
        // What newer news have changed already stays as they left it.
        let Some(about) = self.out.about.filter(|about| about.is_current()) else { return };
        let told = Outgoing {
            message: &about.message,
            id: about.id,
            created_at: about.created_at,
            plain: false,
            ask: None,
            about: None,
            ..*self.out
        };
        for receipt in &about.receipts {
            let news = self.out.news();
            let Some(edit) = self.http.edit(&told, receipt, news, (self.clock)()) else { continue };
            if Box::pin(self.after(edit, after)).await.is_none() {
                return;
            }
        }
    }

    /// Sends one request after an accepted message; `None` if that was the last.
    async fn after(&self, request: HttpRequest, after: &mut FollowUps) -> Option<HttpResponse> {
        if usize::try_from(after.sends).is_ok_and(|sends| sends >= FOLLOW_UPS_MAX) {
            after.failures.push(format!("more than {FOLLOW_UPS_MAX} requests"));
            return None;
        }
        after.sends = after.sends.saturating_add(1);
        let (answer, outcome) = self.send(request).await;
        after.note(&outcome);
        // Whoever does not answer now will not answer to the rest either.
        answer
    }
}

/// What came of the requests after an accepted message.
#[derive(Default)]
struct FollowUps {
    sends: u32,
    failures: Vec<String>,
}

impl FollowUps {
    fn note(&mut self, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Accepted(_)) {
            self.failures.push(format!("{} {}", outcome.name(), outcome.reason()));
        }
    }

    fn noted(&self, outcome: Outcome) -> Outcome {
        if self.failures.is_empty() {
            return outcome;
        }
        let Reason { code, detail } = outcome.reason().clone();
        let detail =
            format!("{detail}; what should have followed failed: {}", self.failures.join("; "));
        let detail = Reason::text(detail).detail;
        outcome.with_reason(Reason { code, detail })
    }
}
