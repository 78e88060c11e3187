//! What waits: messages, outgoing rows, timers, prompts. Read in full by a start, without reading any thread (L15). What a retired tree
//! has queued rests: it is not taken up here.
//!
//! A row whose thread is gone is damage, not a row to leave out (I8): hence subqueries, where a join would drop it.

use super::{LIVING, Picture};
use crate::id::{MessageId, ThreadId};
use crate::journal::checksum::checked_row;
use crate::journal::failure::Failure;
use crate::journal::value::{AttentionRow, OutboxRow, PromptRow, TimerRow};
use crate::message::Message;
use rusqlite::{Row, params};

pub fn inbox(picture: &Picture<'_>, after: i64, limit: i64) -> Result<Vec<Message>, Failure> {
    let sql = "SELECT seq, (SELECT id FROM threads WHERE key = thread) AS whose, id, kind, body, crc, accepted_at, call, kept
               FROM inbox WHERE seq > ?1 AND kept IS NULL AND NOT EXISTS (SELECT 1 FROM retired WHERE retired.root = (SELECT root FROM threads WHERE threads.key = inbox.thread))
               ORDER BY seq LIMIT ?2";
    Ok(picture.all(sql, params![after, limit], message)?)
}

/// Of a row with seq, thread (`whose`), id, kind, body, its checksum, time, and the call that it waits for, if it does or is kept.
pub fn message(row: &Row<'_>) -> rusqlite::Result<Message> {
    Ok(Message {
        seq: row.get(0)?,
        thread: ThreadId::new(row.get::<_, String>(1)?),
        id: MessageId::new(row.get::<_, String>(2)?),
        kind: row.get::<_, String>(3)?.into(),
        body: checked_row(row, "inbox", 4)?.into(),
        accepted_at: row.get(6)?,
    })
}

const OUTBOX: &str =
    "key, kind, target, body, crc, call, (SELECT id FROM threads WHERE threads.key = thread) AS whose, attempts, due_at, trouble
     FROM outbox";
const SERVED: &str = "NOT EXISTS (SELECT 1 FROM retired WHERE retired.root = (SELECT root FROM threads WHERE threads.key = outbox.thread))";

pub fn outbox(picture: &Picture<'_>, after: &str, limit: i64) -> Result<Vec<OutboxRow>, Failure> {
    let sql = format!("SELECT {OUTBOX} WHERE key > ?1 AND {SERVED} ORDER BY key LIMIT ?2");
    Ok(picture.all(&sql, params![after, limit], outgoing)?)
}

/// By the next try, behind one row of it (due, key). The queue is short, and read whole.
pub fn deliveries(picture: &Picture<'_>, after: Option<(i64, &str)>, limit: i64) -> Result<Vec<OutboxRow>, Failure> {
    let (due_at, key) = after.unwrap_or((i64::MIN, ""));
    let sql = format!("SELECT {OUTBOX} WHERE (due_at, key) > (?1, ?2) AND {SERVED} ORDER BY due_at, key LIMIT ?3");
    Ok(picture.all(&sql, params![due_at, key, limit], outgoing)?)
}

fn outgoing(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    Ok(OutboxRow {
        key: row.get(0)?,
        kind: row.get(1)?,
        target: row.get(2)?,
        body: checked_row(row, "outbox", 3)?,
        call: row.get(5)?,
        thread: row.get(6)?,
        attempts: row.get(7)?,
        due_at: row.get(8)?,
        trouble: row.get(9)?,
    })
}

pub fn next_timer(picture: &Picture<'_>) -> Result<Option<i64>, Failure> {
    let sql = "SELECT due_at FROM timers WHERE NOT EXISTS (SELECT 1 FROM retired WHERE retired.root = (SELECT root FROM threads WHERE threads.key = timers.thread))
               ORDER BY due_at LIMIT 1";
    Ok(picture.find(sql, [], |row| row.get(0))?)
}

/// Earliest first.
pub fn timers(picture: &Picture<'_>, thread: Option<&str>) -> Result<Vec<TimerRow>, Failure> {
    const COLUMNS: &str = "id, (SELECT id FROM threads WHERE key = thread) AS whose, due_at, kind, body, crc";
    let read = |row: &Row<'_>| {
        let (id, thread, due_at, kind) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(TimerRow { id, thread, due_at, kind, body: checked_row(row, "timers", 4)? })
    };
    Ok(match thread {
        None => picture.all(&format!("SELECT {COLUMNS} FROM timers ORDER BY due_at, thread, id"), [], read)?,
        Some(thread) => {
            let Some(key) = picture.key(thread)? else { return Ok(Vec::new()) };
            let sql = format!("SELECT {COLUMNS} FROM timers WHERE thread = ?1 ORDER BY due_at, id");
            picture.all(&sql, [key], read)?
        }
    })
}

/// Of all threads, the earliest first, behind one of them (due, thread, id).
pub fn due_timers(
    picture: &Picture<'_>,
    after: Option<(i64, &str, &str)>,
    limit: i64,
) -> Result<Vec<TimerRow>, Failure> {
    let (due_at, thread, id) = after.unwrap_or((i64::MIN, "", ""));
    let sql = format!(
        "SELECT timers.id, threads.id AS whose, due_at, kind, body, crc FROM timers INDEXED BY timers_by_due
           CROSS JOIN threads ON threads.key = timers.thread
         WHERE due_at >= ?1 AND (due_at, threads.id, timers.id) > (?1, ?2, ?3) AND {LIVING}
         ORDER BY due_at, threads.id, timers.id LIMIT ?4"
    );
    Ok(picture.all(&sql, params![due_at, thread, id, limit], |row| {
        let (id, thread, due_at, kind) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(TimerRow { id, thread, due_at, kind, body: checked_row(row, "timers", 4)? })
    })?)
}

/// Of one thread, of a whole tree, or all.
pub fn prompts(picture: &Picture<'_>, thread: Option<&str>, root: Option<&str>) -> Result<Vec<PromptRow>, Failure> {
    const COLUMNS: &str = "id, (SELECT id FROM threads WHERE key = thread) AS whose, kind, body, crc";
    const LIVING: &str = "NOT EXISTS (SELECT 1 FROM tombstones WHERE tombstones.id = prompts.root)";
    let read = |row: &Row<'_>| {
        Ok(PromptRow { id: row.get(0)?, thread: row.get(1)?, kind: row.get(2)?, body: checked_row(row, "prompts", 3)? })
    };
    Ok(match (thread, root) {
        (None, None) => {
            picture.all(&format!("SELECT {COLUMNS} FROM prompts WHERE {LIVING} ORDER BY thread, id"), [], read)?
        }
        (None, Some(root)) => {
            let sql = format!("SELECT {COLUMNS} FROM prompts WHERE root = ?1 AND {LIVING} ORDER BY thread, id");
            picture.all(&sql, [root], read)?
        }
        (Some(thread), root) => {
            let Some(key) = picture.key(thread)? else { return Ok(Vec::new()) };
            let sql =
                format!("SELECT {COLUMNS} FROM prompts WHERE thread = ?1 AND root = ifnull(?2, root) ORDER BY id");
            picture.all(&sql, params![key, root], read)?
        }
    })
}

/// Who needs a person, behind one row of it (since, thread, reason). There are few, whatever the number of threads.
pub fn attention(
    picture: &Picture<'_>,
    root: Option<&str>,
    after: Option<(i64, &str, &str)>,
    limit: i64,
) -> Result<Vec<AttentionRow>, Failure> {
    let read = |row: &Row<'_>| {
        Ok(AttentionRow { thread: row.get(0)?, root: row.get(1)?, reason: row.get(2)?, since: row.get(3)? })
    };
    let (since, thread, reason) = after.unwrap_or((i64::MIN, "", ""));
    let tree = if root.is_some() { "threads.root = ?5" } else { "?5 IS NULL" };
    let sql = format!(
        "SELECT id, root, reason, since FROM attention INDEXED BY attention_by_since CROSS JOIN threads ON threads.key = attention.thread
         WHERE since >= ?1 AND (since, id, reason) > (?1, ?2, ?3) AND {tree} AND {LIVING}
         ORDER BY since, id, reason LIMIT ?4"
    );
    Ok(picture.all(&sql, params![since, thread, reason, limit, root], read)?)
}
