//! `callout preview`
//!
//! Shows what a channel would send for a message, and sends nothing. No credential is shown. JSON:
//! `{"channel","kind","request":{"method","url","headers":[{"name","value"}],"body","body_bytes","login",
//! "follow_up"},"text"}`: `request` is null for a kind that speaks no HTTP, `text` for one that does;
//! `body` is `{"json"}`, `{"form":[{"name","value"}]}`, `{"parts":[{"name","file","content_type","text",
//! "bytes"}]}`, `{"text"}`, or null for what is none of these.

mod curl;

use super::test::{channel, message as test_message};
use super::{Failure, config};
use crate::cli::Output;
use crate::config::{ChannelConfig, Config};
use crate::print;
use anyhow::Context as _;
use callout_channels::channel::{Ask, Mentions, Outgoing, Refused};
use callout_channels::preview::{Body, Part, Preview, Shown};
use callout_core::id::{ChannelName, MessageId};
use callout_core::message::{MESSAGE_BYTES_MAX, Message};
use callout_core::ticket::{TICKET_TTL, Ticket};
use callout_core::time::Timestamp;
use callout_store::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Arguments of `callout preview`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The channel's name
    #[arg(long, value_name = "NAME")]
    channel: String,
    /// The message, as JSON like that of POST /v1/messages; - reads standard input. Default: a test message
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// As an alert that its reader has to acknowledge; so is a message with require_ack
    #[arg(long)]
    ask: bool,
    /// In the short plain form that follows when a provider refuses the rich one
    #[arg(long)]
    plain: bool,
    /// Print a command for curl instead, with *** where you have to put the credentials
    #[arg(long, conflicts_with = "json")]
    curl: bool,
    #[command(flatten)]
    output: Output,
}

/// Shows what would be sent.
///
/// # Errors
/// If there is no such channel, the message breaks a rule, or the channel cannot say it.
pub fn run(args: &Args, named: Option<&Path>) -> Result<(), Failure> {
    let config = config(named)?;
    let (name, channel) = channel(&config, &args.channel, "preview --channel")?;
    let now = SystemClock.now();
    let message = match &args.file {
        Some(file) => read(file)?,
        None => test_message("preview", name, config.directory.locale),
    };
    let id = MessageId::new(now, SystemClock.entropy());
    let ask = (args.ask || message.require_ack).then(|| ask(&config, id, now));
    let mentions = mentions(&config, &message, channel.channel.spec().kind);
    let zone = config.zone();
    let out = Outgoing {
        message: &message,
        id,
        created_at: now,
        mentions: &mentions,
        plain: args.plain,
        ask: ask.as_ref(),
        about: None,
        locale: config.directory.locale,
        zone: &zone,
    };
    let preview = channel.channel.preview(&out, now).map_err(|Refused(reason)| {
        Failure::new(
            format_args!("{name} cannot say this: {reason}"),
            "it would be dead on this channel, and the receiver's next one would be tried",
        )
    })?;
    show(args, name, channel, &preview)
}

fn show(
    args: &Args,
    name: &ChannelName,
    channel: &ChannelConfig,
    preview: &Preview,
) -> Result<(), Failure> {
    let kind = channel.channel.spec().kind;
    match preview {
        _ if args.output.json => print::json(&shape(name, kind, preview)),
        Preview::Direct(_) if args.curl => {
            let problem = format!("{name} is of the kind {kind}, which speaks no HTTP");
            return Err(Failure::usage(problem, "leave --curl out"));
        }
        Preview::Direct(text) => print::out(print::clean(text.trim_end())),
        Preview::Http(shown) if args.curl => print::out(curl::command(shown)),
        Preview::Http(shown) => print::out(request(shown)),
    }
    print::talk("nothing was sent; *** stands for a credential");
    if let Preview::Http(shown) = preview {
        if shown.login {
            print::talk("a request for an access token comes first, unless there is a good one");
        }
        if shown.follow_up {
            print::talk("what this request cannot carry follows in others once it is accepted");
        }
        if args.curl && shown.body == Body::Binary {
            print::talk("the body is no text; put it into a file called BODY");
        }
    }
    Ok(())
}

/// The message in a file.
fn read(file: &Path) -> Result<Message, Failure> {
    let is_standard_input = file == Path::new("-");
    let doing = || match is_standard_input {
        true => "the message on standard input cannot be read".to_owned(),
        false => format!("the message in {} cannot be read", file.display()),
    };
    let bytes = if is_standard_input {
        super::send::read_bounded(std::io::stdin().lock(), MESSAGE_BYTES_MAX)
    } else {
        std::fs::File::open(file)
            .and_then(|file| super::send::read_bounded(file, MESSAGE_BYTES_MAX))
    };
    let help = "write it as for POST /v1/messages: {\"level\": \"error\", \"title\": \"…\"}";
    let message: Message = serde_json::from_slice(&bytes.with_context(doing)?)
        .map_err(|error| Failure::usage(format!("{}: {error}", doing()), help))?;
    message
        .validate()
        .map_err(|error| Failure::usage(format!("the message was refused: {error}"), help))?;
    Ok(message)
}

/// What it would ask of the first receiver there is. Its ticket is as long as a real one, leads to no
/// alert, and is not shown.
fn ask(config: &Config, id: MessageId, now: Timestamp) -> Ask {
    let receiver = config.directory.receivers.keys().next().cloned();
    let links = config.server.links().zip(receiver);
    let url = links.map(|(links, receiver)| {
        links.link(&Ticket { message: id, receiver, epoch: 0, expires_at: now + TICKET_TTL })
    });
    Ask { url, command: format!("callout ack {id}"), note: None, telling: 1 }
}

/// Whom the message itself mentions; what receivers add is not known here.
fn mentions(config: &Config, message: &Message, kind: &str) -> Mentions {
    let names = message.mentions.iter();
    let mut ids: Vec<String> =
        names.filter_map(|name| config.people.get(name)?.get(kind).cloned()).collect();
    ids.sort();
    ids.dedup();
    Mentions { all: message.mentions.iter().any(|name| name == "all"), ids }
}

/// The request as people read it: first line, headers, an empty line, the body.
fn request(shown: &Shown) -> String {
    let mut lines = vec![format!("{} {}", shown.method, shown.url)];
    lines.extend(shown.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    lines.push(String::new());
    match &shown.body {
        Body::Empty => {}
        Body::Json(json) => lines.push(format!("{json:#}")),
        Body::Form(raw, fields) => {
            lines.extend([raw.clone(), String::new()]);
            lines.extend(fields.iter().map(|(name, value)| format!("  {name} = {value}")));
        }
        Body::Multipart(parts) => lines.extend(parts.iter().map(part)),
        Body::Text(text) => lines.push(text.clone()),
        Body::Binary => lines.push(format!("({} bytes that are no text)", shown.body_bytes)),
    }
    print::clean(lines.join("\n").trim_end())
}

fn part(part: &Part) -> String {
    match &part.file {
        Some(file) => {
            let kind = part.content_type.as_deref().unwrap_or("no type");
            format!("  {}: the file {file} ({kind}, {} bytes)", part.name, part.bytes)
        }
        None => format!("  {} = {}", part.name, part.text),
    }
}

fn shape(name: &ChannelName, kind: &str, preview: &Preview) -> Value {
    let (request, text) = match preview {
        Preview::Http(shown) => (request_shape(shown), Value::Null),
        Preview::Direct(text) => (Value::Null, json!(text)),
    };
    json!({ "channel": name.as_str(), "kind": kind, "request": request, "text": text })
}

fn request_shape(shown: &Shown) -> Value {
    let pairs = |pairs: &[(String, String)]| -> Value {
        pairs.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
    };
    let part = |part: &Part| {
        json!({
            "name": part.name,
            "file": part.file,
            "content_type": part.content_type,
            "text": part.text,
            "bytes": part.bytes,
        })
    };
    let body = match &shown.body {
        Body::Empty | Body::Binary => Value::Null,
        Body::Json(json) => json!({ "json": json }),
        Body::Form(_, fields) => json!({ "form": pairs(fields) }),
        Body::Multipart(parts) => json!({ "parts": parts.iter().map(part).collect::<Vec<_>>() }),
        Body::Text(text) => json!({ "text": text }),
    };
    json!({
        "method": shown.method,
        "url": shown.url,
        "headers": pairs(&shown.headers),
        "body": body,
        "body_bytes": shown.body_bytes,
        "login": shown.login,
        "follow_up": shown.follow_up,
    })
}
