//! What no compiler checks: who may depend on whom, and what may stand where.

use callout_channels::{Build, Registration};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below `folder` with one of the endings, by their path from the root.
pub(crate) fn files(folder: &str, endings: &[&str]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)) {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn sources() -> BTreeMap<String, String> {
    let mut all = files("crates", &["rs"]);
    all.extend(files("tests", &["rs"]));
    all
}

fn none(complaints: impl Iterator<Item = String>) {
    let complaints: Vec<String> = complaints.collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Code without its unit tests.
fn product(name: &str) -> bool {
    name.starts_with("crates/")
        && !name.contains("/tests")
        && !name.contains("/examples/")
        && !name.ends_with("tests.rs")
}

#[test]
fn crates_depend_on_each_other_in_one_direction() {
    let allowed = BTreeMap::from([
        ("callout-core", vec![]),
        ("callout-store", vec!["callout-core"]),
        ("callout-channels", vec!["callout-core"]),
        ("callout-client", vec!["callout-core", "callout-store"]),
        ("callout-worker", vec!["callout-channels", "callout-core", "callout-store"]),
        ("callout", vec!["callout-channels", "callout-core", "callout-store", "callout-worker"]),
    ]);
    for (name, may) in allowed {
        let manifest =
            fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let dependencies =
            manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
        let ours: Vec<&str> = dependencies
            .lines()
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|dependency| dependency.starts_with("callout"))
            .collect();
        none(
            ours.iter()
                .filter(|d| !may.contains(d))
                .map(|d| format!("{name} must not depend on {d}")),
        );
    }
}

#[test]
fn every_manifest_takes_the_workspace_lints() {
    let manifests = files("crates", &["toml"]).into_iter().chain(files("tests", &["toml"]));
    let manifests = manifests.filter(|(name, _)| name.ends_with("Cargo.toml"));
    none(
        manifests
            .filter(|(_, text)| !text.contains("[lints]\nworkspace = true"))
            .map(|(name, _)| name),
    );
}

#[test]
fn sql_is_spoken_in_the_store_only() {
    let words =
        ["SELECT ", "INSERT INTO", "UPDATE callout", "DELETE FROM", "CREATE TABLE", "PRAGMA "];
    let speaks = |text: &str| {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.flat_map(|line| words.iter().find(|word| line.contains(**word))).next().is_some()
    };
    let elsewhere = sources()
        .into_iter()
        .filter(|(name, _)| product(name) && !name.starts_with("crates/callout-store/"));
    // The client asks the application's own connection how durable it is, and installs the store's schema.
    let elsewhere = elsewhere.filter(|(name, _)| !name.starts_with("crates/callout-client/"));
    none(elsewhere.filter(|(_, text)| speaks(text)).map(|(name, _)| format!("{name} speaks SQL")));
}

#[test]
fn time_never_comes_from_sql() {
    let banned = ["CURRENT_TIMESTAMP", "datetime('now')", "unixepoch('now", "strftime('%s','now')"];
    let store =
        files("crates/callout-store/src", &["rs"]).into_iter().chain(files("migrations", &["sql"]));
    none(
        store
            .filter(|(_, text)| banned.iter().any(|word| text.contains(word)))
            .map(|(name, _)| name),
    );
}

#[test]
fn every_file_says_what_it_is() {
    none(
        sources()
            .into_iter()
            .filter(|(_, text)| !text.starts_with("//! ") || text.starts_with("//! ."))
            .map(|(name, _)| name)
            .filter(|name| !name.ends_with("tests.rs")),
    );
}

#[test]
fn no_file_holds_more_than_one_idea() {
    none(sources().into_iter().filter(|(name, _)| product(name)).filter_map(|(name, text)| {
        let lines = text.lines().count();
        (lines > 600).then(|| format!("{name} has {lines} lines"))
    }));
}

#[test]
fn nothing_is_left_unfinished() {
    // Built from halves, so that this file does not find itself.
    let words = [
        ["to", "do!("],
        ["unimpl", "emented!("],
        ["db", "g!("],
        ["FIX", "ME"],
        ["X", "XX:"],
        ["#[ig", "nore"],
    ]
    .map(|w| w.concat());
    none(sources().into_iter().filter_map(|(name, text)| {
        let word = words.iter().find(|word| text.contains(word.as_str()))?;
        Some(format!("{name} contains {word}"))
    }));
}

#[test]
fn only_the_schedule_names_the_unmaintained_crate() {
    let named =
        sources().into_iter().filter(|(name, text)| product(name) && text.contains("backoff::"));
    none(named.map(|(name, _)| name).filter(|name| name != "crates/callout-core/src/retry.rs"));
}

#[test]
fn core_does_nothing_but_decide() {
    let words = [
        "std::fs",
        "std::net",
        "std::io",
        "std::env",
        "async fn",
        "tokio",
        "SystemTime",
        "Instant",
    ];
    let core = files("crates/callout-core/src", &["rs"]);
    none(core.into_iter().filter_map(|(name, text)| {
        let word = words.iter().find(|word| {
            text.lines().any(|l| !l.trim_start().starts_with("//") && l.contains(**word))
        })?;
        Some(format!("{name} contains {word}"))
    }));
}

#[test]
fn a_channel_file_is_pure() {
    let words = [
        "async ",
        "tokio",
        "reqwest",
        "tracing::",
        "std::fs",
        "clock::",
        "Mutex",
        "RefCell",
        "Atomic",
    ];
    // The others do their own input and output, and are tested over real sockets, files and processes.
    let speaks_http = |row: &&Registration| matches!(row.build, Build::Http(_));
    none(callout_channels::REGISTRY.iter().filter(speaks_http).filter_map(|row| {
        let kind = row.spec.kind;
        let text =
            fs::read_to_string(root().join(format!("crates/callout-channels/src/{kind}.rs")))
                .unwrap();
        let word = words.iter().find(|word| text.contains(**word))?;
        Some(format!("{kind}.rs contains {word}"))
    }));
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let words =
        [["/wo", "rk/"], ["../sha", "red"], ["/ro", "ot/"], [".lib", "rary"]].map(|w| w.concat());
    let mut all = sources();
    for folder in ["docs", "migrations", "crates"] {
        all.extend(files(folder, &["md", "sql", "toml", "txt", "json", "http"]));
    }
    let scripts = fs::read_dir(root().join("scripts")).unwrap().map(|entry| entry.unwrap().path());
    let others = [
        "README.md",
        "README.zh.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.toml",
        "deny.toml",
        ".ci/run",
    ];
    for path in scripts.chain(others.map(|name| root().join(name))) {
        all.insert(path.display().to_string(), fs::read_to_string(path).unwrap());
    }
    none(all.into_iter().filter_map(|(name, text)| {
        let word = words.iter().find(|word| text.contains(word.as_str()))?;
        Some(format!("{name} contains {word}"))
    }));
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let mut pages = files("docs", &["md"]);
    for name in ["README.md", "README.zh.md", "CONTRIBUTING.md"] {
        pages.insert(name.to_owned(), fs::read_to_string(root().join(name)).unwrap());
    }
    let mut broken = Vec::new();
    for (name, text) in pages {
        let folder = root().join(&name).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if !file.is_empty() && !file.contains("://") && !folder.join(file).exists() {
                broken.push(format!("{name}: {target}"));
            }
        }
    }
    none(broken.into_iter());
}
