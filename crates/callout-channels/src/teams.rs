//! Microsoft Teams, by a webhook of Workflows (Power Automate).
//!
//! The address holds its own credential (`sig`), so there is nothing else to set. The message is an
//! Adaptive Card of version 1.4. Status 202 is all that a flow ever says, and only that it was queued: a
//! channel that was deleted or a card that grows too large on its way fails where nobody tells us. So
//! requests stay far below the documented 28 KB, and the outcome says what it does not prove.
//!
//! Card text knows bold, italic, lists and links: headings become bold lines, images in the text become
//! links, fences become paragraphs in a monospaced font. Teams cannot mention everybody this way; people
//! are mentioned by their user principal name or object id, which is the name that is shown too.
//!
//! Addresses of the retired Office 365 connectors are refused when the configuration is checked.
//!
//! Unverified: how card text is escaped (so what could mark up is parted by invisible characters), how
//! many buttons a card shows (so there are few, and links for the rest), and every status but 202.

use crate::apprise::{self, Address, Apprise, Unfit};
use crate::channel::{HttpChannel, HttpRequest, HttpResponse, Outgoing, Refused};
use crate::fit::{self, Fence};
use crate::render::{Ack, Called, Story, by_command};
use crate::settings;
use crate::sign;
use crate::spec::{Advice, Field, Problem, Spec, Value};
use callout_core::level::Level;
use callout_core::message::Link;
use callout_core::outcome::{Outcome, Reason};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

pub(crate) static SPEC: Spec = Spec {
    kind: "teams",
    title: "Microsoft Teams (Workflows)",
    fields: &[Field {
        name: "webhook_url",
        value: Value::Secret,
        required: true,
        doc: "The whole address that the Workflows trigger \"when a Teams webhook request is received\" shows.",
    }],
    rate: "4/s",
    types: &["adaptive card"],
    native: true,
    body_bytes_max: 20_000,
    mentions: "people by user principal name or object id; never everybody",
    idempotency: "none",
    ack: "link button",
    costly: false,
    rings: false,
    edit: false,
    thread: false,
    callback: None,
    advice: ADVICE,
    apprise: &[
        Apprise { scheme: "workflow", settings: from_apprise },
        Apprise { scheme: "workflows", settings: from_apprise },
    ],
};

const ADVICE: &[Advice] = &[
    Advice {
        code: "404",
        says: "",
        english: "The flow does not exist any more: make a new Workflows webhook in the Teams channel and put its address into `webhook_url`.",
        chinese: "该工作流已不存在：请在 Teams 频道中新建 Workflows webhook，并把新地址填入 `webhook_url`。",
    },
    Advice {
        code: "401",
        says: "",
        english: "The address is refused: copy it whole, with everything behind the question mark, and let the flow's trigger accept anyone.",
        chinese: "地址被拒绝：请完整复制（包括问号后面的全部内容），并把工作流的触发者设为“任何人”。",
    },
    Advice {
        code: "403",
        says: "",
        english: "The address is refused: copy it whole, with everything behind the question mark, and check that the flow is turned on.",
        chinese: "地址被拒绝：请完整复制（包括问号后面的全部内容），并确认工作流处于启用状态。",
    },
    Advice {
        code: "400",
        says: "",
        english: "The flow does not understand the card: use the template that posts to a channel when a webhook request is received, without changes to its trigger.",
        chinese: "工作流无法解析卡片：请使用“收到 webhook 请求时发布到频道”模板，且不要改动其触发器。",
    },
    Advice {
        code: "200",
        says: "",
        english: "Something else than a flow has answered: check that `webhook_url` is the address of a Workflows webhook.",
        chinese: "应答的不是工作流：请确认 `webhook_url` 是 Workflows webhook 的地址。",
    },
];

/// How many bytes our own bodies may have. The flow adds to the card, and 28 672 bytes are the end.
const BODY_BYTES_BUDGET: usize = 18_000;
/// The most buttons; links beyond stand in the text.
const ACTIONS_MAX: usize = 6;
/// How much of a label a button shows, in UTF-16 units.
const BUTTON_UNITS_MAX: usize = 60;
/// Where connectors were, which Microsoft has retired.
const RETIRED: [&str; 3] = ["webhook.office.com", "outlook.office.com", "outlook.office365.com"];
/// A refusal that comes with a status of success.
const LIMITED: &str = "Microsoft Teams endpoint returned HTTP error 429";
/// What a queued message lacks.
const QUEUED: &str = "queued by the flow, which is no proof that it was shown";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Teams {
    webhook_url: Secret,
}

/// Makes a webhook from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn HttpChannel>, Vec<Problem>> {
    let teams: Teams = settings::parse(settings)?;
    let url = settings::webhook_url(SPEC.kind, &teams.webhook_url)?;
    let host = url.host_str().unwrap_or_default();
    if RETIRED.iter().any(|retired| settings::is_within(host, retired)) {
        return Err(vec![settings::problem(
            "webhook_url",
            "is an address of the Office 365 connectors, which Microsoft has retired; add a Workflows webhook to the Teams channel (\"post to a channel when a webhook request is received\") and use its address",
        )]);
    }
    Ok(Box::new(teams))
}

impl HttpChannel for Teams {
    fn request(&self, out: &Outgoing<'_>, _at: Timestamp) -> Result<HttpRequest, Refused> {
        let called = Called::of(out.mentions);
        let story = Story::of(out).with_unsent(out, 0);
        let body = match (out.native(&SPEC)?, out.plain) {
            (Some(native), _) => native.clone(),
            (None, true) => plain(story, &called),
            (None, false) => rich(story, &called),
        };
        HttpRequest::post_json(self.webhook_url.clone(), &body)
    }

    fn classify(&self, answer: &HttpResponse, at: Timestamp) -> Outcome {
        let text = answer.text();
        match answer.status {
            200..=299 if text.contains(LIMITED) => {
                Outcome::Throttled { until: answer.retry_at(at), reason: Reason::new(429, LIMITED) }
            }
            // A page is what some gate on the way says, never a flow.
            202 if !text.starts_with('<') => Outcome::Accepted(Reason::new(202, QUEUED)),
            _ => answer.outcome_by_status(at),
        }
    }

    fn follow_up(
        &self,
        out: &Outgoing<'_>,
        _at: Timestamp,
        answers: &[HttpResponse],
    ) -> Option<HttpRequest> {
        out.unsaid(&SPEC).filter(|_| answers.is_empty())?;
        let text = plain(Story::of(out).in_short(), &Called::NOBODY);
        HttpRequest::post_json(self.webhook_url.clone(), &text).ok()
    }
}

fn rich(story: Story, called: &Called<'_>) -> Json {
    let story = story.fit(|story| card(story, called).to_string().len() <= BODY_BYTES_BUDGET);
    card(&story, called)
}

fn card(story: &Story, called: &Called<'_>) -> Json {
    let mut headline = text(&fit::inline(&story.headline()));
    for (name, value) in [("size", "Large"), ("weight", "Bolder"), ("color", colour(story.level))] {
        put(&mut headline, name, json!(value));
    }
    let mut body = vec![headline];
    body.extend(Some(fit::inline(&story.note)).filter(|note| !note.is_empty()).map(|n| text(&n)));
    body.extend(names(called).map(|names| text(&names)));
    body.extend(paragraphs(&story.body));
    let fact = |(name, value): &(String, String)| json!({ "title": fit::inline(name), "value": fit::inline(value) });
    let facts: Vec<Json> = story.facts.iter().map(fact).collect();
    if !facts.is_empty() {
        body.push(json!({ "type": "FactSet", "facts": facts }));
    }
    let image = |url| json!({ "type": "Image", "url": url, "altText": story.words.image });
    body.extend(story.images.iter().map(image));
    if let Some(Ack::Command(command)) = &story.ack {
        body.push(text(&by_command(story.words, &fit::inline(command))));
    }
    let (actions, more) = actions(story);
    body.extend(more.map(|more| text(&more)));
    let mut foot = text(&fit::inline(&story.foot()));
    put(&mut foot, "isSubtle", json!(true));
    body.push(foot);
    message(body, actions, called)
}

/// Short plain text, which has to be a card as well: flows take nothing else.
fn plain(story: Story, called: &Called<'_>) -> Json {
    let short = story.clone().in_short();
    let mut body = vec![text(&broken(&story.plain(fit::flat, |_| true)))];
    body.extend(names(called).map(|names| text(&names)));
    message(body, actions(&short).0, called)
}

fn message(body: Vec<Json>, actions: Vec<Json>, called: &Called<'_>) -> Json {
    let entity = |id: &&str| json!({ "type": "mention", "text": name(id), "mentioned": { "id": id, "name": id } });
    let entities: Vec<Json> = called.users.iter().map(entity).collect();
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard", "version": "1.4", "body": body,
        "msteams": { "width": "Full", "entities": entities },
    });
    if !actions.is_empty() {
        put(&mut card, "actions", Json::Array(actions));
    }
    let kind = "application/vnd.microsoft.card.adaptive";
    let attachment = json!({ "contentType": kind, "contentUrl": null, "content": card });
    json!({ "type": "message", "attachments": [attachment] })
}

/// What can be pressed, what is asked of the reader first; and links beyond that, as text.
fn actions(story: &Story) -> (Vec<Json>, Option<String>) {
    let open =
        |title: &str, url: &str| json!({ "type": "Action.OpenUrl", "title": title, "url": url });
    let mut actions = Vec::new();
    if let Some(Ack::Link(url)) = &story.ack {
        actions.push(open(story.words.acknowledge, url.expose()));
    }
    let room = ACTIONS_MAX - actions.len();
    let links = story.links.iter();
    let label = |link: &Link| fit::utf16(&link.text, BUTTON_UNITS_MAX);
    actions.extend(links.clone().take(room).map(|link| open(&label(link), &link.url)));
    let more: Vec<String> = links
        .skip(room)
        .map(|link| {
            let label = fit::inline(&link.text).replace(['[', ']'], "\u{200b}");
            format!("[{label}]({})", fit::link_target(&link.url))
        })
        .collect();
    (actions, Some(more.join("\n\n")).filter(|more| !more.is_empty()))
}

/// The body as paragraphs of card text, code apart from prose.
fn paragraphs(markdown: &str) -> Vec<Json> {
    let mut fence = Fence::default();
    let mut parts: Vec<(bool, Vec<String>)> = Vec::new();
    for line in markdown.lines() {
        let was_open = fence.is_open();
        let code = fence.takes(line);
        if code && was_open != fence.is_open() {
            continue; // The fence itself.
        }
        // Quiet comes last, for what prose takes away may have parted a tag.
        let line = fit::quiet(&if code { line.to_owned() } else { prose(line) });
        match parts.last_mut() {
            Some((kind, lines)) if *kind == code => lines.push(line),
            _ => parts.push((code, vec![line])),
        }
    }
    let block = |(code, lines): (bool, Vec<String>)| {
        let lines = broken(lines.join("\n").trim_matches('\n'));
        let mut block = text(&lines);
        if code {
            put(&mut block, "fontType", json!("Monospace"));
        }
        (!lines.is_empty()).then_some(block)
    };
    parts.into_iter().filter_map(block).collect()
}

/// One line with what cards do not know said otherwise.
fn prose(line: &str) -> String {
    let line = fit::image_links(line);
    let text = line.trim_start();
    let hashes = text.chars().take_while(|c| *c == '#').count();
    let heading = text.get(hashes..).filter(|_| (1..=6).contains(&hashes));
    match heading.and_then(|heading| heading.strip_prefix(' ')) {
        Some(heading) => format!("**{}**", heading.trim().replace("**", "")),
        None => line,
    }
}

/// Lines as card text breaks them. A list stays one: its lines break by themselves.
fn broken(text: &str) -> String {
    let mut done = String::with_capacity(text.len());
    let mut before = false;
    for line in text.lines() {
        let item = ["- ", "* ", "+ "].iter().any(|mark| line.trim_start().starts_with(mark));
        if !done.is_empty() && !line.trim().is_empty() {
            done += if item && before { "\n" } else { "\n\n" };
        }
        if !line.trim().is_empty() {
            done += line;
            before = item;
        }
    }
    done
}

fn text(text: &str) -> Json {
    json!({ "type": "TextBlock", "text": text, "wrap": true })
}

fn put(object: &mut Json, name: &str, value: Json) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

fn names(called: &Called<'_>) -> Option<String> {
    let names: Vec<String> = called.users.iter().map(|id| name(id)).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

fn name(id: &str) -> String {
    format!("<at>{id}</at>")
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Info => "Accent",
        Level::Warning => "Warning",
        Level::Error | Level::Critical => "Attention",
    }
}

/// The settings that stand in an Apprise address, which holds two parts of a workflow's.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    let options = ["workflow", "id", "signature", "sig", "powerautomate", "pa", "route", "routeid"];
    address.only(&[&options[..], &["api-version", "ver", "wrap"]].concat())?;
    address.no_user()?;
    if address.host.is_empty() {
        return Err("has no host".into());
    }
    let any = |names: [&str; 2]| names.iter().find_map(|name| address.option(name));
    let mut parts = address.path.iter().cloned();
    let workflow = any(["workflow", "id"]).or_else(|| parts.next()).ok_or("has no workflow")?;
    let signature = any(["signature", "sig"]).or_else(|| parts.next()).ok_or("has no signature")?;
    if parts.next().is_some() {
        return Err("says more than workflow and signature, which Callout does not honour".into());
    }
    let automate = any(["powerautomate", "pa"]).is_some_and(|pa| pa.starts_with(['y', 't', '1']));
    let path = match (automate, any(["route", "routeid"])) {
        (true, Some(route)) => {
            format!("/powerautomate/automations/direct/cu/{}", sign::percent(&route))
        }
        (true, None) => "/powerautomate/automations/direct".to_owned(),
        (false, _) => String::new(),
    };
    let usual = if automate { "2022-03-01-preview" } else { "2016-06-01" };
    let version = any(["api-version", "ver"]).unwrap_or(usual.to_owned());
    let port = address.port.map_or(String::new(), |port| format!(":{port}"));
    let url = format!(
        "https://{}{port}{path}/workflows/{}/triggers/manual/paths/invoke?api-version={}&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={}",
        address.host,
        sign::percent(&workflow),
        sign::percent(&version),
        sign::percent(&signature),
    );
    apprise::settings([("webhook_url", Some(url))])
}
