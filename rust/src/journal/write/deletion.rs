//! A tree that is deleted for good. It is marked in one transaction, which is the deletion for everybody outside; then its rows go in bounded
//! ones; then the file is compacted. A tombstone stays for every thread: its id, the time, nothing that it held.
//!
//! While a deletion is under way its root is also in `retired`, which is what keeps everything of the tree at rest, and what a start finds.

use super::trees::{remove_facts, zeroing};
use super::{log, usage};
use crate::error::Error;
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use crate::journal::schema;
use crate::journal::value::Condemned;
use rusqlite::params;

/// The note of a tree that is being deleted.
const NOTE: &str = "it was deleted";

/// From now on nobody reaches the tree, and nothing of it leaves. Asked again while it is being erased, the same answer.
///
/// # Errors
/// `not_found`; `deleted` once nothing is left to be done; `bad_request` for a thread that is not a root.
pub fn mark(group: &Group<'_>, root: &str, at: i64) -> Result<Condemned, Failure> {
    let found: Option<String> = group.find("SELECT root FROM threads WHERE id = ?1", [root], |row| row.get(0))?;
    match found {
        None if under_way(group, root)? => {}
        None => {
            check(group, root)?;
            return Err(Failure::Refused(Error::NotFound(format!("thread {root} not found"))));
        }
        Some(parent) if parent != root => {
            return Err(Failure::Refused(Error::BadRequest(format!(
                "{root} is a child thread; a conversation is deleted as a whole: delete {parent}"
            ))));
        }
        Some(_) => {}
    }
    const MEMBERS: &str = "SELECT key FROM threads WHERE root = ?1";
    let sql = format!(
        "INSERT OR IGNORE INTO tombstones (id, root, at, discarded)
         VALUES (?1, ?1, ?2, (SELECT count(*) FROM inbox WHERE thread IN ({MEMBERS})))"
    );
    group.execute(&sql, params![root, at])?;
    group.execute("REPLACE INTO retired (root, note) VALUES (?1, ?2)", params![root, NOTE])?;
    log::forget(group, root)?;
    zeroing(group, || usage::fold(group, root))?;
    zeroing(group, || Ok(group.execute(&format!("DELETE FROM outbox WHERE thread IN ({MEMBERS})"), [root])?))?;
    let sql = "SELECT id, status <> 'closed' FROM threads WHERE root = ?1 ORDER BY key";
    let threads = group.all(sql, [root], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let sql = "SELECT threads.id, calls.id FROM threads JOIN calls ON calls.thread = threads.key AND calls.live = 1
               WHERE threads.root = ?1 ORDER BY calls.key";
    let calls = group.all(sql, [root], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Condemned { threads, calls })
}

fn under_way(group: &Group<'_>, root: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM retired WHERE root = ?1 AND root IN (SELECT id FROM tombstones)";
    group.exists(sql, [root])
}

/// # Errors
/// `deleted` if there was such a thread and it was deleted.
pub fn check(group: &Group<'_>, id: &str) -> Result<(), Failure> {
    if group.exists("SELECT 1 FROM tombstones WHERE id = ?1", [id])? {
        return Err(Failure::Refused(gone(id)));
    }
    Ok(())
}

pub fn gone(id: &str) -> Error {
    Error::Deleted(format!("thread {id} was deleted; its id is not used again"))
}

/// A message for a thread that was deleted is discarded: its tombstone counts it. False if there was no such thread.
pub fn discard(group: &Group<'_>, thread: &str) -> rusqlite::Result<bool> {
    let sql = "UPDATE tombstones SET discarded = discarded + 1
               WHERE id = coalesce((SELECT root FROM threads WHERE id = ?1), ?1)";
    Ok(group.execute(sql, [thread])? > 0)
}

/// Tables with rows of a thread, and their keys.
const TABLES: [(&str, &str); 9] = [
    ("seen", "thread, digest"),
    ("discards", "key"),
    ("calls", "key"),
    ("inbox", "seq"),
    ("timers", "thread, id"),
    ("prompts", "thread, id"),
    ("views", "thread, view_type"),
    ("attempts", "thread"),
    ("attention", "thread, reason"),
];

/// Remove about so many rows of a tree that is being deleted; true while there may be more. With its last row a thread leaves its tombstone.
pub fn erase(group: &Group<'_>, root: &str, limit: i64) -> Result<bool, Failure> {
    if !under_way(group, root)? {
        return Ok(false);
    }
    zeroing(group, || erase_some(group, root, limit))
}

fn erase_some(group: &Group<'_>, root: &str, limit: i64) -> Result<bool, Failure> {
    let mut left = limit;
    while left > 0 {
        // The root last: as long as there is anything of the tree, it is there.
        let sql = "SELECT key, id FROM threads WHERE root = ?1 ORDER BY id = root, key DESC LIMIT 1";
        let Some((key, id)) = group.find(sql, [root], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))? else {
            remove_facts(group, root)?;
            group.execute("DELETE FROM generations WHERE root = ?1", [root])?;
            return Ok(false);
        };
        left -= erase_rows(group, key, left)? as i64;
        if left > 0 {
            let sql = "INSERT OR IGNORE INTO tombstones (id, root, at, discarded)
                       VALUES (?1, ?2, (SELECT at FROM tombstones WHERE id = ?2), 0)";
            group.execute(sql, params![id, root])?;
            group.shrank("threads", group.execute("DELETE FROM threads WHERE key = ?1", [key])?);
            left -= 1;
        }
    }
    Ok(true)
}

/// At most so many rows of one thread.
fn erase_rows(group: &Group<'_>, key: i64, limit: i64) -> Result<usize, Failure> {
    let mut erased = 0;
    for table in ["entries", "feed"] {
        let sql = format!(
            "DELETE FROM {table} WHERE place IN (SELECT place FROM {table} WHERE place >= ?1 AND place < ?2 LIMIT ?3)"
        );
        let (start, end) = (schema::place(key, 0), schema::place(key + 1, 0));
        let rows = group.execute(&sql, params![start, end, limit - erased as i64])?;
        group.shrank(table, rows);
        erased += rows;
    }
    for (table, own) in TABLES {
        let sql =
            format!("DELETE FROM {table} WHERE ({own}) IN (SELECT {own} FROM {table} WHERE thread = ?1 LIMIT ?2)");
        let rows = group.execute(&sql, params![key, limit - erased as i64])?;
        group.shrank(table, rows);
        erased += rows;
    }
    Ok(erased)
}

/// Once the file is compacted: deletions whose rows are gone are over.
pub fn settle(group: &Group<'_>) -> Result<(), Failure> {
    let sql =
        "DELETE FROM retired WHERE root IN (SELECT id FROM tombstones) AND root NOT IN (SELECT root FROM threads)";
    group.execute(sql, [])?;
    Ok(())
}
