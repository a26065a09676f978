//! Lines in a file.

use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("callout-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn lines(path: impl AsRef<Path>) -> Channel {
    Channel::build("file", json!({ "path": path.as_ref() })).unwrap()
}

async fn tell(channel: &Channel, title: &str) -> String {
    let mut message = Message::new(Level::Info, title);
    message.body = "one\ntwo\r\n\u{2028}three".to_owned();
    let mentions = Mentions::default();
    shown(&delivered(channel, &outgoing(&message, &mentions, false)).await)
}

fn titles(path: &Path) -> Vec<String> {
    let title = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        line["data"]["title"].as_str().unwrap().to_owned()
    };
    read(path).split_terminator('\n').map(title).collect()
}

#[tokio::test]
async fn each_message_is_one_more_line_for_the_owner_alone() {
    let folder = Folder::new("lines");
    let path = folder.0.join("messages.jsonl");
    for title in ["one", "two"] {
        assert!(tell(&lines(&path), title).await.starts_with("accepted "));
    }
    assert_eq!(titles(&path), ["one", "two"]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    // What a loss of power left of a line does not take the next one with it.
    let mut torn = std::fs::read(&path).unwrap();
    torn.truncate(torn.len() - 10);
    std::fs::write(&path, torn).unwrap();
    assert!(tell(&lines(&path), "three").await.starts_with("accepted "));
    assert_eq!(read(&path).lines().count(), 3);
    assert!(read(&path).lines().last().unwrap().contains("three"));
}

#[tokio::test]
async fn writers_at_the_same_time_never_tear_a_line() {
    let folder = Folder::new("writers");
    let path = folder.0.join("messages.jsonl");
    let long = "长".repeat(300);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        // Four processes, as it were: none knows of the others.
        let (channel, long) = (lines(&path), long.clone());
        writers.spawn(async move {
            for n in 0..10 {
                let outcome = tell(&channel, &format!("{writer}.{n} {long}")).await;
                assert!(outcome.starts_with("accepted "), "{outcome}");
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    let mut found: Vec<String> = read(&path)
        .split_terminator('\n')
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    assert_eq!(found.len(), 40);
    found.retain(|line| serde_json::from_str::<Value>(line).is_err());
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn what_cannot_be_written_says_whose_fault_it_is() {
    let folder = Folder::new("refusals");
    for (path, expected) in [
        (folder.0.join("missing/messages"), "rejected endpoint there is no such folder"),
        (folder.0.clone(), "rejected endpoint it is no ordinary file"),
        (PathBuf::from("/dev/full"), "rejected endpoint it is no ordinary file"),
        (PathBuf::from("/dev/null/messages"), "rejected endpoint there is no such folder"),
    ] {
        assert_eq!(tell(&lines(&path), "x").await, expected, "{}", path.display());
    }
    // Not for root, who may everything.
    let locked = folder.0.join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500)).unwrap();
    let outcome = tell(&lines(locked.join("messages")), "x").await;
    let root = outcome.starts_with("accepted ");
    assert!(root || outcome == "transient permission denied", "{outcome}");
}

#[tokio::test]
async fn a_bare_name_is_a_file_in_the_folder_of_the_worker() {
    let name = format!("callout-bare-{}.jsonl", std::process::id());
    let outcome = tell(&lines(&name), "x").await;
    std::fs::remove_file(&name).unwrap();
    assert!(outcome.starts_with("accepted "), "{outcome}");
}

#[test]
fn a_folder_or_program_that_is_not_there_is_told_and_keeps_nothing_from_starting() {
    let folder = Folder::new("lacks");
    let text = folder.0.join("text");
    std::fs::write(&text, "x").unwrap();
    let missing = folder.0.join("missing");
    for (kind, field, value, expected) in [
        ("file", "path", folder.0.join("new"), None),
        ("file", "path", text.clone(), None),
        ("file", "path", PathBuf::from("bare.jsonl"), None),
        ("file", "path", missing.join("x"), Some("is in a folder that does not exist")),
        ("file", "path", folder.0.clone(), Some("is no ordinary file")),
        ("command", "program", PathBuf::from("sh"), None),
        ("command", "program", PathBuf::from("/bin/sh"), None),
        (
            "command",
            "program",
            PathBuf::from("callout-no-such-program"),
            Some("is in no folder of PATH"),
        ),
        ("command", "program", missing, Some("does not exist")),
        ("command", "program", text, Some("is nothing that may be run")),
        ("command", "program", folder.0.clone(), Some("is nothing that may be run")),
    ] {
        let lacks = Channel::build(kind, json!({ field: value })).unwrap().lacks();
        let expected = expected.map(|text| (field, text.to_owned()));
        assert_eq!(lacks.map(|lack| (lack.field, lack.text)), expected, "{}", value.display());
    }
}
