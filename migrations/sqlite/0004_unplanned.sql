-- What nobody has planned yet needs no second row. A message that has none in callout_progress is new, and
-- so is one whose row there says so: it was put back, or Callout itself noted something about it.
--
-- New messages without a row are found by their numbers: all after the one noted as `planned` in
-- callout_counter, which moves on in the transactions that plan. A disk forgets, so it is noted twice and the
-- smaller one counts: looking at a message once more does no harm. A message that comes in before it, because
-- somebody chose its number or had deleted the newest ones by hand, gets its row at once.

DROP TRIGGER callout_message_is_new;

INSERT INTO callout_counter (name, n)
SELECT name, seq
  FROM (SELECT 'planned' AS name UNION ALL SELECT 'planned:copy'),
       (SELECT max(seq) AS seq FROM callout_progress)
 WHERE seq IS NOT NULL;

CREATE TRIGGER callout_message_is_late AFTER INSERT ON callout_message
WHEN new.seq <= (SELECT n FROM callout_counter WHERE name = 'planned')
BEGIN
    INSERT INTO callout_progress (seq, state) VALUES (new.seq, 'new');
END;

DROP VIEW callout_outbox;

CREATE VIEW callout_outbox AS
SELECT m.id, coalesce(p.state, 'new') AS state, m.level, m.title,
       datetime(m.created_at / 1000, 'unixepoch') AS created_utc,
       datetime(p.settled_at / 1000, 'unixepoch') AS settled_utc,
       p.why
  FROM callout_message m LEFT JOIN callout_progress p USING (seq)
 ORDER BY m.seq DESC;
