//! A thread's own records: entries, feed, calls.

use super::Picture;
use crate::journal::checksum::checked_row;
use crate::journal::failure::{Failure, damaged, is_damage};
use crate::journal::schema::{POSITIONS, place, position};
use crate::journal::value::{CallRow, FeedRow, Log, LogRow};
use rusqlite::{Row, params};
use serde::Deserialize;

/// Places of a thread beyond `after`, as a half-open range.
fn beyond(key: i64, after: i64) -> (i64, i64) {
    let first = after.saturating_add(1).clamp(0, POSITIONS);
    (place(key, first), place(key, POSITIONS))
}

/// One that cannot be read has no bytes, which no record is.
pub fn entries(picture: &Picture<'_>, thread: &str, after: i64, limit: i64) -> Result<Vec<(i64, Vec<u8>)>, Failure> {
    let Some(key) = picture.key(thread)? else { return Ok(Vec::new()) };
    let (start, end) = beyond(key, after);
    let sql = "SELECT place, record FROM entries WHERE place >= ?1 AND place < ?2 ORDER BY place LIMIT ?3";
    match picture.all(sql, params![start, end, limit], |row| Ok((position(row.get(0)?), row.get(1)?))) {
        Err(error) if is_damage(&error) => one_by_one(picture, start, end, limit),
        found => Ok(found?),
    }
}

fn one_by_one(picture: &Picture<'_>, start: i64, end: i64, limit: i64) -> Result<Vec<(i64, Vec<u8>)>, Failure> {
    let mut found = Vec::new();
    for at in (start..end).take(usize::try_from(limit).unwrap_or(0)) {
        match picture.find("SELECT record FROM entries WHERE place = ?1", [at], |row| row.get(0)) {
            Ok(None) => {}
            Ok(Some(record)) => found.push((position(at), record)),
            Err(error) if is_damage(&error) => found.push((position(at), Vec::new())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

pub fn feed(picture: &Picture<'_>, thread: &str, after: i64, limit: i64) -> Result<Vec<FeedRow>, Failure> {
    let Some(key) = picture.key(thread)? else { return Ok(Vec::new()) };
    let (start, end) = beyond(key, after);
    let sql = "SELECT place, kind, body, crc FROM feed WHERE place >= ?1 AND place < ?2 ORDER BY place LIMIT ?3";
    let mut rows = picture.all(sql, params![start, end, limit], |row| {
        Ok(FeedRow {
            position: position(row.get(0)?),
            kind: row.get(1)?,
            body: checked_row(row, "feed", 2)?,
            record: None,
        })
    })?;
    for row in rows.iter_mut().filter(|row| row.kind == "entry") {
        row.record = Some(referred(picture, thread, key, row)?);
    }
    Ok(rows)
}

/// The body of a feed row of kind `entry`.
#[derive(Deserialize)]
struct Reference {
    position: i64,
}

fn referred(picture: &Picture<'_>, thread: &str, key: i64, row: &FeedRow) -> Result<Vec<u8>, Failure> {
    let lost = || {
        let text = format!("thread {thread}: item {} of its feed speaks of an entry that is not there", row.position);
        Failure::Refused(damaged(picture.path, &text))
    };
    let reference: Reference = serde_json::from_slice(&row.body).map_err(|_| lost())?;
    let sql = "SELECT record FROM entries WHERE place = ?1";
    picture.find(sql, [place(key, reference.position)], |row| row.get(0))?.ok_or_else(lost)
}

/// Oldest first.
pub fn calls(picture: &Picture<'_>, thread: &str, open_only: bool) -> Result<Vec<(Vec<u8>, String)>, Failure> {
    let Some(key) = picture.key(thread)? else { return Ok(Vec::new()) };
    let sql = match open_only {
        true => "SELECT record, state FROM calls WHERE thread = ?1 AND live = 1 ORDER BY key",
        false => "SELECT record, state FROM calls WHERE thread = ?1 ORDER BY key",
    };
    Ok(picture.all(sql, [key], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

pub fn find_call(picture: &Picture<'_>, id: &str) -> Result<Option<(Vec<u8>, String)>, Failure> {
    Ok(picture.find("SELECT record, state FROM calls WHERE id = ?1", [id], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// What a thread's calls have been doing, oldest first, behind one of them; or one alone.
pub fn call_rows(
    picture: &Picture<'_>,
    thread: &str,
    call: Option<&str>,
    after: i64,
    limit: i64,
) -> Result<Vec<CallRow>, Failure> {
    const COLUMNS: &str =
        "calls.key, record, state, sent_at, ended_at, ifnull(outbox.attempts, calls.attempts), due_at, trouble
                           FROM calls LEFT JOIN outbox ON outbox.key = 'invoke.' || calls.id";
    let Some(key) = picture.key(thread)? else { return Ok(Vec::new()) };
    let read = |row: &Row<'_>| {
        let (number, record, state) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (sent_at, ended_at, attempts) = (row.get(3)?, row.get(4)?, row.get(5)?);
        Ok(CallRow { number, record, state, sent_at, ended_at, attempts, due_at: row.get(6)?, trouble: row.get(7)? })
    };
    Ok(match call {
        // Records are read of the page alone.
        None => {
            let sql = format!(
                "SELECT {COLUMNS} WHERE calls.key IN (SELECT key FROM calls WHERE thread = ?1 AND key > ?2 ORDER BY key LIMIT ?3)
                 ORDER BY calls.key"
            );
            picture.all(&sql, params![key, after, limit], read)?
        }
        Some(id) => {
            let sql = format!("SELECT {COLUMNS} WHERE calls.id = ?1 AND calls.thread = ?2");
            picture.all(&sql, params![id, key], read)?
        }
    })
}

/// What commits have added to streams, behind the commit of this number. Rows of threads that are gone are left out.
pub fn log(picture: &Picture<'_>, after: i64, limit: i64) -> Result<Log, Failure> {
    // Each by itself, which is a look at one end of the table.
    let sql = "SELECT ifnull((SELECT min(seq) FROM log), 0), ifnull((SELECT max(seq) FROM log), 0)";
    let (oldest, newest) = picture.one(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = "SELECT seq, id, root, first, last, at FROM log CROSS JOIN threads ON threads.key = log.thread
               WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let read = |row: &Row<'_>| {
        let (seq, thread, root) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(LogRow { seq, thread, root, first: row.get(3)?, last: row.get(4)?, at: row.get(5)? })
    };
    Ok(Log { oldest, newest, rows: picture.all(sql, params![after, limit], read)? })
}
