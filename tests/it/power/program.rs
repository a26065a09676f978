//! The built program, recorded, and what it promises to those who ask it for something.

use super::produce;
use super::record::{Recording, Witness};
use crate::program::{Folder, callout, post};
use crate::stage::sink::{Sink, json};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The program, with a configuration outside of the folder that is recorded.
pub(super) struct Program<'a> {
    recording: &'a Recording,
    folder: Folder,
    pub(super) sink: Sink,
}

impl<'a> Program<'a> {
    pub(super) async fn new(recording: &'a Recording) -> Self {
        let sink = Sink::start().await;
        let folder = Folder::new(&format!(
            "[store]\nurl = \"sqlite:{}\"\n[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\n",
            recording.database().display(),
            sink.address("hook")
        ));
        let witness = recording.witness();
        sink.lives_at(
            "hook",
            Box::new(move |request| {
                witness.note("sent", request.header("webhook-id").trim_start_matches("msg_"), "");
                json(200, "{}")
            }),
        );
        Self { recording, folder, sink }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(callout());
        command.envs(self.recording.environment()).env("CALLOUT_CONFIG", self.folder.config());
        command.kill_on_drop(true);
        command
    }

    /// Runs one command, which has to succeed, to its end; returns what it printed.
    pub(super) async fn run(&self, args: &[&str]) -> String {
        let output = self.command().args(args).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) async fn serve(&self) -> Served {
        let mut child = self.command().arg("serve").stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("the program listens");
            if let Some(at) = line.split("http://").nth(1) {
                break at.split_whitespace().next().unwrap().to_owned();
            }
        };
        // Keep reading, or the program would block on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Served { child, address, witness: self.recording.witness() }
    }

    /// `callout send`, and what it means that it ends well.
    pub(super) async fn send(&self, n: usize) {
        let body = produce::body(n);
        let id = self.run(&["send", "--title", "by command", "--body", &body]).await;
        self.recording.witness().note("accepted", id.trim(), &body);
    }

    pub(super) async fn back_up(&self, name: &str) {
        let witness = self.recording.witness();
        let file = self.recording.files().join(name);
        witness.note("backup begun", name, "");
        self.run(&["backup", file.to_str().unwrap()]).await;
        witness.note("backup done", name, "");
    }
}

/// A running `callout serve`.
pub(super) struct Served {
    child: Child,
    address: String,
    witness: Witness,
}

impl Served {
    /// Enqueues over HTTP; returns the message's id.
    pub(super) async fn post(&self, body: &str, more: &str) -> String {
        let request = format!(
            r#"{{"level":"error","title":"over HTTP","body":{}{more}}}"#,
            serde_json::Value::from(body)
        );
        let (status, answer) = post(&self.address, "/v1/messages", &request).await.unwrap();
        assert_eq!(status, 202, "{answer}");
        let id = answer["id"].as_str().unwrap().to_owned();
        self.witness.note("accepted", &id, body);
        id
    }

    pub(super) async fn ack(&self, id: &str) {
        let path = format!("/v1/messages/{id}/ack");
        let (status, answer) = post(&self.address, &path, r#"{"by":"alice"}"#).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        self.witness.note("acked", id, "alice");
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(mut self) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        assert!(self.child.wait().await.unwrap().success());
    }
}
