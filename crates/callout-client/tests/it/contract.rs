//! The examples in `docs/reference/outbox-table.md` are run as they stand there.

use crate::alerts::{ACKNOWLEDGED, open};
use crate::rows::rows;
use callout_client::rusqlite::Connection;
use callout_client::{Level, Message, MessageId, Outbox, Row};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const DOCUMENT: &str = include_str!("../../../../docs/reference/outbox-table.md");

/// What stands below `heading`.
fn section(heading: &str) -> &'static str {
    let start = format!("\n## {heading}\n");
    let (_, section) = DOCUMENT.split_once(&start).expect("the document has such a section");
    section.split("\n## ").next().unwrap()
}

/// The one code block below `heading` in `language`.
fn example(heading: &str, language: &str) -> &'static str {
    let start = format!("\n```{language}\n");
    let mut blocks = section(heading).split(&start).skip(1);
    let block = blocks.next().expect("the section has such a block");
    assert!(blocks.next().is_none(), "the section has one {language} block");
    block.split("\n```\n").next().unwrap()
}

/// Runs a script with two arguments, unless there is no Python here.
fn python(script: &str, args: [&OsStr; 2]) -> Option<Output> {
    let mut python = Command::new("python3");
    python.args(["-c", script]).args(args).env("PYTHONUTF8", "1").output().ok()
}

/// The columns of a table or view with their types.
fn columns(path: &Path, table: &str) -> Vec<(String, String)> {
    let mut columns = Vec::new();
    let note = |row: &callout_client::rusqlite::Row<'_>| {
        columns.push((row.get("name")?, row.get("type")?));
        Ok(())
    };
    Connection::open(path).unwrap().pragma(None, "table_info", table, note).unwrap();
    columns
}

/// The first two cells of each row of a section's table.
fn documented(section: &str) -> Vec<(String, String)> {
    let cells = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let name = cells.next()?.trim_end_matches("` ").to_owned();
        Some((name, cells.next()?.trim().to_owned()))
    };
    section.lines().filter_map(cells).collect()
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
    let id: MessageId = row.id.parse().unwrap();
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
    conn.execute_batch(example("Examples", "sql")).unwrap();
    conn.execute_batch(example("Examples", "sql")).unwrap();

    let enqueued = message(&row(&path, "db-3-disk-full"), bystander.created_at - 1);
    let expected = Message::new(Level::Critical, "Disk full on db-3")
        .with_body("Only **0 bytes** are left on `/var`.")
        .with_label("host", "db-3")
        .with_idempotency_key("db-3-disk-full");
    assert_eq!(enqueued, expected);
    assert_eq!(row(&path, "bystander"), bystander);
    assert_eq!(
        (count(&path, "callout_message"), count(&path, "callout_outbox WHERE state = 'new'")),
        (2, 2)
    );
}

/// The three parts of the example: the alert, the question, the end.
fn acknowledgment() -> [&'static str; 3] {
    let (alert, rest) =
        example("Acknowledgment", "sql").split_once("-- How does it stand?\n").unwrap();
    let (question, end) = rest.split_once("-- Later").unwrap();
    [alert, question, end.split_once('\n').unwrap().1]
}

/// What the example enqueues besides the bystander, checked.
fn alert_and_end(path: &Path, bystander: &Row) -> MessageId {
    let [first, alert, end] = rows(&Connection::open(path).unwrap()).try_into().unwrap();
    assert_eq!(&first, bystander);
    let expected = Message::new(Level::Critical, "Nobody can pay")
        .with_dedup_key("payments")
        .with_ack_within(Duration::from_secs(300));
    assert_eq!(message(&alert, bystander.created_at - 1), expected);
    let mut expected = Message::resolved("payments");
    expected.title = "Payments work again".into();
    assert_eq!(message(&end, bystander.created_at - 1), expected);
    alert.id.parse().unwrap()
}

#[test]
fn the_example_of_an_acknowledgment_asks_looks_and_resolves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let bystander = outbox(&path);
    let conn = Connection::open(&path).unwrap();
    let [alert, question, end] = acknowledgment();
    conn.execute_batch(alert).unwrap();
    let state = || {
        let all =
            |row: &callout_client::rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        conn.query_row(question, [], all)
    };
    let answer: callout_client::rusqlite::Result<(String, Option<String>, Option<String>)> =
        state();
    answer.unwrap_err();
    let id = rows(&conn)[1].id.parse().unwrap();
    open(&conn, id, ACKNOWLEDGED);
    assert_eq!(state().unwrap(), ("acknowledged".to_owned(), Some("Ann".to_owned()), None));
    conn.execute_batch(end).unwrap();
    assert_eq!(alert_and_end(&path, &bystander), id);
}

#[test]
fn the_example_of_an_acknowledgment_runs_in_python_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let bystander = outbox(&path);
    let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let sql = example("Acknowledgment", "sql");
    let Some(ran) = python(script, [path.as_ref(), sql.as_ref()]) else {
        println!("skipped: there is no python3 here");
        return;
    };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    alert_and_end(&path, &bystander);
}

#[test]
fn the_python_example_enqueues() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let bystander = outbox(&path);
    let script = example("Examples", "python");
    let Some(first) = python(script, [path.as_ref(), "".as_ref()]) else {
        println!("skipped: there is no python3 here");
        return;
    };
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let again = python(script, [path.as_ref(), "".as_ref()]).unwrap();
    assert_eq!(first.stdout, again.stdout, "the same request has the same id");
    let other = script.replace("3 hours", "4 hours");
    let other = python(&other, [path.as_ref(), "".as_ref()]).unwrap();
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
    assert_eq!(
        (count(&path, "callout_message"), count(&path, "callout_outbox WHERE state = 'new'")),
        (2, 2)
    );
}

#[test]
fn the_document_names_every_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    outbox(&path);
    assert_eq!(documented(section("Columns")), columns(&path, "callout_message"));

    let (_, view) = section("Acknowledgment").split_once("### The view `callout_alerts`").unwrap();
    let names = |columns: Vec<(String, String)>| -> BTreeSet<String> {
        columns.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(documented(view)), names(columns(&path, "callout_alerts")));
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
        ("ack_within_ms", ms(limits::ACK_WITHIN_RANGE.0)),
        ("ack_within_ms", ms(limits::ACK_WITHIN_RANGE.1)),
    ] {
        let start = format!("| `{part}` |");
        let row = DOCUMENT.lines().find(|line| line.starts_with(&start)).unwrap();
        let words: Vec<_> = row.split(|c: char| !c.is_ascii_digit()).collect();
        assert!(words.contains(&limit.as_str()), "{part}: {limit}");
    }
    assert!(DOCUMENT.contains(&format!("at most {} bytes.", limits::MESSAGE_BYTES_MAX)));
}
