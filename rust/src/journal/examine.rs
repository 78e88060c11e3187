//! An examination of everything that a journal holds: the files, what SQLite keeps, every checksum, and whether anything is missing that
//! something else speaks of. It changes nothing (L23).

use super::failure::{damaged, describe};
use super::image::Image;
use super::open::{Lock, beside, exists, held, integrity, reader, recognize};
use super::table::Table;
use super::verify::{self, unreadable};
use super::{Histories, schema};
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension};
use std::fs::{File, TryLockError};
use std::path::Path;

/// Findings of one kind that are named one by one.
const NAMED: usize = 20;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    /// For people; empty if nothing is wrong.
    pub problems: Vec<String>,
    /// Rows that were read, by table.
    pub rows: Vec<(String, i64)>,
    /// The last repair as it is on record: when, where the damaged file went, and what was lost.
    pub repaired: Option<serde_json::Value>,
    /// Id and header of threads that rest with a problem, or may, those that changed last first.
    pub troubled: Vec<(String, Vec<u8>)>,
}

/// Of a journal that nobody has open; `None` if there is none, and never was.
///
/// # Errors
/// `locked` if somebody has; `storage` if it cannot be read just now; `too_new`.
pub fn examine(path: &Path, histories: &Histories) -> Result<Option<Examination>> {
    let _owner = hold(path)?;
    let mut found = Examination::default();
    match exists(path) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(Error::Damaged(text)) => {
            found.problems.push(text);
            return Ok(Some(found));
        }
        Err(error) => return Err(error),
    }
    found.problems.extend(verify::damage(path)?);
    let image = Image::of(path).map_err(|error| unreadable(path, &error))?;
    let looked = image.open().map_err(|error| describe(path, &error)).and_then(|connection| {
        recognize(path, &connection, damaged)?;
        contents(&connection, histories, &mut found).map_err(|error| describe(path, &error))
    });
    match looked {
        Err(Error::Damaged(text)) => found.problems.push(text),
        other => other?,
    }
    Ok(Some(found))
}

/// Of a journal that this process has open, as it is at one moment.
///
/// # Errors
/// `storage` if it cannot be read just now.
pub fn examine_open(path: &Path, histories: &Histories) -> Result<Examination> {
    let mut found = Examination::default();
    let mut look = || {
        let mut connection = reader(path)?;
        let picture = connection.transaction().map_err(|error| describe(path, &error))?;
        contents(&picture, histories, &mut found).map_err(|error| describe(path, &error))
    };
    match look() {
        Err(Error::Damaged(text)) => found.problems.push(text),
        other => other?,
    }
    Ok(found)
}

/// Nobody opens it meanwhile. The file that says who has it stays as it is.
fn hold(path: &Path) -> Result<Option<Lock>> {
    let Ok(mut lock) = File::open(beside(path, ".lock")) else { return Ok(None) };
    match lock.try_lock() {
        Ok(()) => Ok(Some(Lock::of(lock))),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(held(path, &mut lock))),
        Err(TryLockError::Error(error)) => Err(unreadable(path, &error)),
    }
}

fn contents(journal: &Connection, histories: &Histories, found: &mut Examination) -> rusqlite::Result<()> {
    let repairs = journal.query_row("SELECT value FROM meta WHERE key = 'repairs'", [], |row| row.get::<_, Vec<u8>>(0));
    // What cannot be read here is found below.
    let repairs = repairs.ok().and_then(|repairs| serde_json::from_slice::<Vec<serde_json::Value>>(&repairs).ok());
    found.repaired = repairs.and_then(|mut repairs| repairs.pop());
    let mut lines = integrity(journal, "100")?;
    some(&mut lines);
    found.problems.extend(lines);
    for table in Table::all(journal)? {
        let mut damage = Vec::new();
        let rows = table.examine(journal, &mut damage)?;
        if let Some(counted) = counted(journal, &table.name)?.filter(|counted| *counted != rows && damage.is_empty()) {
            let rows = amount(rows, "row is there", "rows are there");
            damage.push(format!("{}: {rows}, and {} written", table.name, amount(counted, "was", "were")));
        }
        some(&mut damage);
        found.problems.extend(damage);
        if table.name == "threads" {
            // Where a row cannot be read, that was found above.
            found.troubled = troubled(journal, &table).unwrap_or_default();
        }
        found.rows.push((table.name, rows));
    }
    let mut holes: Vec<String> = holes(journal, histories)?.into_iter().map(|hole| hole.to_string()).collect();
    some(&mut holes);
    found.problems.extend(holes);
    Ok(())
}

/// An earlier version does not say which threads have a problem: any that is not closed may.
fn troubled(journal: &Connection, threads: &Table) -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
    let which = match threads.column("troubled") {
        Some(_) => "INDEXED BY threads_troubled WHERE troubled = 1",
        None => "WHERE status <> 'closed'",
    };
    let sql = format!("SELECT id, header FROM threads {which} ORDER BY updated_at DESC, id DESC");
    journal.prepare(&sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// So many of something, in words.
pub fn amount(count: i64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// The first ones, and how many more there are.
fn some(lines: &mut Vec<String>) {
    if lines.len() > NAMED {
        let more = lines.len() - NAMED;
        lines.truncate(NAMED);
        lines.push(format!("and {more} more of this kind"));
    }
}

/// How many rows a table has by the writer's count; `None` for one that is not counted.
pub fn counted(journal: &Connection, table: &str) -> rusqlite::Result<Option<i64>> {
    let count = journal.query_row("SELECT rows FROM tallies WHERE name = ?1", [table], |row| row.get(0));
    count.optional()
}

/// Rows of a thread that its header speaks of and that are not there.
pub struct Hole {
    /// Of the thread, within the journal.
    pub key: i64,
    pub thread: String,
    pub table: &'static str,
    pub missing: Vec<i64>,
}

impl std::fmt::Display for Hole {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let some: Vec<_> = self.missing.iter().take(NAMED).map(i64::to_string).collect();
        let dots = if self.missing.len() > some.len() { ", …" } else { "" };
        let (thread, count) = (&self.thread, self.missing.len() as i64);
        let (rows, are) = (amount(count, "row", "rows"), if count == 1 { "is" } else { "are" });
        write!(to, "thread {thread}: {rows} of its {} {are} missing ({}{dots})", self.table, some.join(", "))
    }
}

/// In order of their threads' keys: parents before their children.
pub fn holes(journal: &Connection, histories: &Histories) -> rusqlite::Result<Vec<Hole>> {
    let mut threads = Vec::new();
    {
        let mut select = journal.prepare("SELECT key, id, root, header FROM threads NOT INDEXED ORDER BY key")?;
        let mut rows = select.query([])?;
        // What stops it was found by the examination of the table.
        while let Ok(Some(row)) = rows.next() {
            let (Ok(key), Ok(id), Ok(root), Ok(header)) = (row.get(0), row.get(1), row.get(2), row.get(3)) else {
                continue;
            };
            let (id, root, header): (String, String, Vec<u8>) = (id, root, header);
            if let Ok(Some(bounds)) = (histories.bounds)(&header) {
                threads.push((key, id, root, bounds));
            }
        }
    }
    let mut holes = Vec::new();
    for (key, thread, root, (start, end, feed)) in threads {
        if deleted(journal, &root)? {
            continue;
        }
        for (table, start, end) in [("entries", start, end), ("feed", 0, feed)] {
            let missing = missing(journal, table, schema::place(key, 0), start, end);
            if !missing.is_empty() {
                holes.push(Hole { key, thread: thread.clone(), table, missing });
            }
        }
    }
    Ok(holes)
}

/// Its rows go one after the other.
fn deleted(journal: &Connection, root: &str) -> rusqlite::Result<bool> {
    match journal.prepare_cached("SELECT 1 FROM tombstones WHERE id = ?1") {
        Ok(mut find) => find.exists([root]),
        // An older journal, which has no such table.
        Err(_) => Ok(false),
    }
}

fn missing(journal: &Connection, table: &str, place: i64, start: i64, end: i64) -> Vec<i64> {
    let bounds = (place + start, place + end);
    let sql = format!("SELECT count(*) FROM {table} WHERE place >= ?1 AND place < ?2");
    if journal.query_row(&sql, bounds, |row| row.get::<_, i64>(0)).is_ok_and(|count| count == end - start) {
        return Vec::new();
    }
    let sql = format!("SELECT 1 FROM {table} WHERE place = ?1");
    let Ok(mut find) = journal.prepare(&sql) else { return Vec::new() };
    // One that cannot be read is as good as missing.
    (start..end).filter(|position| !find.exists([place + position]).unwrap_or(false)).collect()
}
