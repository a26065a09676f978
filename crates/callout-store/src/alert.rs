//! Reading how an alert stands, on any connection.
//!
//! It needs no driver: a caller binds the message's id to [`FIND_ALERT`] and reads one row. No
//! transaction has to be open while waiting for somebody to acknowledge: ask again now and then.

/// Reads how the message with the id `?1` and its alert stand; no row if there is no such message. One
/// that was counted with an alert, joined or resolved it, or brings news of it, answers with that alert;
/// one whose place was taken by a newer alert for the same problem answers with the newer one.
///
/// The columns, `message`, `state`, `by`, `at`, `step`, `exhausted` and `next_step_at`:
///
/// 1. the message's state: `new`, `pending`, `accepted`, `merged`, `dead`, `cancelled` or `expired`;
/// 2. the alert's state: `open`, `acknowledged` or `resolved`; NULL, as all that follows, if nobody has
///    to acknowledge the message, or it is `new` and not what Callout itself says of an alert;
/// 3. who brought the alert there; NULL while it is open;
/// 4. when, in milliseconds since 1970, UTC; NULL while it is open;
/// 5. the present step of its escalation, from 1;
/// 6. 1 if everybody was told as often as the policy says, in vain, and it is open; else 0;
/// 7. when the next step follows, in milliseconds since 1970, UTC; NULL if none does.
pub const FIND_ALERT: &str = "
    WITH RECURSIVE follow (message, alert) AS (
        SELECT coalesce(p.state, 'new'), coalesce(p.alert, m.seq)
          FROM callout_message m LEFT JOIN callout_progress p ON p.seq = m.seq
         WHERE m.id = ?1
         UNION ALL
        SELECT follow.message, a.successor
          FROM follow JOIN callout_alert a ON a.seq = follow.alert
         WHERE a.successor > a.seq)
    SELECT follow.message, a.state, a.by, a.at, a.step + 1 AS step,
           a.timer = 'exhausted' AS exhausted, a.due_at AS next_step_at
      FROM follow LEFT JOIN callout_alert a ON a.seq = follow.alert
     WHERE a.successor IS NULL OR a.successor <= a.seq
     LIMIT 1";
