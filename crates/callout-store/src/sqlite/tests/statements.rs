//! Every statement prepares, and the hot ones use their indexes.

use super::super::{
    alert, alert_stats, answer, attempt, body, channel, claim, command, connection, counter,
    delivery, enqueue, escalate, fill, journal, lease, list, mark, migrate, news, plan, prune,
    rebase, report, stats, story, tend, unplanned, watch,
};
use super::{path, store};
use crate::alert::FIND_ALERT;
use crate::enqueue::{FIND_BY_KEY, INSERT};
use expect_test::expect_file;
use rusqlite::Connection;

/// Every statement; those whose plan matters come with a name.
const STATEMENTS: &[(&str, &str)] = &[
    ("", INSERT),
    ("find by idempotency key", FIND_BY_KEY),
    ("find the alert of a message", FIND_ALERT),
    ("latest alert of a dedup key", alert::LATEST_OF_KEY),
    ("successor of an alert", alert::SUCCESSOR),
    ("", alert::SUCCEED),
    ("look at an escalation", alert::LOOK),
    ("alert of a problem", alert::OF_PROBLEM),
    ("", alert::OPEN),
    ("alert of a message", alert::READ),
    ("", alert::REPEAT),
    ("alerts that wait", alert::SHIFT),
    ("", alert::STATE),
    ("steps of an alert", alert::STEPS),
    ("", alert::STOP),
    ("", alert::REMOVE),
    ("a telling of an alert", alert::TELLING),
    ("who was told", alert::TOLD),
    ("what waits of an alert", alert::WAITING),
    ("change an alert", alert::WRITE),
    ("count exhausted alerts", alert_stats::EXHAUSTED),
    ("count alerts in a state", alert_stats::IN_STATE),
    ("latest alerts", alert_stats::LATEST),
    ("alert by message id", answer::FIND),
    ("tries of a delivery", attempt::OF_DELIVERY),
    ("the latest tries", attempt::LATEST),
    ("one try", attempt::READ),
    ("", attempt::WRITE),
    ("how far it has come", mark::REACHED),
    ("", body::QUARANTINE),
    ("message of a delivery", body::READ),
    ("", body::REMAINS),
    ("", channel::BLOCKED),
    ("", channel::NAMES),
    ("", channel::READ),
    ("", channel::WRITE),
    ("due deliveries of a channel and urgency", claim::DUE),
    ("deliveries that wait for a channel", claim::WAITING),
    ("next delivery of a channel and urgency", claim::NEXT_READY),
    ("", command::CANCEL_NEW),
    ("message by id", command::FIND),
    ("", command::PLAN_AGAIN),
    ("", command::PROLONG),
    ("", counter::ADD),
    ("", counter::READ),
    ("move a delivery", delivery::MOVE),
    ("", delivery::MEND),
    ("", delivery::PROGRESS),
    ("", delivery::READ),
    ("", delivery::SET_PROGRESS),
    ("move a delivery along with the clock", delivery::SHIFT),
    ("", delivery::SET_ASIDE),
    ("a message's deliveries are all accepted", delivery::ALL_ACCEPTED),
    ("states of a message's deliveries", delivery::STANDINGS),
    ("", enqueue::HOLDER_OF_ID),
    ("holder of an idempotency key", enqueue::HOLDER_OF_KEY),
    ("escalations ahead of the clock", escalate::AHEAD),
    ("", escalate::DECIDE),
    ("due escalations", escalate::DUE),
    ("first escalation", escalate::FIRST),
    ("deliveries of a decision", escalate::STANDINGS),
    ("", fill::DELIVERY),
    ("", journal::NOTE),
    ("", lease::FORGET),
    ("leases of a worker", lease::LEASES_OF),
    ("", lease::REGISTER),
    ("", lease::WORKERS),
    ("list, newest first", list::ALL),
    ("deliveries of a message", list::DELIVERIES),
    ("list exhausted alerts, newest first", list::EXHAUSTED),
    ("list in a state, newest first", list::IN_STATE),
    ("list unplanned ones, newest first", list::UNPLANNED),
    ("list alerts in a state, newest first", list::WITH_ALERT),
    ("find by prefix", list::WITH_PREFIX),
    ("", migrate::HAS_VERSIONS),
    ("", migrate::VERSIONS),
    ("receipts of an alert on a channel", news::RECEIPTS),
    ("", news::TIE),
    ("what news are about", news::TIED),
    ("", plan::INSERT),
    ("", plan::PLANNED),
    ("tries of a message", prune::ATTEMPTS),
    ("", prune::DELETE),
    ("", prune::DELIVERIES),
    ("oldest messages", prune::OLDEST),
    ("", prune::ROOM),
    ("", prune::SHRINK),
    ("waiting deliveries of a channel and urgency", rebase::AHEAD),
    ("", rebase::DROP),
    ("waiting deliveries, earliest expiry first", rebase::EARLIEST_FIRST),
    ("waiting deliveries, latest expiry first", rebase::LATEST_FIRST),
    ("leases that end after a time", rebase::LEASED),
    ("", rebase::NOTE),
    ("a number", rebase::NUMBER),
    ("what is noted about the clock", rebase::NUMBERS),
    ("last words", report::LAST_WORDS),
    ("", stats::CHANNELS),
    ("latest deliveries", stats::LATEST),
    ("journal of a message", story::JOURNAL),
    ("story by id", story::READ),
    ("expired deliveries", tend::EXPIRED),
    ("ended leases", tend::LEASE_ENDED),
    ("leases without an end", tend::LEASE_WITHOUT_END),
    ("next waiting channel", tend::NEXT_CHANNEL),
    ("next expiry", tend::NEXT_EXPIRY),
    ("next failover", tend::NEXT_FAILOVER),
    ("next lease end", tend::NEXT_LEASE_END),
    ("deliveries of a removed channel", tend::OF_CHANNEL),
    ("overdue deliveries", tend::OVERDUE),
    ("count new messages", unplanned::COUNT),
    ("new messages", unplanned::NEXT),
    ("new messages that were put back", unplanned::PUT_BACK),
    ("oldest new message", unplanned::OLDEST),
    ("", unplanned::REACH),
    ("how far planning has come", unplanned::REACHED),
    ("count many new messages", unplanned::SPAN),
    ("what is new", watch::LATEST),
];

#[test]
fn every_statement_prepares() {
    let (folder, _store) = store();
    let connection = Connection::open(path(&folder)).unwrap();
    for (_, sql) in STATEMENTS {
        connection.prepare(sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
    }
}

#[test]
fn no_statement_is_missing_above() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sqlite");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sources =
        files.filter(|file| file.is_file()).map(|file| std::fs::read_to_string(file).unwrap());
    let declared: usize = sources
        .map(|source| {
            let is_statement =
                |line: &&str| line.starts_with("pub(super) const ") && line.contains(": &str =");
            source.lines().filter(is_statement).count()
        })
        .sum();
    // Three of them are public contracts, in files of their own.
    assert_eq!(declared, STATEMENTS.len() - 3);
}

#[test]
fn hot_statements_use_their_indexes() {
    let (folder, _store) = store();
    let connection = connection::reader(&path(&folder)).unwrap();
    let mut plans = String::new();
    for (name, sql) in STATEMENTS.iter().filter(|(name, _)| !name.is_empty()) {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3));
        plans += &format!("{name}\n");
        for step in steps {
            let step = step.unwrap();
            assert!(!step.contains("TEMP B-TREE"), "{name}: {step}");
            plans += &format!("    {step}\n");
        }
    }
    expect_file!["./query_plans.txt"].assert_eq(&plans);
}
