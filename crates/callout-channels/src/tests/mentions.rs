//! Nothing that a producer wrote mentions anybody.

use super::*;
use callout_core::message::{Attachment, Link};

const TOKENS: &str = "@channel @here <users/all> <at>Ann</at> @all @ALL @所有人 @13800000000 x@13800000000 <@user01> <@U1> <!channel> <!here> <!everyone> <!subteam^S1> <at id=all> <font color=\"warning\">x</font> ＠all";
const DANGEROUS: [&str; 12] = [
    "@all",
    "@ALL",
    "@所有人",
    "@13800",
    "＠all",
    "<@",
    "<!",
    "<at",
    "<font color=\"warning\">x",
    "@channel",
    "@here",
    "<users",
];

/// What is sent of `message` with a hostile note, as texts that could mention.
fn said(kind: &str, settings: &Value, message: &Message, plain: bool) -> Vec<String> {
    let mut all = base_settings(kind);
    all.extend(settings.as_object().cloned().unwrap_or_default());
    let channel = Channel::build(kind, Value::Object(all)).unwrap();
    let (mentions, ask) = (Mentions::default(), ask(Some(LINK), Some(TOKENS), 2));
    let out = Outgoing { ask: Some(&ask), ..outgoing(message, &mentions, plain) };
    let mut texts = Vec::new();
    for request in requests(&channel, &out, &[]) {
        let body = tree(&request);
        assert!(body["at"].is_null() && body["text"]["mentioned_list"].get(0).is_none());
        if !is_own(message, kind, &body) {
            marked_up(&body, &mut texts);
        }
    }
    texts
}

/// Whether `body` is the message's own, to which some kinds add an address.
fn is_own(message: &Message, kind: &str, body: &Value) -> bool {
    let own = message.native.get(kind).and_then(Value::as_object);
    own.is_some_and(|own| own.iter().all(|(name, value)| body.get(name) == Some(value)))
}

fn check(kind: &str, settings: &Value, message: &Message) {
    for plain in [false, true] {
        let texts = said(kind, settings, message, plain);
        assert!(!texts.is_empty());
        for (text, token) in texts.iter().flat_map(|text| DANGEROUS.map(|token| (text, token))) {
            assert!(!text.contains(token), "{kind}: {token} in {text}");
        }
    }
}

/// Every text in `value`, apart from labels of buttons, where nothing is a mention.
fn marked_up(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| marked_up(value, texts)),
        Value::Object(table) if table.contains_key("actionURL") => {}
        Value::Object(table) if table.contains_key("url") || table.contains_key("singleURL") => {
            let text = table.get("text").filter(|text| text.is_string());
            text.into_iter().for_each(|text| marked_up(text, texts));
        }
        Value::Object(table) if table.get("type") == Some(&json!("plain_text")) => {}
        Value::Object(table) => table.values().for_each(|value| marked_up(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn hostile(body: String) -> Message {
    let mut message = Message::new(Level::Error, TOKENS);
    message.body = body;
    message.labels.insert(TOKENS.to_owned(), TOKENS.to_owned());
    message.links = vec![Link { text: TOKENS.to_owned(), url: "https://e.example/".to_owned() }];
    let name = TOKENS.replace(['/', '"'], "");
    message.attachments = vec![Attachment { name, base64: "aGk=".to_owned() }];
    message
}

const CHATS: [&str; 11] = [
    "wecom_app",
    "slack_api",
    "telegram",
    "dingtalk",
    "wecom",
    "slack",
    "feishu",
    "teams",
    "googlechat",
    "mattermost",
    "rocketchat",
];
/// Those whose text alone can mention somebody, even inside code.
const NOT_EVEN_CODE: [&str; 9] = [
    "slack_api",
    "telegram",
    "wecom",
    "slack",
    "feishu",
    "teams",
    "googlechat",
    "mattermost",
    "rocketchat",
];
/// Those that only name the files of a message.
const NAME_FILES: [&str; 9] = [
    "slack_api",
    "telegram",
    "dingtalk",
    "slack",
    "feishu",
    "teams",
    "googlechat",
    "mattermost",
    "rocketchat",
];

#[test]
fn no_text_of_a_message_can_mention_anybody() {
    let parted = "# <**users/all> <**at>Ann<**/at>";
    let prose = format!(
        "{parted}\n{TOKENS}\n- {TOKENS}\n> {TOKENS} ` {TOKENS}\n[{TOKENS}](https://e.example/)"
    );
    let code = format!("```\n{TOKENS}\n```\n`{TOKENS}`");
    for kind in CHATS {
        let mut message = hostile(prose.clone());
        message.attachments.clear();
        check(kind, &json!({}), &message);
        message.native.insert(kind.to_owned(), json!({ "text": TOKENS }));
        check(kind, &json!({}), &message);
    }
    check("wecom", &json!({ "markdown": "v2" }), &hostile_words(&prose));
    for kind in NOT_EVEN_CODE {
        check(kind, &json!({}), &hostile_words(&code));
    }
}

/// Without files, whose bytes are no texts.
fn hostile_words(body: &str) -> Message {
    let mut message = hostile(body.to_owned());
    message.attachments.clear();
    message
}

#[test]
fn no_name_of_a_file_can_mention_anybody() {
    for kind in NAME_FILES {
        check(kind, &json!({}), &hostile(TOKENS.to_owned()));
    }
}

#[test]
fn code_stays_as_it_was_written_where_text_alone_mentions_nobody() {
    let code = "@app.route <div> @all";
    let mut message = Message::new(Level::Error, "x");
    message.body = format!("`{code}` and {code}\n```\n{code}\n```\n{code}");
    for (kind, settings) in [("dingtalk", json!({})), ("wecom", json!({ "markdown": "v2" }))] {
        let whole: usize = said(kind, &settings, &message, false)
            .iter()
            .map(|text| text.matches(code).count())
            .sum();
        assert_eq!(whole, 2, "{kind}");
    }
    let quiet = said("wecom", &json!({}), &message, false);
    assert!(!quiet.iter().any(|text| text.contains("@all")));
}

/// Pieces of text that mention somebody once what stands between them is taken away.
const PIECES: &str = "(@|＠|<|>|!|/|@all|@everyone|<at id=all>|<users/all>|<!here>|<@U1>|tg://user\\?id=1|@bob_bob|all|users/|https://e\\.org/|\\*|\\*\\*|__|~~|`|```|\\[|\\]\\(|\\)|#|\n|> |- |\\\\| |x|告|🔥|\u{200b}|\u{200d}|\u{202e}|\r){1,24}";

/// What a reader's program would look for, in all that a message shows of hostile text.
fn finds_mention(kind: &str, body: &Value) -> Option<String> {
    let mut texts = Vec::new();
    marked_up(body, &mut texts);
    let tokens: &[&str] = match kind {
        "slack" | "slack_api" => &["<@", "<!", "<#"],
        "telegram" => &["\"tg://", "<at", "<users", "<!"],
        "googlechat" => &["<users", "<@", "<!"],
        "dingtalk" => &[],
        _ => &["<@", "<!", "<at ", "<users"],
    };
    let found = |text: &String| {
        // What Telegram shows, for names in it mention.
        let shown = match (kind, text.contains("<b>")) {
            ("telegram", true) => unmarked(text),
            _ => text.clone(),
        };
        let starts = |(at, _): (usize, &str)| {
            let (before, rest) = shown.split_at(at);
            let name = rest.chars().nth(1).is_some_and(|c| c.is_ascii_alphabetic());
            name && !before.ends_with(|c: char| c.is_ascii_alphanumeric())
        };
        let names = !matches!(kind, "slack" | "slack_api" | "dingtalk" | "wecom" | "googlechat");
        let named = names && shown.match_indices('@').any(starts);
        named || tokens.iter().any(|token| text.contains(token))
    };
    texts.into_iter().find(found)
}

/// Text without the tags and entities of Telegram's HTML.
fn unmarked(html: &str) -> String {
    let texts = html.split('<').enumerate();
    let texts = texts.map(|(n, part)| if n == 0 { part } else { part.split_once('>').unwrap().1 });
    let text: String = texts.collect();
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        failure_persistence: None, cases: 96, ..proptest::prelude::ProptestConfig::default()
    })]

    #[test]
    fn no_mixture_of_marks_and_mentions_mentions_anybody(title in PIECES, body in PIECES) {
        let mut message = Message::new(Level::Error, title.clone());
        message.body = body;
        message.labels.insert("name".to_owned(), title.clone());
        message.links = vec![Link { text: title.clone(), url: "https://e.example/".to_owned() }];
        let (mentions, ask) = (Mentions::default(), ask(Some(LINK), Some(&title), 2));
        for kind in CHATS.into_iter().filter(|kind| *kind != "wecom_app") {
            let channel = channel(kind);
            for plain in [false, true] {
                let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, plain) };
                for request in requests(&channel, &out, &[]) {
                    let found = finds_mention(kind, &tree(&request));
                    proptest::prop_assert!(found.is_none(), "{kind}: {found:?}");
                }
            }
        }
    }
}
