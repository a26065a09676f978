//! The sections with fixed keys: locale, store, server, HTTP client, people.

use super::reader::{Item, Section};
use super::source::read_bounded;
use callout_core::locale::Locale;
use callout_core::secret::Secret;
use callout_core::ticket::{KEY_BYTES_MIN, Links, Seal};
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Where the server listens unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8470);
/// The database unless told otherwise, beside the configuration file.
const STORE_FILE: &str = "callout.db";
/// The fewest bytes of an API token.
const TOKEN_BYTES_MIN: usize = 16;
/// The most bytes of the public address; with a ticket behind it, it has to fit into a button.
const PUBLIC_URL_BYTES_MAX: usize = 200;
/// The most bytes of a file with root certificates.
const ROOTS_BYTES_MAX: u64 = 4 * 1024 * 1024;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// How long messages that are over are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Accepted and cancelled ones.
    pub accepted: Duration,
    /// Dead and expired ones.
    pub dead: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { accepted: 7 * DAY, dead: 30 * DAY }
    }
}

/// The HTTP server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its address as others see it, without a slash at the end.
    pub public_url: Option<String>,
    /// The key that signs links.
    pub ack_key: Option<Secret>,
    /// Who may use the API. Empty: nobody.
    pub tokens: Vec<Token>,
}

impl Server {
    /// Where people acknowledge; `None` without an address that they can reach.
    pub fn links(&self) -> Option<Links> {
        let (public_url, key) = self.public_url.clone().zip(self.ack_key.clone())?;
        Some(Links { public_url, seal: Seal::new(key) })
    }
}

/// One credential for the API.
#[derive(Clone, Debug)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// What the client sends.
    pub token: Secret,
    /// What it opens.
    pub scopes: Vec<Scope>,
}

/// A part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Enqueue messages.
    Send,
    /// Look at messages.
    Read,
    /// Cancel, replay and the like.
    Operate,
}

/// Every scope with its name in configuration.
pub const SCOPES: [(&str, Scope); 3] =
    [("send", Scope::Send), ("read", Scope::Read), ("operate", Scope::Operate)];

pub(super) fn locale(root: &Section<'_>) -> Option<Locale> {
    let item = root.get("locale")?;
    let word = item.text()?;
    let locale = Locale::from_name(word);
    if locale.is_none() {
        item.wrong(format!("locale \"{word}\" is not known"), "write \"en\" or \"zh\"");
    }
    locale
}

/// Where people are, by the name of a zone.
pub(super) fn time_zone(root: &Section<'_>) -> Option<TimeZone> {
    let item = root.get("time_zone")?;
    let zone = TimeZone::get(item.text()?).ok();
    if zone.is_none() {
        let problem = format!("time_zone \"{}\" is not known", item.text().unwrap_or_default());
        item.wrong(problem, "write a name such as \"Asia/Shanghai\" or \"UTC\"");
    }
    zone
}

/// The database's path, how long it keeps messages, and whether it may lie where locks do not hold.
pub(super) fn store(root: &Section<'_>) -> (PathBuf, Retention, bool) {
    let mut path = root.book.source.folder().join(STORE_FILE);
    let mut retention = Retention::default();
    let Some(store) = root.section("store") else { return (path, retention, false) };
    store.only(&["url", "retention", "unsafe_disk"]);
    if let Some(configured) = store.get("url").and_then(|url| store_path(&url)) {
        path = configured;
    }
    if let Some(keep) = store.section("retention") {
        keep.only(&["accepted", "dead"]);
        let length = |key| keep.get(key)?.duration(MINUTE..=3640 * DAY);
        retention.accepted = length("accepted").unwrap_or(retention.accepted);
        retention.dead = length("dead").unwrap_or(retention.dead);
    }
    let unsafe_disk = store.get("unsafe_disk").and_then(|item| item.switch());
    (path, retention, unsafe_disk.unwrap_or(false))
}

fn store_path(url: &Item<'_>) -> Option<PathBuf> {
    match url.text()?.strip_prefix("sqlite:") {
        Some(path) if !path.is_empty() => Some(url.book.source.folder().join(path)),
        Some(_) | None => {
            // An address of another kind of store may hold a password.
            url.wrong_secret(
                "store.url is not the address of a store",
                "write \"sqlite:callout.db\"",
            );
            None
        }
    }
}

/// The server; `None` after an error.
pub(super) fn server(root: &Section<'_>) -> Option<Server> {
    let Some(server) = root.section("server") else {
        return Some(Server { listen: LISTEN, public_url: None, ack_key: None, tokens: vec![] });
    };
    server.only(&["listen", "public_url", "ack_key", "tokens"]);
    let listen_at = server.get("listen");
    let listen = match &listen_at {
        Some(item) => item.parsed("write an address and a port, such as \"127.0.0.1:8470\""),
        None => Some(LISTEN),
    };
    let public_url = server.get("public_url").and_then(|url| public_url(&server, &url));
    let ack_key = server.get("ack_key").and_then(|key| key.secret_of(KEY_BYTES_MIN));
    let token_sections = server.numbered_sections("tokens");
    if let (Some(item), Some(listen)) = (&listen_at, listen)
        && !listen.ip().is_loopback()
        && token_sections.is_empty()
    {
        let help = "add [[server.tokens]]; without any, the API answers nobody";
        item.wrong(format!("anybody who reaches {listen} could use the API"), help);
    }
    let tokens = tokens(&token_sections);
    Some(Server { listen: listen?, public_url, ack_key, tokens })
}

fn tokens(sections: &[Section<'_>]) -> Vec<Token> {
    let mut names = BTreeSet::new();
    let mut tokens = Vec::new();
    for section in sections {
        section.only(&["name", "token", "scopes"]);
        let name = section.required("name", "name whose it is: name = \"ci\"");
        let name_text = name.as_ref().and_then(Item::text);
        if let (Some(item), Some(text)) = (&name, name_text)
            && !names.insert(text)
        {
            item.wrong(format!("two tokens are called \"{text}\""), "give each its own name");
        }
        let token = section.required("token", "add token = { file = \"api.token\" }");
        let token = token.and_then(|token| token.secret_of(TOKEN_BYTES_MIN));
        let scopes = section.required("scopes", "add scopes = [\"send\", \"read\", \"operate\"]");
        let scopes = scopes.and_then(|item| scopes_of(&item));
        if let (Some(name), Some(token), Some(scopes)) = (name_text, token, scopes) {
            tokens.push(Token { name: name.to_owned(), token, scopes });
        }
    }
    tokens
}

fn scopes_of(item: &Item<'_>) -> Option<Vec<Scope>> {
    let items = item.list()?;
    if items.is_empty() {
        item.wrong("this token opens nothing", "write at least one of send, read, operate");
    }
    let scope = |item: &Item<'_>| {
        let name = item.text()?;
        let found = SCOPES.iter().find(|(known, _)| *known == name).map(|(_, scope)| *scope);
        if found.is_none() {
            item.unknown("scope", name, SCOPES.map(|(known, _)| known));
        }
        found
    };
    Some(items.iter().filter_map(scope).collect())
}

/// Where people reach the server. The links that lead there are credentials.
fn public_url(server: &Section<'_>, item: &Item<'_>) -> Option<String> {
    let url = web_address(item)?;
    if server.get("ack_key").is_none() {
        let problem = "links need a key that seals them, and there is no server.ack_key";
        let help = "add ack_key = { file = \"ack.key\" }; `callout init` makes such a file, and so does\n    \
                    (umask 077; head -c 32 /dev/urandom | base64 > ack.key)";
        item.wrong(problem, help);
    }
    if let Some(rest) = url.strip_prefix("http://")
        && !is_this_machine(rest)
    {
        let problem = format!("{} is not encrypted, and its links are credentials", item.path);
        let help = "whoever sees one may acknowledge: put TLS in front, and write https://";
        item.book.warn(Some(&item.key_at), problem, help);
    }
    Some(url)
}

/// Whether an address without its scheme leads to the machine it is opened on.
fn is_this_machine(rest: &str) -> bool {
    let authority = authority(rest);
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A short http(s) address without credentials, and without a slash at the end.
fn web_address(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/'))
        || text.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#'))
    {
        let problem = format!("{} is not an http:// or https:// address", item.path);
        item.wrong(problem, "write it like \"https://callout.example.com\"");
        return None;
    }
    if rest.is_some_and(|rest| authority(rest).contains('@')) {
        let problem = format!("{} holds a name or password, and everybody would see it", item.path);
        item.wrong_secret(problem, "remove what stands before the @");
        return None;
    }
    let text = text.trim_end_matches('/');
    if text.len() > PUBLIC_URL_BYTES_MAX {
        let problem = format!("{} has {} bytes", item.path, text.len());
        item.wrong(
            problem,
            format!(
                "make it at most {PUBLIC_URL_BYTES_MAX}; links in messages have to fit into buttons"
            ),
        );
        return None;
    }
    Some(text.to_owned())
}

/// Host and port of an address without its scheme, and who logs in there.
fn authority(rest: &str) -> &str {
    rest.split(['/', '\\']).next().unwrap_or_default()
}

/// The HTTP client's settings.
pub(super) fn http(root: &Section<'_>) -> callout_channels::Settings {
    let mut settings = callout_channels::Settings::default();
    let Some(http) = root.section("http") else { return settings };
    http.only(&["proxy", "roots", "allow_link_local", "timeout"]);
    settings.proxy = http.get("proxy").and_then(|proxy| proxy_address(&proxy));
    settings.extra_roots = http.get("roots").and_then(|roots| roots_file(&roots));
    let allow = http.get("allow_link_local").and_then(|allow| allow.list()).unwrap_or_default();
    let help = "write an address, such as \"169.254.1.1\"";
    settings.allow = allow.iter().filter_map(|item| item.parsed(help)).collect();
    let range = Duration::from_secs(5)..=Duration::from_secs(30);
    if let Some(timeout) = http.get("timeout").and_then(|timeout| timeout.duration(range)) {
        settings.timeout = timeout;
    }
    settings
}

/// May hold a password, so it is a credential.
fn proxy_address(item: &Item<'_>) -> Option<Secret> {
    let proxy = item.secret()?;
    let url = proxy.expose();
    if !url.starts_with("http://") && !url.starts_with("https://") {
        let problem = "http.proxy is not an http:// or https:// address";
        item.wrong_secret(problem, "write it like \"http://proxy:3128\"");
        return None;
    }
    Some(proxy)
}

fn roots_file(item: &Item<'_>) -> Option<Vec<u8>> {
    let path = item.path()?;
    match read_bounded(&path, ROOTS_BYTES_MAX) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let problem = format!("http.roots: {} cannot be read: {error}", path.display());
            item.wrong(problem, "name a PEM file with root certificates");
            None
        }
    }
}

/// A person's id at one kind of channel.
fn id(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if text.trim().is_empty() {
        item.wrong(format!("{} is empty", item.path), "write the person's id, or remove the line");
        return None;
    }
    Some(text.to_owned())
}

/// By name, a person's ids by kind of channel.
pub(super) fn people(root: &Section<'_>) -> BTreeMap<String, BTreeMap<String, String>> {
    let kinds: Vec<&'static str> = callout_channels::kinds().collect();
    let mut people = BTreeMap::new();
    for (name, section) in root.named_sections("people") {
        if name.key == "all" {
            let help = "give the person another name";
            root.book.wrong(&name.key_at, "\"all\" means everybody in the room", help);
        }
        section.only(&kinds);
        let known = section.items().into_iter().filter(|item| kinds.contains(&item.key.as_str()));
        let ids = known.filter_map(|item| Some((item.key.clone(), id(&item)?)));
        people.insert(name.key, ids.collect());
    }
    people
}
