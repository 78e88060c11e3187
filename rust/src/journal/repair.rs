//! Repair: what can be read of a damaged journal, as a new one in its place. The damaged files stay beside it, untouched.
//!
//! Whatever moment a repair is interrupted at, the next open refuses, and the next repair starts over or finishes the exchange.

use super::failure::{damaged, describe};
use super::open::{beside, lock, make, make_as, outline, outline_of, sync_directory};
use super::schema;
use super::table::Table;
use crate::error::{Error, Result};
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The journal, which opens again.
    pub path: PathBuf,
    /// Where the damaged file is now; its log is beside it.
    pub damaged: PathBuf,
    /// Rows salvaged, by table.
    pub rows: Vec<(String, i64)>,
    /// What could not be read, for people.
    pub lost: Vec<String>,
}

/// # Errors
/// `locked` if the journal is in use; `damaged` if nothing of it can be read; `storage` if there is none, or no space for the new one.
pub fn repair(path: &Path) -> Result<Report> {
    let _owner = lock(path)?;
    let draft = beside(path, ".repaired");
    if !path.exists() && draft.exists() {
        // Interrupted in the exchange: the draft was complete by then.
        let damaged = exchange(path, &draft).map_err(|error| stuck(path, &error))?;
        let lost = vec!["the report of the repair that was interrupted".into()];
        return Ok(Report { path: path.into(), damaged, rows: Vec::new(), lost });
    }
    let copy = Copy::of(path).map_err(|error| stuck(path, &error))?;
    make(&draft)?;
    let mut lost = Vec::new();
    let (source, version) = copy.open(path, &mut lost)?;
    let rows = transfer(&source, version, &draft, &mut lost).map_err(|error| describe(&draft, &error))?;
    if rows.iter().all(|(table, rows)| table != "threads" || *rows == 0) {
        let name = path.display();
        return Err(Error::Damaged(format!(
            "nothing can be read of the journal {name}; restore a backup, or move the file away to start afresh"
        )));
    }
    let damaged = exchange(path, &draft).map_err(|error| stuck(path, &error))?;
    Ok(Report { path: path.into(), damaged, rows, lost })
}

fn stuck(path: &Path, error: &io::Error) -> Error {
    let name = path.display();
    Error::Storage(format!(
        "the journal {name} cannot be repaired ({error}); check the file, the permissions and the space"
    ))
}

/// The damaged files, copied: reading them with SQLite would change them.
struct Copy(PathBuf);

impl Copy {
    fn of(path: &Path) -> io::Result<Self> {
        let copy = Self(beside(path, ".copy"));
        copy.remove();
        fs::copy(path, &copy.0)?;
        let log = beside(path, "-wal");
        if log.exists() {
            fs::copy(log, beside(&copy.0, "-wal"))?;
        }
        Ok(copy)
    }

    /// Readable as far as its outline goes, and the version that it has. A new journal lends its first page if that of the copy is broken.
    fn open(&self, path: &Path, lost: &mut Vec<String>) -> Result<(Connection, i32)> {
        if let Some(found) = self.readable() {
            return Ok(found);
        }
        if let Some(found) = self.grafted(path)? {
            lost.push("the first page, which was replaced".into());
            return Ok(found);
        }
        fs::remove_file(beside(&self.0, "-wal")).map_err(|_| damaged(path, "not even its outline can be restored"))?;
        let found = match self.readable() {
            None => self.grafted(path)?,
            found => found,
        };
        lost.push("the first page, which was replaced".into());
        lost.push("the write-ahead log".into());
        found.ok_or_else(|| damaged(path, "not even its outline can be restored"))
    }

    fn readable(&self) -> Option<(Connection, i32)> {
        // An error here means what `None` means: not readable like this.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.0, flags).ok()?;
        connection.pragma_update(None, "cell_size_check", true).ok()?;
        let found = outline(&connection).ok()?;
        // By its outline: the number that says the version may be what is broken.
        let version = (1..=schema::VERSION).rev().find(|version| outline_of(*version).is_ok_and(|one| one == found))?;
        Some((connection, version))
    }

    /// With the first page of a new journal, of whichever version fits.
    fn grafted(&self, path: &Path) -> Result<Option<(Connection, i32)>> {
        for version in (1..=schema::VERSION).rev() {
            let fresh = beside(&self.0, ".fresh");
            make_as(&fresh, version)?;
            let done = self.graft(&fresh);
            fs::remove_file(&fresh).and(done).map_err(|error| stuck(path, &error))?;
            if let Some(found) = self.readable() {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Tables are created once and in the same order, and steps only append to them, so the first page of every journal of a format is the
    /// same but for its counters: it says where the pages of the definitions are, which a migration fills further but does not move.
    fn graft(&self, fresh: &Path) -> io::Result<()> {
        let mut page = vec![0; schema::PAGE_SIZE as usize];
        File::open(fresh)?.read_exact(&mut page)?;
        let mut file = File::options().write(true).open(&self.0)?;
        let pages = file.metadata()?.len().div_ceil(schema::PAGE_SIZE as u64);
        file.set_len(pages * schema::PAGE_SIZE as u64)?;
        page[28..32].copy_from_slice(&u32::try_from(pages).unwrap_or(u32::MAX).to_be_bytes());
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&page)
    }

    fn remove(&self) {
        for suffix in ["", "-wal", "-shm"] {
            // What is not there need not be removed; what cannot be is overwritten or fails there.
            let _ = fs::remove_file(beside(&self.0, suffix));
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.remove();
    }
}

fn transfer(
    source: &Connection,
    version: i32,
    draft: &Path,
    lost: &mut Vec<String>,
) -> rusqlite::Result<Vec<(String, i64)>> {
    let mut target = Connection::open(draft)?;
    let transaction = target.transaction()?;
    transaction.execute("DELETE FROM meta", [])?;
    let mut rows = Vec::new();
    // As the source has them: an older one lacks tables and columns.
    for table in Table::all(source)? {
        table.salvage(source, &transaction, lost)?;
    }
    transaction.execute_batch(&schema::fill(version))?;
    // A new thread would get the key of one that is gone, and its rows with it.
    for table in Table::all(&transaction)? {
        let orphans = match table.name.as_str() {
            "meta" | "threads" | "tombstones" => 0,
            "entries" | "feed" => transaction.execute(
                &format!("DELETE FROM {} WHERE place >> 32 NOT IN (SELECT key FROM threads)", table.name),
                [],
            )?,
            "spending" => transaction.execute("DELETE FROM spending WHERE root NOT IN (SELECT id FROM threads)", [])?,
            // A deletion whose rows are gone needs a compaction, which this is; its damaged file stays, though.
            "retired" => transaction.execute(
                "DELETE FROM retired WHERE root NOT IN (SELECT id FROM threads) AND root NOT IN (SELECT id FROM tombstones)",
                [],
            )?,
            name => {
                transaction.execute(&format!("DELETE FROM {name} WHERE thread NOT IN (SELECT key FROM threads)"), [])?
            }
        };
        if orphans > 0 {
            lost.push(format!("{}: {orphans} rows of threads that are gone", table.name));
        }
        let count = transaction.query_row(&format!("SELECT count(*) FROM {}", table.name), [], |row| row.get(0))?;
        rows.push((table.name, count));
    }
    for name in schema::TALLIED {
        let sql = format!("UPDATE tallies SET rows = (SELECT count(*) FROM {name}) WHERE name = ?1");
        transaction.execute(&sql, [name])?;
    }
    let creator = env!("CARGO_PKG_VERSION").as_bytes();
    let sql = "REPLACE INTO meta (key, value, crc) VALUES ('created_by', ?1, ?2)";
    transaction.execute(sql, (creator, super::checksum::of(creator)))?;
    transaction.commit()?;
    target.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    target.close().map_err(|(_, error)| error)?;
    Ok(rows)
}

/// Where the damaged files go.
fn aside(path: &Path, number: i64) -> PathBuf {
    beside(path, &format!(".damaged-{number}"))
}

/// The draft takes the journal's place. Between any two steps the journal's name is free and something else of it is there, which open refuses.
fn exchange(path: &Path, draft: &Path) -> io::Result<PathBuf> {
    File::open(draft)?.sync_all()?;
    let free = (1..).find(|number| !aside(path, *number).exists()).unwrap_or(i64::MAX);
    // An exchange that was interrupted has moved the file, but perhaps not its log.
    let aside = aside(path, if path.exists() { free } else { (free - 1).max(1) });
    for (from, to) in [(path.to_owned(), aside.clone()), (beside(path, "-wal"), beside(&aside, "-wal"))] {
        match fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // The index of the log that has just moved; SQLite would rebuild it anyway.
    let _ = fs::remove_file(beside(path, "-shm"));
    fs::rename(draft, path)?;
    sync_directory(path)?;
    Ok(aside)
}
