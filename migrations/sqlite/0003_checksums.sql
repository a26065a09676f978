-- A disk forgets. What was written is noted in a few bytes beside it, so that it is not believed when it
-- has changed. NULL: it was written before this step, and is not checked.

-- CRC-32 over what decides where, when and whether the message is sent, and which one it is.
ALTER TABLE callout_delivery ADD COLUMN checksum INTEGER;

-- The table is made anew without a reference to the message: a trigger makes each row and another one
-- deletes it, and checking a reference inside a trigger made SQLite copy every page that an enqueue touches.
CREATE TABLE callout_progress_before_checksums AS
SELECT seq, state, why, settled_at, alert, again_at FROM callout_progress;

DROP TABLE callout_progress;

CREATE TABLE callout_progress (
    seq        INTEGER PRIMARY KEY,
    state      TEXT NOT NULL
               CHECK (state = 'new' OR state = 'pending' OR state = 'accepted' OR state = 'merged'
                       OR state = 'dead' OR state = 'cancelled' OR state = 'expired'),
    why        TEXT,
    settled_at INTEGER,
    -- The message of the alert that it was counted with, joined or resolved.
    alert      INTEGER,
    -- When it was put back to be planned again.
    again_at   INTEGER,
    -- CRC-32 over the message as it was when it was planned: not every program that inserts one notes it.
    content    INTEGER,
    CHECK ((settled_at IS NULL) = (state IN ('new', 'pending'))),
    CHECK (state <> 'merged' OR alert IS NOT NULL)
) STRICT;

INSERT INTO callout_progress (seq, state, why, settled_at, alert, again_at)
SELECT seq, state, why, settled_at, alert, again_at FROM callout_progress_before_checksums;

DROP TABLE callout_progress_before_checksums;

CREATE INDEX callout_progress_open ON callout_progress (state, seq) WHERE state <> 'accepted';
CREATE INDEX callout_progress_alert ON callout_progress (alert)
    WHERE state = 'pending' AND alert IS NOT NULL;
