//! Applications that enqueue by themselves, in processes of their own.
//!
//! A recording needs a process that starts with the recording library, so a test makes one of the test
//! program itself: [`an_application_enqueues`] with [`Application`] in its environment.

use super::record::{Recording, Witness};
use callout_client::rusqlite::{Connection, TransactionBehavior};
use callout_client::{Level, Message, MessageId, Outbox, enqueue, enqueue_best_effort};

const NAME: &str = "CALLOUT_POWER_APPLICATION";

/// How an application enqueues.
#[derive(Clone, Copy, Debug)]
pub(super) enum Application {
    /// Through an outbox that it opens, or creates.
    Outbox,
    /// Over a connection of its own, with this `journal_mode` and `synchronous`. A write-ahead log is
    /// copied back every few commits.
    Connection(&'static str, &'static str),
}

impl Application {
    const ALL: [Self; 7] = [
        Self::Outbox,
        Self::Connection("wal", "FULL"),
        Self::Connection("wal", "NORMAL"),
        Self::Connection("truncate", "FULL"),
        Self::Connection("persist", "FULL"),
        Self::Connection("delete", "EXTRA"),
        Self::Connection("delete", "FULL"),
    ];

    /// Starts it, under the recording library.
    pub(super) fn start(self, recording: &Recording) -> tokio::process::Child {
        tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "power::produce::an_application_enqueues"])
            .envs(recording.environment())
            .env(NAME, format!("{self:?}"))
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Runs it to its end.
    pub(super) async fn run(self, recording: &Recording) {
        assert!(self.start(recording).wait().await.unwrap().success());
    }

    fn act(self, witness: &Witness) {
        match self {
            Self::Outbox => through_an_outbox(witness, 40),
            Self::Connection("wal", synchronous) => {
                over_a_connection(witness, 120, "wal", synchronous);
            }
            Self::Connection(journal, synchronous) => {
                over_a_connection(witness, 20, journal, synchronous);
            }
        }
    }
}

#[test]
fn an_application_enqueues() {
    if let Some(witness) = Witness::of_environment() {
        let named = std::env::var(NAME).unwrap();
        let known = Application::ALL.into_iter().find(|one| format!("{one:?}") == named);
        return known.unwrap().act(&witness);
    }
    // By itself, nothing is recorded; the messages have to be there all the same.
    for application in Application::ALL {
        let recording = Recording::new();
        application.act(&recording.witness());
        let wanted = recording.read().notes.len();
        let found = Connection::open(recording.database()).unwrap().query_row(
            "SELECT count(*) FROM callout_message",
            [],
            |row| row.get::<_, i64>(0),
        );
        assert_eq!(usize::try_from(found.unwrap()).unwrap(), wanted);
    }
}

/// Text of some length between nothing and a few pages.
pub(super) fn body(n: usize) -> String {
    format!("message {n}: ").repeat(n * 37 % 700)
}

fn message(n: usize) -> Message {
    Message::new(Level::Warning, format!("message {n}")).with_body(body(n))
}

fn accepted(witness: &Witness, id: MessageId, n: usize) {
    witness.note("accepted", &id.to_string(), &body(n));
}

fn through_an_outbox(witness: &Witness, messages: usize) {
    let mut outbox = Outbox::create(witness.database()).unwrap();
    for n in 0..messages {
        accepted(witness, outbox.enqueue(&message(n)).unwrap().id, n);
    }
    let several: Vec<Message> = (0..5).map(message).collect();
    for (n, receipt) in outbox.enqueue_all(&several).unwrap().iter().enumerate() {
        accepted(witness, receipt.id, n);
    }
}

fn over_a_connection(witness: &Witness, messages: usize, journal: &str, synchronous: &str) {
    drop(Outbox::create(witness.database()).unwrap());
    let mut connection = Connection::open(witness.database()).unwrap();
    connection.pragma_update(None, "journal_mode", journal).unwrap();
    connection.pragma_update(None, "synchronous", synchronous).unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 40).unwrap();
    let is_durable = callout_client::check(&connection).is_ok();
    for n in 0..messages {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        let enqueued = match is_durable {
            true => enqueue(&tx, &message(n)),
            false => enqueue_best_effort(&tx, &message(n)),
        };
        tx.commit().unwrap();
        accepted(witness, enqueued.unwrap().id, n);
    }
}
