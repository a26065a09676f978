//! The acknowledge page in a real browser: Chromium, headless, driven through chromedriver.
//!
//! `scripts/test` installs both where it can. Without them the tests here say that they were skipped,
//! but fail where `CI` is set. `CALLOUT_SCREENSHOTS=1` writes the pictures of the documents anew.

use crate::page::{Desk, disk_full};
use crate::program::{exchange, text};
use callout_core::alert::{State, Via};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};

/// What goes wrong otherwise on machines without a screen, or with a network that must not be used.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];
/// Each step of a test ends by then. A browser starts slowly on a machine that runs all other tests too.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where a program is, if it is installed.
fn installed(names: &[&str]) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let mut places =
        std::env::split_paths(&folders).flat_map(|at| names.iter().map(move |n| at.join(n)));
    places.find(|place| place.is_file())
}

/// A running chromedriver. It and every browser it started end with it.
struct Driver {
    child: tokio::process::Child,
    address: String,
    chromium: PathBuf,
    folder: tempfile::TempDir,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Its browsers are in its group; killed alone, it would leave them behind.
        if let Some(id) = self.child.id() {
            let group = format!("-{id}");
            let _ =
                Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        }
    }
}

impl Driver {
    /// `None`, said aloud, where there is no browser.
    #[expect(clippy::print_stderr, reason = "a test says that it was skipped")]
    async fn start() -> Option<Self> {
        let found = installed(&["chromedriver"]).zip(installed(&["chromium", "google-chrome"]));
        let Some((chromedriver, chromium)) = found else {
            let missing = "chromium and chromedriver are not both installed";
            assert!(std::env::var_os("CI").is_none(), "{missing}");
            eprintln!("skipped: {missing}; scripts/test installs them on Debian");
            return None;
        };
        for _ in 0..10 {
            if let Some(driver) = Self::launch(&chromedriver, &chromium).await {
                return Some(driver);
            }
        }
        panic!("chromedriver finds no free port");
    }

    /// `None` if the port it found free in one family of addresses was taken in the other: it gives up then.
    async fn launch(chromedriver: &Path, chromium: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut child = tokio::process::Command::new(chromedriver)
            .arg("--port=0")
            .env("HOME", folder.path())
            .current_dir(folder.path())
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        let port = loop {
            let Some(line) = lines.next_line().await.unwrap() else {
                panic!("chromedriver says its port: {said:?}");
            };
            if line.contains("port not available") {
                child.wait().await.unwrap();
                return None;
            }
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
            said.push(line);
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = format!("127.0.0.1:{port}");
        Some(Self { child, address, chromium: chromium.to_owned(), folder })
    }

    /// Carries out one command of the WebDriver protocol.
    async fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let kind = "Content-Type: application/json\r\n";
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let asked = exchange(&self.address, method, path, kind, &body);
        let answer = tokio::time::timeout(PATIENCE, asked).await.expect(path).unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let mut answer: Value = serde_json::from_str(&answer.body).unwrap();
        answer["value"].take()
    }

    /// A phone of this size, in points.
    async fn phone(&self, width: u32, height: u32) -> Phone<'_> {
        let profile = self.folder.path().join(width.to_string());
        let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push(format!("--user-data-dir={}", profile.display()));
        let metrics = json!({ "width": width, "height": height, "pixelRatio": 2, "mobile": true, "touch": true });
        let options = json!({
            "binary": self.chromium,
            "args": flags,
            "mobileEmulation": { "deviceMetrics": metrics },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = self.command("POST", "/session", &wanted).await;
        let path = format!("/session/{}", session["sessionId"].as_str().unwrap());
        Phone { driver: self, path }
    }
}

/// One browser window the size of a phone.
struct Phone<'a> {
    driver: &'a Driver,
    path: String,
}

impl Phone<'_> {
    async fn post(&self, what: &str, body: Value) -> Value {
        self.driver.command("POST", &format!("{}{what}", self.path), &body).await
    }

    async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    async fn script(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    async fn on(&self, selector: &str, what: &str, body: Value) {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.post("/element", wanted).await;
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.post(&format!("/element/{id}/{what}"), body).await;
    }

    async fn click(&self, selector: &str) {
        self.on(selector, "click", json!({})).await;
    }

    async fn type_into(&self, selector: &str, text: &str) {
        self.on(selector, "value", json!({ "text": text })).await;
    }

    async fn reads(&self, part: &str) {
        let mut read = String::new();
        for _ in 0..500 {
            read = self.script("return document.body.innerText").await.as_str().unwrap().to_owned();
            if read.contains(part) {
                return;
            }
        }
        panic!("{part:?} is not in\n{read}");
    }

    /// The style sheet is let in, nothing is wider than the screen, buttons are as large as a thumb, and the
    /// browser has nothing to complain of.
    async fn is_comfortable(&self) {
        assert_eq!(self.script("return getComputedStyle(document.body).marginTop").await, "0px");
        let wide = "const most = document.documentElement.clientWidth + 0.5;
            return [...document.querySelectorAll('body *')]
                .filter(e => e.getBoundingClientRect().right > most || e.scrollWidth > e.clientWidth + 1
                    && getComputedStyle(e).display !== 'inline')
                .map(e => e.outerHTML)";
        assert_eq!(self.script(wide).await, json!([]), "wider than the screen");
        let small = "return [...document.querySelectorAll('button:not([hidden]), input:not([type=hidden])')]
            .filter(e => e.getBoundingClientRect().height < 48).map(e => e.outerHTML)";
        assert_eq!(self.script(small).await, json!([]), "smaller than a thumb");
        assert_eq!(self.post("/se/log", json!({ "type": "browser" })).await, json!([]));
    }

    /// Writes a picture of the whole page for the documents, if that is asked for.
    async fn picture(&self, name: &str) {
        if std::env::var_os("CALLOUT_SCREENSHOTS").is_none()
            && std::env::var_os("UPDATE_EXPECT").is_none()
        {
            return;
        }
        let size = "const page = document.documentElement;
            return { x: 0, y: 0, width: page.scrollWidth, height: page.scrollHeight, scale: 1 }";
        let clip = self.script(size).await;
        let params = json!({ "captureBeyondViewport": true, "clip": clip });
        let command = json!({ "cmd": "Page.captureScreenshot", "params": params });
        let shot = self.post("/goog/cdp/execute", command).await;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/img");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes(shot["data"].as_str().unwrap())).unwrap();
    }

    async fn close(self) {
        self.driver.command("DELETE", &self.path, &Value::Null).await;
    }
}

/// What Base64 stands for.
fn bytes(base64: &str) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> = base64.trim_end_matches('=').bytes().map(value).collect();
    let group = |group: &[u32]| {
        let bits = group.iter().enumerate().fold(0, |all, (n, digit)| all | digit << (18 - 6 * n));
        let [_, bytes @ ..] = bits.to_be_bytes();
        bytes.into_iter().take(group.len() - 1).collect::<Vec<u8>>()
    };
    digits.chunks(4).flat_map(group).collect()
}

#[test]
fn base64_of_pictures_is_read() {
    for (base64, said) in
        [("", ""), ("TQ==", "M"), ("TWE=", "Ma"), ("TWFu", "Man"), ("c3U/", "su?")]
    {
        assert_eq!(text(&bytes(base64)), said);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_thumb_on_a_phone_takes_an_alert() {
    let Some(driver) = Driver::start().await else { return };
    let desk = Desk::new("http://127.0.0.1").await;
    let url = format!("http://{}{}", desk.served.address, desk.path());
    let phone = driver.phone(390, 844).await;
    phone.open(&url).await;
    phone.reads("Nobody has this yet").await;
    phone.is_comfortable().await;
    phone.picture("acknowledge.png").await;

    phone.click("button.ack").await;
    phone.reads("Nobody has this yet").await;
    assert_eq!(desk.story().await.alert.unwrap().state, State::Open, "nobody said who");
    phone.type_into("#name", "Ada Lovelace").await;
    // The key Enter, which "Done" on a phone's keyboard is too, presses nothing.
    phone.type_into("#note", "on my way\u{e007}").await;
    assert_eq!(desk.story().await.alert.unwrap().state, State::Open, "nobody pressed anything");
    phone.click("button.ack").await;
    phone.reads("Ada Lovelace has this").await;
    phone.reads("on my way").await;
    phone.is_comfortable().await;
    phone.picture("acknowledged.png").await;
    let State::Acknowledged(deed) = desk.story().await.alert.unwrap().state else {
        panic!("it is not acknowledged")
    };
    assert_eq!((deed.by.as_str(), deed.via), ("Ada Lovelace", Via::Page));

    // Loading it again sends nothing again, and the name is remembered.
    phone.post("/refresh", json!({})).await;
    phone.reads("Ada Lovelace has this").await;
    let name = "return document.getElementById('name').value";
    assert_eq!(phone.script(name).await, "Ada Lovelace");
    assert_eq!(desk.story().await.journal.len(), 1);
    phone.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_fits_the_smallest_phone() {
    let Some(driver) = Driver::start().await else { return };
    let mut message = disk_full();
    message.title =
        "A title that its producer never thought anybody would read on a phone ".repeat(3);
    let desk = Desk::about(message, "http://127.0.0.1").await;
    let url = format!("http://{}{}", desk.served.address, desk.path());
    let phone = driver.phone(320, 568).await;
    phone.open(&url).await;
    phone.is_comfortable().await;
    let bottom = "return document.querySelector('button.ack').getBoundingClientRect().bottom";
    let bottom = phone.script(bottom).await.as_f64().unwrap();
    assert!(bottom <= 568.0, "the button ends at {bottom}, beyond the screen");
    let below = "return document.documentElement.scrollHeight - window.scrollY
        - document.querySelector('.brand').getBoundingClientRect().bottom";
    let below = phone.script(below).await.as_f64().unwrap();
    assert!(below >= 28.0, "the footer sticks to the edge: {below}");
    phone.type_into("#name", "Wolfeschlegelsteinhausenbergerdorff-with-a-very-long-name").await;
    phone.click("button.resolve").await;
    phone.reads("Resolved by Wolfeschlegel").await;
    phone.is_comfortable().await;
    phone.open(&format!("http://{}/a/wrong", desk.served.address)).await;
    phone.reads("This link does not work").await;
    phone.close().await;
}
