-- Alerts: messages that somebody has to acknowledge, and who is told next if nobody does.
--
-- The table of where messages stand is written anew because of one more word in its CHECK. It is never
-- renamed: a rename reads every view of the database, and those of an application may be broken.

CREATE TABLE callout_progress_before_alerts AS SELECT seq, state, why, settled_at FROM callout_progress;

DROP TABLE callout_progress;

CREATE TABLE callout_progress (
    seq        INTEGER PRIMARY KEY REFERENCES callout_message (seq) ON DELETE CASCADE,
    state      TEXT NOT NULL
               CHECK (state = 'new' OR state = 'pending' OR state = 'accepted' OR state = 'merged'
                       OR state = 'dead' OR state = 'cancelled' OR state = 'expired'),
    why        TEXT,
    settled_at INTEGER,
    -- The message of the alert that it was counted with, joined or resolved.
    alert      INTEGER,
    -- When it was put back to be planned again.
    again_at   INTEGER,
    CHECK ((settled_at IS NULL) = (state IN ('new', 'pending'))),
    CHECK (state <> 'merged' OR alert IS NOT NULL)
) STRICT;

INSERT INTO callout_progress (seq, state, why, settled_at)
SELECT seq, state, why, settled_at FROM callout_progress_before_alerts;

DROP TABLE callout_progress_before_alerts;

CREATE INDEX callout_progress_open ON callout_progress (state, seq) WHERE state <> 'accepted';
CREATE INDEX callout_progress_alert ON callout_progress (alert)
    WHERE state = 'pending' AND alert IS NOT NULL;

-- Which decision of the message's alert told this receiver; NULL if nobody has to acknowledge it.
ALTER TABLE callout_delivery ADD COLUMN decision INTEGER;

-- Where each alert stands, by its message.
CREATE TABLE callout_alert (
    seq            INTEGER PRIMARY KEY REFERENCES callout_message (seq) ON DELETE CASCADE,
    level          TEXT NOT NULL CHECK (level = 'info' OR level = 'warning' OR level = 'error'
                      OR level = 'critical'),
    dedup_key      TEXT,
    state          TEXT NOT NULL
                   CHECK (state = 'open' OR state = 'acknowledged' OR state = 'resolved'),
    -- Who brought it into that state, when, and on which way.
    by             TEXT,
    at             INTEGER,
    via            TEXT,
    -- The acknowledgment, which outlives a resolution.
    acked_by       TEXT,
    acked_at       INTEGER,
    -- How often it was opened again after it had been resolved.
    epoch          INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    opened_at      INTEGER NOT NULL,
    -- Whom to tell when: a copy, so that no edit changes what is under way.
    policy         TEXT NOT NULL,
    -- The latest decision about whom to tell, and when the next one is due.
    timer          TEXT NOT NULL
                   CHECK (timer = 'waiting' OR timer = 'stopped' OR timer = 'exhausted'),
    decision       INTEGER NOT NULL CHECK (decision > 0),
    step           INTEGER NOT NULL CHECK (step >= 0),
    round          INTEGER NOT NULL CHECK (round >= 0),
    cause          TEXT NOT NULL,
    since          INTEGER NOT NULL,
    late_ms        INTEGER NOT NULL CHECK (late_ms >= 0),
    due_at         INTEGER,
    -- When to look at it: when the next decision is due, or at once because nobody could be reached.
    look_at        INTEGER,
    -- The same problem, reported again.
    repeats        INTEGER NOT NULL DEFAULT 0,
    last_repeat_at INTEGER,
    -- The message of the alert that took its place.
    successor      INTEGER,
    CHECK ((state = 'open') = (by IS NULL)),
    CHECK ((state = 'open') = (at IS NULL)),
    CHECK ((state = 'open') = (via IS NULL)),
    CHECK ((acked_by IS NULL) = (acked_at IS NULL)),
    CHECK (state <> 'acknowledged' OR acked_at IS NOT NULL),
    CHECK (state <> 'open' OR acked_at IS NULL),
    CHECK (state = 'open' OR timer = 'stopped'),
    CHECK ((timer = 'waiting') = (due_at IS NOT NULL)),
    CHECK ((timer = 'waiting') = (look_at IS NOT NULL)),
    CHECK ((repeats = 0) = (last_repeat_at IS NULL))
) STRICT;

CREATE UNIQUE INDEX callout_alert_problem ON callout_alert (dedup_key)
    WHERE state <> 'resolved' AND dedup_key IS NOT NULL;
CREATE INDEX callout_alert_key ON callout_alert (dedup_key) WHERE dedup_key IS NOT NULL;
CREATE INDEX callout_alert_state ON callout_alert (state, seq);
CREATE INDEX callout_alert_exhausted ON callout_alert (seq) WHERE timer = 'exhausted';
CREATE INDEX callout_alert_look ON callout_alert (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX callout_alert_since ON callout_alert (since) WHERE look_at IS NOT NULL;

-- One decision about whom to tell, made once. Nobody: the escalation ended.
CREATE TABLE callout_step (
    alert     INTEGER NOT NULL REFERENCES callout_alert (seq) ON DELETE CASCADE,
    decision  INTEGER NOT NULL CHECK (decision > 0),
    at        INTEGER NOT NULL,
    step      INTEGER NOT NULL CHECK (step >= 0),
    round     INTEGER NOT NULL CHECK (round >= 0),
    cause     TEXT NOT NULL,
    late_ms   INTEGER NOT NULL CHECK (late_ms >= 0),
    receivers TEXT NOT NULL CHECK (json_valid(receivers)),
    due_at    INTEGER,
    PRIMARY KEY (alert, decision)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER callout_step_stays BEFORE UPDATE ON callout_step
BEGIN
    SELECT RAISE(ABORT, 'a decision is never changed');
END;

-- Who did it, on which way, and from where.
ALTER TABLE callout_journal ADD COLUMN by TEXT;
ALTER TABLE callout_journal ADD COLUMN via TEXT;
ALTER TABLE callout_journal ADD COLUMN origin TEXT;

CREATE TRIGGER callout_journal_stays BEFORE UPDATE ON callout_journal
BEGIN
    SELECT RAISE(ABORT, 'the journal is never changed');
END;

CREATE TRIGGER callout_journal_is_kept BEFORE DELETE ON callout_journal
WHEN EXISTS (SELECT 1 FROM callout_message WHERE seq = old.message_seq)
BEGIN
    SELECT RAISE(ABORT, 'the journal is kept as long as its message');
END;

DROP TRIGGER callout_message_is_gone;

CREATE TRIGGER callout_message_is_gone AFTER DELETE ON callout_message
BEGIN
    DELETE FROM callout_attempt
     WHERE delivery_id IN (SELECT id FROM callout_delivery WHERE message_seq = old.seq);
    DELETE FROM callout_delivery WHERE message_seq = old.seq;
    DELETE FROM callout_step WHERE alert = old.seq;
    DELETE FROM callout_alert WHERE seq = old.seq;
    DELETE FROM callout_journal WHERE message_seq = old.seq;
    DELETE FROM callout_progress WHERE seq = old.seq;
END;

-- For people who open the file with sqlite3, and for other programs: a public contract
-- (docs/reference/outbox-table.md).
CREATE VIEW callout_alerts AS
SELECT m.id, a.state, m.level, m.title,
       datetime(a.opened_at / 1000, 'unixepoch') AS opened_utc,
       a.acked_by, a.acked_at,
       CASE WHEN a.state = 'resolved' THEN a.by END AS resolved_by,
       CASE WHEN a.state = 'resolved' THEN a.at END AS resolved_at,
       a.step + 1 AS step,
       a.timer = 'exhausted' AS exhausted,
       a.due_at AS next_step_at,
       a.repeats
  FROM callout_alert a JOIN callout_message m USING (seq)
 ORDER BY a.seq DESC;
