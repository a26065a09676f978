//! An outbox in a file of its own. Also run by `scripts/client-range`.

use callout_client::rusqlite::Connection;
use callout_client::{Error, Level, Message, Outbox};
use std::path::Path;

fn titles(path: &Path) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let mut all = conn.prepare("SELECT title FROM callout_message ORDER BY seq").unwrap();
    let titles = all.query_map([], |row| row.get(0)).unwrap();
    titles.collect::<Result<_, _>>().unwrap()
}

fn info(title: &str) -> Message {
    Message::new(Level::Info, title)
}

#[test]
fn what_was_enqueued_is_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let first = Outbox::create(&path).unwrap().enqueue(&info("bystander")).unwrap();
    let second = Outbox::create(&path).unwrap().enqueue(&info("second")).unwrap();
    let third = Outbox::open(&path).unwrap().enqueue(&info("third")).unwrap();
    assert!(first.fresh && second.fresh && third.fresh);
    assert!(first.id != second.id && second.id != third.id);
    assert_eq!(titles(&path), ["bystander", "second", "third"]);
}

#[test]
fn all_are_enqueued_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let mut outbox = Outbox::create(&path).unwrap();
    outbox.enqueue(&info("bystander")).unwrap();
    let refusal = outbox.enqueue_all(&[info("a"), info(""), info("b")]).unwrap_err();
    assert!(matches!(refusal, Error::Invalid(_)));
    assert_eq!(titles(&path), ["bystander"]);

    let receipts = outbox.enqueue_all(&[info("a"), info("b")]).unwrap();
    assert_eq!(receipts.len(), 2);
    assert_eq!(titles(&path), ["bystander", "a", "b"]);
    assert!(outbox.enqueue_all(&[]).unwrap().is_empty());
}

#[test]
fn opening_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let refusal = Outbox::open(&path).unwrap_err();
    assert!(matches!(refusal, Error::Open { .. }));
    assert!(refusal.to_string().contains("callout.db"), "{refusal}");
    assert!(!path.exists());

    Connection::open(&path).unwrap().execute_batch("CREATE TABLE other (id)").unwrap();
    assert!(matches!(Outbox::open(&path), Err(Error::SchemaMissing)));

    let no_database = folder.path().join("notes.txt");
    std::fs::write(&no_database, "not a database, and long enough to be sure of that".repeat(40))
        .unwrap();
    assert!(matches!(Outbox::open(&no_database), Err(Error::Open { .. })));

    let nowhere = folder.path().join("missing").join("callout.db");
    assert!(matches!(Outbox::create(nowhere), Err(Error::Create { .. })));
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_a_new_outbox() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let mut outbox = Outbox::create(&path).unwrap();
    outbox.enqueue(&info("secret")).unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn an_outbox_can_move_to_another_thread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let mut outbox = Outbox::create(&path).unwrap();
    outbox.enqueue(&info("bystander")).unwrap();
    std::thread::spawn(move || outbox.enqueue(&info("from afar")).unwrap()).join().unwrap();
    assert_eq!(titles(&path), ["bystander", "from afar"]);
}

#[test]
fn several_programs_may_create_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callout.db");
    let together = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (path, together) = (&path, &together);
            scope.spawn(move || {
                together.wait();
                Outbox::create(path).unwrap().enqueue(&info(&format!("from {n}"))).unwrap();
            });
        }
    });
    let mut titles = titles(&path);
    titles.sort();
    assert_eq!(titles, ["from 0", "from 1", "from 2", "from 3"]);
}
