//! Mail by SMTP.
//!
//! One connection an attempt, and every command answered before the next: only so it is known what was
//! heard. Until the full stop that ends the letter is written, nothing was sent, whatever happens;
//! from then on only the server's own refusal proves that. A recipient that is refused does not keep
//! the letter from the others: it goes to them, the attempt is accepted and names the refused. Nobody
//! tries these again, for the others would get the letter twice.
//!
//! Accepted means that the server took the letter over. If it cannot deliver it after all, it writes to
//! the address in `from`, so somebody should read what arrives there.
//!
//! TLS is required unless the server is on this machine or the settings say `tls = "none"`, and a
//! password never crosses the network without it. There is no "when offered": whoever can take the
//! offer away would read everything. A certificate that does not convince counts as no connection, as
//! with HTTP: `Transient`, and the reason begins with `TLS`.
//!
//! Addresses are ASCII, so no server needs `SMTPUTF8`; the letter is ASCII too, whatever it says.
//! Unverified: nothing here was seen to work with one provider or another; it follows the standards.

use crate::apprise::{self, Address, Apprise, Unfit};
use crate::channel::{Outgoing, Refused};
use crate::direct::DirectChannel;
use crate::mask::Mask;
use crate::spec::{Advice, Field, Problem, Spec, Value};
use crate::transport::{ATTEMPT_TIMEOUT, tls};
use crate::{fit, settings, sign};
use callout_core::message::MESSAGE_BYTES_MAX;
use callout_core::outcome::{Blame, Outcome};
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use lettre::message::Mailbox;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use server::{Login, Server};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

mod html;
mod letter;
mod reply;
mod server;
mod show;
mod talk;
mod wire;

pub(crate) static SPEC: Spec = Spec {
    kind: "email",
    title: "Mail (SMTP)",
    fields: &[
        Field {
            name: "smtp",
            value: Value::Secret,
            required: true,
            doc: "The server: smtp://[user@]host[:port] with STARTTLS, port 587 by default, or smtps://... with TLS from the start, port 465. A user name or password has its special characters percent-encoded, such as %40 for @.",
        },
        Field {
            name: "password",
            value: Value::Secret,
            required: false,
            doc: "The password of the user in smtp. Default: the one in smtp, such as smtp://user:password@host; without a user nobody logs in.",
        },
        Field {
            name: "from",
            value: Value::Text,
            required: true,
            doc: "Who writes, such as Callout <alerts@example.com>.",
        },
        Field {
            name: "to",
            value: Value::List,
            required: true,
            doc: "Who reads, at most 50, such as Ops <ops@example.com>; each sees the others.",
        },
        Field {
            name: "tls",
            value: Value::Text,
            required: false,
            doc: "Encryption. required: without it nothing is sent. none: everything goes as plain text, which is refused with a password unless the server is on this machine. Default: required, but none for smtp://localhost and other addresses of this machine.",
        },
        Field {
            name: "roots",
            value: Value::Path,
            required: false,
            doc: "Further trusted root certificates for this server, as PEM. Default: only those shipped with Callout.",
        },
    ],
    rate: "10/s",
    types: &["multipart/alternative", "text/plain"],
    native: false,
    body_bytes_max: LETTER_BYTES_MAX,
    mentions: "nobody",
    idempotency: "Message-ID, the same on every try",
    ack: "link button",
    costly: false,
    rings: false,
    edit: false,
    thread: true,
    callback: None,
    advice: ADVICE,
    apprise: &[
        Apprise { scheme: "mailto", settings: from_apprise },
        Apprise { scheme: "mailtos", settings: from_apprise },
    ],
};

static ADVICE: &[Advice] = &[
    Advice {
        code: "535",
        says: "",
        english: "The server does not take the user name or password. Check both; some providers want a password made for one application.",
        chinese: "服务器不接受该用户名或密码。请核对两者；部分服务商要求使用“授权码”或应用专用密码。",
    },
    Advice {
        code: "530",
        says: "",
        english: "The server wants a login or TLS first. Put a user into `smtp` and set `password`.",
        chinese: "服务器要求先登录或启用 TLS。请在 `smtp` 中写上用户名并设置 `password`。",
    },
    Advice {
        code: "502",
        says: "",
        english: "The server does not know a command that every mail server knows today. Check host and port.",
        chinese: "服务器不认识邮件服务器都应支持的命令。请核对主机和端口。",
    },
    Advice {
        code: "503",
        says: "",
        english: "The server does not allow this step here, often a login that it does not have. Check the port, and leave the user out if none is needed.",
        chinese: "服务器此时不允许这一步，多因该端口不支持登录。请核对端口；若无需登录，请去掉用户名。",
    },
    Advice {
        code: "550",
        says: "",
        english: "The server knows no such mailbox, or does not relay for this sender. Check `to` and `from`.",
        chinese: "服务器没有该邮箱，或不允许此发件人转发。请核对 `to` 和 `from`。",
    },
    Advice {
        code: "553",
        says: "",
        english: "The server does not allow this address. `from` often has to be the user that logs in.",
        chinese: "服务器不允许使用该地址。`from` 通常必须与登录用户一致。",
    },
    Advice {
        code: "554",
        says: "",
        english: "The server refuses by policy. Ask its operator; often the sender's domain or address is on a list.",
        chinese: "服务器按策略拒收。请联系邮件管理员；常见原因是发件域名或 IP 被列入名单。",
    },
    Advice {
        code: "",
        says: "certificate",
        english: "The server's certificate is not trusted or is for another name. Use the name it is made for, or put its root into `roots`.",
        chinese: "服务器证书不受信任或与主机名不符。请使用证书上的主机名，或在 `roots` 中加入其根证书。",
    },
    Advice {
        code: "",
        says: "does not offer starttls",
        english: "The server offers no TLS on this port. Use smtps:// and port 465 if it has that.",
        chinese: "服务器在该端口不提供 TLS。如果支持，请改用 smtps:// 和 465 端口。",
    },
    Advice {
        code: "",
        says: "no answer within",
        english: "The server fell silent. At the end of the letter it may have taken it, so look there before you send it again; anywhere else nobody got it.",
        chinese: "服务器没有应答。如果停在信件末尾（the end of the letter），信件可能已被接收，重发前请先确认；停在其他步骤则没有人收到。",
    },
    Advice {
        code: "",
        says: "no connection within",
        english: "Nothing answers at this host and port. Check both, and what this machine may reach: many networks block port 25.",
        chinese: "该主机和端口没有响应。请核对两者以及本机的出网策略：许多网络会封锁 25 端口。",
    },
];

/// How large a letter can become: three times the message as text and twelve times as HTML, where all
/// of it is escaped, images even twice.
const LETTER_BYTES_MAX: usize = 16 * MESSAGE_BYTES_MAX;
/// How long handing a letter over may take, so that saying goodbye has its time too.
const LETTER_TIMEOUT: Duration = ATTEMPT_TIMEOUT.saturating_sub(wire::GOODBYE_TIMEOUT);
/// The most recipients: each costs a round trip within one attempt.
const RECIPIENTS_MAX: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    smtp: Secret,
    password: Option<Secret>,
    from: String,
    #[serde(deserialize_with = "settings::list")]
    to: Vec<String>,
    tls: Option<String>,
    roots: Option<String>,
}

/// One mail account and whom it writes to.
#[derive(Debug)]
pub(crate) struct Email {
    server: Server,
    from: Mailbox,
    to: Vec<Mailbox>,
    timeout: Duration,
}

/// Makes a mail channel from settings.
pub(crate) fn build(settings: Json) -> Result<Box<dyn DirectChannel>, Vec<Problem>> {
    Ok(Box::new(email(settings, LETTER_TIMEOUT)?))
}

/// A mail channel that gives up after `timeout`.
pub(crate) fn email(settings: Json, timeout: Duration) -> Result<Email, Vec<Problem>> {
    let settings: Settings = settings::parse(settings)?;
    let from = mailbox("from", &settings.from);
    let to: Result<Vec<Mailbox>, Problem> =
        settings.to.iter().map(|text| mailbox("to", text)).collect();
    let to = to.and_then(|to| {
        let few = to.len() <= RECIPIENTS_MAX;
        few.then_some(to).ok_or_else(|| settings::problem("to", "has more than 50 addresses"))
    });
    let mut problems = Vec::new();
    let tls = settings::noted(&mut problems, tls_word(settings.tls.as_deref()));
    let roots = settings::noted(&mut problems, certificates(settings.roots.as_deref()));
    let server = server(&settings, tls.flatten(), roots.map(Arc::new));
    let server = settings::noted(&mut problems, server);
    let from = settings::noted(&mut problems, from);
    let to = settings::noted(&mut problems, to);
    match (server.flatten(), from, to) {
        (Some(server), Some(from), Some(to)) if problems.is_empty() => {
            Ok(Email { server, from, to, timeout })
        }
        _ => Err(problems),
    }
}

fn mailbox(field: &'static str, text: &str) -> Result<Mailbox, Problem> {
    let wrong = |text: &str| settings::problem(field, text);
    if text.chars().any(char::is_control) {
        return Err(wrong("has to be one line"));
    }
    let mailbox: Mailbox =
        text.trim().parse().map_err(|_| wrong("has to be like Ops <ops@example.com>"))?;
    let address: &str = mailbox.email.as_ref();
    if !address.is_ascii() || address.contains([' ', '<', '>']) {
        return Err(wrong("has to hold an address in plain ASCII"));
    }
    Ok(mailbox)
}

/// The server, if there are `roots` to trust it by.
fn server(
    settings: &Settings,
    tls: Option<bool>,
    roots: Option<Arc<rustls::ClientConfig>>,
) -> Result<Option<Server>, Problem> {
    let wrong = |text: &str| settings::problem("smtp", text);
    let url = Url::parse(settings.smtp.expose()).map_err(|_| wrong("is no address"))?;
    let wrapped = match url.scheme() {
        "smtp" => false,
        "smtps" => true,
        _ => return Err(wrong("has to begin with smtp:// or smtps://")),
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host.clone())
        .map_err(|_| wrong("has to name a host, such as smtp://mail.example.com"))?;
    let rest = !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some();
    if rest {
        return Err(wrong("has to end after the host and port; is a special character encoded?"));
    }
    let login = login(&url, settings.password.as_ref())?;
    if wrapped && tls == Some(false) {
        return Err(settings::problem("tls", "may not be none with smtps://"));
    }
    let encrypted = tls.unwrap_or(wrapped || !is_loopback(&name));
    if login.is_some() && !encrypted && !is_loopback(&name) {
        let text = "may not be none with a password, which everybody on the way could read";
        return Err(settings::problem("tls", text));
    }
    let port = url.port().unwrap_or(if wrapped { 465 } else { 587 });
    Ok(roots.map(|config| Server { host, name, port, wrapped, encrypted, config, login }))
}

/// Whether the settings want the letter to travel inside TLS, if they say.
fn tls_word(tls: Option<&str>) -> Result<Option<bool>, Problem> {
    match tls.map(str::trim) {
        None => Ok(None),
        Some("required") => Ok(Some(true)),
        Some("none") => Ok(Some(false)),
        Some(_) => Err(settings::problem("tls", "has to be required or none")),
    }
}

fn is_loopback(name: &ServerName<'_>) -> bool {
    match name {
        ServerName::IpAddress(ip) => std::net::IpAddr::from(*ip).is_loopback(),
        ServerName::DnsName(name) => name.as_ref().eq_ignore_ascii_case("localhost"),
        _ => false,
    }
}

fn login(url: &Url, password: Option<&Secret>) -> Result<Option<Login>, Problem> {
    let user = decoded(url.username())?;
    let inside = url.password().map(decoded).transpose()?;
    let password = match (inside, password) {
        (Some(_), Some(_)) => {
            return Err(settings::problem("password", "is also in smtp; leave one of them out"));
        }
        (inside, password) => inside.map(Secret::new).or_else(|| password.cloned()),
    };
    match (user.as_str(), password) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err(settings::problem("smtp", "names no user, such as smtp://user@host")),
        (_, Some(password)) => Ok(Some(Login { user, password })),
        (_, None) => Err(settings::problem("password", "is missing: smtp names a user")),
    }
}

/// A part of an address without percent signs.
fn decoded(part: &str) -> Result<String, Problem> {
    let wrong = || settings::problem("smtp", "holds a percent sign that encodes nothing");
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (hex, tail) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let hex = std::str::from_utf8(hex).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(hex, 16).map_err(|_| wrong())?);
        rest = tail;
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    if text.chars().any(char::is_control) { Err(wrong()) } else { Ok(text) }
}

fn certificates(roots: Option<&str>) -> Result<rustls::ClientConfig, Problem> {
    let wrong = |text: String| settings::problem("roots", text);
    let pem = roots.map(std::fs::read).transpose();
    let pem = pem.map_err(|e| wrong(format!("cannot be read: {}", e.kind())))?;
    tls(pem.as_deref()).map_err(|_| wrong("is no PEM file with certificates".to_owned()))
}

#[async_trait::async_trait]
impl DirectChannel for Email {
    async fn deliver(&self, out: &Outgoing<'_>, at: Timestamp) -> Outcome {
        let letter = match self.letter(out, at) {
            Ok(letter) => letter,
            Err(Refused(reason)) => return Outcome::Rejected { blame: Blame::Message, reason },
        };
        let addresses: Vec<&str> = self.to.iter().map(|to| to.email.as_ref()).collect();
        let envelope = talk::Envelope { from: self.from.email.as_ref(), to: &addresses };
        let outcome = talk::send(&self.server, &envelope, &letter, self.timeout).await;
        let hidden = self.server.login.as_ref().map(Login::spellings).unwrap_or_default();
        Mask::new(&hidden, None).outcome(outcome)
    }

    fn preview(&self, out: &Outgoing<'_>, at: Timestamp) -> Result<String, Refused> {
        Ok(show::letter(&self.letter(out, at)?))
    }
}

impl Email {
    /// What is sent, byte by byte.
    pub(crate) fn letter(&self, out: &Outgoing<'_>, at: Timestamp) -> Result<Vec<u8>, Refused> {
        letter::write(&self.from, &self.to, out, at)
    }
}

/// An address that tells who is meant to those who know it: `o***@example.com`.
fn discreet(address: &str) -> String {
    let (user, domain) = address.split_once('@').unwrap_or((address, ""));
    let first: String = user.chars().take(1).collect();
    fit::line(&format!("{first}***@{domain}"))
}

/// The settings that stand in an Apprise address. Apprise knows the servers of many providers; Callout
/// does not, so with a user the address has to name one. Without `s` Apprise would send the password in
/// the clear; STARTTLS is used all the same.
fn from_apprise(address: &Address) -> Result<Map<String, Json>, Unfit> {
    address.only(&["from", "mode", "name", "smtp", "to"])?;
    if address.user.is_some() && address.option("smtp").is_none() && address.port.is_none() {
        return Err("names no server; add smtp=, such as ?smtp=smtp.example.com".into());
    }
    let secure = address.scheme == "mailtos";
    let (scheme, usual) = match address.option("mode").as_deref() {
        None if !secure => ("smtp", 25),
        None | Some("starttls") => ("smtp", 587),
        Some("ssl") => ("smtps", 465),
        Some(_) => return Err("has a `mode` that is neither starttls nor ssl".into()),
    };
    let host = address.option("smtp").unwrap_or_else(|| address.host.clone());
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b))
    {
        return Err("has no host that can be one".into());
    }
    let user = address.user.as_deref().map_or(String::new(), |user| percent(user) + "@");
    let own = match &address.user {
        Some(user) if user.contains('@') => Some(user.clone()),
        Some(user) if !address.host.is_empty() => Some(format!("{user}@{}", address.host)),
        Some(_) | None => None,
    };
    let from = address.option("from").or(own.clone()).ok_or("has no sender; add from=")?;
    let to = match address.targets(0).as_slice() {
        [] => vec![own.unwrap_or_else(|| from.clone())],
        several => several.to_vec(),
    };
    let from = match address.option("name") {
        Some(name) => format!("{} <{from}>", name.replace(['<', '>', '"'], "")),
        None => from,
    };
    let port = address.port.unwrap_or(usual);
    let mut settings = apprise::settings([
        ("smtp", Some(format!("{scheme}://{user}{host}:{port}"))),
        ("password", address.password.clone()),
        ("from", Some(from)),
    ])?;
    settings.insert("to".to_owned(), to.into());
    Ok(settings)
}

/// A user's name as it may stand in an address.
fn percent(text: &str) -> String {
    sign::percent(text).replace('+', "%20")
}
