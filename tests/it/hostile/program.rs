//! The built program among hostile providers: what it needs, whom it delays, and whether it stops.
//!
//! `CALLOUT_HOSTILE=20` makes it twenty times as long and measures as well; `scripts/hostile` does that.

use super::family::{Family, families};
use super::modes::modes;
use crate::program::{Folder, TOKEN, callout, post};
use crate::stage::sink::{Reply, Sink, Then};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

/// What the program may need at most.
const MEMORY_MB_MAX: u64 = 256;
/// How many files and connections it may have open.
const FILES_MAX: usize = 512;
/// The test is broken if something takes longer.
const STUCK: Duration = Duration::from_secs(120);
/// No name is given up so soon.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a program that was told to stop may take.
const STOP: Duration = Duration::from_secs(25);

/// How much longer than in every test run.
fn times() -> Option<usize> {
    std::env::var("CALLOUT_HOSTILE").ok().and_then(|n| n.parse().ok())
}

/// Settings as TOML, on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            format!("[{}]", list.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Value::Object(table) => {
            let rows = table.iter().map(|(name, value)| format!("{name} = {}", inline(value)));
            format!("{{ {} }}", rows.collect::<Vec<_>>().join(", "))
        }
        plain => plain.to_string(),
    }
}

/// A configuration with channels, each of them a receiver of its own.
#[derive(Default)]
struct Config(String);

impl Config {
    fn channel(&mut self, name: &str, kind: &str, concurrency: usize, settings: &Value) {
        self.0 += &format!(
            "[channels.{name}]\nkind = \"{kind}\"\nrate = \"none\"\nconcurrency = {concurrency}\n"
        );
        for (field, value) in settings.as_object().unwrap() {
            self.0 += &format!("{field} = {}\n", inline(value));
        }
        self.0 += &format!("[receivers.{name}]\nchannels = [\"{name}\"]\n");
    }

    fn folder(&self, first: &str) -> Folder {
        let folder = Folder::new("");
        folder.write(&format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n\
             [[server.tokens]]\nname = \"test\"\ntoken = \"{TOKEN}\"\nscopes = [\"send\", \"read\", \"operate\"]\n\
             {}\n[operator]\nreceiver = \"{first}\"\n[[routes]]\nto = [\"{first}\"]\n",
            self.0
        ));
        folder
    }
}

struct Program {
    child: Child,
    address: String,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Program {
    async fn start(folder: &Folder, preload: Option<&str>) -> Self {
        let mut command = tokio::process::Command::new(callout());
        command.args(["serve", "--config"]).arg(folder.config()).env("RUST_LOG", "warn");
        command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        if let Some(preload) = preload {
            command.env("LD_PRELOAD", preload);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("the program says where it listens");
            if let Some(at) = line.split("http://").nth(1) {
                break at.split_whitespace().next().unwrap().to_owned();
            }
        };
        Self { child, address, lines }
    }

    /// Waits for a line of what it says.
    async fn says(&mut self, words: &str) {
        while !self.lines.next_line().await.unwrap().expect("it says more").contains(words) {}
    }

    /// Reads what it says and forgets it, or it would block on a full pipe.
    fn babble(self) -> (Child, String) {
        let Self { child, address, mut lines } = self;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (child, address)
    }
}

/// A line of `/proc/PID/status` in megabytes.
fn megabytes(child: &Child, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn files(child: &Child) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", child.id().unwrap())).unwrap().count()
}

/// The most receivers of one message.
const RECEIVERS_MAX: usize = 16;

async fn tell(address: &str, to: &[String], title: &str) {
    for to in to.chunks(RECEIVERS_MAX) {
        let body = json!({ "level": "critical", "title": title, "to": to }).to_string();
        let (status, answer) = post(address, "/v1/messages", &body).await.unwrap();
        assert!(status < 300, "{status} {answer}");
    }
}

/// Asks again until it is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            // Another process's memory and files ring no bell; they have to be looked at again.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(STUCK, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Every second answer is the kind's own success, so that no channel is left alone for long.
fn misbehaves(family: &Family, sink: &Sink, bad: &Reply) {
    let (bad, login, proof, mut asked) = (bad.clone(), family.login(), family.proof().reply(), 0);
    sink.lives_at(
        family.kind,
        Box::new(move |request| match login {
            Some(login) if request.target.contains(login.path) => login.grant(),
            _ => {
                asked += 1;
                if asked % 2 == 1 { bad.clone() } else { proof.clone() }
            }
        }),
    );
}

#[tokio::test]
async fn all_of_them_at_once_cost_neither_memory_nor_files() {
    let (families, mut config) = (families(), Config::default());
    let (mut sinks, mut names) = (Vec::new(), Vec::new());
    for (n, mode) in modes().iter().enumerate() {
        let family = &families[n % families.len()];
        let sink = Sink::behind(mode.door).await;
        misbehaves(family, &sink, &mode.reply);
        let name = format!("bad{n}");
        config.channel(
            &name,
            family.kind,
            8,
            &Value::Object(family.settings_at(&sink, mode.scheme)),
        );
        sinks.push((family.kind, sink));
        names.push(name);
    }
    let folder = config.folder("bad0");
    let program = Program::start(&folder, None).await;
    let (child, address) = program.babble();
    let (calm, requests) = (files(&child), 600 * times().unwrap_or(1));
    for n in 0..20 * times().unwrap_or(1) {
        tell(&address, &names, &format!("message {n}")).await;
    }
    let (mut most, mut asked) = (0, 0);
    until("the requests come", || {
        most = most.max(files(&child));
        asked = sinks.iter().map(|(kind, sink)| sink.count(kind)).sum();
        asked >= requests
    })
    .await;
    let memory = megabytes(&child, "VmHWM:");
    println!("{asked} requests, {} modes: at most {memory} MB and {most} files", names.len());
    assert!(memory <= MEMORY_MB_MAX, "{memory} MB");
    // Those that hang are there at the same time.
    assert!((64..=FILES_MAX).contains(&most), "{most} files");
    sinks.iter().for_each(|(_, sink)| sink.close());
    until("everything is closed", || files(&child) <= calm + 16).await;
}

/// A name service that never answers, for programs that are linked as usual.
const DEAF_NAMES: &str = r#"
#include <unistd.h>
int getaddrinfo(const char *name, const char *service, const void *hints, void **found) {
    (void)name, (void)service, (void)hints, (void)found;
    if (write(2, "looking up\n", 11) < 0) return -1;
    for (;;) pause();
}
"#;

/// Builds it; returns where it is.
fn deaf_names(folder: &tempfile::TempDir) -> String {
    let (source, library) = (folder.path().join("deaf.c"), folder.path().join("deaf.so"));
    std::fs::write(&source, DEAF_NAMES).unwrap();
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .status();
    assert!(built.unwrap().success());
    library.display().to_string()
}

/// A channel and a mailbox behind names, and a channel without one.
async fn names_and_a_number() -> (Folder, Sink) {
    let (mut config, sink) = (Config::default(), Sink::start().await);
    config.channel("well", "webhook", 4, &json!({ "url": sink.address("well") }));
    config.channel("hook", "webhook", 4, &json!({ "url": "http://provider.example/x" }));
    let mail =
        json!({ "smtp": "smtp://mail.example", "from": "a@example.com", "to": "b@example.com" });
    config.channel("mail", "email", 4, &mail);
    (config.folder("well"), sink)
}

/// Does what has to wait for no name.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it waits for the name service")
}

#[tokio::test]
async fn a_name_service_that_never_answers_delays_nobody_and_keeps_no_program() {
    let temporary = tempfile::tempdir().unwrap();
    let preload = deaf_names(&temporary);
    let (folder, sink) = names_and_a_number().await;
    let mut program = Program::start(&folder, Some(&preload)).await;
    let address = program.address.clone();
    for name in ["hook", "mail"] {
        soon(tell(&address, &[name.to_owned()], "who are you?")).await;
        soon(program.says("looking up")).await;
    }
    soon(tell(&address, &["well".to_owned()], "hello")).await;
    soon(sink.has_received("well", 1)).await;
    let (mut child, _) = program.babble();
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let ended = tokio::time::timeout(STOP, child.wait()).await.expect("it stops");
    assert!(ended.unwrap().success());
}

#[tokio::test]
async fn a_command_does_not_wait_for_a_name_service_either() {
    let temporary = tempfile::tempdir().unwrap();
    let preload = deaf_names(&temporary);
    let (folder, _sink) = names_and_a_number().await;
    let mut command = tokio::process::Command::new(callout());
    command.args(["test", "hook"]).env("CALLOUT_CONFIG", folder.config());
    command.env("LD_PRELOAD", preload).kill_on_drop(true);
    let output = tokio::time::timeout(STOP, command.output()).await.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no answer from the name service within 3s"), "{said}");
}

/// How long messages take one after the other, from the question to the provider, in milliseconds.
async fn times_of(address: &str, sink: &Sink, count: usize) -> Vec<f64> {
    let mut times = Vec::new();
    for n in 0..count {
        let (before, start) = (sink.count("well"), Instant::now());
        tell(address, &["well".to_owned()], &format!("message {n}")).await;
        sink.has_received("well", before + 1).await;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    times
}

fn share(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// What fifty providers that hang and twenty that drip cost a healthy one. A measurement, so it asserts
/// nothing: the machine it runs on has a say as well.
#[tokio::test]
async fn measure_what_those_who_hang_cost_others() {
    let Some(times) = times() else { return };
    let drips =
        Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec(), Then::Drip(b"x"));
    println!("round | calm p50 p99 | fifty hang, twenty drip p50 p99 | ratio p50 p99 (ms)");
    for round in 1..=times.min(10) {
        let (mut config, sink) = (Config::default(), Sink::start().await);
        config.channel("well", "webhook", 4, &json!({ "url": sink.address("well") }));
        let sick: Vec<String> = (0..70).map(|n| format!("sick{n}")).collect();
        for (n, name) in sick.iter().enumerate() {
            config.channel(name, "webhook", 4, &json!({ "url": sink.address(name) }));
            sink.always(name, if n < 50 { Reply::Silence } else { drips.clone() });
        }
        let folder = config.folder("well");
        let (_child, address) = Program::start(&folder, None).await.babble();
        times_of(&address, &sink, 50).await;
        let calm = times_of(&address, &sink, 200).await;
        for n in 0..4 {
            tell(&address, &sick, &format!("message {n}")).await;
        }
        for name in &sick {
            sink.has_received(name, 4).await;
        }
        let start = Instant::now();
        let storm = times_of(&address, &sink, 200).await;
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "they hung to the end: {:?}",
            start.elapsed()
        );
        let [a, b, c, d] =
            [share(&calm, 50), share(&calm, 99), share(&storm, 50), share(&storm, 99)];
        println!("{round} | {a:.2} {b:.2} | {c:.2} {d:.2} | {:.2} {:.2}", c / a, d / b);
    }
}
