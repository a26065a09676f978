//! Applications pay for every package this crate brings along.

use std::collections::BTreeSet;
use std::process::Command;

const PACKAGES_MAX: usize = 30;

/// Names and versions of what an application compiles for this crate, itself included.
fn packages(features: &[&str]) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--frozen", "--package", "callout-client"])
        .args(["--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .args(features)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).unwrap();
    text.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect()
}

fn has(packages: &BTreeSet<String>, name: &str) -> bool {
    packages.iter().any(|package| package.split(' ').next() == Some(name))
}

#[test]
fn an_application_compiles_few_packages() {
    let packages = packages(&[]);
    assert!(has(&packages, "callout-client") && has(&packages, "rusqlite"), "{packages:#?}");
    assert!(packages.len() <= PACKAGES_MAX, "{}: {packages:#?}", packages.len());
    for heavy in ["tokio", "reqwest", "backoff", "tracing", "async-trait", "regex-lite"] {
        assert!(!has(&packages, heavy), "{heavy} in {packages:#?}");
    }
}

#[test]
fn without_features_there_is_no_driver() {
    let packages = packages(&["--no-default-features"]);
    assert!(!has(&packages, "rusqlite") && !has(&packages, "libsqlite3-sys"), "{packages:#?}");
}
