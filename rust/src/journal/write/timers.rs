//! A due timer becomes a message under the timer's id, in one transaction: it can neither be lost nor fire twice (L14).

use super::inbox;
use crate::id::{MessageId, ThreadId};
use crate::journal::checksum;
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use crate::message::Message;
use rusqlite::params;

pub fn fire(group: &Group<'_>, now: i64, limit: i64) -> Result<Vec<Message>, Failure> {
    let sql =
        "SELECT thread, id, kind, body, crc, (SELECT id FROM threads WHERE key = thread) AS whose, due_at FROM timers
               WHERE due_at <= ?1 AND NOT EXISTS (
                 SELECT 1 FROM retired WHERE retired.root = (SELECT root FROM threads WHERE key = timers.thread)
               ) ORDER BY due_at, thread, id LIMIT ?2";
    let due = group.all(sql, params![now, limit], |row| {
        let id: String = row.get(1)?;
        let message = Message {
            thread: ThreadId::new(row.get::<_, String>(5)?),
            id: MessageId::new(id),
            kind: row.get::<_, String>(2)?.into(),
            body: checksum::checked_row(row, "timers", 3)?.into(),
            seq: 0,
            accepted_at: now,
        };
        Ok((row.get::<_, i64>(0)?, message))
    })?;
    let mut fired = Vec::with_capacity(due.len());
    for (thread, message) in due {
        group.execute("DELETE FROM timers WHERE thread = ?1 AND id = ?2", params![thread, message.id.as_str()])?;
        fired.extend(inbox::deliver(group, &message)?);
    }
    Ok(fired)
}
