//! The connection to a mail server: lines out, answers in, TLS around both if need be.

use super::reply::{self, Reply};
use super::server::Server;
use rustls::ClientConnection;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The most bytes and the most lines of one answer.
const REPLY_BYTES_MAX: usize = 64 * 1024;
const REPLY_LINES_MAX: usize = 128;
/// How much goes into one TLS record.
const RECORD_BYTES: usize = 16 * 1024;
/// How long saying goodbye may take.
pub(super) const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

/// Why the conversation cannot go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The network.
    Io(io::Error),
    /// A certificate, or bytes that are no TLS.
    Tls(rustls::Error),
    /// The server does not keep to the protocol.
    Protocol(&'static str),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Broken {
    /// The error in words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Tls(error) => format!("TLS: {error}"),
            Self::Protocol(text) => (*text).to_owned(),
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "connection closed".to_owned()
            }
            Self::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "connection refused".to_owned()
            }
            Self::Io(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                "connection reset".to_owned()
            }
            Self::Io(error) => error.to_string(),
        }
    }
}

/// One connection.
pub(super) struct Wire {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Read and not yet taken.
    heard: Vec<u8>,
}

impl Wire {
    /// Takes a fresh connection.
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, tls: None, heard: Vec::new() }
    }

    /// Where we are, as a server may be told in place of a name.
    pub(super) fn literal(&self) -> String {
        match self.tcp.local_addr().map(|address| address.ip()) {
            Ok(std::net::IpAddr::V4(ip)) => format!("[{ip}]"),
            Ok(std::net::IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
            Err(_) => "[127.0.0.1]".to_owned(),
        }
    }

    /// Goes on inside TLS, once the server's certificate has convinced.
    pub(super) async fn secure(&mut self, server: &Server) -> Result<(), Broken> {
        let tls = ClientConnection::new(Arc::clone(&server.config), server.name.clone());
        let mut tls = Box::new(tls.map_err(Broken::Tls)?);
        while tls.is_handshaking() {
            flush(&mut self.tcp, &mut tls).await?;
            if tls.is_handshaking() {
                absorb(&mut self.tcp, &mut tls).await?;
            }
        }
        flush(&mut self.tcp, &mut tls).await?;
        self.tls = Some(tls);
        Ok(())
    }

    /// Whether the server has said more than it was asked: then its next answer may be no answer, and
    /// before TLS, not even its own words.
    pub(super) fn is_ahead(&self) -> bool {
        !self.heard.is_empty()
    }

    /// Writes all of `bytes`.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let Some(tls) = &mut self.tls else {
            self.tcp.write_all(bytes).await?;
            return Ok(self.tcp.flush().await?);
        };
        for record in bytes.chunks(RECORD_BYTES) {
            tls.writer().write_all(record)?;
            flush(&mut self.tcp, tls).await?;
        }
        Ok(())
    }

    /// Reads one whole answer.
    pub(super) async fn reply(&mut self) -> Result<Reply, Broken> {
        let mut reply: Option<Reply> = None;
        let mut size: usize = 0;
        loop {
            let line = self.line().await?;
            size = size.saturating_add(line.len());
            let known = reply::line(&line).ok_or(Broken::Protocol("the answer is not SMTP"))?;
            let (code, more, words) = known;
            let whole = reply.get_or_insert(Reply { code, lines: Vec::new() });
            whole.lines.push(words);
            if whole.code != code {
                return Err(Broken::Protocol("an answer with two codes"));
            }
            if size > REPLY_BYTES_MAX || whole.lines.len() > REPLY_LINES_MAX {
                return Err(Broken::Protocol("the answer is too long"));
            }
            if let Some(whole) = reply.take_if(|_| !more) {
                return Ok(whole);
            }
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, Broken> {
        let mut seen = 0;
        loop {
            let fresh = self.heard.get(seen..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                let rest = self.heard.split_off(seen + at + 1);
                return Ok(std::mem::replace(&mut self.heard, rest));
            }
            seen = self.heard.len();
            if seen > REPLY_BYTES_MAX {
                return Err(Broken::Protocol("the answer is too long"));
            }
            self.hear().await?;
        }
    }

    /// Waits for more to read.
    async fn hear(&mut self) -> Result<(), Broken> {
        let mut buffer = [0; 4096];
        let count = match &mut self.tls {
            None => self.tcp.read(&mut buffer).await?,
            Some(tls) => loop {
                match tls.reader().read(&mut buffer) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        absorb(&mut self.tcp, tls).await?;
                    }
                    read => break read?,
                }
            },
        };
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.heard.extend(buffer.iter().take(count));
        Ok(())
    }

    /// Ends the conversation without waiting for an answer.
    pub(super) async fn goodbye(&mut self) {
        // Whatever comes of it changes nothing any more.
        drop(timeout(GOODBYE_TIMEOUT, self.send(b"QUIT\r\n")).await);
    }
}

/// Writes what TLS has to say.
async fn flush(tcp: &mut TcpStream, tls: &mut ClientConnection) -> Result<(), Broken> {
    while tls.wants_write() {
        let mut record = Vec::new();
        tls.write_tls(&mut record)?;
        tcp.write_all(&record).await?;
    }
    Ok(tcp.flush().await?)
}

/// Reads what TLS has to hear.
async fn absorb(tcp: &mut TcpStream, tls: &mut ClientConnection) -> Result<(), Broken> {
    let mut buffer = [0; 4096];
    let count = tcp.read(&mut buffer).await?;
    let mut bytes = buffer.get(..count).unwrap_or_default();
    if count == 0 {
        // Tells a clean end from a torn one.
        tls.read_tls(&mut bytes)?;
        return match tls.is_handshaking() {
            true => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            false => Ok(()),
        };
    }
    while !bytes.is_empty() {
        tls.read_tls(&mut bytes)?;
        if let Err(error) = tls.process_new_packets() {
            // The server shall hear why; it makes no difference to us whether it does.
            drop(flush(tcp, tls).await);
            return Err(Broken::Tls(error));
        }
    }
    Ok(())
}
