//! The order of all commits: one row for each thread that a commit has added to the stream of, with the positions that it added. Whoever follows all
//! threads at once reads this, and the streams through it.
//!
//! A number is never given again, although it is no more than the table's next: its newest row always stays.

use crate::delta::Delta;
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use rusqlite::{Connection, params};

/// Commits between two prunings, and the most rows that one of them looks at: fewer come than may go.
const EVERY: i64 = 256;
const AT_ONCE: i64 = 512;

/// Numbers that are left out after a repair: whoever has seen one of a commit that was lost must not take a later one for it.
const LEAP: i64 = 1 << 20;

/// What the commit has added. `kept`: for how many milliseconds rows stay.
pub fn add(group: &Group<'_>, delta: &Delta, key: i64, kept: i64) -> Result<(), Failure> {
    let (Some((first, ..)), Some((last, ..))) = (delta.feed.first(), delta.feed.last()) else { return Ok(()) };
    let sql = "INSERT INTO log (thread, first, last, at) VALUES (?1, ?2, ?3, ?4)";
    group.execute(sql, params![key, first, last, delta.updated_at])?;
    let seq = group.last_key();
    if seq % EVERY == 0 {
        let sql = "DELETE FROM log WHERE seq IN
                     (SELECT seq FROM (SELECT seq, at FROM log ORDER BY seq LIMIT ?1) WHERE at < ?2 AND seq < ?3)";
        group.execute(sql, params![AT_ONCE, delta.updated_at - kept, seq])?;
    }
    Ok(())
}

/// Before the threads of a tree go: their keys may be given to others, which must not get these rows.
pub fn forget(group: &Group<'_>, root: &str) -> Result<(), Failure> {
    const MEMBERS: &str = "thread IN (SELECT key FROM threads WHERE root = ?1)";
    const NEWEST: &str = "(SELECT max(seq) FROM log)";
    group.execute(&format!("DELETE FROM log WHERE {MEMBERS} AND seq < {NEWEST}"), [root])?;
    group.execute(&format!("UPDATE log SET thread = 0 WHERE {MEMBERS} AND seq = {NEWEST}"), [root])?;
    Ok(())
}

/// After a repair: nobody goes on from before it.
pub fn restart(journal: &Connection) -> rusqlite::Result<()> {
    let newest: i64 = journal.query_row("SELECT ifnull(max(seq), 0) FROM log", [], |row| row.get(0))?;
    journal.execute("DELETE FROM log", [])?;
    let sql = "INSERT INTO log (seq, thread, first, last, at) VALUES (?1, 0, 0, 0, 0)";
    journal.execute(sql, [newest.saturating_add(LEAP)]).map(drop)
}
