//! Taking an Apprise address apart, and refusing what is left over.
//!
//! The form is that of a URL, read the way Apprise reads it: a `#` is a letter like any other, a `+` in
//! the query is no blank, and an empty option is none.

use super::{Address, Unfit};

/// Options that change how a message looks, or how Apprise waits and tries again, and nothing else.
const HARMLESS: [&str; 24] = [
    "avatar",
    "avatar_url",
    "batch",
    "blocks",
    "botname",
    "cto",
    "emojis",
    "fields",
    "footer",
    "footer_logo",
    "format",
    "icon",
    "icon_url",
    "image",
    "mdv",
    "overflow",
    "preview",
    "retry",
    "rto",
    "store",
    "timestamp",
    "tz",
    "wait",
    "album",
];

/// Options of Apprise that may be named when they are refused; any other name may be a credential that was
/// put into the wrong place.
const NAMED: [&str; 55] = [
    "action",
    "actions",
    "apikey",
    "archive",
    "attach",
    "auth",
    "badge",
    "bcc",
    "call",
    "category",
    "cc",
    "channel",
    "channels",
    "class",
    "click",
    "component",
    "content",
    "copy",
    "dedup",
    "delay",
    "delete",
    "detect",
    "email",
    "filename",
    "flags",
    "from",
    "group",
    "href",
    "id",
    "key",
    "level",
    "method",
    "mode",
    "name",
    "optional",
    "pgp",
    "ping",
    "priority",
    "redirect",
    "region",
    "reply",
    "severity",
    "silent",
    "sound",
    "source",
    "subtitle",
    "tags",
    "team",
    "template",
    "to",
    "topic",
    "ttl",
    "tts",
    "verify",
    "volume",
];

impl Address {
    /// Takes an address apart.
    ///
    /// # Errors
    /// If it is none, in words that quote nothing.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let scheme = text.split_once("://").filter(|(scheme, rest)| {
            !scheme.is_empty()
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
                && !rest.is_empty()
        });
        let Some((scheme, rest)) = scheme else {
            return Err("is no Apprise address; write one such as \"ntfys://…\"".to_owned());
        };
        if rest.contains(char::is_whitespace) {
            return Err("has to be one address without blanks; write %20 for a blank".to_owned());
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let scheme = scheme.to_ascii_lowercase();
        // The two halves of a Rocket.Chat webhook stand before the @, with a slash between them.
        let at = if scheme.starts_with("rocket") { rest.rfind('@').unwrap_or(0) } else { 0 };
        let end = rest.get(at..).and_then(|tail| tail.find('/')).map_or(rest.len(), |n| at + n);
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':')) {
            Some(Some((user, password))) => (Some(decoded(user)), Some(decoded(password))),
            Some(None) => (login.map(decoded), None),
            None => (None, None),
        };
        // Of a bot's token, what stands behind the colon is no port.
        let (host, port) = match host.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) => (host, Some(port)),
            Some((_, Err(_))) | None => (host, None),
        };
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(name, value)| (decoded(name).to_lowercase(), decoded(value)));
        Ok(Self {
            scheme,
            user: user.filter(|user| !user.is_empty()),
            password,
            host: decoded(host),
            port,
            path: path.split('/').filter(|part| !part.is_empty()).map(decoded).collect(),
            query: pairs.filter(|(_, value)| !value.is_empty()).collect(),
        })
    }

    /// The value of an option.
    pub(crate) fn option(&self, name: &str) -> Option<String> {
        self.query.iter().rfind(|(have, _)| have == name).map(|(_, value)| value.clone())
    }

    /// Refuses every option that is neither among `taken` nor harmless.
    pub(crate) fn only(&self, taken: &[&str]) -> Result<(), Unfit> {
        for (name, value) in &self.query {
            let name = name.as_str();
            let checked = name == "verify" && value.to_lowercase().starts_with(['y', 't', '1']);
            if checked || taken.contains(&name) || HARMLESS.contains(&name) {
                continue;
            }
            return Err(match NAMED.iter().find(|known| **known == name) {
                Some(known) => Unfit::Wrong(format!(
                    "has the option `{known}`, which Callout does not honour; leave it out"
                )),
                None => "has an option that Callout does not know; leave it out".into(),
            });
        }
        Ok(())
    }

    /// Refuses a port, and a password: the service stands where it stands.
    pub(crate) fn no_server(&self) -> Result<(), Unfit> {
        match (self.port, &self.password) {
            (None, None) => Ok(()),
            (Some(_), _) => Err("has a port, which this service does not take".into()),
            (None, Some(_)) => Err("has a password, which this service does not take".into()),
        }
    }

    /// Refuses a user.
    pub(crate) fn no_user(&self) -> Result<(), Unfit> {
        match self.user {
            None => Ok(()),
            Some(_) => Err("has something before an @, which Callout does not honour here".into()),
        }
    }

    /// Part `n` of the path.
    ///
    /// # Errors
    /// If there is none; `what` it would be.
    pub(crate) fn part(&self, n: usize, what: &str) -> Result<String, Unfit> {
        let part = self.path.get(n).cloned();
        part.ok_or_else(|| Unfit::Wrong(format!("has no {what}")))
    }

    /// The host, which is no host but a credential; the option `name` goes before it.
    ///
    /// # Errors
    /// If there is neither; `what` it would be.
    pub(crate) fn host_or(&self, name: &str, what: &str) -> Result<String, Unfit> {
        let host = Some(self.host.clone()).filter(|host| !host.is_empty());
        let found = self.option(name).or(host);
        found.ok_or_else(|| Unfit::Wrong(format!("has no {what}")))
    }

    /// Whom it names: the parts of the path from `skip` on, and those of the option `to`.
    pub(crate) fn targets(&self, skip: usize) -> Vec<String> {
        let to = self.option("to").unwrap_or_default();
        let to = to.split([',', ' ', ';']).filter(|one| !one.is_empty()).map(str::to_owned);
        self.path.iter().skip(skip).cloned().chain(to).collect()
    }

    /// The one it names, if it names any.
    ///
    /// # Errors
    /// If it names several.
    pub(crate) fn target(&self, skip: usize) -> Result<Option<String>, Unfit> {
        match self.targets(skip).as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one.clone())),
            _ => Err("names several targets; write a channel for each, and list them in receivers"
                .into()),
        }
    }

    /// Refuses to name anybody, for `why`.
    pub(crate) fn no_target(&self, skip: usize, why: &str) -> Result<(), Unfit> {
        if self.targets(skip).is_empty() { Ok(()) } else { Err(why.into()) }
    }

    /// The server's root: `https` if the scheme ends with an s.
    ///
    /// # Errors
    /// If there is no host.
    pub(crate) fn server(&self) -> Result<String, Unfit> {
        let scheme = if self.scheme.ends_with('s') { "https" } else { "http" };
        let port = self.port.map_or(String::new(), |port| format!(":{port}"));
        if self.host.is_empty() {
            return Err("has no host".into());
        }
        Ok(format!("{scheme}://{}{port}", self.host))
    }
}

/// `text` without percent-encoding; what is no UTF-8 is replaced.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
            u8::from_str_radix(digits, 16).ok()
        });
        match digits {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
