//! What waits: messages, outgoing rows, timers, prompts. Read in full by a start, without reading any thread (L15).

use super::Picture;
use crate::id::{MessageId, ThreadId};
use crate::journal::checksum::checked;
use crate::journal::failure::Failure;
use crate::journal::value::{OutboxRow, PromptRow, TimerRow};
use crate::message::Message;
use rusqlite::params;

pub fn inbox(picture: &Picture<'_>, after: i64, limit: i64) -> Result<Vec<Message>, Failure> {
    let sql = "SELECT seq, threads.id, inbox.id, kind, body, crc, accepted_at
               FROM inbox JOIN threads ON threads.key = inbox.thread WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    Ok(picture.all(sql, params![after, limit], |row| {
        Ok(Message {
            seq: row.get(0)?,
            thread: ThreadId::new(row.get::<_, String>(1)?),
            id: MessageId::new(row.get::<_, String>(2)?),
            kind: row.get::<_, String>(3)?.into(),
            body: checked(row, 4)?.into(),
            accepted_at: row.get(6)?,
        })
    })?)
}

pub fn outbox(picture: &Picture<'_>, after: &str, limit: i64) -> Result<Vec<OutboxRow>, Failure> {
    let sql = "SELECT outbox.key, kind, target, body, crc, call, threads.id, attempts, due_at
               FROM outbox JOIN threads ON threads.key = outbox.thread WHERE outbox.key > ?1 ORDER BY outbox.key LIMIT ?2";
    Ok(picture.all(sql, params![after, limit], |row| {
        Ok(OutboxRow {
            key: row.get(0)?,
            kind: row.get(1)?,
            target: row.get(2)?,
            body: checked(row, 3)?,
            call: row.get(5)?,
            thread: row.get(6)?,
            attempts: row.get(7)?,
            due_at: row.get(8)?,
        })
    })?)
}

pub fn next_timer(picture: &Picture<'_>) -> Result<Option<i64>, Failure> {
    Ok(picture.one("SELECT min(due_at) FROM timers", [], |row| row.get(0))?)
}

/// Earliest first.
pub fn timers(picture: &Picture<'_>, thread: Option<&str>) -> Result<Vec<TimerRow>, Failure> {
    let sql =
        "SELECT timers.id, threads.id, due_at, kind, body, crc FROM timers JOIN threads ON threads.key = timers.thread
               WHERE ?1 IS NULL OR threads.id = ?1 ORDER BY due_at, threads.id, timers.id";
    Ok(picture.all(sql, [thread], |row| {
        Ok(TimerRow {
            id: row.get(0)?,
            thread: row.get(1)?,
            due_at: row.get(2)?,
            kind: row.get(3)?,
            body: checked(row, 4)?,
        })
    })?)
}

pub fn prompts(picture: &Picture<'_>, thread: Option<&str>) -> Result<Vec<PromptRow>, Failure> {
    let sql = "SELECT prompts.id, threads.id, kind, body, crc FROM prompts JOIN threads ON threads.key = prompts.thread
               WHERE ?1 IS NULL OR threads.id = ?1 ORDER BY prompts.thread, prompts.id";
    Ok(picture.all(sql, [thread], |row| {
        Ok(PromptRow { id: row.get(0)?, thread: row.get(1)?, kind: row.get(2)?, body: checked(row, 3)? })
    })?)
}
