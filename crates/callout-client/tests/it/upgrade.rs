//! An outbox that an older release made. Also run by `scripts/client-range`.

use crate::app::connect;
use crate::rows::rows;
use callout_client::rusqlite::Connection;
use callout_client::{
    AlertState, Error, Level, Message, Outbox, alert, check, enqueue, enqueue_best_effort, install,
    resolve, wait_for_ack,
};
use callout_store::schema;
use std::path::Path;
use std::time::Duration;

/// A database with the first step of the schema, a message that waits and one that a worker has seen.
fn old(path: &Path) -> Connection {
    let conn = connect(path);
    let [first, ..] = schema::SQLITE else { panic!("the schema has a first step") };
    conn.execute_batch(schema::VERSION_TABLE).unwrap();
    conn.execute(schema::NOTE_VERSION, (first.version, first.name, first.checksum(), 0)).unwrap();
    conn.execute_batch(first.sql).unwrap();
    // An application's own things do not get in the way, not even broken ones.
    conn.execute_batch(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY);
         CREATE VIEW broken AS SELECT * FROM nothing_of_that_name;",
    )
    .unwrap();
    enqueue(&conn, &Message::new(Level::Info, "waits")).unwrap();
    enqueue(&conn, &Message::new(Level::Info, "seen")).unwrap();
    let seen = "UPDATE callout_progress SET state = 'accepted', why = 'route 1', settled_at = 7
                 WHERE seq = 2";
    assert_eq!(conn.execute(seen, []).unwrap(), 1);
    conn
}

/// Where each message stands.
fn progress(conn: &Connection) -> Vec<(i64, String, Option<String>, Option<i64>)> {
    let all = "SELECT seq, state, why, settled_at FROM callout_progress ORDER BY seq";
    let mut all = conn.prepare(all).unwrap();
    let all = all.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).unwrap();
    all.map(Result::unwrap).collect()
}

fn asking() -> Message {
    Message::new(Level::Critical, "disk full").with_require_ack()
}

#[test]
fn an_outbox_without_alerts_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let conn = old(&folder.path().join("app.db"));
    let before = rows(&conn);
    let id = before[0].id.parse().unwrap();
    let errors = [
        enqueue(&conn, &asking()).unwrap_err(),
        enqueue_best_effort(&conn, &asking()).unwrap_err(),
        resolve(&conn, "disk").unwrap_err(),
        alert(&conn, id).unwrap_err(),
        wait_for_ack(&conn, id, Duration::from_secs(600)).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::SchemaOld), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("`callout migrate`") && text.contains("install"), "{text}");
    }
    assert_eq!(rows(&conn), before);

    // What needs no alerts goes on working.
    check(&conn).unwrap();
    assert!(enqueue(&conn, &Message::new(Level::Info, "plain")).unwrap().fresh);

    let nothing = connect(&folder.path().join("other.db"));
    assert!(matches!(alert(&nothing, id), Err(Error::SchemaMissing)));
    assert!(matches!(enqueue(&nothing, &asking()), Err(Error::SchemaMissing)));
}

#[test]
fn installing_brings_an_old_outbox_up_to_date() {
    for foreign_keys in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let conn = old(&folder.path().join("app.db"));
        conn.pragma_update(None, "foreign_keys", foreign_keys).unwrap();
        let before = (rows(&conn), progress(&conn));
        install(&conn).unwrap();
        assert_eq!((rows(&conn), progress(&conn)), before);

        let id = enqueue(&conn, &asking()).unwrap().id;
        assert_eq!(alert(&conn, id).unwrap(), Some(AlertState::NotPlanned));
        let seen = before.0[1].id.parse().unwrap();
        assert_eq!(alert(&conn, seen).unwrap(), Some(AlertState::NotRequired));
        let intact: String =
            conn.pragma_query_value(None, "integrity_check", |r| r.get(0)).unwrap();
        assert_eq!(intact, "ok");
        let after = (rows(&conn), progress(&conn));
        install(&conn).unwrap();
        assert_eq!((rows(&conn), progress(&conn)), after);
    }
}

#[test]
fn an_upgrade_rolls_back_with_the_migration_it_is_part_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut conn = old(&folder.path().join("app.db"));
    let before = (rows(&conn), progress(&conn));
    let tx = conn.transaction().unwrap();
    install(&tx).unwrap();
    resolve(&tx, "disk").unwrap();
    drop(tx);
    assert_eq!((rows(&conn), progress(&conn)), before);
    assert!(matches!(resolve(&conn, "disk"), Err(Error::SchemaOld)));

    let tx = conn.transaction().unwrap();
    install(&tx).unwrap();
    resolve(&tx, "disk").unwrap();
    tx.commit().unwrap();
    assert_eq!(rows(&conn).len(), before.0.len() + 1);
}

#[test]
fn creating_an_outbox_that_is_there_brings_it_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    drop(old(&path));
    let mut outbox = Outbox::open(&path).unwrap();
    assert!(matches!(outbox.resolve("disk"), Err(Error::SchemaOld)));
    assert!(Outbox::create(&path).unwrap().resolve("disk").unwrap().fresh);
    assert!(outbox.enqueue(&asking()).unwrap().fresh);
}
