//! Short messages through Aliyun.
//!
//! A mainland message is a template that the provider has approved, and a few short values in it. What
//! goes into the values is the operator's to say (`template_params`); addresses and many other things
//! are refused there, so after a refusal shorter values without addresses are tried once. Success is
//! status 200 with the `Code` `OK`, which says that the gateway took the message, not that a telephone
//! showed it.
//!
//! The provider counts messages for each number and template, and a channel has one list of numbers and
//! one template: such a limit is the channel's own. It therefore makes the channel wait, so that a message
//! with another channel left goes there at once and one without is not lost. The pause is an hour at most,
//! even where the window is a day, because it holds up everybody in the list; whoever wants people's limits
//! kept apart gives each a channel. A number that is refused is a fault of the settings, not of the message.
//!
//! Each attempt has a nonce of its own, so a nonce used before means that the same bytes came twice and
//! that the first may have been taken: that is unknown. The same holds for the system's own errors.
//!
//! Unverified: how numbers outside the mainland are to be written (we leave out the plus), whether one
//! number over its limit spoils the whole list, and the default limits of a number, for which the
//! provider's pages differ.

use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::placeholder::{Template, chars_max};
use crate::sign::cloud;
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::{phone, settings};
use callout_core::outcome::{Blame, Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

pub(crate) static SPEC: Spec = Spec {
    kind: "aliyun_sms",
    title: "Aliyun SMS (阿里云短信)",
    fields: &[
        Field {
            name: "access_key_id",
            value: Value::Secret,
            required: true,
            doc: "The id of an access key that may send short messages.",
        },
        Field {
            name: "access_key_secret",
            value: Value::Secret,
            required: true,
            doc: "The secret of that access key.",
        },
        Field {
            name: "sign_name",
            value: Value::Text,
            required: true,
            doc: "The approved signature, without its brackets.",
        },
        Field {
            name: "template_code",
            value: Value::Text,
            required: true,
            doc: "The approved template: SMS_ and digits.",
        },
        Field {
            name: "template_params",
            value: Value::Table,
            required: false,
            doc: "What stands for each variable of the template, such as { title = \"{{level}} {{title}}\" }. Places: title, level, body, id, time, labels.NAME; and of a message that has to be acknowledged note (why these people are told), link (the address to acknowledge at) and command (what to type where Callout runs). A link, command or id that is too long for the variable, and what there is nothing of, becomes a dash. Default: none.",
        },
        Field {
            name: "param_chars_max",
            value: Value::Number,
            required: false,
            doc: "How many characters one variable may have; longer ones are cut. Default: 20.",
        },
        Field {
            name: "phones",
            value: Value::List,
            required: true,
            doc: "Whom to tell: numbers like +8613800000000, or eleven digits on the mainland; at most 1000.",
        },
        Field {
            name: "endpoint",
            value: Value::Url,
            required: false,
            doc: "Where to post; its host is part of the signature. Default: https://dysmsapi.aliyuncs.com/.",
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
        code: "isv.BUSINESS_LIMIT_CONTROL",
        says: "",
        english: "A number has had too many messages; raise the frequency limits in the SMS console, or give people channels of their own.",
        chinese: "某个号码收到的短信过多：请在短信控制台调高发送频率限制，或为每个人单独配置通道。",
    },
    Advice {
        code: "isv.DAY_LIMIT_CONTROL",
        says: "",
        english: "The account has used up its messages for today; raise the daily limit in the SMS console.",
        chinese: "账号已用完今日发送量：请在短信控制台调高日发送限额。",
    },
    Advice {
        code: "isv.MONTH_LIMIT_CONTROL",
        says: "",
        english: "The account has used up its messages for this month; raise the monthly limit in the SMS console.",
        chinese: "账号已用完本月发送量：请在短信控制台调高月发送限额。",
    },
    Advice {
        code: "isv.MOBILE_NUMBER_ILLEGAL",
        says: "",
        english: "The provider takes a number in phones for none; correct it.",
        chinese: "phones 中有号码无法识别，请更正。",
    },
    Advice {
        code: "isv.DOMESTIC_NUMBER_NOT_SUPPORTED",
        says: "",
        english: "The template is for numbers abroad; use one for the mainland, or other numbers.",
        chinese: "该模板仅支持境外号码：请改用国内模板，或更换号码。",
    },
    Advice {
        code: "isv.SMS_SIGNATURE_ILLEGAL",
        says: "",
        english: "The signature in sign_name is not approved for this account; compare it with the SMS console.",
        chinese: "sign_name 中的签名在该账号下不可用：请与短信控制台核对。",
    },
    Advice {
        code: "isv.SMS_TEMPLATE_ILLEGAL",
        says: "",
        english: "The template in template_code does not exist or is not approved; compare it with the SMS console.",
        chinese: "template_code 中的模板不存在或未通过审核：请与短信控制台核对。",
    },
    Advice {
        code: "isv.TEMPLATE_MISSING_PARAMETERS",
        says: "",
        english: "The template has variables that template_params does not name; add them.",
        chinese: "模板中的某些变量未在 template_params 中给出，请补上。",
    },
    Advice {
        code: "isv.PARAM_LENGTH_LIMIT",
        says: "",
        english: "A variable is longer than the template allows; lower param_chars_max.",
        chinese: "某个变量超过模板允许的长度：请调小 param_chars_max。",
    },
    Advice {
        code: "isv.PARAM_NOT_SUPPORT_URL",
        says: "",
        english: "Variables may hold no address; take {{link}} and {{body}} out of template_params.",
        chinese: "变量中不允许出现网址：请从 template_params 中去掉 {{link}} 和 {{body}}。",
    },
    Advice {
        code: "isv.BLACK_KEY_CONTROL_LIMIT",
        says: "",
        english: "A word in the message is blocked; use fewer variables that hold free text.",
        chinese: "短信内容含有被屏蔽的词：请减少填写自由文本的变量。",
    },
    Advice {
        code: "isv.AMOUNT_NOT_ENOUGH",
        says: "",
        english: "The account has no money left; top it up.",
        chinese: "账号余额不足，请充值。",
    },
    Advice {
        code: "isv.OUT_OF_SERVICE",
        says: "",
        english: "The account is suspended, mostly for lack of money; look into the console.",
        chinese: "账号业务已停机（多因欠费）：请到控制台查看。",
    },
    Advice {
        code: "isp.RAM_PERMISSION_DENY",
        says: "",
        english: "The access key may not send short messages; give its user that permission.",
        chinese: "该 AccessKey 无短信发送权限：请为对应的 RAM 用户授权。",
    },
    Advice {
        code: "isv.DENY_IP_RANGE",
        says: "",
        english: "The account does not allow this machine's address; add it to the allowed ones.",
        chinese: "账号限制了来源 IP：请把本机地址加入白名单。",
    },
    Advice {
        code: "SignatureDoesNotMatch",
        says: "",
        english: "access_key_secret does not belong to access_key_id; copy both again.",
        chinese: "access_key_secret 与 access_key_id 不匹配：请重新复制这两项。",
    },
    Advice {
        code: "InvalidAccessKeyId.NotFound",
        says: "",
        english: "There is no such access key; copy access_key_id again or make a new key.",
        chinese: "该 AccessKey 不存在：请重新复制 access_key_id，或新建一个。",
    },
    Advice {
        code: "InvalidAccessKeyId.Inactive",
        says: "",
        english: "The access key is disabled; enable it or make a new one.",
        chinese: "该 AccessKey 已被禁用：请启用，或新建一个。",
    },
    Advice {
        code: "InvalidTimeStamp.Expired",
        says: "",
        english: "This machine's clock is off by more than 15 minutes; set it.",
        chinese: "本机时钟偏差超过 15 分钟，请校准时间。",
    },
];

const ENDPOINT: &str = "https://dysmsapi.aliyuncs.com/";
/// How many numbers one request may name.
const PHONES_MAX: usize = 1000;
/// How many characters a variable has by default.
const PARAM_CHARS_MAX: usize = 20;
const FORM: &str = "application/x-www-form-urlencoded";

/// How long a whole account's pace is waited for.
const PACE: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);
/// The longest pause, whatever the window.
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    access_key_id: Secret,
    access_key_secret: Secret,
    sign_name: String,
    template_code: String,
    #[serde(default)]
    template_params: BTreeMap<String, String>,
    param_chars_max: Option<u64>,
    #[serde(deserialize_with = "settings::list")]
    phones: Vec<String>,
    endpoint: Option<Secret>,
}

#[derive(Debug)]
struct AliyunSms {
    key_id: Secret,
    key_secret: Secret,
    sign_name: String,
    template_code: String,
    params: BTreeMap<String, Template>,
    param_chars_max: usize,
    /// As the provider wants them, joined by commas.
    phones: Secret,
    endpoint: Url,
}

/// Makes a channel from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let set: Settings = settings::parse(settings)?;
    let mut problems = Vec::from_iter(settings::bracketed("sign_name", &set.sign_name));
    let digits = set.template_code.strip_prefix("SMS_").unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        problems.push(settings::problem("template_code", "has to be SMS_ and digits"));
    }
    let is_legal = |text: &str| phone::is_international(text) || phone::mainland(text).is_some();
    problems.extend(phone::check("phones", &set.phones, PHONES_MAX, is_legal));
    let mut params = BTreeMap::new();
    for (name, text) in &set.template_params {
        let template =
            Template::parse("template_params", &format!("holds a text for {name} that"), text);
        let template = settings::noted(&mut problems, template);
        params.extend(template.map(|template| (name.clone(), template)));
    }
    let most = chars_max("param_chars_max", set.param_chars_max, PARAM_CHARS_MAX);
    let most = settings::noted(&mut problems, most);
    let endpoint = settings::base_address("endpoint", set.endpoint.as_ref(), ENDPOINT);
    let endpoint = settings::noted(&mut problems, endpoint);
    let (Some(param_chars_max), Some(endpoint), true) = (most, endpoint, problems.is_empty())
    else {
        return Err(problems);
    };
    Ok(Box::new(AliyunSms {
        key_id: set.access_key_id,
        key_secret: set.access_key_secret,
        sign_name: set.sign_name.trim().to_owned(),
        template_code: set.template_code,
        params,
        param_chars_max,
        phones: Secret::new(joined(&set.phones)),
        endpoint,
    }))
}

/// The numbers the way this provider wants them: eleven digits on the mainland, no plus elsewhere.
fn joined(phones: &[String]) -> String {
    let dialled = |phone: &String| {
        let phone = phone.trim();
        phone::mainland(phone).unwrap_or(phone).trim_start_matches('+').to_owned()
    };
    phones.iter().map(dialled).collect::<Vec<_>>().join(",")
}

impl HttpChannel for AliyunSms {
    fn request(&self, out: &Outgoing<'_>, at: Timestamp) -> Result<HttpRequest, Refused> {
        let body = self.body(out)?;
        let hash = cloud::sha256(body.as_bytes());
        let date = date(at);
        let nonce = self.nonce(out, at, &hash);
        let host = cloud::host(&self.endpoint);
        let headers = [
            ("content-type", FORM),
            ("host", &host),
            ("x-acs-action", "SendSms"),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", "2017-05-25"),
        ];
        let canonical = cloud::canonical(self.endpoint.path(), "", &headers, body.as_bytes());
        let authorization = cloud::acs3(self.key_id.expose(), self.key_secret.expose(), &canonical);
        // The client writes the host itself, from the address.
        let sent = headers.into_iter().filter(|(name, _)| *name != "host");
        let sent = sent.chain([("authorization", authorization.as_str())]);
        let headers = sent.map(|(name, value)| (Cow::Borrowed(name), Secret::new(value))).collect();
        let url = Secret::new(self.endpoint.as_str());
        Ok(HttpRequest { method: "POST", url, headers, body: body.into_bytes() })
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        phone::discreet(match answer.json::<Answer>() {
            // A success has to be one for HTTP too.
            Some(Answer { code, .. }) if code == "OK" && answer.status != 200 => {
                answer.outcome_by_status_if_costly(at)
            }
            Some(Answer { code, message }) => outcome(&code, &message, at),
            None => answer.outcome_by_status_if_costly(at),
        })
    }
}

impl AliyunSms {
    /// The parameters, in the body rather than in the address, which others may write down.
    fn body(&self, out: &Outgoing<'_>) -> Result<String, Refused> {
        let value = |template: &Template| template.render(out, self.param_chars_max);
        let params: BTreeMap<&str, String> =
            self.params.iter().map(|(name, text)| (name.as_str(), value(text))).collect();
        let params = serde_json::to_string(&params);
        let params = params.map_err(|e| Refused(Reason::text(format!("no JSON: {e}"))))?;
        let key = out.key();
        let mut fields = vec![
            ("PhoneNumbers", self.phones.expose()),
            ("SignName", &self.sign_name),
            ("TemplateCode", &self.template_code),
            // Only comes back with the receipt; it does not keep duplicates away.
            ("OutId", &key),
        ];
        if !self.params.is_empty() {
            fields.push(("TemplateParam", &params));
        }
        Ok(cloud::form(&fields))
    }

    /// What no other request has: not the next try, nor another channel's at the same moment.
    fn nonce(&self, out: &Outgoing<'_>, at: Timestamp, body_hash: &str) -> String {
        let (key, at, endpoint) = (out.key(), at.unix_ms(), self.endpoint.as_str());
        let mut nonce = cloud::sha256(format!("{key}\n{at}\n{endpoint}\n{body_hash}").as_bytes());
        nonce.truncate(NONCE_CHARS);
        nonce
    }
}

/// How many hexadecimal digits a nonce has.
const NONCE_CHARS: usize = 32;

fn date(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_second(at.unix_ms() / 1000).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    code: String,
    #[serde(default)]
    message: String,
}

fn outcome(code: &str, text: &str, at: Timestamp) -> Outcome {
    let reason = Reason::new(code, text);
    let rejected = |blame, reason| Outcome::Rejected { blame, reason };
    match code {
        "OK" => Outcome::Accepted(reason),
        "isv.BUSINESS_LIMIT_CONTROL" => Outcome::Throttled { until: at + window(text), reason },
        "isv.DAY_LIMIT_CONTROL" | "isv.MONTH_LIMIT_CONTROL" => {
            Outcome::Throttled { until: at + HOUR, reason }
        }
        "Throttling.User" | "Throttling.Api" | "Throttling" => {
            Outcome::Throttled { until: at + PACE, reason }
        }
        // The message may have gone out before these were said.
        "isp.SYSTEM_ERROR" | "isp.UNKNOWN_ERR_CODE" | "InternalError" | "SignatureNonceUsed" => {
            Outcome::Unknown(reason)
        }
        "isv.TEMPLATE_MISSING_PARAMETERS"
        | "isv.INVALID_JSON_PARAM"
        | "isv.INVALID_PARAMETERS"
        | "isv.PARAM_LENGTH_LIMIT"
        | "isv.PARAM_NOT_SUPPORT_URL"
        | "isv.BLACK_KEY_CONTROL_LIMIT"
        | "isv.SMS_CONTENT_ILLEGAL" => rejected(Blame::Message, reason),
        "isv.MOBILE_NUMBER_ILLEGAL"
        | "isv.MOBILE_COUNT_OVER_LIMIT"
        | "isv.DOMESTIC_NUMBER_NOT_SUPPORTED"
        | "isv.SMS_SIGNATURE_ILLEGAL"
        | "isv.SMS_SIGNATURE_SCENE_ILLEGAL"
        | "isv.SIGN_STATE_ILLEGAL"
        | "isv.SMS_SIGN_ILLEGAL"
        | "isv.SMS_TEMPLATE_ILLEGAL"
        | "isv.EXTEND_CODE_ERROR"
        | "isv.AMOUNT_NOT_ENOUGH"
        | "isv.OUT_OF_SERVICE"
        | "isv.PRODUCT_UN_SUBSCRIPT"
        | "isv.PRODUCT_UNSUBSCRIBE"
        | "isv.ACCOUNT_NOT_EXISTS"
        | "isv.ACCOUNT_ABNORMAL"
        | "isv.DENY_IP_RANGE"
        | "isp.RAM_PERMISSION_DENY"
        | "SignatureDoesNotMatch"
        | "InvalidAccessKeyId.NotFound"
        | "InvalidAccessKeyId.Inactive" => rejected(Blame::Endpoint, reason),
        // Busy, a clock that is off (the next attempt signs anew), and codes we do not know: worth
        // another try, which the attempt limit ends.
        _ => Outcome::Transient(reason),
    }
}

/// How long a number's limit lasts, which the text tells in Chinese.
fn window(text: &str) -> Duration {
    if text.contains("分钟级") { MINUTE } else { HOUR }
}
