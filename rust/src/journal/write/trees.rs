//! A whole tree at once: out of service while it lives elsewhere, back in service, gone.

use super::{deletion, generations, log, usage};
use crate::error::Error;
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use crate::journal::schema;
use rusqlite::params;

/// From now on nothing reaches the tree and nothing leaves it here; all of it stays, to be read. `mark`: of its departure, if it goes to live
/// elsewhere.
///
/// # Errors
/// `not_found` if no thread is its root; `deleted`.
pub fn retire(group: &Group<'_>, root: &str, note: &str, mark: Option<&[u8]>) -> Result<(), Failure> {
    if !group.exists("SELECT 1 FROM threads WHERE root = ?1", [root])? {
        let text = format!("there is no tree of threads whose root is {root}; give the id of its root thread");
        return Err(Failure::Refused(Error::NotFound(text)));
    }
    deletion::check(group, root)?;
    let departed = mark.map(|_| 1);
    group.execute("REPLACE INTO retired (root, note, departed) VALUES (?1, ?2, ?3)", params![root, note, departed])?;
    mark.map_or(Ok(()), |mark| generations::raise(group, root, mark))
}

/// `mark`: it had left, and is taken back: what has left becomes older than what is here.
pub fn unretire(group: &Group<'_>, root: &str, mark: Option<&[u8]>) -> Result<(), Failure> {
    let sql = "DELETE FROM retired WHERE root = ?1 AND root NOT IN (SELECT id FROM tombstones)";
    match (group.execute(sql, [root])?, mark) {
        (1.., Some(mark)) => generations::raise(group, root, mark),
        _ => Ok(()),
    }
}

/// Nothing commits to a tree that lives elsewhere, because its history would part in two; nor to one that was deleted.
///
/// # Errors
/// `conflict`, `deleted`.
pub fn check_in_service(group: &Group<'_>, root: &str) -> Result<(), Failure> {
    deletion::check(group, root)?;
    let note: Option<String> = group.find("SELECT note FROM retired WHERE root = ?1", [root], |row| row.get(0))?;
    match note {
        None => Ok(()),
        Some(note) => Err(Failure::Refused(Error::Conflict(format!(
            "the tree of thread {root} was retired here ({note}); nothing was committed, its messages are kept"
        )))),
    }
}

/// Remove all that there is of a tree, which may come back; how many threads that was. What trees share (definitions of tools) stays, and its
/// generation, which decides what may come back.
pub fn delete(group: &Group<'_>, root: &str) -> Result<i64, Failure> {
    zeroing(group, || remove(group, root))
}

/// Freed space is zeroed meanwhile. Copies that SQLite has left in pages that are in use stay; only a compaction removes those.
pub fn zeroing<T>(group: &Group<'_>, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    group.find("PRAGMA secure_delete = ON", [], |_| Ok(()))?;
    let outcome = work();
    group.find("PRAGMA secure_delete = OFF", [], |_| Ok(()))?;
    outcome
}

fn remove(group: &Group<'_>, root: &str) -> Result<i64, Failure> {
    let keys: Vec<i64> = group.all("SELECT key FROM threads WHERE root = ?1", [root], |row| row.get(0))?;
    log::forget(group, root)?;
    usage::forget(group, root)?;
    // Its rows are found by their own key only; it is short.
    const MEMBERS: &str = "SELECT key FROM threads WHERE root = ?1";
    group.execute(&format!("DELETE FROM outbox WHERE thread IN ({MEMBERS})"), [root])?;
    for key in &keys {
        remove_rows(group, *key)?;
    }
    group.shrank("threads", group.execute("DELETE FROM threads WHERE root = ?1", [root])?);
    unretire(group, root, None)?;
    remove_facts(group, root)?;
    Ok(keys.len() as i64)
}

/// What is recorded of a tree as such.
pub fn remove_facts(group: &Group<'_>, root: &str) -> Result<(), Failure> {
    group.execute("DELETE FROM spending WHERE root = ?1", [root])?;
    group.execute("DELETE FROM meta WHERE key IN ('catalog.' || ?1, 'budget.' || ?1)", [root])?;
    Ok(())
}

fn remove_rows(group: &Group<'_>, key: i64) -> Result<(), Failure> {
    let places = params![schema::place(key, 0), schema::place(key + 1, 0)];
    group.shrank("entries", group.execute("DELETE FROM entries WHERE place >= ?1 AND place < ?2", places)?);
    group.execute("DELETE FROM feed WHERE place >= ?1 AND place < ?2", places)?;
    group.shrank("seen", group.execute("DELETE FROM seen WHERE thread = ?1", [key])?);
    group.shrank("discards", group.execute("DELETE FROM discards WHERE thread = ?1", [key])?);
    for table in ["calls", "inbox", "timers", "prompts", "views", "attempts", "attention"] {
        group.execute(&format!("DELETE FROM {table} WHERE thread = ?1"), [key])?;
    }
    Ok(())
}
