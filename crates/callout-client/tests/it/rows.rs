//! Reading the outbox back.

use callout_client::rusqlite::{Connection, Result};
use callout_client::{Row, Statement};

/// All messages, oldest first.
pub(crate) fn rows(conn: &Connection) -> Vec<Row> {
    let columns = Statement::FIND_BY_KEY.split("WHERE").next().unwrap();
    let mut all = conn.prepare(&format!("{columns} ORDER BY seq")).unwrap();
    let rows = all.query_map([], |row| {
        Ok(Row {
            id: row.get(0)?,
            level: row.get(1)?,
            title: row.get(2)?,
            body: row.get(3)?,
            details: row.get(4)?,
            idempotency_key: row.get(5)?,
            dedup_key: row.get(6)?,
            delay_ms: row.get(7)?,
            ttl_ms: row.get(8)?,
            created_at: row.get(9)?,
            checksum: row.get(10)?,
        })
    });
    rows.unwrap().collect::<Result<_>>().unwrap()
}
