//! What Twilio's messages and calls have in common: the account, the request and the codes.
//!
//! Success is status 201, an id, a state that is not a failure, and no `error_code`; it says that the
//! message or call stands in Twilio's queue. Twilio has nothing against duplicates, so an error of its own
//! (5xx) is unknown: the message may be on its way. Numbers are settings of the channel, so a number that
//! is refused is the endpoint's fault.
//!
//! Unverified: how many messages a number may send in a second (one, for an American one) and how long its
//! queue may grow.

use crate::channel::{HttpRequest, HttpResponse};
use crate::sign::cloud;
use crate::spec::{Advice, Problem};
use crate::{phone, settings};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;
use std::time::Duration;
use url::Url;

const ENDPOINT: &str = "https://api.twilio.com";
/// How many hexadecimal digits stand behind the two letters of an id.
const SID_DIGITS: usize = 32;
/// How long a sender whose queue is full gets to empty it.
const QUEUE: Duration = Duration::from_secs(120);

/// The settings of both kinds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    account_sid: String,
    auth_token: Secret,
    from: String,
    to: String,
    language: Option<String>,
    endpoint: Option<Secret>,
}

/// Whom to tell, from where, and on whose account.
#[derive(Debug)]
pub(crate) struct Account {
    sid: String,
    pub(crate) auth_token: Secret,
    from: Secret,
    to: Secret,
    /// What is spoken, if the settings say so; only calls have it.
    pub(crate) language: Option<String>,
    endpoint: Url,
}

impl Account {
    /// Reads settings; `services` tells whether a messaging service may be the sender.
    pub(crate) fn read(settings: Json, services: bool) -> Result<Self, Vec<Problem>> {
        let set: Settings = settings::parse(settings)?;
        let mut problems = Vec::new();
        let (sid, from, to) = (set.account_sid.trim(), set.from.trim(), set.to.trim());
        if !is_sid(sid, "AC") {
            let text = "has to be AC and 32 digits from 0 to f";
            problems.push(settings::problem("account_sid", text));
        }
        let is_service = services && is_sid(from, "MG");
        if !phone::is_international(from) && !is_service {
            let or = if services {
                ", or a messaging service: MG and 32 digits from 0 to f"
            } else {
                ""
            };
            let text = format!("has to be a phone number like +15005550006{or}");
            problems.push(settings::problem("from", text));
        }
        if !phone::is_international(to) {
            let text = "has to be one phone number like +8613800000000";
            problems.push(settings::problem("to", text));
        }
        let language = set.language.as_deref().map(str::trim);
        if language.is_some_and(|language| !is_language(language)) {
            let text = "has to be a language and a country, such as en-US or zh-CN";
            problems.push(settings::problem("language", text));
        }
        let endpoint = settings::base_address("endpoint", set.endpoint.as_ref(), ENDPOINT);
        let endpoint = settings::noted(&mut problems, endpoint);
        let Some(endpoint) = endpoint.filter(|_| problems.is_empty()) else { return Err(problems) };
        Ok(Self {
            sid: sid.to_owned(),
            from: Secret::new(from),
            to: Secret::new(to),
            language: language.map(str::to_owned),
            auth_token: set.auth_token,
            endpoint,
        })
    }

    /// A request to make one of `what`, such as `Messages`, of the usual two numbers and `fields`.
    pub(crate) fn request(&self, what: &str, fields: &[(&str, &str)]) -> HttpRequest {
        let base = self.endpoint.as_str().trim_end_matches('/');
        let url = format!("{base}/2010-04-01/Accounts/{}/{what}.json", self.sid);
        let from = self.from.expose();
        let sender = if from.starts_with('+') { "From" } else { "MessagingServiceSid" };
        let mut all = vec![("To", self.to.expose()), (sender, from)];
        all.extend(fields);
        let authorization = cloud::basic(&self.sid, self.auth_token.expose());
        HttpRequest::post_form(Secret::new(url), &all)
            .with_header("authorization", Secret::new(authorization))
    }
}

fn is_sid(text: &str, letters: &str) -> bool {
    text.strip_prefix(letters).is_some_and(|digits| {
        digits.len() == SID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Whether `text` looks like `en-US`.
pub(crate) fn is_language(text: &str) -> bool {
    let part = |part: &str| {
        (2..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    text.split('-').count() <= 3 && text.split('-').all(part)
}

#[derive(Deserialize)]
struct Answer {
    /// Of the message or call that was made.
    sid: Option<String>,
    #[serde(default)]
    status: Json,
    error_code: Option<i64>,
    error_message: Option<String>,
    /// Of a refusal.
    code: Option<i64>,
    #[serde(default)]
    message: String,
}

/// Reads an answer; the id of what was made begins with one of `letters`.
pub(crate) fn classify(answer: &HttpResponse, letters: &[&str], at: Timestamp) -> Outcome {
    let outcome = match answer.json::<Answer>() {
        Some(Answer { error_code: Some(code), error_message, .. }) => {
            refusal(answer, code, &error_message.unwrap_or_default(), at)
        }
        Some(Answer { sid: Some(sid), status, .. }) if answer.status == 201 => {
            let status = status.as_str().unwrap_or_default();
            if letters.iter().any(|letters| is_sid(&sid, letters)) {
                made(answer, &sid, status, at)
            } else {
                answer.outcome_by_status(at)
            }
        }
        Some(Answer { code: Some(code), message, .. }) if answer.status >= 400 => {
            refusal(answer, code, &message, at)
        }
        Some(_) | None => answer.outcome_by_status_if_costly(at),
    };
    phone::discreet(outcome)
}

/// Something was made; its state tells whether it is on its way.
fn made(answer: &HttpResponse, sid: &str, status: &str, at: Timestamp) -> Outcome {
    match status {
        "queued" | "accepted" | "scheduled" | "sending" | "sent" | "delivered" | "read"
        | "ringing" | "in-progress" | "completed" => Outcome::Accepted(Reason::new(sid, status)),
        "failed" | "undelivered" | "canceled" | "busy" | "no-answer" => {
            Outcome::Transient(Reason::new(status, sid))
        }
        _ => answer.outcome_by_status(at),
    }
}

fn refusal(answer: &HttpResponse, code: i64, text: &str, at: Timestamp) -> Outcome {
    let reason = Reason::new(code, text);
    let rejected = |blame, reason| Outcome::Rejected { blame, reason };
    match (answer.status, code) {
        // A request that was too much was never looked at.
        (429, _) | (_, 20_429) => Outcome::Throttled { until: answer.retry_at(at), reason },
        (_, 21_611) => Outcome::Throttled { until: at + QUEUE, reason },
        (500..=599, _) => Outcome::Unknown(reason),
        (401, _) | (_, 20_003) => rejected(Blame::Endpoint, reason),
        (
            _,
            21_211 | 21_212 | 21_401 | 21_408 | 21_606 | 21_608 | 21_610 | 21_612 | 21_614 | 21_701
            | 21_703 | 21_704,
        ) => rejected(Blame::Endpoint, reason),
        (_, 21_617 | 21_602 | 21_619 | 20_422 | 21_658) => rejected(Blame::Message, reason),
        // Codes we do not know: worth another try, which the attempt limit ends.
        _ => Outcome::Transient(reason),
    }
}

/// What both kinds can advise.
pub(crate) const ADVICE: &[Advice] = &[
    Advice {
        code: "20003",
        says: "",
        english: "auth_token does not belong to account_sid, or the account is suspended; copy both again from the Twilio console.",
        chinese: "auth_token 与 account_sid 不匹配，或账号已停用：请从 Twilio 控制台重新复制这两项。",
    },
    Advice {
        code: "401",
        says: "",
        english: "auth_token does not belong to account_sid; copy both again from the Twilio console.",
        chinese: "auth_token 与 account_sid 不匹配：请从 Twilio 控制台重新复制这两项。",
    },
    Advice {
        code: "21211",
        says: "",
        english: "Twilio takes the number in to for none; correct it.",
        chinese: "Twilio 无法识别 to 中的号码，请更正。",
    },
    Advice {
        code: "21212",
        says: "",
        english: "Twilio takes the number in from for none; correct it.",
        chinese: "Twilio 无法识别 from 中的号码，请更正。",
    },
    Advice {
        code: "21401",
        says: "",
        english: "Twilio takes a number for none; correct to and from.",
        chinese: "Twilio 无法识别号码：请更正 to 和 from。",
    },
    Advice {
        code: "21408",
        says: "",
        english: "The account may not send to that country; allow it under the geographic permissions in the Twilio console.",
        chinese: "账号未开通发往该国家或地区的权限：请在 Twilio 控制台的地理权限中开启。",
    },
    Advice {
        code: "21606",
        says: "",
        english: "The number in from is not yours or cannot do this; choose one that the account owns.",
        chinese: "from 中的号码不属于该账号或不具备此能力：请换用账号名下的号码。",
    },
    Advice {
        code: "21608",
        says: "",
        english: "A trial account reaches only numbers that are verified; verify the one in to, or upgrade the account.",
        chinese: "试用账号只能发往已验证的号码：请验证 to 中的号码，或升级账号。",
    },
    Advice {
        code: "21610",
        says: "",
        english: "The recipient has answered STOP; they have to send START to your number first.",
        chinese: "接收人曾回复 STOP 退订：需由其向您的号码发送 START 后才能恢复。",
    },
    Advice {
        code: "21611",
        says: "",
        english: "The sender's queue is full; use a messaging service with several numbers.",
        chinese: "发送号码的队列已满：请使用包含多个号码的 Messaging Service。",
    },
    Advice {
        code: "21612",
        says: "",
        english: "No way leads from the number in from to the one in to; use a sender that reaches that country.",
        chinese: "from 中的号码无法到达 to 中的号码：请换用能覆盖该国家或地区的发送号码。",
    },
    Advice {
        code: "21614",
        says: "",
        english: "The number in to is no mobile number; use one that takes messages, or the kind twilio_voice.",
        chinese: "to 中的号码不是手机号：请换用可接收短信的号码，或改用 twilio_voice。",
    },
    Advice {
        code: "21701",
        says: "",
        english: "There is no such messaging service; copy its id into from again.",
        chinese: "该 Messaging Service 不存在：请重新复制其 SID 到 from。",
    },
    Advice {
        code: "21703",
        says: "",
        english: "The messaging service has no numbers; add one in the Twilio console.",
        chinese: "该 Messaging Service 没有号码：请在 Twilio 控制台添加。",
    },
    Advice {
        code: "21704",
        says: "",
        english: "The messaging service has no number that can send this; add one in the Twilio console.",
        chinese: "该 Messaging Service 没有可用号码：请在 Twilio 控制台添加。",
    },
];
