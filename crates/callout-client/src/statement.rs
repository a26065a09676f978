//! The statement that enqueues, for drivers this crate does not know.
//!
//! No driver appears here. What a caller runs with it is the table's public contract, so the caller
//! keeps the duties the rest of this crate takes over: a durable connection, and a look at who holds
//! the idempotency key if nothing was inserted.

use callout_core::id::MessageId;
use callout_core::message::{Invalid, Message};
use callout_store::clock;
use callout_store::enqueue::{self, Row, Value};

/// One message as one INSERT, with its values.
///
/// ```
/// use callout_client::{Level, Message, Statement, Value};
///
/// let message = Message::new(Level::Warning, "Disk almost full").with_label("host", "db-3");
/// let statement = Statement::new(&message)?;
///
/// // Bind the values in order, ?1 first, and run it once, in a transaction of your own.
/// assert!(statement.sql().contains("INSERT INTO callout_message"));
/// let values = statement.values();
/// assert_eq!(values[1..4], [Value::Text("warning"), Value::Text("Disk almost full"), Value::Text("")]);
/// assert_eq!(values[4], Value::Text(r#"{"labels":{"host":"db-3"}}"#));
/// # assert_eq!(values[0], Value::Text(&statement.id().to_string()));
/// # Ok::<(), callout_client::Invalid>(())
/// ```
///
/// If it changed one row, the message is enqueued once your transaction commits. If it changed none, a
/// message with the same idempotency key is there already: fetch it with [`FIND_BY_KEY`] and ask
/// [`is_same_request`]. Run it on a connection with `synchronous=FULL` on a database in WAL mode, or
/// a loss of power may undo the commit.
///
/// [`FIND_BY_KEY`]: Statement::FIND_BY_KEY
/// [`is_same_request`]: Statement::is_same_request
#[derive(Clone, Debug)]
pub struct Statement {
    id: MessageId,
    row: Row,
}

impl Statement {
    /// Fetches the message that holds the idempotency key `?1`, columns in the order of [`Row`].
    pub const FIND_BY_KEY: &str = enqueue::FIND_BY_KEY;

    /// Checks `message` and gives it an id and a time.
    ///
    /// # Errors
    /// The first limit that `message` breaks.
    pub fn new(message: &Message) -> Result<Self, Invalid> {
        let now = clock::now();
        let id = MessageId::new(now, clock::entropy());
        Ok(Self { id, row: Row::new(id, message, now)? })
    }

    /// The id the message will have.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// The INSERT, with the parameters `?1` and up.
    pub fn sql(&self) -> &'static str {
        enqueue::INSERT
    }

    /// What to bind, in order. A later release may have more.
    pub fn values(&self) -> Vec<Value<'_>> {
        self.row.values().to_vec()
    }

    /// Whether the message that holds the idempotency key asks for the same thing as this one.
    ///
    /// If so, this one is enqueued already, under the holder's id. If not, the key was used twice.
    pub fn is_same_request(&self, holder: &Row) -> bool {
        self.row.is_same_request(holder)
    }
}
