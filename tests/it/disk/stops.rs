//! What a program does not work on with: a disk that failed, files that were taken away, a newer schema.

use super::{EIO, Fault, Place, Program, SYNC};
use crate::stage::sink::Sink;

/// A program that has delivered one message.
async fn at_work(sink: &Sink) -> (Place, Program) {
    let place = Place::new(sink, "hook");
    let program = Program::start(&place).await;
    assert_eq!(program.enqueue("before").await.unwrap().0, 202);
    tokio::time::timeout(super::STUCK, sink.has_received("hook", 1)).await.unwrap();
    (place, program)
}

/// Nothing is acknowledged any more, and the program ends by itself.
async fn stops(program: &mut Program, code: i32, words: &str) {
    let answer = program.enqueue("too late").await;
    assert!(answer.as_ref().is_none_or(|(status, _)| *status == 503), "{answer:?}");
    assert_eq!(program.ends().await, code, "{}", program.said());
    let said = program.said();
    assert!(said.contains(words), "{words} is not in\n{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_whose_sync_failed_once_is_not_trusted_again() {
    let sink = Sink::start().await;
    let (place, mut program) = at_work(&sink).await;
    place.switch.set(Fault { kinds: SYNC, errno: EIO, first: 1, count: 1 });
    stops(&mut program, 74, "the disk or the database on it failed").await;
    assert_eq!(place.switch.failed(), 1);
    // Started again, it works, and knows what it had acknowledged.
    let mut program = Program::start(&place).await;
    assert_eq!(program.enqueue("after").await.unwrap().0, 202);
    assert_eq!(program.stop().await, 0);
    let kept = place.titles();
    assert!(["before", "after"].iter().all(|title| kept.iter().any(|kept| kept == title)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_replaced_is_not_written_any_more() {
    let sink = Sink::start().await;
    let (place, mut program) = at_work(&sink).await;
    let backup = place.database().with_file_name("backup.db");
    assert!(place.folder.run(&["backup", backup.to_str().unwrap()]).status.success());
    std::fs::rename(backup, place.database()).unwrap();
    stops(&mut program, 74, "callout.db was removed or replaced").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_removed_is_not_written_any_more() {
    let sink = Sink::start().await;
    let (place, mut program) = at_work(&sink).await;
    std::fs::remove_file(place.database().with_extension("db-wal")).unwrap();
    stops(&mut program, 74, "callout.db-wal was removed or replaced").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_stops_when_a_newer_one_has_changed_the_schema() {
    let sink = Sink::start().await;
    let (place, mut program) = at_work(&sink).await;
    let newer = rusqlite::Connection::open(place.database()).unwrap();
    newer.execute("INSERT INTO callout_schema VALUES (99, 'newer', 0, 0)", []).unwrap();
    assert_eq!(program.ends().await, 78, "{}", program.said());
    assert!(program.said().contains("use a newer callout"), "{}", program.said());
    // Started again, it refuses at once.
    let mut again = Program::start(&place).await;
    assert!(again.address.is_none());
    assert_eq!(again.ends().await, 78);
}
