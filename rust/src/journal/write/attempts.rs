//! Completions that failed, and processes that ended without saying so: both count, so that nothing is bought without bound (I12).

use super::{deletion, trees};
use crate::delta::Spent;
use crate::error::Error;
use crate::journal::checksum;
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use rusqlite::params;

/// Where a start finds that the last process ended in order.
const CLEAN: &str = "clean_stop";
/// The code of an attempt that the end of the process cut short.
const CRASHED: &str = "crashed";

pub struct Attempt {
    pub thread: String,
    /// What failed, in one word.
    pub code: String,
    pub at: i64,
    /// What it cost all the same.
    pub spent: Spent,
}

/// Returns how many are on record for the thread. Its version stays as it is.
///
/// # Errors
/// `not_found`; `deleted`; `conflict` if the thread's tree was retired.
pub fn record(group: &Group<'_>, attempt: &Attempt) -> Result<i64, Failure> {
    let Attempt { thread, code, at, spent } = attempt;
    let sql = "SELECT key, root FROM threads WHERE id = ?1";
    let found = group.find(sql, [thread], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    let Some((key, root)) = found else {
        deletion::check(group, thread)?;
        return Err(Failure::Refused(Error::NotFound(format!("thread {thread} not found"))));
    };
    trees::check_in_service(group, &root)?;
    group.execute(COUNT, params![key, code, at])?;
    super::commit::tally(group, &root, *spent)?;
    let count = group.find("SELECT count FROM attempts WHERE thread = ?1", [key], |row| row.get(0))?;
    Ok(count.unwrap_or(1))
}

const COUNT: &str = "INSERT INTO attempts (thread, count, code, at) VALUES (?1, 1, ?2, ?3)
  ON CONFLICT (thread) DO UPDATE SET count = count + 1, code = excluded.code, at = excluded.at";

/// So many of a thread's attempts are forgotten; any that were recorded since stay.
pub fn clear(group: &Group<'_>, thread: i64, cleared: i64) -> Result<(), Failure> {
    let gone = group.execute("DELETE FROM attempts WHERE thread = ?1 AND count <= ?2", params![thread, cleared])?;
    if gone == 0 {
        group.execute("UPDATE attempts SET count = count - ?2 WHERE thread = ?1", params![thread, cleared])?;
    }
    Ok(())
}

/// The first thing that a process does. If the one before did not stop in order, whatever is queued may be what ended it: every such thread
/// gets an attempt. Returns how many did.
pub fn begin(group: &Group<'_>, now: i64) -> Result<i64, Failure> {
    if group.execute("DELETE FROM meta WHERE key = ?1", [CLEAN])? > 0 {
        return Ok(0);
    }
    let sql = "INSERT INTO attempts (thread, count, code, at)
               SELECT DISTINCT thread, 1, ?1, ?2 FROM inbox WHERE kept IS NULL AND NOT EXISTS (
                 SELECT 1 FROM retired WHERE retired.root = (SELECT root FROM threads WHERE threads.key = inbox.thread))
               ON CONFLICT (thread) DO UPDATE SET count = count + 1, code = excluded.code, at = excluded.at";
    Ok(group.execute(sql, params![CRASHED, now])? as i64)
}

/// The last thing that a process does, if it has begun: it ends in order.
pub fn end(group: &Group<'_>) -> Result<(), Failure> {
    let sql = "REPLACE INTO meta (key, value, crc) VALUES (?1, ?2, ?3)";
    let value = env!("CARGO_PKG_VERSION").as_bytes();
    group.execute(sql, params![CLEAN, value, checksum::of(value)])?;
    Ok(())
}
