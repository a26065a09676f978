//! One disk after a loss of power: what was promised has to be on it.

use super::record::Note;
use callout_client::rusqlite::{Connection, OpenFlags, params_from_iter};
use callout_core::time::Timestamp;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::{Create, SqliteStore};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What had been promised by some point of a recording.
#[derive(Default)]
pub(super) struct Promised<'a> {
    /// Messages that were acknowledged to whoever enqueued them, with their bodies.
    pub(super) accepted: BTreeMap<&'a str, &'a str>,
    /// Alerts of which somebody has heard that they have them, with who.
    acked: BTreeMap<&'a str, &'a str>,
    /// Messages that have reached the provider.
    pub(super) sent: BTreeSet<&'a str>,
    /// Messages that may have been deleted, because they were over and somebody asked for it.
    may_be_gone: BTreeSet<&'a str>,
    /// Messages of which somebody has heard that they were deleted.
    gone: BTreeSet<&'a str>,
    /// Finished backups, with the messages that were there before they began.
    backups: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
    is_migrated: bool,
}

impl<'a> Promised<'a> {
    pub(super) fn by(at: u64, notes: &'a [Note]) -> Self {
        let mut promised = Self::default();
        let mut begun = BTreeMap::new();
        for note in notes.iter().filter(|note| note.at <= at) {
            let (name, more) = (note.name.as_str(), note.more.as_str());
            match note.what.as_str() {
                "accepted" => drop(promised.accepted.insert(name, more)),
                "acked" => drop(promised.acked.insert(name, more)),
                "sent" => drop(promised.sent.insert(name)),
                "may be gone" => drop(promised.may_be_gone.insert(name)),
                "gone" => drop(promised.gone.insert(name)),
                "backup begun" => drop(begun.insert(name, promised.accepted.clone())),
                "backup done" => {
                    drop(promised.backups.insert(name, begun.remove(name).unwrap()));
                }
                "migrated" => promised.is_migrated = true,
                other => panic!("nobody promises {other}"),
            }
        }
        promised
    }

    fn is_anything(&self) -> bool {
        !self.accepted.is_empty() || self.is_migrated
    }

    /// Those that somebody has to hear of.
    pub(super) fn undeleted(&self) -> impl Iterator<Item = &'a str> {
        self.accepted.keys().copied().filter(|id| !self.may_be_gone.contains(id))
    }
}

/// Opens what is left in `folder` as a program that starts would, and looks for all that was promised.
pub(super) fn open(folder: &Path, promised: &Promised<'_>) -> Result<SqliteStore, String> {
    let database = folder.join("callout.db");
    if promised.is_migrated {
        let steps = SqliteStore::schema_steps(&database).map_err(|e| e.to_string())?;
        if steps.iter().any(|step| !step.applied) {
            return Err("the schema was brought up to date, and is not".to_owned());
        }
    }
    let create = if promised.is_anything() { Create::Never } else { Create::IfMissing };
    let store = SqliteStore::open(&database, create, now())
        .map_err(|e| format!("the database cannot be opened: {e}"))?;
    let connection = plain(&database)?;
    is_sound(&connection)?;
    holds(&connection, &promised.accepted, promised)?;
    knows_what_was_done(&connection, promised)?;
    for (name, messages) in &promised.backups {
        let backup = plain(&folder.join(name)).map_err(|e| format!("backup {name}: {e}"))?;
        let sound = is_sound(&backup).and_then(|()| holds(&backup, messages, &Promised::default()));
        sound.map_err(|e| format!("backup {name}: {e}"))?;
    }
    Ok(store)
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn plain(path: &Path) -> Result<Connection, String> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(words)
}

#[expect(clippy::needless_pass_by_value, reason = "that is what map_err gives")]
fn words(error: callout_client::rusqlite::Error) -> String {
    error.to_string()
}

fn is_sound(connection: &Connection) -> Result<(), String> {
    let check = |sql| connection.query_row(sql, [], |row| row.get::<_, String>(0));
    let found = check("PRAGMA integrity_check(1)").map_err(words)?;
    if found != "ok" {
        return Err(format!("the database is damaged: {found}"));
    }
    let mut astray = connection.prepare("PRAGMA foreign_key_check").map_err(words)?;
    match astray.exists([]).map_err(words)? {
        true => Err("a row has lost the one it belongs to".to_owned()),
        false => Ok(()),
    }
}

/// Every message is there, byte by byte, and every row stands somewhere, so a worker will find it.
fn holds(
    connection: &Connection,
    messages: &BTreeMap<&str, &str>,
    promised: &Promised<'_>,
) -> Result<(), String> {
    let mut statement = connection
        .prepare(
            "SELECT m.id, m.body,
                    CASE WHEN p.seq IS NULL AND m.seq > coalesce(
                             (SELECT min(n) FROM callout_counter WHERE name LIKE 'planned%'),
                             m.seq - 1)
                         THEN 'new' ELSE p.state END
               FROM callout_message m LEFT JOIN callout_progress p ON p.seq = m.seq",
        )
        .map_err(words)?;
    let mut rows = statement.query([]).map_err(words)?;
    let mut found = 0;
    while let Some(row) = rows.next().map_err(words)? {
        let text = |n| row.get_ref(n).map_err(words)?.as_str().map_err(|e| e.to_string());
        let (id, body) = (text(0)?, text(1)?);
        text(2).map_err(|_| format!("nobody knows where message {id} stands"))?;
        if promised.gone.contains(id) {
            return Err(format!("message {id} had been deleted and is back"));
        }
        match messages.get(id) {
            Some(wanted) if *wanted == body => {
                found += usize::from(!promised.may_be_gone.contains(id))
            }
            Some(_) => return Err(format!("message {id} is another one")),
            None => {} // It may have been written although nobody had heard so yet.
        }
    }
    let wanted = messages.keys().filter(|id| !promised.may_be_gone.contains(*id)).count();
    match wanted - found {
        0 => Ok(()),
        lost => Err(format!("{lost} of {wanted} acknowledged messages are lost")),
    }
}

/// Who has an alert is known, and so is every attempt that has been begun.
fn knows_what_was_done(connection: &Connection, promised: &Promised<'_>) -> Result<(), String> {
    let is_known = |sql, values: &[&str]| -> Result<bool, String> {
        let mut statement = connection.prepare_cached(sql).map_err(words)?;
        statement.exists(params_from_iter(values)).map_err(words)
    };
    let stays = |id: &&str| !promised.may_be_gone.contains(id);
    for (id, who) in promised.acked.iter().filter(|(id, _)| stays(id)) {
        let known = "
            SELECT 1 FROM callout_alert a JOIN callout_message m ON m.seq = a.seq
             WHERE m.id = ?1 AND a.state = 'acknowledged' AND a.acked_by = ?2";
        if !is_known(known, &[id, who])? {
            return Err(format!("{who} has alert {id}, and nobody knows any more"));
        }
    }
    for id in promised.sent.iter().filter(|id| stays(id)) {
        let begun = "
            SELECT 1 FROM callout_delivery d JOIN callout_message m ON m.seq = d.message_seq
             WHERE m.id = ?1 AND d.lease_token > 0";
        if !is_known(begun, &[id])? {
            return Err(format!("message {id} was sent, and nobody knows any more"));
        }
    }
    Ok(())
}
