//! Short messages through Tencent Cloud.
//!
//! A mainland message is a template that the provider has approved, and a few short values in it, filled
//! in from `template_params` in the order of the template's variables. Accounts opened since
//! 2024-01-25 may put six characters into a variable, so that is the default here: a longer one would be
//! refused on most accounts, and every alert would need a second try. Older accounts raise it.
//!
//! Every answer is status 200, and each number has a status of its own. As many statuses as numbers are
//! expected. If one number was reached the message is accepted, because a repetition would reach that one
//! again; what became of the others stands beside it. If none was reached, the status decides that leaves
//! most hope, because what can still reach somebody must not be given up for a number that is wrong.
//!
//! A number's limit makes the channel wait, so that a message with another channel left goes there at
//! once and one without is not lost. The pause is an hour at most, even where the window is a day. Too
//! much of the same content is about the message alone, and shorter values make another content of it. A
//! number that is refused is a fault of the settings.
//!
//! Unverified: what is billed if only some numbers were reached, how long the limits last whose names say
//! nothing of it, and whether the statuses keep the order of the numbers, which nothing here relies on.

use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::placeholder::{Template, chars_max};
use crate::sign::cloud;
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{phone, settings};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::time::Duration;
use url::Url;

pub(crate) static SPEC: Spec = Spec {
    kind: "tencent_sms",
    title: "Tencent Cloud SMS (腾讯云短信)",
    fields: &[
        Field {
            name: "secret_id",
            value: Value::Secret,
            required: true,
            doc: "The id of a key that may send short messages.",
        },
        Field { name: "secret_key", value: Value::Secret, required: true, doc: "That key." },
        Field {
            name: "sdk_app_id",
            value: Value::Text,
            required: true,
            doc: "The SMS application's SdkAppId, digits such as 1400006666.",
        },
        Field {
            name: "region",
            value: Value::Text,
            required: false,
            doc: "The service's region. Default: ap-guangzhou.",
        },
        Field {
            name: "sign_name",
            value: Value::Text,
            required: false,
            doc: "The content of the approved signature; needed for numbers on the mainland. Default: none.",
        },
        Field {
            name: "template_id",
            value: Value::Text,
            required: true,
            doc: "The number of the approved template.",
        },
        Field {
            name: "template_params",
            value: Value::List,
            required: false,
            doc: "What stands for each variable of the template, in order, such as [\"{{level}}\", \"{{title}}\"]. Places: title, level, body, id, time, labels.NAME; and of a message that has to be acknowledged note (why these people are told), link (the address to acknowledge at) and command (what to type where Callout runs). A link, command or id that is too long for the variable, and what there is nothing of, becomes a dash. Default: none.",
        },
        Field {
            name: "param_chars_max",
            value: Value::Number,
            required: false,
            doc: "How many characters one variable may have; longer ones are cut. Default: 6, all that accounts opened since 2024-01-25 may use.",
        },
        Field {
            name: "phones",
            value: Value::List,
            required: true,
            doc: "Whom to tell: numbers like +8613800000000, all of them on the mainland or none; at most 200.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "Where to post; its host is part of the signature. Default: https://sms.tencentcloudapi.com/.",
        },
    ],
    // An account may send thousands a second; the limits of a number are what counts, and a pace of
    // five keeps a storm of alerts from spending them at once.
    rate: "5/s",
    types: &["template"],
    native: false,
    body_bytes_max: 64 * 1024,
    mentions: "nobody",
    idempotency: "none",
    ack: "none",
    costly: true,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[],
};

const ADVICE: &[Advice] = &[
    Advice {
        code: "AuthFailure.SignatureExpire",
        says: "",
        english: "This machine's clock is off by more than five minutes; set it.",
        chinese: "本机时钟偏差超过 5 分钟，请校准时间。",
    },
    Advice {
        code: "InternalError.RequestTimeException",
        says: "",
        english: "This machine's clock is off by more than ten minutes; set it.",
        chinese: "本机时钟偏差超过 10 分钟，请校准时间。",
    },
    Advice {
        code: "AuthFailure.SecretIdNotFound",
        says: "",
        english: "There is no such key; copy secret_id again or make a new key.",
        chinese: "该密钥不存在：请重新复制 secret_id，或新建密钥。",
    },
    Advice {
        code: "AuthFailure.SignatureFailure",
        says: "",
        english: "secret_key does not belong to secret_id; copy both again.",
        chinese: "secret_key 与 secret_id 不匹配：请重新复制这两项。",
    },
    Advice {
        code: "FailedOperation.TemplateIncorrectOrUnapproved",
        says: "",
        english: "The template is not approved, or has another number of variables than template_params; compare it with the SMS console.",
        chinese: "模板未通过审核，或变量个数与 template_params 不一致：请与短信控制台核对。",
    },
    Advice {
        code: "FailedOperation.SignatureIncorrectOrUnapproved",
        says: "",
        english: "The signature in sign_name is not approved; compare it with the SMS console.",
        chinese: "sign_name 中的签名未通过审核：请与短信控制台核对。",
    },
    Advice {
        code: "FailedOperation.InsufficientBalanceInSmsPackage",
        says: "",
        english: "The account has no messages left; buy a package or top it up.",
        chinese: "短信套餐余量不足：请购买套餐包或充值。",
    },
    Advice {
        code: "FailedOperation.ContainSensitiveWord",
        says: "",
        english: "A word in the message is blocked; use fewer variables that hold free text.",
        chinese: "短信内容含有敏感词：请减少填写自由文本的变量。",
    },
    Advice {
        code: "FailedOperation.PhoneNumberInBlacklist",
        says: "",
        english: "A number in phones is on the provider's list of those who want no messages; ask its owner to leave that list.",
        chinese: "phones 中有号码在免打扰名单内：请该用户申请移出。",
    },
    Advice {
        code: "InvalidParameterValue.IncorrectPhoneNumber",
        says: "",
        english: "The provider takes a number in phones for none; correct it.",
        chinese: "phones 中有号码无法识别，请更正。",
    },
    Advice {
        code: "InvalidParameterValue.TemplateParameterLengthLimit",
        says: "",
        english: "A variable is longer than the account allows; lower param_chars_max, or ask the provider to lift the limit.",
        chinese: "某个变量超过账号允许的长度：请调小 param_chars_max，或联系服务商放宽限制。",
    },
    Advice {
        code: "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter",
        says: "",
        english: "Variables may hold no address; take {{link}} and {{body}} out of template_params.",
        chinese: "变量中不允许出现网址：请从 template_params 中去掉 {{link}} 和 {{body}}。",
    },
    Advice {
        code: "LimitExceeded.PhoneNumberDailyLimit",
        says: "",
        english: "A number has had its messages for today; raise the frequency limits in the SMS console.",
        chinese: "某个号码已达单日发送上限：请在短信控制台调高发送频率限制。",
    },
    Advice {
        code: "LimitExceeded.PhoneNumberOneHourLimit",
        says: "",
        english: "A number has had its messages for this hour; raise the frequency limits in the SMS console.",
        chinese: "某个号码已达一小时发送上限：请在短信控制台调高发送频率限制。",
    },
    Advice {
        code: "LimitExceeded.PhoneNumberSameContentDailyLimit",
        says: "",
        english: "A number has had the same text too often today; use variables that tell alerts apart, such as {{time}}.",
        chinese: "某个号码今日收到的相同内容过多：请使用能区分告警的变量，如 {{time}}。",
    },
    Advice {
        code: "UnauthorizedOperation.SdkAppIdIsDisabled",
        says: "",
        english: "The SMS application in sdk_app_id is disabled; enable it in the console.",
        chinese: "sdk_app_id 对应的短信应用已停用：请在控制台启用。",
    },
];

const ENDPOINT: &str = "https://sms.tencentcloudapi.com/";
const REGION: &str = "ap-guangzhou";
/// How many numbers one request may name.
const PHONES_MAX: usize = 200;
/// How many characters a variable has by default.
const PARAM_CHARS_MAX: usize = 6;
const SERVICE: &str = "sms";
const JSON_TYPE: &str = "application/json; charset=utf-8";

/// How long the pace of a whole account is waited for.
const PACE: Duration = Duration::from_secs(1);
/// How long a number waits before it may hear the same again.
const SAME_CONTENT: Duration = Duration::from_secs(30);
/// How long a limit is waited for whose window nobody tells: longer than another channel would wait.
const SOME_TIME: Duration = Duration::from_secs(300);
/// The longest pause, whatever the window.
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    secret_id: Secret,
    secret_key: Secret,
    sdk_app_id: String,
    region: Option<String>,
    sign_name: Option<String>,
    template_id: String,
    #[serde(default, deserialize_with = "settings::list")]
    template_params: Vec<String>,
    param_chars_max: Option<u64>,
    #[serde(deserialize_with = "settings::list")]
    phones: Vec<String>,
    endpoint: Option<Secret>,
}

#[derive(Debug)]
struct TencentSms {
    secret_id: Secret,
    secret_key: Secret,
    sdk_app_id: String,
    region: String,
    sign_name: Option<String>,
    template_id: String,
    params: Vec<Template>,
    param_chars_max: usize,
    phones: Vec<Secret>,
    endpoint: Url,
}

/// Makes a channel from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let set: Settings = settings::parse(settings)?;
    let mut problems = check(&set);
    let mut params = Vec::new();
    for (at, text) in (1_usize..).zip(&set.template_params) {
        let template = Template::parse(
            "template_params",
            &format!("holds a text at position {at} that"),
            text,
        );
        params.extend(settings::noted(&mut problems, template));
    }
    let most = chars_max("param_chars_max", set.param_chars_max, PARAM_CHARS_MAX);
    let most = settings::noted(&mut problems, most);
    let endpoint = settings::base_address("endpoint", set.endpoint.as_ref(), ENDPOINT);
    let endpoint = settings::noted(&mut problems, endpoint);
    let (Some(param_chars_max), Some(endpoint), true) = (most, endpoint, problems.is_empty())
    else {
        return Err(problems);
    };
    Ok(Box::new(TencentSms {
        secret_id: set.secret_id,
        secret_key: set.secret_key,
        sdk_app_id: set.sdk_app_id,
        region: set.region.unwrap_or_else(|| REGION.to_owned()),
        sign_name: set.sign_name.map(|name| name.trim().to_owned()),
        template_id: set.template_id,
        params,
        param_chars_max,
        phones: set.phones.iter().map(|phone| Secret::new(phone.trim())).collect(),
        endpoint,
    }))
}

fn check(set: &Settings) -> Vec<Problem> {
    let sign_name = set.sign_name.iter();
    let mut problems: Vec<Problem> =
        sign_name.filter_map(|name| settings::bracketed("sign_name", name)).collect();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    for (field, text) in [("sdk_app_id", &set.sdk_app_id), ("template_id", &set.template_id)] {
        if !digits(text) {
            problems.push(settings::problem(field, "has to be digits"));
        }
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if set.region.as_ref().is_some_and(|region| !region.bytes().all(word)) {
        problems.push(settings::problem("region", "has to be like ap-guangzhou"));
    }
    match phone::check("phones", &set.phones, PHONES_MAX, phone::is_international) {
        Some(problem) => problems.push(problem),
        None => problems.extend(check_mainland(set)),
    }
    problems
}

/// The numbers have to be of one kind.
fn check_mainland(set: &Settings) -> Option<Problem> {
    let mainland = set.phones.iter().filter(|phone| phone.trim().starts_with("+86")).count();
    let mixed = mainland != 0 && mainland != set.phones.len();
    let text = "mixes numbers on the mainland with others; give each kind a channel";
    mixed.then(|| settings::problem("phones", text))
}

impl HttpChannel for TencentSms {
    fn request(&self, out: &Outgoing<'_>, at: Timestamp) -> Result<HttpRequest, Refused> {
        let url = Secret::new(self.endpoint.as_str());
        let request = HttpRequest::post_json(url, &self.body(out))?;
        // The day in the signature and this come from one and the same instant.
        let at_s = at.unix_ms() / 1000;
        let host = cloud::host(&self.endpoint);
        let headers = [("content-type", JSON_TYPE), ("host", &host)];
        let canonical = cloud::canonical(self.endpoint.path(), "", &headers, &request.body);
        let (id, key) = (self.secret_id.expose(), self.secret_key.expose());
        let authorization = cloud::tc3(id, key, SERVICE, at_s, &canonical);
        Ok(request
            .with_header("authorization", Secret::new(authorization))
            .with_header("x-tc-action", Secret::new("SendSms"))
            .with_header("x-tc-version", Secret::new("2021-01-11"))
            .with_header("x-tc-region", Secret::new(self.region.as_str()))
            .with_header("x-tc-timestamp", Secret::new(at_s.to_string())))
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        phone::discreet(match answer.json::<Answer>().map(|answer| answer.response) {
            Some(Response { error: Some(error), .. }) => outcome(&error.code, &error.message, at),
            Some(Response { send_status_set: Some(statuses), .. })
                if answer.status == 200 && statuses.len() == self.phones.len() =>
            {
                verdict(&statuses, at)
            }
            Some(Response { send_status_set: Some(statuses), .. }) if answer.status == 200 => {
                let (told, asked) = (statuses.len(), self.phones.len());
                let detail = format!("the answer is about {told} numbers instead of {asked}");
                Outcome::Unknown(Reason::new(answer.status, detail))
            }
            Some(_) | None => answer.outcome_by_status_if_costly(at),
        })
    }
}

impl TencentSms {
    fn body(&self, out: &Outgoing<'_>) -> Json {
        let params = self.params.iter().map(|text| text.render(out, self.param_chars_max));
        let mut body = json!({
            "PhoneNumberSet": self.phones.iter().map(Secret::expose).collect::<Vec<_>>(),
            "SmsSdkAppId": self.sdk_app_id,
            "TemplateId": self.template_id,
            "TemplateParamSet": params.collect::<Vec<_>>(),
            // Only comes back with the receipt; it does not keep duplicates away.
            "SessionContext": out.key(),
        });
        if let (Some(sign_name), Some(body)) = (&self.sign_name, body.as_object_mut()) {
            body.insert("SignName".to_owned(), json!(sign_name));
        }
        body
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    response: Response,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Response {
    error: Option<Failure>,
    send_status_set: Option<Vec<Status>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    phone_number: String,
    #[serde(default)]
    serial_no: String,
}

/// What the statuses of all numbers come to.
fn verdict(statuses: &[Status], at: Timestamp) -> Outcome {
    let lost = statuses.iter().filter(|status| status.code != "Ok");
    let lost =
        lost.map(|status| format!("{} {}", phone::ending(&status.phone_number), status.code));
    let lost = lost.collect::<Vec<_>>().join(", ");
    let beside = |detail: &str| match (detail, lost.as_str()) {
        (detail, "") => detail.to_owned(),
        ("", lost) => format!("not reached: {lost}"),
        (detail, lost) => format!("not reached: {lost}; {detail}"),
    };
    if let Some(told) = statuses.iter().find(|status| status.code == "Ok") {
        return Outcome::Accepted(Reason::new("Ok", beside(&told.serial_no)));
    }
    let outcomes = statuses.iter().map(|status| outcome(&status.code, &status.message, at));
    match outcomes.min_by_key(despair) {
        Some(outcome) => {
            let Reason { code, detail } = outcome.reason().clone();
            let Reason { detail, .. } = Reason::text(beside(&detail));
            outcome.with_reason(Reason { code, detail })
        }
        None => Outcome::Unknown(Reason::text("the answer names no number")),
    }
}

/// How little can still be done, and how long to wait for that.
fn despair(outcome: &Outcome) -> (u8, Timestamp) {
    match outcome {
        Outcome::Accepted(_) => (0, Timestamp::EPOCH),
        Outcome::Unknown(_) => (1, Timestamp::EPOCH),
        Outcome::Transient(_) => (2, Timestamp::EPOCH),
        Outcome::Throttled { until, .. } => (3, *until),
        Outcome::Rejected { blame: Blame::Message, .. } => (4, Timestamp::EPOCH),
        Outcome::Rejected { blame: Blame::Endpoint, .. } => (5, Timestamp::EPOCH),
    }
}

/// What one code means, for the whole request or for one number.
fn outcome(code: &str, text: &str, at: Timestamp) -> Outcome {
    let reason = Reason::new(code, text);
    let rejected = |blame, reason| Outcome::Rejected { blame, reason };
    if let Some(pause) = pause(code) {
        return Outcome::Throttled { until: at + pause, reason };
    }
    match code {
        // The message may have gone out before these were said.
        "InternalError.Timeout" | "InternalError.SendAndRecvFail" => Outcome::Unknown(reason),
        // A clock that is off; the next attempt signs anew.
        "AuthFailure.SignatureExpire" => Outcome::Transient(reason),
        "InvalidParameterValue.TemplateParameterLengthLimit"
        | "InvalidParameterValue.TemplateParameterFormatError"
        | "InvalidParameterValue.ContentLengthLimit"
        | "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter"
        | "FailedOperation.ContainSensitiveWord"
        | "LimitExceeded.PhoneNumberSameContentDailyLimit" => rejected(Blame::Message, reason),
        "InvalidParameterValue.IncorrectPhoneNumber"
        | "FailedOperation.PhoneNumberInBlacklist"
        | "LimitExceeded.PhoneNumberCountLimit"
        | "FailedOperation.TemplateIncorrectOrUnapproved"
        | "FailedOperation.SignatureIncorrectOrUnapproved"
        | "FailedOperation.InsufficientBalanceInSmsPackage" => rejected(Blame::Endpoint, reason),
        _ if is_refusal_of_the_account(code) => rejected(Blame::Endpoint, reason),
        // Errors inside the service, and codes we do not know: worth another try, which the attempt
        // limit ends.
        _ => Outcome::Transient(reason),
    }
}

/// Whole families of codes that say that this account may not do this.
fn is_refusal_of_the_account(code: &str) -> bool {
    let families = ["AuthFailure", "UnauthorizedOperation", "UnsupportedOperation"];
    families.contains(&code.split('.').next().unwrap_or_default())
}

/// How long `code` asks us to wait, if it does.
fn pause(code: &str) -> Option<Duration> {
    Some(match code {
        _ if code.starts_with("RequestLimitExceeded") => PACE,
        "LimitExceeded.PhoneNumberThirtySecondLimit" => SAME_CONTENT,
        "LimitExceeded.DeliveryFrequencyLimit" | "LimitExceeded.GlobalSmsSendingRateLimit" => {
            SOME_TIME
        }
        "LimitExceeded.PhoneNumberOneHourLimit"
        | "LimitExceeded.PhoneNumberDailyLimit"
        | "LimitExceeded.AppDailyLimit"
        | "LimitExceeded.DailyLimit"
        | "LimitExceeded.AppMainlandChinaDailyLimit"
        | "LimitExceeded.AppGlobalDailyLimit"
        | "LimitExceeded.AppCountryOrRegionDailyLimit" => HOUR,
        _ => return None,
    })
}
