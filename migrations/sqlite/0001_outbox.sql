-- The outbox. `callout_message` is a public contract (docs/reference/outbox-table.md): any program may
-- insert into it, in its own transaction. All other tables belong to Callout.
--
-- Times are whole milliseconds since 1970, UTC. The message is written once and never updated; what
-- changes lives in narrow rows beside it, so that taking and settling work touches little. Words are
-- compared one by one, because SQLite builds a table for a longer IN list at every write.

CREATE TABLE callout_message (
    seq             INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE CHECK (length(id) = 36),
    level           TEXT NOT NULL CHECK (level = 'info' OR level = 'warning' OR level = 'error'
                       OR level = 'critical'),
    title           TEXT NOT NULL CHECK (title <> ''),
    body            TEXT NOT NULL DEFAULT '',
    details         TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(details)),
    idempotency_key TEXT CHECK (idempotency_key <> ''),
    dedup_key       TEXT CHECK (dedup_key <> ''),
    delay_ms        INTEGER CHECK (delay_ms >= 0),
    ttl_ms          INTEGER CHECK (ttl_ms > 0),
    created_at      INTEGER NOT NULL CHECK (created_at BETWEEN 0 AND 253402300799999),
    checksum        INTEGER
) STRICT;

CREATE UNIQUE INDEX callout_message_idempotency ON callout_message (idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Where each message stands, seen over all its deliveries.
CREATE TABLE callout_progress (
    seq        INTEGER PRIMARY KEY REFERENCES callout_message (seq) ON DELETE CASCADE,
    state      TEXT NOT NULL
               CHECK (state = 'new' OR state = 'pending' OR state = 'accepted'
                       OR state = 'dead' OR state = 'cancelled' OR state = 'expired'),
    why        TEXT,
    settled_at INTEGER,
    CHECK ((settled_at IS NULL) = (state IN ('new', 'pending')))
) STRICT;

CREATE INDEX callout_progress_open ON callout_progress (state, seq) WHERE state <> 'accepted';

CREATE TRIGGER callout_message_is_new AFTER INSERT ON callout_message
BEGIN
    INSERT INTO callout_progress (seq, state) VALUES (new.seq, 'new');
END;

-- The obligation to get one message to one receiver.
CREATE TABLE callout_delivery (
    id          INTEGER PRIMARY KEY,
    message_seq INTEGER NOT NULL REFERENCES callout_message (seq) ON DELETE CASCADE,
    receiver    TEXT NOT NULL,
    urgency     INTEGER NOT NULL CHECK (urgency BETWEEN 0 AND 3),
    expires_at  INTEGER NOT NULL,
    state       TEXT NOT NULL
                CHECK (state = 'ready' OR state = 'leased' OR state = 'accepted'
                       OR state = 'dead' OR state = 'expired' OR state = 'cancelled'),
    -- Where in the receiver's chain.
    channel     TEXT NOT NULL,
    attempt     INTEGER NOT NULL DEFAULT 0,
    failover_at INTEGER,
    round       INTEGER NOT NULL DEFAULT 0,
    plain       INTEGER NOT NULL DEFAULT 0 CHECK (plain IN (0, 1)),
    soft        INTEGER NOT NULL DEFAULT 0 CHECK (soft IN (0, 1)),
    tries       INTEGER NOT NULL DEFAULT 0,
    -- While it is ready; while it is leased, when and why it had become due.
    ready_at    INTEGER NOT NULL,
    wait        TEXT NOT NULL,
    -- While it is leased.
    lease_owner TEXT,
    lease_token INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    leased_at   INTEGER,
    -- Once it is over.
    ended_at    INTEGER,
    cause       TEXT,
    CHECK ((state = 'leased') = (lease_owner IS NOT NULL AND lease_until IS NOT NULL AND leased_at IS NOT NULL)),
    CHECK ((state IN ('ready', 'leased')) = (ended_at IS NULL)),
    CHECK ((state = 'dead') = (cause IS NOT NULL))
) STRICT;

CREATE INDEX callout_delivery_message ON callout_delivery (message_seq);
CREATE INDEX callout_delivery_ready ON callout_delivery (channel, urgency, ready_at)
    WHERE state = 'ready';
CREATE INDEX callout_delivery_failover ON callout_delivery (channel, failover_at)
    WHERE state = 'ready' AND failover_at IS NOT NULL;
CREATE INDEX callout_delivery_expiry ON callout_delivery (expires_at) WHERE state = 'ready';
CREATE INDEX callout_delivery_lease ON callout_delivery (lease_until) WHERE state = 'leased';

-- One try to hand a message to one channel, written when it ended. While it runs, the lease above is
-- its record; a worker that dies leaves that behind, and whoever takes over writes the try down.
CREATE TABLE callout_attempt (
    delivery_id INTEGER NOT NULL REFERENCES callout_delivery (id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    channel     TEXT NOT NULL,
    due_at      INTEGER NOT NULL,
    wait        TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    outcome     TEXT NOT NULL
                CHECK (outcome = 'accepted' OR outcome = 'throttled' OR outcome = 'transient'
                       OR outcome = 'rejected' OR outcome = 'unknown'),
    code        TEXT,
    detail      TEXT NOT NULL,
    late        INTEGER NOT NULL DEFAULT 0 CHECK (late IN (0, 1)),
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

-- How each channel fares, and when it was used lately (64-bit little-endian milliseconds).
CREATE TABLE callout_channel (
    name             TEXT PRIMARY KEY,
    sends            BLOB NOT NULL DEFAULT x'',
    throttled_until  INTEGER,
    failures         INTEGER NOT NULL DEFAULT 0,
    probe_at         INTEGER,
    last_accepted_at INTEGER,
    last_failed_at   INTEGER,
    last_failure     TEXT
) STRICT, WITHOUT ROWID;

-- Workers that run, or died without saying goodbye.
CREATE TABLE callout_worker (
    id         TEXT PRIMARY KEY,
    started_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What is neither an attempt nor to be seen from the rows above: replays, cancellations, quarantine,
-- and moves past a channel that could not be used.
CREATE TABLE callout_journal (
    id          INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    message_seq INTEGER REFERENCES callout_message (seq) ON DELETE CASCADE,
    event       TEXT NOT NULL,
    detail      TEXT NOT NULL
) STRICT;

CREATE INDEX callout_journal_message ON callout_journal (message_seq);

-- Counts by name, kept in the transactions that change them, so that statistics never scan history.
CREATE TABLE callout_counter (
    name TEXT PRIMARY KEY,
    n    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Foreign keys are off in most tools. A message that somebody deletes by hand takes everything along.
CREATE TRIGGER callout_message_is_gone AFTER DELETE ON callout_message
BEGIN
    DELETE FROM callout_attempt
     WHERE delivery_id IN (SELECT id FROM callout_delivery WHERE message_seq = old.seq);
    DELETE FROM callout_delivery WHERE message_seq = old.seq;
    DELETE FROM callout_journal WHERE message_seq = old.seq;
    DELETE FROM callout_progress WHERE seq = old.seq;
END;

-- For people who open the file with sqlite3.
CREATE VIEW callout_outbox AS
SELECT m.id, p.state, m.level, m.title,
       datetime(m.created_at / 1000, 'unixepoch') AS created_utc,
       datetime(p.settled_at / 1000, 'unixepoch') AS settled_utc,
       p.why
  FROM callout_message m JOIN callout_progress p USING (seq)
 ORDER BY m.seq DESC;

CREATE VIEW callout_deliveries AS
SELECT m.id AS message, d.receiver, d.state, d.channel, d.tries, d.wait, d.cause,
       datetime(d.ready_at / 1000, 'unixepoch') AS due_utc,
       datetime(d.ended_at / 1000, 'unixepoch') AS ended_utc,
       a.outcome AS last_outcome, a.code AS last_code, a.detail AS last_detail
  FROM callout_delivery d
  JOIN callout_message m ON m.seq = d.message_seq
  LEFT JOIN callout_attempt a ON a.delivery_id = d.id AND a.number = d.tries
 ORDER BY d.id DESC;
