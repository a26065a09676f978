//! The conversation that hands one letter over.

use super::discreet;
use super::reply::{Reply, Step};
use super::server::{Login, Server};
use super::wire::{Broken, Wire};
use crate::fit;
use crate::transport::CONNECT_TIMEOUT;
use callout_core::outcome::{Blame, Outcome, Reason};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// How much of the server's words about an accepted letter is kept; the rest names who was refused.
const QUEUED_BYTES_MAX: usize = 160;
/// How much of its words about one of several refused recipients is kept.
const REFUSED_BYTES_MAX: usize = 80;

/// Who writes to whom, as bare addresses.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a [&'a str],
}

/// How far we have come.
struct Progress {
    step: Step,
    /// Whether the server may have heard the end of the letter.
    ended: bool,
}

impl Progress {
    /// What it means that nothing more is heard.
    fn lost(&self, why: &str) -> Outcome {
        let reason = Reason::text(format!("{why} ({})", self.step.name()));
        if self.ended { Outcome::Unknown(reason) } else { Outcome::Transient(reason) }
    }
}

/// Hands `letter` over, within `limit`.
pub(super) async fn send(
    server: &Server,
    envelope: &Envelope<'_>,
    letter: &[u8],
    limit: Duration,
) -> Outcome {
    let mut progress = Progress { step: Step::Connect, ended: false };
    let mut wire = None;
    let talk = async {
        let wire = wire.insert(connect(server).await?);
        Talk { wire, progress: &mut progress, server, envelope }.run(letter).await
    };
    let outcome = match timeout(limit, talk).await {
        Ok(Ok(outcome) | Err(outcome)) => outcome,
        Err(_) => progress.lost(&format!("no answer within {limit:?}")),
    };
    if let Some(wire) = &mut wire {
        wire.goodbye().await;
    }
    outcome
}

async fn connect(server: &Server) -> Result<Wire, Outcome> {
    let failed = |text: String| Outcome::Transient(Reason::text(text));
    let connect = async {
        let found = lookup_host((server.host.as_str(), server.port)).await;
        let found: Vec<SocketAddr> = match found {
            Ok(found) => found.collect(),
            Err(e) => return Err(failed(format!("the name does not resolve: {e}"))),
        };
        TcpStream::connect(found.as_slice()).await.map_err(|e| failed(Broken::Io(e).words()))
    };
    match timeout(CONNECT_TIMEOUT, connect).await {
        Ok(tcp) => tcp.map(Wire::new),
        Err(_) => Err(failed(format!("no connection within {CONNECT_TIMEOUT:?}"))),
    }
}

struct Talk<'a> {
    wire: &'a mut Wire,
    progress: &'a mut Progress,
    server: &'a Server,
    envelope: &'a Envelope<'a>,
}

impl Talk<'_> {
    async fn run(mut self, letter: &[u8]) -> Result<Outcome, Outcome> {
        if self.server.wrapped {
            self.secure().await?;
        }
        self.progress.step = Step::Greeting;
        let greeting = self.hear().await?;
        self.expect(greeting, 220)?;
        let mut offer = self.hello().await?;
        if self.server.encrypted && !self.server.wrapped {
            offer = self.start_tls(&offer).await?;
        }
        if let Some(login) = &self.server.login {
            self.log_in(login, &offer).await?;
        }
        let letter = stuffed(letter);
        let from = format!("MAIL FROM:<{}>{}", self.envelope.from, size(&letter, &offer));
        self.must(Step::Sender, &from, 250).await?;
        let refused = self.recipients().await?;
        self.must(Step::Data, "DATA", 354).await?;
        let queued = self.hand_over(&letter).await?;
        let queued = self.without_addresses(queued);
        Ok(accepted(&queued, &refused, self.envelope.to.len()))
    }

    async fn hello(&mut self) -> Result<Reply, Outcome> {
        let machine = rustix::system::uname();
        let name = machine.nodename().to_string_lossy().into_owned();
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let legal = !name.is_empty() && name.chars().all(legal);
        let name = if legal { name } else { self.wire.literal() };
        self.must(Step::Hello, &format!("EHLO {name}"), 250).await
    }

    async fn start_tls(&mut self, offer: &Reply) -> Result<Reply, Outcome> {
        if offer.offers("STARTTLS").is_none() {
            return Err(endpoint("the server does not offer STARTTLS, and TLS is required"));
        }
        self.must(Step::StartTls, "STARTTLS", 220).await?;
        // What came with the answer came from whoever is on the way, not through TLS.
        self.in_turn()?;
        self.secure().await?;
        self.hello().await
    }

    async fn secure(&mut self) -> Result<(), Outcome> {
        let secured = self.wire.secure(self.server).await;
        secured.map_err(|broken| self.progress.lost(&broken.words()))
    }

    async fn log_in(&mut self, login: &Login, offer: &Reply) -> Result<(), Outcome> {
        let ways = offer.offers("AUTH").unwrap_or_default();
        let way = |name| ways.split_whitespace().any(|way| way == name);
        if way("PLAIN") {
            let line = format!("AUTH PLAIN {}", login.plain().expose());
            self.must(Step::Login, &line, 235).await?;
        } else if way("LOGIN") {
            self.must(Step::Login, "AUTH LOGIN", 334).await?;
            self.must(Step::Login, login.user_word().expose(), 334).await?;
            self.must(Step::Login, login.password_word().expose(), 235).await?;
        } else {
            return Err(endpoint("the server offers no login by password (AUTH PLAIN or LOGIN)"));
        }
        Ok(())
    }

    /// Names every recipient; returns who was refused and how, unless all were.
    async fn recipients(&mut self) -> Result<Vec<(String, Reply)>, Outcome> {
        let mut refused = Vec::new();
        for address in self.envelope.to {
            let reply = self.say(Step::Recipient, &format!("RCPT TO:<{address}>")).await?;
            if reply.code == 421 {
                // The server hangs up.
                return Err(Step::Recipient.refused(&reply));
            }
            if !matches!(reply.code, 250..=252) {
                refused.push((discreet(address), self.without_addresses(reply)));
            }
        }
        if refused.len() < self.envelope.to.len() {
            return Ok(refused);
        }
        // As long as one of them is only put off, trying again is worth it.
        let outcomes = refused.iter().map(|(_, reply)| Step::Recipient.refused(reply));
        let put_off = |outcome: &Outcome| matches!(outcome, Outcome::Transient(_));
        let told = outcomes.clone().find(put_off).or_else(|| outcomes.clone().next());
        let told = told.unwrap_or_else(|| endpoint("there are no recipients"));
        let Reason { code, detail } = told.reason().clone();
        let names: Vec<&str> = refused.iter().map(|(name, _)| name.as_str()).collect();
        let detail = format!("{} (refused: {})", fit::bytes(&detail, 300), names.join(", "));
        Err(told.with_reason(Reason { code, detail: Reason::text(detail).detail }))
    }

    /// Servers repeat addresses, and these are nobody's business who reads a log.
    fn without_addresses(&self, mut reply: Reply) -> Reply {
        for line in &mut reply.lines {
            *line = self
                .envelope
                .to
                .iter()
                .fold(line.clone(), |line, address| line.replace(address, &discreet(address)));
        }
        reply
    }

    async fn hand_over(&mut self, letter: &[u8]) -> Result<Reply, Outcome> {
        self.progress.step = Step::Letter;
        let sent = self.wire.send(letter).await;
        sent.map_err(|broken| self.progress.lost(&broken.words()))?;
        // An answer to a letter that has not ended is none, however friendly.
        self.in_turn()?;
        self.progress.ended = true;
        let sent = self.wire.send(b".\r\n").await;
        sent.map_err(|broken| self.progress.lost(&broken.words()))?;
        let reply = self.hear().await?;
        self.expect(reply, 250)
    }

    async fn must(&mut self, step: Step, line: &str, code: u16) -> Result<Reply, Outcome> {
        let reply = self.say(step, line).await?;
        self.expect(reply, code)
    }

    fn expect(&self, reply: Reply, code: u16) -> Result<Reply, Outcome> {
        if reply.code == code {
            return Ok(reply);
        }
        Err(self.progress.step.refused(&self.without_addresses(reply)))
    }

    async fn say(&mut self, step: Step, line: &str) -> Result<Reply, Outcome> {
        self.progress.step = step;
        self.in_turn()?;
        let sent = self.wire.send(format!("{line}\r\n").as_bytes()).await;
        sent.map_err(|broken| self.progress.lost(&broken.words()))?;
        self.hear().await
    }

    async fn hear(&mut self) -> Result<Reply, Outcome> {
        let reply = self.wire.reply().await;
        reply.map_err(|broken| self.progress.lost(&broken.words()))
    }

    fn in_turn(&self) -> Result<(), Outcome> {
        match self.wire.is_ahead() {
            true => Err(self.progress.lost("the server answers before it is asked")),
            false => Ok(()),
        }
    }
}

/// Says how large the letter is, so that a server that would refuse it does so at once.
fn size(letter: &[u8], offer: &Reply) -> String {
    match offer.offers("SIZE") {
        Some(_) => format!(" SIZE={}", letter.len()),
        None => String::new(),
    }
}

fn accepted(queued: &Reply, refused: &[(String, Reply)], all: usize) -> Outcome {
    let mut detail = fit::bytes(&queued.text(), QUEUED_BYTES_MAX);
    if !refused.is_empty() {
        detail += &format!("; {} of {all} recipients refused: ", refused.len());
        let words = |(name, reply): &(String, Reply)| {
            format!("{name} {} {}", reply.code, fit::bytes(&reply.text(), REFUSED_BYTES_MAX))
        };
        detail += &refused.iter().map(words).collect::<Vec<_>>().join(", ");
    }
    Outcome::Accepted(Reason::new(queued.code, detail))
}

fn endpoint(text: &str) -> Outcome {
    Outcome::Rejected { blame: Blame::Endpoint, reason: Reason::text(text) }
}

/// The letter as it travels: every line ends with CR LF, and none that begins with a full stop ends it.
pub(super) fn stuffed(letter: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(letter.len() + letter.len() / 50);
    let text = letter.strip_suffix(b"\n").unwrap_or(letter);
    for line in text.split(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        // A carriage return inside a line would end it for some servers.
        wire.extend(line.iter().filter(|byte| **byte != b'\r'));
        wire.extend(b"\r\n");
    }
    wire
}
