//! The files: settings, permissions, schema versions, other programs' databases, other processes.

use super::{message, open, path, store};
use crate::error::StoreError;
use crate::model::Filter;
use crate::schema::SQLITE;
use crate::sqlite::{Create, SqliteStore, connection};
use crate::store::Store;
use callout_core::id::WorkerId;
use callout_core::time::Timestamp;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::path::Path;
use std::time::Duration;

fn pragma(connection: &Connection, name: &str) -> String {
    let read = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
    match connection.pragma_query_value(None, name, read).unwrap() {
        rusqlite::types::Value::Integer(n) => n.to_string(),
        rusqlite::types::Value::Text(text) => text,
        other => format!("{other:?}"),
    }
}

#[test]
fn every_connection_has_the_settings_durability_hangs_on() {
    let (folder, _store) = store();
    let path = path(&folder);
    let (writer, reader) = (connection::writer(&path).unwrap(), connection::reader(&path).unwrap());
    for connection in [&writer, &reader] {
        for (name, value) in [
            ("journal_mode", "wal"),
            ("synchronous", "2"),
            ("foreign_keys", "1"),
            ("trusted_schema", "0"),
            ("cell_size_check", "1"),
            ("mmap_size", "0"),
            ("temp_store", "2"),
            ("auto_vacuum", "2"),
            ("user_version", "0"),
        ] {
            assert_eq!(pragma(connection, name), value, "{name}");
        }
        // Without it every write would prepare its statements again.
        assert!(connection.db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG).unwrap());
    }
    assert_eq!(pragma(&writer, "wal_autocheckpoint"), "1000");
    assert_eq!(pragma(&writer, "journal_size_limit"), "67108864");
    assert_eq!(
        (pragma(&writer, "busy_timeout"), pragma(&reader, "busy_timeout")),
        ("10000".into(), "2000".into())
    );
    assert!(reader.execute("DELETE FROM callout_worker", []).is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, store) = store();
    store.enqueue(vec![message("x")]).await.unwrap();
    store.backup(&folder.path().join("backup.db")).await.unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    // The mark comes when there is a moment's rest.
    names.retain(|name| !name.contains(".mark"));
    names.sort();
    assert_eq!(names, ["backup.db", "callout.db", "callout.db-shm", "callout.db-wal"]);
    drop(store);
    let mark = std::fs::metadata(folder.path().join("callout.db.mark")).unwrap();
    assert_eq!(mark.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_backup_opens_as_a_store_and_is_intact() {
    let (folder, store) = store();
    store.enqueue((0..300).map(|n| message(&n.to_string())).collect()).await.unwrap();
    let copy = folder.path().join("backup.db");
    store.backup(&copy).await.unwrap();
    assert_eq!(pragma(&Connection::open(&copy).unwrap(), "integrity_check"), "ok");
    let copy = SqliteStore::open(&copy, Create::Never, Timestamp::EPOCH).unwrap();
    assert_eq!(copy.list(Filter::default(), None, 1000).await.unwrap().messages.len(), 300);
}

#[test]
fn only_creating_creates() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let open = || SqliteStore::open(&path, Create::Never, Timestamp::EPOCH);
    assert!(matches!(open(), Err(StoreError::Missing(_))));
    let steps = SqliteStore::schema_steps(&path).unwrap();
    assert!(!steps.is_empty() && steps.iter().all(|step| !step.applied));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    // A database without an outbox is none, and stays as it is.
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE app (x)").unwrap();
    assert!(matches!(open(), Err(StoreError::Missing(_))));
    assert!(SqliteStore::schema_steps(&path).unwrap().iter().all(|step| !step.applied));
    assert_eq!(pragma(&Connection::open(&path).unwrap(), "journal_mode"), "delete");
    drop(super::open(&path));
    assert!(SqliteStore::schema_steps(&path).unwrap().iter().all(|step| step.applied));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    open().unwrap();
}

#[tokio::test]
async fn an_outbox_lives_inside_another_programs_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    let app = Connection::open(&path).unwrap();
    app.execute_batch(
        "PRAGMA user_version = 42; CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT);
         INSERT INTO orders VALUES (1, 'shoes');",
    )
    .unwrap();
    let store = open(&path);
    store.enqueue(vec![message("ours")]).await.unwrap();
    // The contract: one insert, in the application's own transaction.
    app.execute_batch(
        "BEGIN; INSERT INTO orders VALUES (2, 'hat');
         INSERT INTO callout_message (id, level, title, created_at)
         VALUES ('018bcfe5-6800-7000-8000-000000000001', 'error', 'theirs', 0);
         COMMIT;",
    )
    .unwrap();
    let page = store.list(Filter::default(), None, 10).await.unwrap();
    assert_eq!(page.messages[0].title, "theirs");
    assert_eq!(pragma(&app, "user_version"), "42");
    let orders: i64 = app.query_row("SELECT count(*) FROM orders", [], |row| row.get(0)).unwrap();
    assert_eq!(orders, 2);
}

fn change_schema(path: &Path, sql: &str) -> Result<SqliteStore, StoreError> {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
    SqliteStore::open(path, Create::IfMissing, Timestamp::EPOCH)
}

#[test]
fn a_newer_or_foreign_schema_is_refused() {
    let (folder, store) = store();
    drop(store);
    let known = SQLITE.last().unwrap().version;
    let newer = change_schema(&path(&folder), "INSERT INTO callout_schema VALUES (99, 'x', 0, 0)");
    match newer {
        Err(StoreError::SchemaTooNew { found: 99, known: ours }) => assert_eq!(ours, known),
        other => panic!("{other:?}"),
    }
    let changed = change_schema(
        &path(&folder),
        "DELETE FROM callout_schema WHERE version = 99; UPDATE callout_schema SET checksum = 1",
    );
    assert!(matches!(changed, Err(StoreError::SchemaChanged { version: 1 })), "{changed:?}");
}

#[test]
fn several_programs_may_start_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = path(&folder);
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&path))).collect();
        let stores: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        assert_eq!(stores.len(), 4);
    });
    let steps = SqliteStore::schema_steps(&path).unwrap();
    assert!(steps.iter().all(|step| step.applied));
}

#[tokio::test]
async fn what_another_connection_enqueues_is_noticed() {
    let (folder, store) = store();
    let mut changes = store.changes();
    let other = open(&path(&folder));
    for title in ["first", "second", "third"] {
        changes.mark_unchanged();
        other.enqueue(vec![message(title)]).await.unwrap();
        // Far more than it takes; a lost notice fails the test.
        let noticed = tokio::time::timeout(Duration::from_secs(10), changes.changed()).await;
        noticed.expect("no notice came").unwrap();
    }
}

/// What the store at `path` says it lacks.
fn lost(path: &Path) -> Option<String> {
    open(path).lost().map(|lost| lost.to_string())
}

#[tokio::test]
async fn a_database_behind_its_mark_says_so_until_somebody_has_told() {
    let (folder, store) = store();
    let (path, copy) = (path(&folder), folder.path().join("older.db"));
    store.enqueue(vec![message("kept")]).await.unwrap();
    store.backup(&copy).await.unwrap();
    store.enqueue(vec![message("lost"), message("lost too")]).await.unwrap();
    drop(store);
    assert_eq!(lost(&path), None);

    let mark = path.with_extension("db.mark");
    let newest = std::fs::read(&mark).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    let words = lost(&path).unwrap();
    assert!(words.contains("; messages in rows 2 to 3 are gone"), "{words}");
    // Whoever opens it finds it again, even after commits of its own; nothing is written meanwhile.
    let store = open(&path);
    store.enqueue(vec![message("new")]).await.unwrap();
    drop(store);
    assert_eq!(std::fs::read(&mark).unwrap(), newest);
    let store = open(&path);
    assert!(store.lost().unwrap().to_string().contains("messages in rows 3 to 3 are gone"));
    store.loss_is_reported();
    store.enqueue(vec![message("newer")]).await.unwrap();
    drop(store);
    assert_ne!(std::fs::read(&mark).unwrap(), newest);
    assert_eq!(lost(&path), None);
}

#[tokio::test]
async fn a_database_that_lacks_no_message_but_a_commit_says_so_too() {
    let (folder, store) = store();
    let (path, copy) = (path(&folder), folder.path().join("older.db"));
    store.enqueue(vec![message("kept")]).await.unwrap();
    store.backup(&copy).await.unwrap();
    let worker = WorkerId::new(Timestamp::EPOCH, [1; 10]);
    store.register(worker, Timestamp::EPOCH).await.unwrap();
    drop(store);
    std::fs::rename(&copy, &path).unwrap();
    let words = lost(&path).unwrap();
    assert!(words.contains("commits 1 to 1 (1) are gone. "), "{words}");
}

#[tokio::test]
async fn a_mark_that_is_missing_or_damaged_says_nothing() {
    let (folder, store) = store();
    let path = path(&folder);
    store.enqueue(vec![message("x")]).await.unwrap();
    drop(store);
    let mark = path.with_extension("db.mark");
    let whole = std::fs::read(&mark).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        std::fs::write(&mark, damaged).unwrap();
        assert_eq!(lost(&path), None, "a flipped bit in byte {at}");
    }
    std::fs::remove_file(&mark).unwrap();
    assert_eq!(lost(&path), None);
    // Nothing was written, so there is nothing to note.
    assert!(!mark.exists());
}
