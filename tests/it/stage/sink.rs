//! A provider that does as it is told, over real sockets.
//!
//! The path of a request names the channel; what is answered next on that channel can be scripted. Else
//! it is what the [`Provider`](super::provider::Provider) says that lives there, or, without one, what the
//! channel's kind takes for success. The log is the only witness that counts: a
//! request is in it once it was read to its end.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What to do with a request once it was read.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Close the connection without a word.
    Close,
    /// Say nothing until the test ends.
    Silence,
    /// Promise more than is sent, then close.
    Half,
    /// Send a body that never ends.
    Endless,
    /// Send something that is not HTTP.
    Garbage,
    /// Reset the connection.
    Reset,
    /// Send exactly this, and then do that.
    Bytes(Vec<u8>, Then),
}

/// What follows the bytes that were sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// Close the connection.
    Close,
    /// Reset the connection.
    Reset,
    /// Say nothing until the client goes.
    Silence,
    /// Listen for the next request.
    Listen,
    /// Say this again and again, but take one's time.
    Drip(&'static [u8]),
    /// Say this again and again, as fast as it is read.
    Flood(&'static [u8]),
}

/// What happens to a connection before anything is read from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Door {
    /// Requests are read.
    #[default]
    Open,
    /// The connection is closed.
    Shut,
    /// The connection is reset.
    Reset,
    /// Nothing is ever read or said.
    Deaf,
    /// This is said, and nothing that comes is heard.
    Blurt(&'static [u8], Then),
}

/// How long a provider that drips takes between two drops.
const DROP_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn json(status: u16, body: &str) -> Reply {
    Reply::Answer(status, vec![("content-type", "application/json".into())], body.into())
}

/// DingTalk's and WeCom's way of saying what happened.
pub(crate) fn errcode(code: i64) -> Reply {
    json(200, &format!(r#"{{"errcode":{code},"errmsg":"scripted"}}"#))
}

/// Success, for every kind of channel.
fn success(path: &str) -> Reply {
    if path.contains("slack") {
        Reply::Answer(200, vec![], "ok".into())
    } else {
        json(200, r#"{"errcode":0,"errmsg":"ok"}"#)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The channel's name.
    pub(crate) channel: String,
    pub(crate) method: String,
    /// The whole path, which is what a signature covers.
    pub(crate) path: String,
    /// Path and query after the channel's name.
    pub(crate) target: String,
    /// Headers, names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Received {
    /// A header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The steps of the path after the channel's name.
    pub(crate) fn steps(&self) -> Vec<&str> {
        let path = self.target.split('?').next().unwrap_or_default();
        path.split('/').filter(|step| !step.is_empty()).collect()
    }

    /// What follows the question mark, as it was sent.
    pub(crate) fn query_text(&self) -> String {
        self.target.split_once('?').map_or_else(String::new, |(_, query)| query.to_owned())
    }

    /// A value of the query, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let mut pairs = pairs(&self.query_text()).into_iter();
        pairs.find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// The names and values of a query or a form, decoded.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (decoded(k), decoded(v)))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            byte => byte,
        });
    }
    String::from_utf8(out).unwrap()
}

/// Answers what is not scripted.
type Answers = Box<dyn FnMut(&Received) -> Reply + Send>;

#[derive(Default)]
struct Script {
    next: HashMap<String, VecDeque<Reply>>,
    always: HashMap<String, Reply>,
    /// What is said instead of the provider's own next answers, although it acts on the request.
    garbled: HashMap<String, VecDeque<Reply>>,
    providers: HashMap<String, Answers>,
}

#[derive(Clone)]
pub(crate) struct Sink {
    address: SocketAddr,
    door: Door,
    script: Arc<Mutex<Script>>,
    log: watch::Sender<Vec<Received>>,
    /// Where its connections live; it is gone once the sink is closed.
    life: Arc<Mutex<Option<JoinSet<()>>>>,
    hung_up: watch::Sender<()>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        Self::behind(Door::Open).await
    }

    /// A sink that treats every connection like this.
    pub(crate) async fn behind(door: Door) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sink = Self {
            address: listener.local_addr().unwrap(),
            door,
            script: Arc::default(),
            log: watch::Sender::new(Vec::new()),
            life: Arc::new(Mutex::new(Some(JoinSet::new()))),
            hung_up: watch::Sender::new(()),
        };
        let server = sink.clone();
        let listen = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let caller = server.clone();
                let mut life = server.life.lock().unwrap();
                let Some(life) = life.as_mut() else { return };
                while life.try_join_next().is_some() {}
                let mut hung_up = caller.hung_up.subscribe();
                life.spawn(async move {
                    tokio::select! {
                        () = caller.serve(stream) => (),
                        _ = hung_up.changed() => (),
                    }
                });
            }
        };
        sink.life.lock().unwrap().as_mut().unwrap().spawn(listen);
        sink
    }

    /// Closes every connection there is, and takes others.
    pub(crate) fn hang_up(&self) {
        self.hung_up.send_replace(());
    }

    /// Nobody is here any more: every connection is closed, and no other is taken.
    pub(crate) fn close(&self) {
        drop(self.life.lock().unwrap().take());
    }

    pub(crate) fn address(&self, channel: &str) -> String {
        format!("http://{}/{channel}", self.address)
    }

    /// The next answers on `channel`; after them it succeeds again.
    pub(crate) fn will(&self, channel: &str, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().next.entry(channel.into()).or_default().extend(replies);
    }

    /// From now on somebody lives at `channel` who makes up their own mind.
    pub(crate) fn lives_at(&self, channel: &str, answers: Answers) {
        self.script.lock().unwrap().providers.insert(channel.into(), answers);
    }

    /// The provider at `channel` acts on the next requests as ever, but this is what is heard of it.
    pub(crate) fn garbles(&self, channel: &str, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().garbled.entry(channel.into()).or_default().extend(replies);
    }

    /// Every further answer on `channel`.
    pub(crate) fn always(&self, channel: &str, reply: Reply) {
        self.script.lock().unwrap().always.insert(channel.into(), reply);
    }

    /// From now on `channel` succeeds.
    pub(crate) fn recovers(&self, channel: &str) {
        let mut script = self.script.lock().unwrap();
        script.always.remove(channel);
        script.next.remove(channel);
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.log.borrow().clone()
    }

    /// The channels that received something, in order.
    pub(crate) fn channels(&self) -> Vec<String> {
        self.log.borrow().iter().map(|received| received.channel.clone()).collect()
    }

    pub(crate) fn count(&self, channel: &str) -> usize {
        self.log.borrow().iter().filter(|received| received.channel == channel).count()
    }

    /// Waits until `channel` has received `n` requests in all.
    pub(crate) async fn has_received(&self, channel: &str, n: usize) {
        let mut log = self.log.subscribe();
        log.wait_for(|log| log.iter().filter(|r| r.channel == channel).count() >= n).await.unwrap();
    }

    async fn serve(&self, mut stream: TcpStream) {
        match self.door {
            Door::Open => (),
            Door::Shut => return,
            Door::Reset => return stream.set_zero_linger().unwrap(),
            Door::Deaf => return std::future::pending().await,
            Door::Blurt(bytes, then) => {
                let _ = stream.write_all(bytes).await;
                go_on(&mut stream, then).await;
                return;
            }
        }
        let mut buffer = Vec::new();
        while let Some(received) = read_request(&mut stream, &mut buffer).await {
            let reply = self.reply(&received);
            self.log.send_modify(|log| log.push(received));
            if !answer(&mut stream, reply).await {
                return;
            }
        }
    }

    fn reply(&self, received: &Received) -> Reply {
        let channel = received.channel.as_str();
        let mut script = self.script.lock().unwrap();
        let next = script.next.get_mut(channel).and_then(VecDeque::pop_front);
        if let Some(scripted) = next.or_else(|| script.always.get(channel).cloned()) {
            return scripted;
        }
        let own = script.providers.get_mut(channel).map(|answers| answers(received));
        let garbled = script.garbled.get_mut(channel).and_then(VecDeque::pop_front);
        garbled.or(own).unwrap_or_else(|| success(channel))
    }
}

/// Reads one request to its end, or `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..head_end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
    while buffer.len() < head_end + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let rest = buffer.split_off(head_end + length);
    let body = String::from_utf8_lossy(&buffer[head_end..]).into_owned();
    *buffer = rest;
    let whole = path.split('?').next()?.to_owned();
    let path = path.trim_start_matches('/');
    let (channel, target) = path.split_at(path.find(['?', '/']).unwrap_or(path.len()));
    let (channel, target) = (channel.to_owned(), target.to_owned());
    Some(Received { channel, method, path: whole, target, headers, body })
}

/// Answers; returns whether the connection may go on.
async fn answer(stream: &mut TcpStream, reply: Reply) -> bool {
    let (bytes, then) = match reply {
        Reply::Answer(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            (format!("{head}\r\n{body}").into_bytes(), Then::Listen)
        }
        Reply::Close => (vec![], Then::Close),
        Reply::Reset => (vec![], Then::Reset),
        Reply::Silence => (vec![], Then::Silence),
        Reply::Half => {
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 400\r\n\r\n";
            (format!("{head}{{\"errcode\":0,").into_bytes(), Then::Close)
        }
        Reply::Endless => (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Then::Flood(&[b'x'; 4096])),
        Reply::Garbage => (b"220 mail.example.com ESMTP\r\n".to_vec(), Then::Close),
        Reply::Bytes(bytes, then) => (bytes, then),
    };
    stream.write_all(&bytes).await.is_ok() && go_on(stream, then).await
}

/// Does what follows an answer; returns whether the connection may go on.
async fn go_on(stream: &mut TcpStream, then: Then) -> bool {
    let mut rest = [0; 1024];
    match then {
        Then::Listen => return true,
        Then::Close => (),
        Then::Reset => stream.set_zero_linger().unwrap(),
        Then::Silence => while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {},
        Then::Drip(drop) => {
            while stream.write_all(drop).await.is_ok() {
                // To drip is to let time pass between two drops. No test waits for one.
                tokio::time::sleep(DROP_EVERY).await;
            }
        }
        Then::Flood(bytes) => while stream.write_all(bytes).await.is_ok() {},
    }
    false
}
