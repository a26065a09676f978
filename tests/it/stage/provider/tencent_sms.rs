//! Tencent's short messages: a signature with a key for the day, and the truth at two levels of the answer.

use super::{Book, Provider, Window, apart, from_ms, hex, hmac, sha256};
use crate::stage::seconds;
use crate::stage::sink::{Received, Reply, json};
use callout_core::time::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

const ALGORITHM: &str = "TC3-HMAC-SHA256";

pub(crate) struct TencentSms {
    secret_id: String,
    secret_key: String,
    app_id: String,
    template_id: String,
    /// How many parameters the template needs.
    pub(crate) params: usize,
    /// The same content goes to one phone once in half a minute.
    phones: BTreeMap<(String, String), Window>,
    /// One entry a phone.
    pub(crate) book: Book,
}

impl TencentSms {
    pub(crate) fn new(secret_id: &str, secret_key: &str, app_id: &str, template_id: &str) -> Self {
        Self {
            secret_id: secret_id.to_owned(),
            secret_key: secret_key.to_owned(),
            app_id: app_id.to_owned(),
            template_id: template_id.to_owned(),
            params: 1,
            phones: BTreeMap::new(),
            book: Book::default(),
        }
    }

    /// What became of each phone, or why nothing became of any.
    fn check(&mut self, request: &Received, now: Timestamp) -> Result<Vec<Json>, &'static str> {
        self.signed(request, now)?;
        if request.header("x-tc-action") != "SendSms"
            || request.header("x-tc-version") != "2021-01-11"
        {
            return Err("InvalidAction");
        }
        let body: Json = serde_json::from_str(&request.body).map_err(|_| "InvalidParameter")?;
        if body["SmsSdkAppId"] != self.app_id.as_str() {
            return Err("UnauthorizedOperation.SmsSdkAppIdVerifyFail");
        }
        let phones = body["PhoneNumberSet"].as_array().cloned().unwrap_or_default();
        if phones.is_empty() || phones.len() > 200 {
            return Err("LimitExceeded.PhoneNumberCountLimit");
        }
        Ok(phones.iter().map(|phone| self.one(phone, &body, now)).collect())
    }

    fn one(&mut self, phone: &Json, body: &Json, now: Timestamp) -> Json {
        let phone = phone.as_str().unwrap_or_default();
        let params = body["TemplateParamSet"].as_array().cloned().unwrap_or_default();
        let code = if !phone.starts_with('+') || phone.len() < 8 {
            "InvalidParameterValue.IncorrectPhoneNumber"
        } else if body["TemplateId"] != self.template_id.as_str() {
            "FailedOperation.TemplateIncorrectOrUnapproved"
        } else if params.len() != self.params || !params.iter().all(Json::is_string) {
            "InvalidParameterValue.TemplateParameterFormatError"
        } else if !self.is_rare(phone, &params, now) {
            "LimitExceeded.PhoneNumberThirtySecondLimit"
        } else {
            "Ok"
        };
        let serial = if code == "Ok" {
            self.book.take(now, json!({ "phone": phone, "params": params }))
        } else {
            self.book.refuse(now, code);
            String::new()
        };
        json!({ "SerialNo": serial, "PhoneNumber": phone, "Fee": 1, "Code": code, "Message": code })
    }

    fn is_rare(&mut self, phone: &str, params: &[Json], now: Timestamp) -> bool {
        let content = (phone.to_owned(), Json::from(params).to_string());
        self.phones.entry(content).or_insert_with(|| Window::new(1, seconds(30))).admits(now)
    }

    fn signed(&self, request: &Received, now: Timestamp) -> Result<(), &'static str> {
        let authorization = request.header("authorization");
        let parts = authorization.strip_prefix(ALGORITHM).unwrap_or_default();
        let part = |name: &str| {
            let found = parts.split(',').find_map(|part| part.trim().strip_prefix(name));
            found.unwrap_or_default()
        };
        let at = request.header("x-tc-timestamp");
        let at = from_ms(at, 1000).ok_or("AuthFailure.SignatureExpire")?;
        if apart(at, now) > seconds(300) {
            return Err("AuthFailure.SignatureExpire");
        }
        let scope = scope(at, "sms");
        if part("Credential=") != format!("{}/{scope}", self.secret_id) {
            return Err("AuthFailure.SecretIdNotFound");
        }
        let names: Vec<&str> = part("SignedHeaders=").split(';').collect();
        let has = |name| names.contains(&name);
        let signature = signature(&self.secret_key, request, &names, at, "sms");
        if has("host") && has("content-type") && part("Signature=") == signature {
            Ok(())
        } else {
            Err("AuthFailure.SignatureFailure")
        }
    }
}

/// The day of a signature, in UTC, and what it is for.
fn scope(at: Timestamp, service: &str) -> String {
    format!("{}/{service}/tc3_request", day(at))
}

fn day(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.unix_ms()).unwrap();
    at.strftime("%Y-%m-%d").to_string()
}

fn signature(
    key: &str,
    request: &Received,
    names: &[&str],
    at: Timestamp,
    service: &str,
) -> String {
    let headers: String = names
        .iter()
        .map(|name| format!("{name}:{}\n", request.header(name).trim().to_lowercase()))
        .collect();
    let hash = sha256(request.body.as_bytes());
    let (path, names) = (&request.path, names.join(";"));
    let canonical = format!("POST\n{path}\n\n{headers}\n{names}\n{hash}");
    let (seconds, scope) = (at.unix_ms() / 1000, scope(at, service));
    let to_sign = format!("{ALGORITHM}\n{seconds}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let day_key = hmac(format!("TC3{key}").as_bytes(), day(at).as_bytes());
    let signing = hmac(&hmac(&day_key, service.as_bytes()), b"tc3_request");
    hex(&hmac(&signing, to_sign.as_bytes()))
}

impl Provider for TencentSms {
    fn answer(&mut self, request: &Received, now: Timestamp) -> Reply {
        let response = match self.check(request, now) {
            Ok(statuses) => json!({ "SendStatusSet": statuses, "RequestId": "R" }),
            Err(code) => {
                self.book.refuse(now, code);
                json!({ "Error": { "Code": code, "Message": code }, "RequestId": "R" })
            }
        };
        json(200, &json!({ "Response": response }).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::provider::{by_hand, noon, said};

    fn send(sms: &mut TencentSms, key: &str, phones: &[&str], at: u64) -> Json {
        let body = json!({
            "PhoneNumberSet": phones, "SmsSdkAppId": "1400", "TemplateId": "77",
            "SignName": "值班", "TemplateParamSet": ["disk full"],
        });
        let (now, names) = (noon(), ["content-type", "host"]);
        let stamp = (now.unix_ms() / 1000).to_string();
        let mut headers = vec![
            ("content-type", "application/json; charset=utf-8"),
            ("host", "127.0.0.1:1"),
            ("x-tc-action", "SendSms"),
            ("x-tc-version", "2021-01-11"),
            ("x-tc-timestamp", stamp.as_str()),
        ];
        let body = body.to_string();
        let signature = signature(key, &by_hand("POST", "/", &headers, &body), &names, now, "sms");
        let authorization = format!(
            "{ALGORITHM} Credential=id/{}, SignedHeaders=content-type;host, Signature={signature}",
            scope(now, "sms")
        );
        headers.push(("authorization", &authorization));
        let request = by_hand("POST", "/", &headers, &body);
        said(sms.answer(&request, now + seconds(at)))["Response"].clone()
    }

    #[test]
    fn the_signature_is_that_of_the_documented_example() {
        let vectors = include_str!("../../../../crates/callout-channels/fixtures/vectors.json");
        let vectors: Json = serde_json::from_str(vectors).unwrap();
        let vector = &vectors["tencent_tc3"][0];
        let text = |name: &str| vector[name].as_str().unwrap();
        let headers = [("content-type", text("content_type")), ("host", text("host"))];
        let request = by_hand("POST", "/", &headers, text("payload"));
        let at = Timestamp::from_unix_ms(1000 * vector["timestamp"].as_i64().unwrap()).unwrap();
        let key = text("secret_key");
        let signature = signature(key, &request, &["content-type", "host"], at, text("service"));
        assert_eq!(signature, text("signature"));
    }

    #[test]
    fn it_takes_what_is_right_and_names_what_is_wrong() {
        let mut sms = TencentSms::new("id", "key", "1400", "77");
        let codes = |response: &Json| -> Vec<String> {
            let statuses = response["SendStatusSet"].as_array().unwrap();
            statuses.iter().map(|one| one["Code"].as_str().unwrap().to_owned()).collect()
        };
        let answer = send(&mut sms, "key", &["+8613800000000", "138"], 0);
        assert_eq!(codes(&answer), ["Ok", "InvalidParameterValue.IncorrectPhoneNumber"]);
        let again = send(&mut sms, "key", &["+8613800000000"], 29);
        assert_eq!(codes(&again), ["LimitExceeded.PhoneNumberThirtySecondLimit"]);
        let wrong = send(&mut sms, "other", &["+8613800000000"], 60);
        assert_eq!(wrong["Error"]["Code"], "AuthFailure.SignatureFailure");
        let late = send(&mut sms, "key", &["+8613800000000"], 301);
        assert_eq!(late["Error"]["Code"], "AuthFailure.SignatureExpire");
        assert_eq!(answer["SendStatusSet"][0]["SerialNo"], sms.book.taken[0].id.as_str());
        assert_eq!(sms.book.taken.len(), 1);
    }
}
