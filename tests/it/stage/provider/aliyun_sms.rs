//! Aliyun's short messages: a signature over everything, a nonce that is good once, a template with
//! parameters, and few messages for one phone. A duplicate is a second message, and costs money.

use super::{Book, Provider, Window, apart, hex, hmac, sha256};
use crate::stage::sink::{Received, Reply, json, pairs};
use crate::stage::{minutes, seconds};
use callout_core::time::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

const ALGORITHM: &str = "ACS3-HMAC-SHA256";

pub(crate) struct AliyunSms {
    key_id: String,
    key_secret: String,
    sign_name: String,
    template_code: String,
    /// The names that the template needs.
    pub(crate) template_params: Vec<String>,
    /// The most messages to one phone in a minute.
    pub(crate) per_minute: usize,
    phones: BTreeMap<String, Window>,
    nonces: BTreeSet<String>,
    /// One entry a phone.
    pub(crate) book: Book,
}

type Refusal = (u16, &'static str, String);

fn refusal(status: u16, code: &'static str) -> Refusal {
    (status, code, code.to_owned())
}

impl AliyunSms {
    pub(crate) fn new(
        key_id: &str,
        key_secret: &str,
        sign_name: &str,
        template_code: &str,
    ) -> Self {
        Self {
            key_id: key_id.to_owned(),
            key_secret: key_secret.to_owned(),
            sign_name: sign_name.to_owned(),
            template_code: template_code.to_owned(),
            template_params: Vec::new(),
            per_minute: 1,
            phones: BTreeMap::new(),
            nonces: BTreeSet::new(),
            book: Book::default(),
        }
    }

    fn check(&mut self, request: &Received, now: Timestamp) -> Result<String, Refusal> {
        self.signed(request, now)?;
        let is_form = request.header("content-type").starts_with("application/x-www-form");
        let mut given = pairs(&request.query_text());
        if is_form {
            given.extend(pairs(&request.body));
        }
        let given: BTreeMap<String, String> = given.into_iter().collect();
        let text = |name: &str| given.get(name).map_or("", String::as_str);
        if request.header("x-acs-action") != "SendSms"
            || request.header("x-acs-version") != "2017-05-25"
        {
            return Err(refusal(404, "InvalidAction.NotFound"));
        }
        if text("SignName") != self.sign_name {
            return Err(refusal(200, "isv.SMS_SIGNATURE_ILLEGAL"));
        }
        if text("TemplateCode") != self.template_code {
            return Err(refusal(200, "isv.SMS_TEMPLATE_ILLEGAL"));
        }
        let params = self.params(text("TemplateParam"))?;
        let phones: Vec<&str> = text("PhoneNumbers").split(',').collect();
        if phones.len() > 1000 {
            return Err(refusal(200, "isv.MOBILE_COUNT_OVER_LIMIT"));
        }
        let is_phone = |p: &&str| p.trim_start_matches('+').chars().all(|c| c.is_ascii_digit());
        if !phones.iter().all(|phone| phone.len() >= 11 && is_phone(phone)) {
            return Err(refusal(200, "isv.MOBILE_NUMBER_ILLEGAL"));
        }
        for phone in &phones {
            let new = || Window::new(self.per_minute, minutes(1));
            if !self.phones.entry((*phone).to_owned()).or_insert_with(new).admits(now) {
                let words = format!("触发分钟级流控Permits:{}", self.per_minute);
                return Err((200, "isv.BUSINESS_LIMIT_CONTROL", words));
            }
        }
        let ids = phones.iter().map(|phone| {
            self.book.take(now, json!({ "phone": phone, "params": params, "request": given }))
        });
        Ok(ids.last().unwrap_or_default())
    }

    fn params(&self, text: &str) -> Result<Json, Refusal> {
        let text = if text.is_empty() { "{}" } else { text };
        let Ok(Json::Object(params)) = serde_json::from_str(text) else {
            return Err(refusal(200, "isv.INVALID_JSON_PARAM"));
        };
        let values = || params.values().map(Json::as_str);
        if values().any(|value| value.is_none_or(|value| value.contains('\n'))) {
            return Err(refusal(200, "isv.INVALID_JSON_PARAM"));
        }
        if !self.template_params.iter().all(|name| params.contains_key(name)) {
            return Err(refusal(200, "isv.TEMPLATE_MISSING_PARAMETERS"));
        }
        if values().flatten().any(|value| value.contains("://")) {
            return Err(refusal(200, "isv.PARAM_NOT_SUPPORT_URL"));
        }
        Ok(Json::Object(params))
    }

    fn signed(&mut self, request: &Received, now: Timestamp) -> Result<(), Refusal> {
        let authorization = request.header("authorization");
        let parts = authorization.strip_prefix(ALGORITHM).unwrap_or_default().trim();
        let part = |name: &str| {
            let found = parts.split(',').find_map(|part| part.trim().strip_prefix(name));
            found.unwrap_or_default()
        };
        if part("Credential=") != self.key_id {
            return Err(refusal(404, "InvalidAccessKeyId.NotFound"));
        }
        let date = request.header("x-acs-date").parse::<jiff::Timestamp>().ok();
        let date = date.and_then(|date| Timestamp::from_unix_ms(date.as_millisecond()));
        if date.is_none_or(|date| apart(date, now) > seconds(900)) {
            return Err(refusal(400, "InvalidTimeStamp.Expired"));
        }
        let signed: Vec<&str> = part("SignedHeaders=").split(';').collect();
        let names = request.headers.keys().map(String::as_str);
        let must = |name: &str| name == "host" || name.starts_with("x-acs-");
        let is_complete = names.filter(|name| must(name)).all(|name| signed.contains(&name));
        let is_body = request.header("x-acs-content-sha256") == sha256(request.body.as_bytes());
        let canonical = canonical(request, &signed);
        let to_sign = format!("{ALGORITHM}\n{}", sha256(canonical.as_bytes()));
        let signature = hex(&hmac(self.key_secret.as_bytes(), to_sign.as_bytes()));
        if !is_complete || !is_body || part("Signature=") != signature {
            return Err(refusal(400, "SignatureDoesNotMatch"));
        }
        let nonce = request.header("x-acs-signature-nonce").to_owned();
        if nonce.is_empty() || !self.nonces.insert(nonce) {
            return Err(refusal(400, "SignatureNonceUsed"));
        }
        Ok(())
    }
}

fn canonical(request: &Received, signed: &[&str]) -> String {
    let mut query = pairs(&request.query_text());
    query.sort();
    let query: Vec<String> = query.iter().map(|(k, v)| format!("{}={}", pe(k), pe(v))).collect();
    let mut names = signed.to_vec();
    names.sort_unstable();
    let headers: String =
        names.iter().map(|name| format!("{name}:{}\n", request.header(name).trim())).collect();
    let hash = sha256(request.body.as_bytes());
    let (method, path, query) = (&request.method, &request.path, query.join("&"));
    format!("{method}\n{path}\n{query}\n{headers}\n{}\n{hash}", names.join(";"))
}

/// Percent-encodes everything but letters, digits and `-_.~`.
fn pe(text: &str) -> String {
    let spelled = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(spelled).collect()
}

impl Provider for AliyunSms {
    fn answer(&mut self, request: &Received, now: Timestamp) -> Reply {
        let (status, body) = match self.check(request, now) {
            Ok(id) => {
                (200, json!({ "Code": "OK", "Message": "OK", "BizId": id, "RequestId": "R" }))
            }
            Err((status, code, words)) => {
                self.book.refuse(now, code);
                (status, json!({ "Code": code, "Message": words, "RequestId": "R" }))
            }
        };
        json(status, &body.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::provider::{by_hand, noon, said};

    /// Signs by hand and sends.
    fn send(
        sms: &mut AliyunSms,
        key: &str,
        nonce: &str,
        query: &[(&str, &str)],
        at: u64,
    ) -> String {
        let query: Vec<String> = query.iter().map(|(k, v)| format!("{k}={}", pe(v))).collect();
        let hash = sha256(b"");
        let mut headers = vec![
            ("host", "127.0.0.1:1"),
            ("x-acs-action", "SendSms"),
            ("x-acs-content-sha256", hash.as_str()),
            ("x-acs-date", "2023-11-14T22:13:20Z"),
            ("x-acs-signature-nonce", nonce),
            ("x-acs-version", "2017-05-25"),
        ];
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let target = format!("/?{}", query.join("&"));
        let canonical = canonical(&by_hand("POST", &target, &headers, ""), &names);
        let to_sign = format!("{ALGORITHM}\n{}", sha256(canonical.as_bytes()));
        let signature = hex(&hmac(key.as_bytes(), to_sign.as_bytes()));
        let authorization = format!(
            "{ALGORITHM} Credential=id,SignedHeaders={},Signature={signature}",
            names.join(";")
        );
        headers.push(("authorization", &authorization));
        let request = by_hand("POST", &target, &headers, "");
        said(sms.answer(&request, noon() + seconds(at)))["Code"].as_str().unwrap().to_owned()
    }

    fn query<'a>(phone: &'a str, params: &'a str) -> [(&'a str, &'a str); 4] {
        [
            ("PhoneNumbers", phone),
            ("SignName", "值班"),
            ("TemplateCode", "SMS_1"),
            ("TemplateParam", params),
        ]
    }

    fn provider() -> AliyunSms {
        let mut sms = AliyunSms::new("id", "secret", "值班", "SMS_1");
        sms.template_params = vec!["title".to_owned()];
        sms
    }

    #[test]
    fn the_signature_is_that_of_the_documented_example() {
        let vectors = include_str!("../../../../crates/callout-channels/fixtures/vectors.json");
        let vectors: Json = serde_json::from_str(vectors).unwrap();
        let vector = &vectors["aliyun_acs3"][0];
        let headers: Vec<(&str, &str)> = vector["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let target = format!("/?{}", vector["canonical_query"].as_str().unwrap());
        let request = by_hand("POST", &target, &headers, "");
        assert_eq!(canonical(&request, &names), vector["canonical_request"].as_str().unwrap());
    }

    #[test]
    fn it_takes_what_is_right_and_names_what_is_wrong() {
        let mut sms = provider();
        let (phone, params) = ("13800000000", r#"{"title":"disk full"}"#);
        assert_eq!(send(&mut sms, "secret", "n1", &query(phone, params), 0), "OK");
        let other = "13900000000";
        for (key, nonce, query, at, code) in [
            ("wrong", "n2", query(other, params), 0, "SignatureDoesNotMatch"),
            ("secret", "n1", query(other, params), 0, "SignatureNonceUsed"),
            ("secret", "n3", query(other, params), 901, "InvalidTimeStamp.Expired"),
            ("secret", "n4", query(phone, params), 59, "isv.BUSINESS_LIMIT_CONTROL"),
            ("secret", "n5", query(other, "{}"), 0, "isv.TEMPLATE_MISSING_PARAMETERS"),
            ("secret", "n6", query(other, r#"{"title":1}"#), 0, "isv.INVALID_JSON_PARAM"),
            ("secret", "n7", query("12", params), 0, "isv.MOBILE_NUMBER_ILLEGAL"),
            (
                "secret",
                "n8",
                query(other, r#"{"title":"https://a"}"#),
                0,
                "isv.PARAM_NOT_SUPPORT_URL",
            ),
        ] {
            assert_eq!(send(&mut sms, key, nonce, &query, at), code);
        }
        assert_eq!(send(&mut sms, "secret", "n9", &query(phone, params), 60), "OK");
        assert_eq!(sms.book.taken.len(), 2);
        let mut foreign = query(other, params);
        foreign[1].1 = "别人";
        assert_eq!(send(&mut sms, "secret", "n10", &foreign, 0), "isv.SMS_SIGNATURE_ILLEGAL");
    }
}
