//! The power fails while messages flow.
//!
//! The built program and applications run under a library that records what they write, sync, name and
//! delete (`tests/preload/record.c`). Afterwards the disk is built again as a loss of power may have left
//! it at some point: what was synced is there, and of the rest whatever chance keeps
//! ([`disk`]). On each such disk our store has to open, be sound, and hold all that had been acknowledged by
//! then, and on some of them a worker starts and has to deliver it.
//!
//! The images are drawn from a fixed seed, the recordings differ from run to run. A failure keeps the
//! recording and says how to build the image again. `CALLOUT_IMAGES=100000` makes it longer.

mod disk;
mod drain;
mod image;
mod produce;
mod program;
mod record;

use crate::crash::Dice;
use callout_client::rusqlite::config::DbConfig;
use callout_client::rusqlite::{Connection, OpenFlags};
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::schema::{NOTE_VERSION, SQLITE, VERSION_TABLE};
use disk::{Disk, Files};
use drain::Drain;
use image::Promised;
use produce::Application;
use program::Program;
use record::{Recording, Tape, scratch};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Images of all recordings together.
const IMAGES: u64 = 5_100;
const SEED: u64 = 0x5a17_ab1e;
/// One image of so many gets a worker.
const DRAIN_EVERY: u64 = 50;

/// How many images a test builds, given its share of all of them in percent.
fn images(percent: u64) -> u64 {
    let all = std::env::var("CALLOUT_IMAGES").ok().and_then(|n| n.parse().ok());
    all.unwrap_or(IMAGES) * percent / 100
}

/// The dice of image `n`; the first roll is where the power fails.
fn dice(n: u64) -> Dice {
    Dice(SEED ^ n.wrapping_mul(0x2545_f491_4f6c_dd1d))
}

/// How many entries of the record have happened when the power fails.
fn point(n: u64, tape: &Tape) -> usize {
    usize::try_from(dice(n).roll(tape.entries.len() as u64 + 1)).unwrap()
}

/// A disk after a loss of power, and how long the record was then.
fn after_power_loss(n: u64, point: usize, tape: &Tape, disk: &Disk<'_>) -> (u64, Files) {
    let mut dice = dice(n);
    dice.roll(1);
    let at = point.checked_sub(1).map_or(0, |last| tape.entries[last].0);
    (at, disk.after_power_loss(&mut dice))
}

fn write(files: &Files, folder: &Path) {
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

/// Builds images of the recording and calls `visit` with each, in a folder of its own.
async fn each_image(
    tape: &Tape,
    images: impl IntoIterator<Item = u64>,
    mut visit: impl AsyncFnMut(u64, Promised<'_>, &Path),
) {
    let mut points: Vec<(usize, u64)> = images.into_iter().map(|n| (point(n, tape), n)).collect();
    points.sort_unstable();
    let (mut disk, mut applied) = (Disk::new(tape), 0);
    for (point, n) in points {
        tape.entries[applied..point].iter().for_each(|(_, entry)| disk.apply(entry));
        applied = point;
        let (at, files) = after_power_loss(n, point, tape, &disk);
        let folder = scratch();
        write(&files, folder.path());
        visit(n, Promised::by(at, &tape.notes), folder.path()).await;
    }
}

/// The record is whole: all of it together makes the files that are there.
fn expect_whole(tape: &Tape) {
    let mut disk = Disk::new(tape);
    tape.entries.iter().for_each(|(_, entry)| disk.apply(entry));
    let seen = disk.seen();
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&seen), names(&tape.after), "the record misses names");
    let differs =
        |(name, bytes): (&String, &Vec<u8>)| (tape.after[name] != *bytes).then(|| name.clone());
    assert_eq!(
        seen.iter().filter_map(differs).collect::<Vec<_>>(),
        [""; 0],
        "the record misses writes"
    );
}

/// Everything promised is on every disk that the recording can leave behind.
#[expect(clippy::print_stdout, reason = "how much it looked at belongs to the result")]
async fn keeps_its_promises(mut recording: Recording, percent: u64) {
    let tape = recording.read();
    expect_whole(&tape);
    let (drain, mut failed, mut kept) = (Drain::new(), Vec::new(), 0);
    each_image(&tape, 0..images(percent), async |n, promised, folder| {
        kept += promised.accepted.len();
        if let Err(error) = look(n, &promised, folder, &drain).await {
            failed.push(format!("image {n}: {error}"));
        }
    })
    .await;
    println!(
        "{} images of {} changes, {kept} messages to lose",
        images(percent),
        tape.entries.len()
    );
    if let Some(first) = failed.first() {
        let kept = recording.keep().display().to_string();
        let n = first.split([' ', ':']).nth(1).unwrap();
        panic!(
            "{} of {} images are wrong. {first}\nThe recording is in {kept}. To build this image again: \
             CALLOUT_RECORDING={kept} CALLOUT_IMAGE={n} cargo test -p callout-tests --test it -- \
             --nocapture power::one_image_again",
            failed.len(),
            images(percent)
        );
    }
    assert!(kept > 0, "the test has to have something to lose");
}

async fn look(n: u64, promised: &Promised<'_>, folder: &Path, drain: &Drain) -> Result<(), String> {
    let store = image::open(folder, promised)?;
    if n.is_multiple_of(DRAIN_EVERY) {
        drain.run(folder, store, promised).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_image_again() {
    let variables = ["CALLOUT_RECORDING", "CALLOUT_IMAGE"].map(std::env::var);
    let [Ok(recording), Ok(n)] = variables else {
        return println!("skipped: CALLOUT_RECORDING and CALLOUT_IMAGE name no image");
    };
    let tape = Tape::read(Path::new(&recording));
    each_image(&tape, [n.parse().unwrap()], async |n, promised, folder| {
        let copy = PathBuf::from(format!("{recording}/image-{n}"));
        std::fs::create_dir_all(&copy).unwrap();
        write(&record::files(folder), &copy);
        println!("image {n} is in {}, after change {}", copy.display(), point(n, &tape));
        println!("{:?}", look(0, &promised, folder, &Drain::new()).await);
    })
    .await;
}

/// The messages that are there, whoever is working on them.
fn present(database: &Path) -> BTreeSet<String> {
    let connection =
        Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = connection.prepare("SELECT id FROM callout_message").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_folder_becomes_an_outbox() {
    let recording = Recording::new();
    let program = Program::new(&recording).await;
    program.send(1).await;
    let served = program.serve().await;
    let application = Application::Outbox.start(&recording);
    for n in 0..25 {
        served.post(&produce::body(n), "").await;
    }
    program.send(2).await;
    assert!(application.wait_with_output().await.unwrap().status.success());
    served.stop().await;
    program.send(3).await;
    keeps_its_promises(recording, 19).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_creates_its_outbox() {
    let recording = Recording::new();
    Application::Outbox.run(&recording).await;
    Application::Outbox.run(&recording).await;
    keeps_its_promises(recording, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_copied_back_again_and_again() {
    let recording = Recording::new();
    Application::Connection("wal", "FULL").run(&recording).await;
    keeps_its_promises(recording, 18).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_the_program_grows_until_it_is_copied_back() {
    let recording = Recording::new();
    let program = Program::new(&recording).await;
    let served = program.serve().await;
    let body = "long ".repeat(3_200);
    for _ in 0..200 {
        served.post(&body, "").await;
    }
    served.stop().await;
    keeps_its_promises(recording, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_delivered_acknowledged_and_pruned() {
    let recording = Recording::new();
    let witness = recording.witness();
    let program = Program::new(&recording).await;
    let served = program.serve().await;
    let mut ids = Vec::new();
    for n in 0..30 {
        let more = if n % 3 == 0 { r#","require_ack":true"# } else { "" };
        ids.push(served.post(&produce::body(n), more).await);
    }
    program.sink.has_received("hook", ids.len()).await;
    for id in ids.iter().step_by(6) {
        served.ack(id).await;
    }
    let asked_at = witness.now();
    program.run(&["prune", "--accepted-before", "0s", "--yes"]).await;
    let (present, done_at) = (present(&recording.database()), witness.now());
    // Not only ours: the program tells the operator what became of some of them.
    let known: BTreeSet<String> =
        recording.read().notes.into_iter().filter(|n| n.at <= done_at).map(|n| n.name).collect();
    for id in known.difference(&present) {
        witness.note_at(asked_at, "may be gone", id, "");
        witness.note_at(done_at, "gone", id, "");
    }
    assert!(present.len() < ids.len(), "something was deleted");
    for n in 0..10 {
        served.post(&produce::body(n), "").await;
    }
    served.stop().await;
    keeps_its_promises(recording, 19).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_are_made_while_messages_flow() {
    let recording = Recording::new();
    let program = Program::new(&recording).await;
    let served = program.serve().await;
    served.post("the first one", "").await;
    let flow = async {
        for n in 0..30 {
            served.post(&produce::body(n), "").await;
        }
    };
    let backups = async {
        for name in ["monday.db", "tuesday.db", "wednesday.db"] {
            program.back_up(name).await;
        }
    };
    tokio::join!(flow, backups);
    served.stop().await;
    keeps_its_promises(recording, 14).await;
}

/// An outbox as the first release made it, which was killed: what it wrote last is in the log.
fn outbox_of_the_first_release(recording: &Recording, messages: usize) {
    let connection = Connection::open(recording.database()).unwrap();
    for (name, value) in
        [("auto_vacuum", "INCREMENTAL"), ("journal_mode", "WAL"), ("synchronous", "FULL")]
    {
        connection.pragma_update(None, name, value).unwrap();
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    let first = SQLITE[0];
    connection.execute_batch(VERSION_TABLE).unwrap();
    connection.execute_batch(first.sql).unwrap();
    connection.execute(NOTE_VERSION, (first.version, first.name, first.checksum(), 0)).unwrap();
    for n in 0..messages {
        let (id, body) = (format!("0199d3a2-7f5e-7c3a-9a4b-{n:012x}"), produce::body(n));
        let created_at = SystemClock.now().unix_ms();
        let row = "INSERT INTO callout_message (id, level, title, body, created_at)
                   VALUES (?1, 'error', 'of the first release', ?2, ?3)";
        connection.execute(row, (&id, &body, created_at)).unwrap();
        recording.witness().note_at(0, "accepted", &id, &body);
    }
    drop(connection);
    recording.begin();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outbox_of_the_first_release_is_brought_up_to_date() {
    let recording = Recording::new();
    outbox_of_the_first_release(&recording, 60);
    let program = Program::new(&recording).await;
    program.run(&["migrate"]).await;
    recording.witness().note("migrated", "", "");
    program.send(1).await;
    keeps_its_promises(recording, 11).await;
}

/// The other journals of SQLite, as far as the client takes them for durable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_keeps_another_journal() {
    for (journal, synchronous) in [("truncate", "FULL"), ("persist", "FULL"), ("delete", "EXTRA")] {
        let recording = Recording::new();
        Application::Connection(journal, synchronous).run(&recording).await;
        keeps_its_promises(recording, 3).await;
    }
}

/// The share of images, in percent, that have lost messages which `application` took for committed.
#[expect(clippy::print_stdout, reason = "how much it looked at belongs to the result")]
async fn losses(application: Application) -> usize {
    let recording = Recording::new();
    application.run(&recording).await;
    let tape = recording.read();
    expect_whole(&tape);
    let (mut images, mut losses) = (0, 0);
    each_image(&tape, 0..100, async |_, promised, folder| {
        images += 1;
        let left = image::open(folder, &promised);
        losses += usize::from(left.is_err_and(|e| e.ends_with("messages are lost")));
    })
    .await;
    println!("{application:?}: {losses} of {images} images have lost messages");
    losses * 100 / images
}

/// If this finds nothing, the tests above find nothing either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_client_refuses_as_not_durable_loses_messages() {
    assert!(losses(Application::Connection("wal", "NORMAL")).await > 25);
    assert!(losses(Application::Connection("delete", "FULL")).await > 2);
}
