//! Programs that do well, badly, and nothing at all.

use super::*;
use std::path::Path;
use std::time::Duration;

/// A channel that runs `script` with a shell for at most `ms`.
fn shell(script: &str, ms: u64) -> Channel {
    let settings = json!({ "program": "sh", "args": ["-c", script], "timeout": ms });
    Channel::build("command", settings).unwrap()
}

async fn told(channel: &Channel) -> Outcome {
    let (message, mentions) = (Message::new(Level::Critical, "磁盘满"), Mentions::default());
    let ask = ask(Some(LINK), None, 2);
    let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
    delivered(channel, &out).await
}

async fn run(script: &str, ms: u64) -> String {
    shown(&told(&shell(script, ms)).await)
}

#[tokio::test]
async fn the_exit_status_says_what_became_of_it() {
    for (script, expected) in [
        ("cat >/dev/null; echo one; echo; echo ' queued as 7 '; echo", "accepted 0: queued as 7"),
        ("exit 0", "accepted 0"),
        ("echo no room >&2; exit 75", "transient 75: no room"),
        ("echo out; echo bad key >&2; exit 1", "rejected endpoint 1: bad key"),
        ("exit 127", "rejected endpoint 127"),
        ("kill -TERM $$", "unknown it ended by a signal: signal: 15"),
        ("printf '\\033[31m\\r\\xff%0600d' 0", "accepted 0: 0"),
    ] {
        let outcome = run(script, 10_000).await;
        assert!(outcome.starts_with(expected), "{script}: {outcome}");
    }
}

#[tokio::test]
async fn it_gets_the_message_and_little_else() {
    let folder = std::env::temp_dir().join(format!("callout-command-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (data, env) = (folder.join("data"), folder.join("env"));
    let script = format!("cat >{}; env >{}; pwd", data.display(), env.display());
    assert_eq!(run(&script, 10_000).await, "accepted 0: /");
    let read: Value = serde_json::from_str(&self::read(&data)).unwrap();
    assert_eq!(read["data"]["title"], "磁盘满");
    assert_eq!(read["data"]["ack"]["url"], LINK);
    let env = self::read(&env);
    assert!(
        env.contains(&format!("CALLOUT_ID={}-2\n", id()))
            && env.contains("CALLOUT_LEVEL=critical\n")
    );
    let ours = ["PATH", "HOME", "LANG", "LC_ALL", "CALLOUT_ID", "CALLOUT_LEVEL"];
    let shells = ["PWD", "OLDPWD", "SHLVL", "_"];
    for name in env.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name) {
        assert!(ours.contains(&name) || shells.contains(&name), "{name} is passed on");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn what_it_repeats_of_the_credentials_is_hidden() {
    for script in ["grep -o 'https://[^\"]*'", "grep -o 'https://[^\"]*' >&2; exit 1"] {
        let outcome = run(script, 10_000).await;
        assert!(outcome.ends_with(": ***"), "{outcome}");
        assert!(!outcome.contains(TICKET), "{outcome}");
    }
}

#[tokio::test]
async fn no_program_holds_a_worker_up() {
    // Deaf, endless, waiting for more: killed, and nobody knows what it did.
    for script in
        ["sleep 60", "yes", "yes >&2", "sleep 60 & wait", "trap '' TERM; while :; do :; done"]
    {
        let outcome = run(script, 300).await;
        assert!(outcome.starts_with("unknown killed after 300ms"), "{script}: {outcome}");
    }
    // It leaves a child behind that holds its pipes.
    assert_eq!(run("echo done; sleep 5 & exit 0", 4_000).await, "accepted 0: done");
    // It writes more than fits any pipe.
    assert_eq!(run("head -c 1000000 /dev/zero; echo; echo done", 10_000).await, "accepted 0: done");
}

#[tokio::test]
async fn what_it_started_is_killed_with_it() {
    let file = std::env::temp_dir().join(format!("callout-orphan-{}", std::process::id()));
    let script = format!("sleep 60 & echo $! >{}; wait", file.display());
    assert!(run(&script, 500).await.starts_with("unknown killed"));
    assert!(ends(read(&file).trim()), "a child lives on");
    // Nor does it outlive a worker that stops waiting.
    let channel = shell(&script, 10_000);
    let waits = tokio::time::timeout(Duration::from_millis(500), told(&channel));
    assert!(waits.await.is_err());
    assert!(ends(read(&file).trim()), "a child lives on");
    std::fs::remove_file(&file).unwrap();
}

/// Whether the process is dead within a second; buried or not.
fn ends(process: &str) -> bool {
    assert!(!process.is_empty());
    (0..100).any(|_| {
        let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
        let dead = status.is_err() || status.is_ok_and(|status| status.contains(") Z "));
        if !dead {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        dead
    })
}

#[tokio::test]
async fn what_cannot_run_is_the_endpoints_fault() {
    for (program, expected) in [
        ("callout-no-such-program", "rejected endpoint 127: there is no such program"),
        ("/nowhere/program", "rejected endpoint 127: there is no such program"),
        ("/", "rejected endpoint 126: it may not be run"),
    ] {
        let channel = Channel::build("command", json!({ "program": program })).unwrap();
        assert_eq!(shown(&told(&channel).await), expected);
    }
    // A file without a first line that says what runs it.
    let file = std::env::temp_dir().join(format!("callout-no-program-{}", std::process::id()));
    write_program(&file, "data, not code\n");
    let channel = Channel::build("command", json!({ "program": file })).unwrap();
    let outcome = shown(&told(&channel).await);
    std::fs::remove_file(&file).unwrap();
    assert!(outcome.starts_with("rejected endpoint 12"), "{outcome}");
}

fn write_program(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn settings_of_programs_are_checked_for_what_they_mean() {
    for (over, expected) in [
        (json!({ "program": "/bin/sh" }), ""),
        (json!({ "program": "bin/sh" }), "program: has to be an absolute path or a bare name"),
        (json!({ "program": "./sh" }), "program: has to be an absolute path or a bare name"),
        (json!({ "program": "a\0b" }), "program: may not hold a zero byte"),
        (json!({ "args": "a\0b" }), "args: may not hold a zero byte"),
        (json!({ "timeout": 0 }), "timeout: has to be"),
        (json!({ "timeout": 15_001 }), "timeout: has to be"),
        (json!({ "timeout": 15_000 }), ""),
    ] {
        let found = problems("command", over.clone());
        assert_eq!(found.len(), usize::from(!expected.is_empty()), "{over}: {found:?}");
        assert!(found.iter().all(|problem| problem.starts_with(expected)), "{over}: {found:?}");
    }
}
