//! A file system on which SQLite's locks do not hold. Here every one says that it is such a one.

use super::STUCK;
use crate::program::{Folder, callout, text};
use crate::stage::preload::library;
use crate::stage::sink::Sink;
use std::process::Stdio;
use tokio::process::Command;

/// The program, told that its database lies on NFS.
fn on_nfs(folder: &Folder, args: &[&str]) -> Command {
    let mut program = Command::new(callout());
    program.args(args).env("CALLOUT_CONFIG", folder.config()).env("LD_PRELOAD", library("nfs.c"));
    program.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_where_locks_do_not_hold_is_refused_unless_that_is_wanted() {
    let sink = Sink::start().await;
    let folder = Folder::new(&format!(
        "[channels.hook]\nkind = \"webhook\"\nurl = \"{}\"\n",
        sink.address("hook")
    ));
    let send = ["send", "--level", "error", "--title", "on NFS"];
    let config = std::fs::read_to_string(folder.config()).unwrap();
    for store in ["", "[store]\nunsafe_disk = false\n"] {
        folder.write(&format!("{store}{config}"));
        for args in [&["serve"][..], &["migrate"], &["list"], &send] {
            let output = on_nfs(&folder, args).output();
            let output = tokio::time::timeout(STUCK, output).await.expect("it ends").unwrap();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{args:?}: {said}");
            for part in ["lies on NFS", "store.unsafe_disk = true"] {
                assert!(said.contains(part), "{part} is not in\n{said}");
            }
        }
    }
    assert!(!folder.database().exists(), "nothing was made there");

    folder.write(&format!("[store]\nunsafe_disk = true\n{config}"));
    let _program = on_nfs(&folder, &["serve"]).stderr(Stdio::null()).spawn().unwrap();
    let sent = on_nfs(&folder, &send).output().await.unwrap();
    assert_eq!(sent.status.code(), Some(0), "{}", text(&sent.stderr));
    tokio::time::timeout(STUCK, sink.has_received("hook", 1)).await.expect("it is delivered");
}
