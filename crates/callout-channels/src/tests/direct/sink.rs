//! A mail server that does as it is told, over real sockets.
//!
//! It answers in its own threads, so a test may wait for it without a clock. What is not scripted
//! succeeds; the letters it took, full stops and all, are the only witness that counts.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub(crate) const CERTIFICATE: &str = include_str!("certificate.pem");
const KEY: &str = include_str!("key.pem");
/// What ends the script of the whole connection.
const GONE: &str = "gone";

/// What to do where the script says so.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Say this; every line gets its line end.
    Say(&'static str),
    /// Say this, and close the connection.
    SayAndClose(&'static str),
    /// Say again what the client has said.
    Echo(&'static str),
    /// Close the connection without a word.
    Close,
    /// Say nothing until the client goes.
    Silence,
    /// Say nothing that ends: a byte of a line at a time, for as long as the client stays.
    Drip,
    /// Say one line that never ends.
    Endless,
}

/// Whether and how the server does TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    None,
    Offered,
    Wrapped,
}

#[derive(Default)]
struct Log {
    said: Vec<String>,
    letters: Vec<String>,
}

/// A running server.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) port: u16,
    script: Arc<Mutex<Script>>,
    log: Arc<Mutex<Log>>,
}

/// How a line of the client begins, and what happens then, once.
type Script = Vec<(&'static str, Act)>;

impl Sink {
    /// Starts a server for one connection after the other. A row of `script` holds how a line of the
    /// client begins and what happens then; `greeting` and `letter` (its end) are rows too. Each row
    /// happens once.
    pub(crate) fn start(tls: Tls, script: &[(&'static str, Act)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sink = Self { port, script: Arc::default(), log: Arc::default() };
        script.iter().for_each(|(begins, act)| sink.will(begins, act.clone()));
        let (script, log) = (Arc::clone(&sink.script), Arc::clone(&sink.log));
        thread::spawn(move || {
            while let Ok((tcp, _)) = listener.accept() {
                // A test that failed shall not leave a thread behind for ever.
                tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                let line = match tls {
                    Tls::Wrapped => Line::Tls(Box::new(secured(tcp))),
                    Tls::None | Tls::Offered => Line::Plain(tcp),
                };
                // The client's leaving ends the conversation.
                drop(Server { line, tls, log: &log, script: &script }.serve());
            }
        });
        sink
    }

    /// Adds a row to the script.
    pub(crate) fn will(&self, begins: &'static str, act: Act) {
        self.script.lock().unwrap().push((begins, act));
    }

    /// The letters it took to their end.
    pub(crate) fn letters(&self) -> Vec<String> {
        self.log.lock().unwrap().letters.clone()
    }

    /// Every line it heard outside of letters.
    pub(crate) fn said(&self) -> Vec<String> {
        self.log.lock().unwrap().said.clone()
    }
}

fn secured(tcp: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), tcp)
}

enum Line {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Line {
    fn read(&mut self) -> io::Result<String> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\r\n") {
            match self {
                Self::Plain(tcp) => tcp.read_exact(&mut byte)?,
                Self::Tls(tls) => tls.read_exact(&mut byte)?,
            }
            line.extend(byte);
        }
        line.truncate(line.len() - 2);
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(text.as_bytes()),
            Self::Tls(tls) => tls.write_all(text.as_bytes()).and_then(|()| tls.flush()),
        }
    }
}

struct Server<'a> {
    line: Line,
    tls: Tls,
    log: &'a Mutex<Log>,
    script: &'a Mutex<Script>,
}

impl Server<'_> {
    fn serve(&mut self) -> io::Result<()> {
        self.act("greeting", "220 sink.example.com ESMTP")?;
        loop {
            let line = self.line.read()?;
            self.log.lock().unwrap().said.push(line.clone());
            match line.split(' ').next().unwrap() {
                "EHLO" => self.act(&line, &self.offers())?,
                "STARTTLS" => self.start_tls(&line)?,
                "AUTH" => self.act(&line, "235 2.7.0 welcome")?,
                "MAIL" => self.act(&line, "250 2.1.0 ok")?,
                "RCPT" => self.act(&line, "250 2.1.5 ok")?,
                "DATA" => self.letter(&line)?,
                "QUIT" => return self.line.write("221 2.0.0 bye\r\n"),
                _ => self.act(&line, "500 5.5.2 what?")?,
            }
        }
    }

    fn offers(&self) -> String {
        let tls = self.tls == Tls::Offered && matches!(self.line, Line::Plain(_));
        let tls = if tls { "250-STARTTLS\n" } else { "" };
        format!("250-sink.example.com\n250-SIZE 10240000\n{tls}250 AUTH PLAIN LOGIN")
    }

    fn start_tls(&mut self, line: &str) -> io::Result<()> {
        self.act(line, "220 2.0.0 go on")?;
        if let Line::Plain(tcp) = &self.line {
            self.line = Line::Tls(Box::new(secured(tcp.try_clone()?)));
        }
        Ok(())
    }

    fn letter(&mut self, line: &str) -> io::Result<()> {
        if !self.act_says(line, "354 go on")?.starts_with("354") {
            return Ok(());
        }
        let mut letter = String::new();
        loop {
            let line = self.line.read()?;
            if line == "." {
                break;
            }
            letter += line.strip_prefix('.').unwrap_or(&line);
            letter += "\r\n";
        }
        self.log.lock().unwrap().letters.push(letter);
        self.act("letter", "250 2.0.0 Ok: queued as 4TEST1")
    }

    fn act(&mut self, line: &str, otherwise: &str) -> io::Result<()> {
        self.act_says(line, otherwise).map(|_| ())
    }

    fn act_says(&mut self, line: &str, otherwise: &str) -> io::Result<String> {
        let act = {
            let mut script = self.script.lock().unwrap();
            let row = script.iter().position(|(begins, _)| line.starts_with(begins));
            row.map(|row| script.remove(row).1)
        };
        let gone = || io::Error::other(GONE);
        let said = match act {
            None => otherwise.to_owned(),
            Some(Act::Say(text)) => text.to_owned(),
            Some(Act::SayAndClose(text)) => {
                self.say(text)?;
                return Err(gone());
            }
            Some(Act::Echo(before)) => {
                format!("{before} {}", self.log.lock().unwrap().said.join(" "))
            }
            Some(Act::Close) => return Err(gone()),
            Some(Act::Silence) => {
                while self.line.read().is_ok() {}
                return Err(gone());
            }
            Some(Act::Drip) => loop {
                self.line.write("250-drip\r\n")?;
                thread::park_timeout(Duration::from_millis(5));
            },
            Some(Act::Endless) => loop {
                self.line.write(&"x".repeat(1024))?;
            },
        };
        self.say(&said)?;
        Ok(said)
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        self.line.write(&(text.replace('\n', "\r\n") + "\r\n"))
    }
}
