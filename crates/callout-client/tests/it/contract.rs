//! The examples in `docs/reference/outbox-table.md` are run as they stand there.

use crate::rows::rows;
use callout_client::rusqlite::Connection;
use callout_client::{Level, Message, Outbox, Row};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const DOCUMENT: &str = include_str!("../../../../docs/reference/outbox-table.md");

/// The one code block of the document in `language`.
fn example(language: &str) -> &'static str {
    let start = format!("\n```{language}\n");
    let mut blocks = DOCUMENT.split(&start).skip(1);
    let block = blocks.next().expect("the document has such a block");
    assert!(blocks.next().is_none(), "the document has one {language} block");
    block.split("\n```\n").next().unwrap()
}

/// An outbox with a message that must not change.
fn outbox(path: &Path) -> Row {
    let bystander = Message::new(Level::Info, "bystander").with_idempotency_key("bystander");
    Outbox::create(path).unwrap().enqueue(&bystander).unwrap();
    row(path, "bystander")
}

fn row(path: &Path, key: &str) -> Row {
    let mut rows = rows(&Connection::open(path).unwrap());
    rows.retain(|row| row.idempotency_key.as_deref() == Some(key));
    rows.pop().unwrap()
}

fn count(path: &Path, table: &str) -> i64 {
    let conn = Connection::open(path).unwrap();
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// The row is a valid message with a good id, created between `before` and the end of the example.
fn message(row: &Row, before: i64) -> Message {
    let id: callout_client::MessageId = row.id.parse().unwrap();
    assert_eq!(id.to_string(), row.id);
    assert!((before..before + 600_000).contains(&row.created_at), "{}", row.created_at);
    row.message().unwrap()
}

#[test]
fn the_sql_example_enqueues() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let bystander = outbox(&path);
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(example("sql")).unwrap();
    conn.execute_batch(example("sql")).unwrap();

    let enqueued = message(&row(&path, "db-3-disk-full"), bystander.created_at - 1);
    let expected = Message::new(Level::Critical, "Disk full on db-3")
        .with_body("Only **0 bytes** are left on `/var`.")
        .with_label("host", "db-3")
        .with_idempotency_key("db-3-disk-full");
    assert_eq!(enqueued, expected);
    assert_eq!(row(&path, "bystander"), bystander);
    assert_eq!((count(&path, "callout_message"), count(&path, "callout_progress")), (2, 2));
}

#[test]
fn the_python_example_enqueues() {
    let python = |script: &str, path: &Path| {
        Command::new("python3").args(["-c", script]).arg(path).env("PYTHONUTF8", "1").output()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let bystander = outbox(&path);
    let Ok(first) = python(example("python"), &path) else {
        println!("skipped: there is no python3 here");
        return;
    };
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let again = python(example("python"), &path).unwrap();
    assert_eq!(first.stdout, again.stdout, "the same request has the same id");
    let other = python(&example("python").replace("3 hours", "4 hours"), &path).unwrap();
    let complaint = String::from_utf8_lossy(&other.stderr);
    assert!(complaint.contains("belongs to another message"), "{complaint}");

    let row = row(&path, "backup-17");
    assert_eq!(String::from_utf8(first.stdout).unwrap().trim_end(), row.id);
    assert_eq!(row.checksum, Some(i64::from(row.checksum_of())));
    let expected = Message::new(Level::Warning, "备份用了 3 小时: backup took 3 hours")
        .with_body("It should take *one*.")
        .with_label("host", "db-3")
        .with_link("Log", "https://example.com/backup/17")
        .with_idempotency_key("backup-17")
        .with_ttl(Duration::from_secs(3600));
    assert_eq!(message(&row, bystander.created_at), expected);
    assert_eq!(self::row(&path, "bystander"), bystander);
    assert_eq!((count(&path, "callout_message"), count(&path, "callout_progress")), (2, 2));
}

#[test]
fn the_document_names_every_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    outbox(&path);
    let mut columns = Vec::new();
    let mut note = |row: &callout_client::rusqlite::Row<'_>| {
        columns.push((row.get::<_, String>("name")?, row.get::<_, String>("type")?));
        Ok(())
    };
    let conn = Connection::open(&path).unwrap();
    conn.pragma(None, "table_info", "callout_message", &mut note).unwrap();
    let documented: Vec<_> = DOCUMENT
        .lines()
        .skip_while(|line| *line != "## Columns")
        .take_while(|line| *line != "## Details")
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let name = cells.next()?.trim_end_matches("` ").to_owned();
            Some((name, cells.next()?.trim().to_owned()))
        })
        .collect();
    assert_eq!(documented, columns);
}

#[test]
fn the_document_names_every_limit() {
    use callout_core::message as limits;
    let count = |n: usize| n.to_string();
    let ms = |length: Duration| length.as_millis().to_string();
    for (part, limit) in [
        ("title", count(limits::TITLE_BYTES_MAX)),
        ("body", count(limits::BODY_BYTES_MAX)),
        ("idempotency_key", count(limits::NAME_BYTES_MAX)),
        ("dedup_key", count(limits::NAME_BYTES_MAX)),
        ("delay_ms", ms(limits::DELAY_MAX)),
        ("ttl_ms", ms(limits::TTL_RANGE.0)),
        ("ttl_ms", ms(limits::TTL_RANGE.1)),
        ("labels", count(limits::LABELS_MAX)),
        ("labels", count(limits::NAME_BYTES_MAX)),
        ("labels", count(limits::LABEL_VALUE_BYTES_MAX)),
        ("links", count(limits::URL_BYTES_MAX)),
        ("links", count(limits::LIST_MAX)),
        ("images", count(limits::LIST_MAX)),
        ("attachments", count(limits::LIST_MAX)),
        ("mentions", count(limits::LIST_MAX)),
        ("to", count(limits::LIST_MAX)),
        ("native", count(limits::LIST_MAX)),
        ("native", count(limits::NATIVE_DEPTH_MAX)),
    ] {
        let start = format!("| `{part}` |");
        let row = DOCUMENT.lines().find(|line| line.starts_with(&start)).unwrap();
        let words: Vec<_> = row.split(|c: char| !c.is_ascii_digit()).collect();
        assert!(words.contains(&limit.as_str()), "{part}: {limit}");
    }
    assert!(DOCUMENT.contains(&format!("at most {} bytes.", limits::MESSAGE_BYTES_MAX)));
}
