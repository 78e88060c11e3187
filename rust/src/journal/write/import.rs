//! An exported tree comes to live here: all of it, or nothing (I6), and only if it is what was exported (I8).

use super::deletion;
use crate::error::{Error, Result};
use crate::journal::checksum::{checked, checked_row};
use crate::journal::failure::{Failure, describe};
use crate::journal::group::Group;
use crate::journal::open::{beside, recognize};
use crate::journal::read::queues::message;
use crate::journal::schema::{self, POSITIONS};
use crate::journal::table::Table;
use crate::journal::tree::{COPY, FINGERPRINT, Fingerprint, ROOT, Source};
use crate::journal::value::{Arrival, Generation, Imported};
use crate::journal::write::{generations, trees};
use crate::journal::{Headers, LiveRanges};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params_from_iter};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// # Errors
/// `damaged` or `too_new` for a file that is not whole, not ours or from a newer version; `bad_request` if it holds another tree than the expected
/// one; `conflict` if a thread of it is here already; `deleted` if one was deleted here.
pub fn import(group: &Group<'_>, path: &Path, arrival: &Arrival, headers: Headers) -> Result<Imported, Failure> {
    let (mut connection, version) = open(path).map_err(Failure::Refused)?;
    let picture = connection.transaction().map_err(|error| Failure::Refused(unreadable(path, &error)))?;
    let source = Source { picture, path, describe: unreadable, damaged: spoiled };
    let (root, expected) = label(&source).map_err(Failure::Refused)?;
    let threads = source.threads(&root).map_err(Failure::Refused)?;
    if let Some(expected) = &arrival.expected
        && *expected != root
    {
        let text = format!("the file holds the conversation {root}, not {expected}; nothing was imported");
        return Err(Failure::Refused(Error::BadRequest(text)));
    }
    if !threads.contains(&root) {
        return Err(Failure::Refused(spoiled(path, "its root thread is missing")));
    }
    let copy = is_copy(&source).map_err(Failure::Refused)?;
    let replaced = make_room(group, &source, &root, &threads)?;
    let mut arriving = Arriving {
        group,
        path,
        live_ranges: headers.live_ranges,
        threads: threads.into_iter().collect(),
        keys: HashMap::new(),
    };
    let found = source.read(&root, |table, values| arriving.take(table, values))?;
    if found != expected {
        return Err(Failure::broken(spoiled(path, "its contents are not those that were exported")));
    }
    group.batch(&schema::fill(version))?;
    if version < schema::ATTENTION {
        group.settle_attention(headers.needs_a_person)?;
    }
    match &arrival.resting {
        None => imported(group, root, replaced, copy),
        Some(note) => {
            trees::retire(group, &root, note, None)?;
            Ok(Imported { root, messages: Vec::new(), outbox: 0, next_timer: None, replaced, copy })
        }
    }
}

/// The tree may come: there is nothing of it here, or what left from here and is no newer, which goes. Whether it was there.
fn make_room(group: &Group<'_>, source: &Source<'_>, root: &str, threads: &[String]) -> Result<bool, Failure> {
    let sql = "SELECT 1 FROM retired WHERE root = ?1 AND departed IS NOT NULL AND root IN (SELECT root FROM threads)";
    let rests = group.exists(sql, [root])?;
    for id in threads {
        deletion::check(group, id)?;
        let there: Option<String> = group.find("SELECT root FROM threads WHERE id = ?1", [id], |row| row.get(0))?;
        if there.is_some_and(|there| !rests || there != root) {
            return Err(Failure::Refused(Error::Conflict(format!(
                "thread {id} is here already; nothing was imported"
            ))));
        }
    }
    let (here, there) = (generations::find(group, root)?, generation(source, root).map_err(Failure::Refused)?);
    generations::check(root, &here, &there, rests).map_err(Failure::Refused)?;
    if rests {
        if here.number == 0 {
            holds_all(group, source, root)?;
        }
        trees::delete(group, root)?;
    }
    Ok(rests)
}

/// The copy here left when generations were not counted. No thread of it may be newer than the file's.
fn holds_all(group: &Group<'_>, source: &Source<'_>, root: &str) -> Result<(), Failure> {
    const SQL: &str = "SELECT id, version FROM threads WHERE root = ?1";
    let pair = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let read = || source.picture.prepare(SQL)?.query_map([root], pair)?.collect::<Result<HashMap<String, i64>, _>>();
    let there = read().map_err(|error| Failure::Refused(source.describe(error)))?;
    for (id, version) in group.all(SQL, [root], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))? {
        if there.get(&id).is_none_or(|other| *other < version) {
            return Err(Failure::Refused(Error::Conflict(format!(
                "the file is older than the copy of conversation {root} that rests here; nothing was imported. It is taken back with `infinity export {root} --undo`"
            ))));
        }
    }
    Ok(())
}

/// The first files say nothing of it.
fn generation(source: &Source<'_>, root: &str) -> Result<Generation> {
    let read = || {
        if !source.picture.table_exists(None, "generations")? {
            return Ok(None);
        }
        let sql = "SELECT number, marks, crc, root FROM generations WHERE root = ?1";
        let read = |row: &Row<'_>| Ok(Generation { number: row.get(0)?, marks: checked_row(row, "generations", 1)? });
        source.picture.query_row(sql, [root], read).optional()
    };
    Ok(read().map_err(|error| source.describe(error))?.unwrap_or_default())
}

fn is_copy(source: &Source<'_>) -> Result<bool> {
    let found = source.picture.prepare("SELECT 1 FROM meta WHERE key = ?1").and_then(|mut find| find.exists([COPY]));
    found.map_err(|error| source.describe(error))
}

/// The tree that a file holds, as it says of itself; nothing else of it is checked.
///
/// # Errors
/// `damaged`, `too_new` or `storage` if it does not say so.
pub fn exported_root(path: &Path) -> Result<String> {
    let (mut connection, _) = open(path)?;
    let picture = connection.transaction().map_err(|error| unreadable(path, &error))?;
    let source = Source { picture, path, describe: unreadable, damaged: spoiled };
    Ok(label(&source)?.0)
}

fn spoiled(path: &Path, what: &str) -> Error {
    let name = path.display();
    Error::Damaged(format!(
        "{name} cannot be imported ({what}); nothing was. Copy the file again, or export the tree again where it lives"
    ))
}

fn unreadable(path: &Path, error: &rusqlite::Error) -> Error {
    match describe(path, error) {
        Error::Damaged(_) => spoiled(path, &error.to_string()),
        other => other,
    }
}

/// The file as it is: SQLite neither makes a log beside it nor looks for one.
fn open(path: &Path) -> Result<(Connection, i32)> {
    let file = fs::metadata(path).map_err(|error| unavailable(path, &error))?;
    if file.len() == 0 {
        return Err(spoiled(path, "it is empty"));
    }
    if fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0) {
        return Err(spoiled(path, "there is a write-ahead log beside it (-wal): somebody has it open, or changed it"));
    }
    let whole = fs::canonicalize(path).map_err(|error| unavailable(path, &error))?;
    let escaped: Vec<String> = whole.as_os_str().as_bytes().iter().map(escape).collect();
    let uri = format!("file:{}?immutable=1", escaped.concat());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || {
        let connection = Connection::open_with_flags(&uri, flags)?;
        connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")?;
        Ok(connection)
    };
    let connection = connect().map_err(|error| unreadable(path, &error))?;
    let version = recognize(path, &connection, spoiled)?;
    Ok((connection, version))
}

fn unavailable(path: &Path, error: &io::Error) -> Error {
    Error::Storage(format!("{} cannot be read ({error}); check its name and its permissions", path.display()))
}

/// A byte of a path in a URI.
fn escape(byte: &u8) -> String {
    match byte {
        b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    }
}

/// Which tree the file holds, and the fingerprint that it had.
fn label(source: &Source<'_>) -> Result<(String, Fingerprint)> {
    let note = |key| {
        let sql = "SELECT value, crc FROM meta WHERE key = ?1";
        let found = source.picture.query_row(sql, [key], |row| checked(row, 0)).optional();
        found
            .map_err(|error| source.describe(error))?
            .ok_or_else(|| spoiled(source.path, "it is a journal, but no exported tree"))
    };
    let broken = || spoiled(source.path, "what it says of itself is not a root and fingerprint");
    let root = String::from_utf8(note(ROOT)?).map_err(|_| broken())?;
    Ok((root, note(FINGERPRINT)?.try_into().map_err(|_| broken())?))
}

/// Rows on their way into this journal, under keys of this journal.
struct Arriving<'g, 'c> {
    group: &'g Group<'c>,
    path: &'g Path,
    live_ranges: LiveRanges,
    threads: HashSet<String>,
    /// Key there → key here.
    keys: HashMap<i64, i64>,
}

impl Arriving<'_, '_> {
    fn take(&mut self, table: &Table, mut values: Vec<Value>) -> Result<(), Failure> {
        let old = values[0].clone();
        self.rekey(table, &mut values).map_err(Failure::broken)?;
        if table.is_queue() && table.is_narrow(&values) {
            let sql = "SELECT id FROM threads WHERE key = ?1";
            let key = table.column("thread").map(|at| &values[at]);
            let whose: Option<String> = self.group.find(sql, [key], |row| row.get(0))?;
            table.cover(&mut values, whose.as_deref());
        }
        // Trees share definitions; a file must not change what others here go by.
        let shared = table.name == "meta" && matches!(&values[0], Value::Text(key) if key.starts_with("definitions."));
        let verb = match (shared, &*table.name) {
            (true, _) => "INSERT OR IGNORE",
            (false, "meta" | "generations") => "REPLACE",
            _ => "INSERT",
        };
        let rows = self.group.execute(&table.write(verb), params_from_iter(values))?;
        if let Some(tallied) = schema::TALLIED.iter().find(|name| **name == table.name) {
            self.group.grew(tallied, rows);
        }
        if let ("threads", Value::Integer(key)) = (&*table.name, old) {
            self.keys.insert(key, self.group.last_key());
        }
        Ok(())
    }

    fn rekey(&self, table: &Table, values: &mut [Value]) -> Result<()> {
        let here =
            |key: i64| self.keys.get(&key).copied().ok_or_else(|| self.spoiled("a row of it belongs to no thread"));
        if let Some(at) = table.column("thread")
            && let Value::Integer(key) = &mut values[at]
        {
            *key = here(*key)?;
        }
        match (table.column("place"), &table.number) {
            (Some(at), _) => {
                if let Value::Integer(place) = &mut values[at] {
                    *place = schema::place(here(*place / POSITIONS)?, schema::position(*place));
                }
            }
            // A number of this journal's own, in the same order.
            (None, Some(number)) => values[table.column(number).unwrap_or(0)] = Value::Null,
            (None, None) => {}
        }
        if let (Some(at), "threads") = (table.column("header"), &*table.name)
            && let Value::Blob(header) = &values[at]
        {
            self.check_lineage(header)?;
        }
        Ok(())
    }

    /// A thread reads entries of its own tree only: nobody else's here.
    fn check_lineage(&self, header: &[u8]) -> Result<()> {
        let ranges = (self.live_ranges)(header).map_err(|error| match error {
            Error::TooNew(text) => Error::TooNew(format!("{}: {text}", self.path.display())),
            other => self.spoiled(other.text()),
        })?;
        match ranges.iter().find(|(owner, ..)| !self.threads.contains(owner)) {
            Some((owner, ..)) => Err(self.spoiled(&format!("it refers to thread {owner}, which it does not hold"))),
            None => Ok(()),
        }
    }

    fn spoiled(&self, what: &str) -> Error {
        spoiled(self.path, what)
    }
}

/// What the host has to take up now.
fn imported(group: &Group<'_>, root: String, replaced: bool, copy: bool) -> Result<Imported, Failure> {
    const MEMBERS: &str = "SELECT key FROM threads WHERE root = ?1";
    let sql = format!(
        "SELECT seq, (SELECT id FROM threads WHERE key = thread) AS whose, id, kind, body, crc, accepted_at, call, kept
         FROM inbox WHERE thread IN ({MEMBERS}) AND kept IS NULL ORDER BY seq"
    );
    let messages = group.all(&sql, [&root], message)?;
    let number = |what: &str| {
        let sql = format!("SELECT {what} WHERE thread IN ({MEMBERS})");
        group.find(&sql, [&root], |row| row.get::<_, Option<i64>>(0)).map(Option::flatten)
    };
    let outbox = number("count(*) FROM outbox")?.unwrap_or(0);
    let next_timer = number("min(due_at) FROM timers")?;
    Ok(Imported { root, messages, outbox, next_timer, replaced, copy })
}
