//! The requests and answers in `fixtures/`.

use super::*;
use crate::fit;
use crate::mask::Mask;
use callout_core::alert::{Regarding, Standing};
use callout_core::outcome::{Blame, Outcome, Reason};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    message: Message,
    #[serde(default)]
    mentions: CaseMentions,
    #[serde(default)]
    plain: bool,
    ask: Option<CaseAsk>,
    #[serde(default)]
    settings: Map<String, Value>,
    #[serde(default)]
    repeat_body: Option<usize>,
    #[serde(default)]
    answers: Vec<Value>,
    about: Option<CaseAbout>,
    #[serde(default)]
    locale: CaseLocale,
}

/// The alert that the message brings news of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseAbout {
    message: Message,
    standing: String,
    #[serde(default)]
    receipts: Vec<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CaseLocale {
    #[default]
    En,
    Zh,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseMentions {
    all: bool,
    ids: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseAsk {
    url: Option<String>,
    note: Option<String>,
    #[serde(default = "first")]
    telling: u32,
}

fn first() -> u32 {
    1
}

/// When the alert was enqueued that a message brings news of.
fn earlier() -> Timestamp {
    Timestamp::from_unix_ms(now().unix_ms() - 300_000).unwrap()
}

fn show(request: &HttpRequest) -> String {
    if request.url.expose().is_empty() {
        return String::from_utf8_lossy(&request.body).replace('\r', "").trim_end().to_owned()
            + "\n";
    }
    let url = url::Url::parse(request.url.expose()).unwrap();
    let query = url.query().map_or(String::new(), |query| format!("?{query}"));
    let mut text = format!("{} {}{query}\nhost: {}\n", request.method, url.path(), url.authority());
    for (name, value) in &request.headers {
        text += &format!("{name}: {}\n", value.expose());
    }
    let body = match serde_json::from_slice::<Value>(&request.body) {
        Ok(json) => serde_json::to_string_pretty(&json).unwrap(),
        Err(_) => String::from_utf8_lossy(&request.body).replace('\r', ""),
    };
    text + "\n" + body.trim_end() + "\n"
}

fn run_case(kind: &str, dir: &Path) {
    let case: Case = read_json(&dir.join("message.json"));
    let mut message = case.message;
    if let Some(times) = case.repeat_body {
        message.body = fit::bytes(&message.body.repeat(times), 16 * 1024);
    }
    message.validate().unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut settings = base_settings(kind);
    for (key, value) in case.settings {
        if value.is_null() {
            settings.remove(&key)
        } else {
            settings.insert(key, value)
        };
    }
    let channel = Channel::build(kind, Value::Object(settings)).unwrap();
    let mentions = Mentions { all: case.mentions.all, ids: case.mentions.ids };
    let asked = |case: CaseAsk| ask(case.url.as_deref(), case.note.as_deref(), case.telling);
    let ask = case.ask.map(asked);
    let about = case.about.map(|about| Regarding {
        id: MessageId::new(earlier(), [3; 10]),
        message: Arc::new(about.message),
        created_at: earlier(),
        standing: Standing::from_name(&about.standing).unwrap(),
        now: Standing::from_name(&about.standing).unwrap(),
        receipts: about.receipts,
    });
    let locale = match case.locale {
        CaseLocale::En => Locale::English,
        CaseLocale::Zh => Locale::Chinese,
    };
    let plain = outgoing(&message, &mentions, case.plain);
    let out = Outgoing { ask: ask.as_ref(), about: about.as_ref(), locale, ..plain };
    let requests = requests(&channel, &out, &case.answers);
    let shown: Vec<String> = requests.iter().map(show).collect();
    expect_test::expect_file![dir.join("request.http")].assert_eq(&shown.join("\n###\n\n"));
}

#[test]
fn every_kind_builds_the_requests_of_its_fixtures() {
    for row in REGISTRY {
        let kind = row.spec.kind;
        let folder = fixtures().join(kind);
        let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{kind} has no fixtures: {e}"))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        cases.sort();
        assert!(!cases.is_empty(), "{kind} has no fixtures");
        cases.iter().for_each(|dir| run_case(kind, dir));
    }
}

#[test]
fn every_kind_reads_the_answers_of_its_table() {
    for row in http_kinds() {
        let kind = row.spec.kind;
        let channel = channel(kind);
        for (answer, expected) in answers(kind) {
            let shown = String::from_utf8_lossy(&answer.body);
            let outcome = describe(&judged(&channel, &answer));
            assert_eq!(outcome, expected, "{kind}: {} {shown}", answer.status);
        }
    }
}

/// The answers in the table of a kind, and how each has to be read.
fn answers(kind: &str) -> Vec<(HttpResponse, String)> {
    let table = read(&fixtures().join(kind).join("responses.txt"));
    let lines: Vec<&str> =
        table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert!(!lines.is_empty(), "{kind} has an empty table of answers");
    let answer = |line: &str| {
        let columns: Vec<&str> = line.split(" |").map(str::trim).collect();
        let [status, retry_after, body, expected] = columns[..] else {
            panic!("{kind}: four columns, please: {line}")
        };
        let answer = HttpResponse {
            status: status.parse().unwrap(),
            retry_after: (retry_after != "-").then(|| retry_after.to_owned()),
            body: body.as_bytes().to_vec(),
        };
        (answer, expected.to_owned())
    };
    lines.into_iter().map(answer).collect()
}

/// What the provider says in each answer of its table.
pub(super) fn reasons(kind: &str) -> Vec<Reason> {
    let channel = channel(kind);
    answers(kind).iter().map(|(answer, _)| judged(&channel, answer).reason().clone()).collect()
}

fn judged(channel: &Channel, answer: &HttpResponse) -> Outcome {
    Channel::judge(channel.http(), answer, &Mask::new(&[], None), now())
}

fn describe(outcome: &Outcome) -> String {
    let more = match outcome {
        Outcome::Throttled { until, .. } => format!(" {}s", until.since(now()).as_secs()),
        Outcome::Rejected { blame: Blame::Message, .. } => " message".to_owned(),
        Outcome::Rejected { blame: Blame::Endpoint, .. } => " endpoint".to_owned(),
        Outcome::Accepted(_) | Outcome::Transient(_) | Outcome::Unknown(_) => String::new(),
    };
    let code = outcome.reason().code.clone().unwrap_or_default();
    format!("{}{more} {code}", outcome.name())
}

#[test]
fn a_message_only_partly_understood_is_accepted_with_a_note() {
    let body = br#"{"errcode":0,"errmsg":"Warning: wrong json format. more"}"#.to_vec();
    let answer = HttpResponse { status: 200, retry_after: None, body };
    let outcome = judged(&channel("wecom"), &answer);
    assert!(matches!(&outcome, Outcome::Accepted(r) if r.detail.starts_with("only partly")));
}

#[test]
fn messages_show_the_time_where_their_readers_are() {
    let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
    let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
    let out = Outgoing { zone: &shanghai, ..outgoing(&message, &mentions, true) };
    let said = |kind| channel(kind).http().request(&out, now()).unwrap().body;
    let slack = String::from_utf8(said("slack")).unwrap();
    assert!(slack.contains("2024-06-01 00:08:36 +08:00"), "{slack}");
}
