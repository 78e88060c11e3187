//! Repair: what can be read of a damaged journal, as a new one in its place. The damaged files stay beside it, untouched.
//!
//! Whatever moment a repair is interrupted at, the next open refuses, and the next repair starts over or finishes the exchange.

use super::examine::amount;
use super::failure::{damaged, describe};
use super::image::{Image, Take, pages};
use super::mark::{self, Mark};
use super::open::{beside, exists, lock, make, make_as, outline, outline_of, sync_directory};
use super::table::{Table, cover_queues};
use super::wal::{Index, Log};
use super::write::{attention, log};
use super::{Histories, Wounded, examine, schema, verify};
use crate::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

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
    /// Threads that go on with a note in place of what they lost.
    pub mended: Vec<String>,
}

/// Whether it opens or not: what can be read of it, in a new file.
///
/// # Errors
/// `locked` if the journal is in use; `damaged` if nothing of it can be read; `storage` if there is none, it cannot be read just now, or
/// there is no space for the new one.
pub fn repair(path: &Path, histories: &Histories) -> Result<Report> {
    there(path)?;
    let _owner = lock(path)?;
    let draft = beside(path, ".repaired");
    if !path.exists() && draft.exists() {
        // Interrupted in the exchange: the draft was complete by then.
        let damaged = exchange(path, &draft).map_err(|error| stuck(path, &error))?;
        let lost = vec!["the report of the repair that was interrupted".into()];
        return Ok(Report { path: path.into(), damaged, rows: Vec::new(), lost, mended: Vec::new() });
    }
    let damage = verify::damage(path)?;
    let log = verify::log(path).map_err(|error| stuck(path, &error))?;
    let best = salvaged(path, log.as_ref())?;
    let index = verify::index(path).map_err(|error| stuck(path, &error))?;
    let behind = log.as_ref().and_then(|(_, log)| of_the_log(log, index.as_ref(), best.take));
    let mut lost: Vec<String> = damage.map(|damage| behind.unwrap_or(damage)).into_iter().collect();
    lost.extend(best.lost);
    let mut mended = Vec::new();
    let described = |error| describe(&best.draft, &error);
    mend(&best.draft, histories, &mut lost, &mut mended).map_err(described)?;
    note(&best.draft, &aside(path, free(path)), &lost).map_err(described)?;
    fs::rename(&best.draft, &draft).map_err(|error| stuck(path, &error))?;
    let damaged = exchange(path, &draft).map_err(|error| stuck(path, &error))?;
    Ok(Report { path: path.into(), damaged, rows: best.rows, lost, mended })
}

/// What became of a log with broken frames, if everything that was committed stands in it and was taken.
fn of_the_log(log: &Log, index: Option<&Index>, take: Take) -> Option<String> {
    let last = log.last_of_round().filter(|last| index.is_none_or(|index| index.frames <= *last))?;
    let first = log.frames[..last].iter().position(|frame| !frame.linked)?;
    let broken = log.frames[..last].iter().filter(|frame| !frame.linked).count();
    let are = if broken == 1 { "frame of its write-ahead log is" } else { "frames of its write-ahead log are" };
    let what = match take {
        Take::Everything => "taken as far as it can be read",
        Take::Linked => "left out",
        Take::Committed | Take::Nothing => return None,
    };
    let behind = amount((last - first - broken) as i64, "whole one behind was", "whole ones behind were");
    Some(format!("{broken} {are} broken (number {first}): what stood there was {what}; the {behind} salvaged"))
}

/// Whether there is anything to repair. A home without a journal stays as it is.
fn there(path: &Path) -> Result<()> {
    if path.exists() || beside(path, ".repaired").exists() {
        return Ok(());
    }
    let (name, log) = (path.display(), beside(path, "-wal"));
    if log.exists() {
        return Err(Error::Damaged(format!(
            "the journal {name} is gone, and of its log {} alone nothing can be made; bring the file back, or restore a backup",
            log.display()
        )));
    }
    match exists(path) {
        Ok(_) => {
            Err(Error::Storage(format!("there is no journal {name}, and nothing to repair; the next start makes one")))
        }
        Err(error) => Err(error),
    }
}

fn stuck(path: &Path, error: &io::Error) -> Error {
    let name = path.display();
    Error::Storage(format!(
        "the journal {name} cannot be repaired ({error}); check the file, the permissions and the space"
    ))
}

/// A new journal of what one way of reading the files gives.
struct Salvaged {
    draft: PathBuf,
    take: Take,
    rows: Vec<(String, i64)>,
    lost: Vec<String>,
    /// How much of what only grows there is.
    yields: i64,
}

impl Salvaged {
    fn threads(&self) -> bool {
        self.rows.iter().any(|(table, rows)| table == "threads" && *rows > 0)
    }
}

/// Of all ways to read the log the one that gives most; the first of them if it makes no difference.
fn salvaged(path: &Path, log: Option<&(File, Log)>) -> Result<Salvaged> {
    let broken = log.is_some_and(|(_, log)| log.last_of_round().is_some_and(|last| last > log.committed()));
    let ways: &[Take] = if broken {
        &[Take::Everything, Take::Linked, Take::Committed, Take::Nothing]
    } else {
        &[Take::Committed, Take::Nothing]
    };
    let mut best: Option<Salvaged> = None;
    let mut refusal = None;
    for (number, take) in ways.iter().enumerate() {
        if *take == Take::Nothing && (best.is_some() || log.is_none()) {
            // The last resort: SQLite did not make sense of the file together with its log.
            break;
        }
        let draft = beside(path, &format!(".draft-{number}"));
        match salvage(path, log, *take, &draft) {
            Ok(found) if best.as_ref().is_none_or(|best| found.yields > best.yields) => best = Some(found),
            Ok(_) => {}
            Err(error @ Error::Damaged(_)) => refusal = Some(error),
            Err(error) => return Err(error),
        }
        if best.as_ref().is_none_or(|best| best.draft != draft) {
            // What is left of it is overwritten by the next repair.
            let _ = fs::remove_file(&draft);
        }
    }
    match (best, refusal) {
        // Read in another way there were threads, which are lost.
        (Some(best), Some(refusal)) if !best.threads() => {
            let _ = fs::remove_file(&best.draft);
            Err(refusal)
        }
        (Some(best), _) => Ok(best),
        (None, refusal) => Err(refusal.unwrap_or_else(|| nothing(path))),
    }
}

fn nothing(path: &Path) -> Error {
    let (name, mark) = (path.display(), beside(path, ".mark"));
    Error::Damaged(format!(
        "nothing can be read of the journal {name}; restore a backup, or move the file and {} away to start afresh",
        mark.display()
    ))
}

fn salvage(path: &Path, log: Option<&(File, Log)>, take: Take, draft: &Path) -> Result<Salvaged> {
    let image = Image::at(&beside(path, ".copy"), path, log, take).map_err(|error| stuck(path, &error))?;
    make(draft)?;
    let mut lost = Vec::new();
    let (source, version) = outlined(&image, path, &mut lost)?;
    if take == Take::Nothing {
        lost.push("the write-ahead log".into());
    }
    let sqlite = |error: rusqlite::Error| describe(draft, &error);
    let Copied { rows, threads } = transfer(&source, version, draft, &mut lost).map_err(sqlite)?;
    let none = rows.iter().all(|(table, rows)| table != "threads" || *rows == 0);
    // One that has none, by its own account, is whole without them.
    if none && !(threads && matches!(examine::counted(&source, "threads"), Ok(Some(0)))) {
        return Err(nothing(path));
    }
    let yields = yields(draft).map_err(|error| describe(draft, &error))?;
    Ok(Salvaged { draft: draft.into(), take, rows, yields: yields - lost.len() as i64, lost })
}

fn yields(draft: &Path) -> rusqlite::Result<i64> {
    let sql = "SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM feed) + (SELECT count(*) FROM seen)
                 + (SELECT count(*) FROM calls) + (SELECT count(*) + total(version) FROM threads)
                 + (SELECT ifnull(max(seq), 0) FROM sqlite_sequence)";
    Connection::open(draft)?.query_row(sql, [], |row| row.get::<_, f64>(0)).map(|sum| sum as i64)
}

/// Readable as far as its outline goes, and the version that it has. A new journal lends its first page if that of the image is broken.
fn outlined(image: &Image, path: &Path, lost: &mut Vec<String>) -> Result<(Connection, i32)> {
    if let Some(found) = readable(image) {
        return Ok(found);
    }
    let whole = first_page_is_whole(image).map_err(|error| stuck(path, &error))?;
    for version in (1..=schema::VERSION).rev() {
        let fresh = beside(&image.path, ".fresh");
        make_as(&fresh, version)?;
        let done = graft(image, &fresh);
        fs::remove_file(&fresh).and(done).map_err(|error| stuck(path, &error))?;
        if let Some(found) = readable(image) {
            lost.push(replaced(whole, version));
            return Ok(found);
        }
    }
    Err(damaged(path, "not even its outline can be restored"))
}

/// Then it is another page of the definitions that is broken.
fn first_page_is_whole(image: &Image) -> io::Result<bool> {
    let mut page = Vec::new();
    File::open(&image.path)?.take(schema::PAGE_SIZE as u64).read_to_end(&mut page)?;
    // The kinds of a page of a table.
    Ok(page.starts_with(b"SQLite format 3\0") && page.get(100).is_some_and(|kind| matches!(kind, 5 | 13)))
}

fn replaced(whole: bool, version: i32) -> String {
    if whole {
        format!("a page that says which tables there are; those of format {version} were taken")
    } else {
        "the first page, which was replaced".into()
    }
}

fn readable(image: &Image) -> Option<(Connection, i32)> {
    // An error here means what `None` means: not readable like this.
    let connection = image.open().ok()?;
    let found = outline(&connection).ok()?;
    // By its outline: the number that says the version may be what is broken.
    let version = (1..=schema::VERSION).rev().find(|version| outline_of(*version).is_ok_and(|one| one == found))?;
    Some((connection, version))
}

/// Tables are created once and in the same order, and steps only append to them, so the first page of every journal of a format is the
/// same but for its counters: it says where the pages of the definitions are, which a migration fills further but does not move.
fn graft(image: &Image, fresh: &Path) -> io::Result<()> {
    let mut page = vec![0; schema::PAGE_SIZE as usize];
    File::open(fresh)?.read_exact(&mut page)?;
    let mut file = File::options().write(true).open(&image.path)?;
    let pages = pages(file.metadata()?.len());
    file.set_len(pages * schema::PAGE_SIZE as u64)?;
    page[28..32].copy_from_slice(&u32::try_from(pages).unwrap_or(u32::MAX).to_be_bytes());
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&page)
}

struct Copied {
    /// By table.
    rows: Vec<(String, i64)>,
    /// Whether no thread is known to be missing.
    threads: bool,
}

fn transfer(source: &Connection, version: i32, draft: &Path, lost: &mut Vec<String>) -> rusqlite::Result<Copied> {
    let mut target = Connection::open(draft)?;
    let transaction = target.transaction()?;
    transaction.execute("DELETE FROM meta", [])?;
    let (mut rows, mut threads) = (Vec::new(), true);
    // As the source has them: an older one lacks tables and columns.
    for table in Table::all(source)? {
        let before = lost.len();
        table.salvage(source, &transaction, lost)?;
        let gone = vanished(source, &transaction, &table)?;
        // Each row that is torn has its own line.
        if gone > (lost.len() - before) as i64 {
            let gone = amount(gone, "row that an index knows is", "rows that an index knows are");
            lost.push(format!("{}: {gone} gone", table.name));
        }
        threads &= table.name != "threads" || lost.len() == before;
    }
    transaction.execute_batch(&schema::fill(version))?;
    cover_queues(&transaction)?;
    // A new thread would get the key of one that is gone, and its rows with it.
    for table in Table::all(&transaction)? {
        let orphans = match table.name.as_str() {
            "meta" | "threads" | "tombstones" | "generations" | "log" => 0,
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
            // What deleted threads have used is nobody's.
            name => {
                let gone = "thread <> 0 AND thread NOT IN (SELECT key FROM threads)";
                transaction.execute(&format!("DELETE FROM {name} WHERE {gone}"), [])?
            }
        };
        if orphans > 0 {
            threads = false;
            let rows = amount(orphans as i64, "row", "rows");
            lost.push(format!("{}: {rows} of threads that are gone", table.name));
        }
        let count = transaction.query_row(&format!("SELECT count(*) FROM {}", table.name), [], |row| row.get(0))?;
        rows.push((table.name, count));
    }
    // From pages that are older than others.
    let sql = "DELETE FROM inbox WHERE EXISTS (SELECT 1 FROM seen WHERE seen.thread = inbox.thread AND seen.digest = inbox.digest)";
    transaction.execute(sql, [])?;
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
    Ok(Copied { rows, threads })
}

/// How many rows an index speaks of that are not there.
fn vanished(source: &Connection, target: &Connection, table: &Table) -> rusqlite::Result<i64> {
    let name = &table.name;
    let there: i64 = target.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0))?;
    let mut list = source.prepare("SELECT name FROM pragma_index_list(?1) WHERE partial = 0 AND origin <> 'pk'")?;
    let indices: Vec<String> = list.query_map([name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let count = |index: &String| {
        let sql = format!("SELECT count(*) FROM {name} INDEXED BY {index}");
        // An index that is broken itself says nothing.
        source.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap_or(0)
    };
    let most = indices.iter().map(count).max().unwrap_or(0);
    Ok(most - there)
}

/// Let threads go on that have lost entries or items of their streams.
fn mend(draft: &Path, histories: &Histories, lost: &mut Vec<String>, mended: &mut Vec<String>) -> rusqlite::Result<()> {
    let mut target = Connection::open(draft)?;
    let transaction = target.transaction()?;
    for hole in examine::holes(&transaction, histories)? {
        lost.push(hole.to_string());
        if hole.table == "feed" {
            stand_in(&transaction, &hole)?;
            let items = amount(hole.missing.len() as i64, "item", "items");
            mended.push(format!("thread {} goes on: a note stands in place of {items} of its stream", hole.thread));
        }
    }
    for key in living(&transaction)? {
        let (id, wounded) = wounded(&transaction, histories, key)?;
        // A header that cannot be read was reported, and the thread stays as it is.
        let Ok(Some(done)) = (histories.mend)(&wounded) else { continue };
        for (position, record) in &done.entries {
            let place = schema::place(key, *position);
            transaction.execute("REPLACE INTO entries (place, record) VALUES (?1, ?2)", (place, record))?;
        }
        transaction.execute("UPDATE threads SET header = ?2, troubled = 1 WHERE key = ?1", (key, &done.header))?;
        let entries = amount(done.entries.len() as i64, "entry", "entries");
        mended.push(format!("thread {id} goes on: a note stands in place of {entries}"));
    }
    log::restart(&transaction)?;
    attention::settle(&transaction, histories.needs_a_person)?;
    transaction
        .execute("UPDATE tallies SET rows = (SELECT count(*) FROM entries) WHERE name = 'entries'", [])
        .map(drop)?;
    transaction.commit()?;
    target.close().map_err(|(_, error)| error)
}

/// In place of items of a stream that were lost: the first of each gap says so to anyone who follows the stream, the others keep their places.
fn stand_in(target: &Connection, hole: &examine::Hole) -> rusqlite::Result<()> {
    let mut insert = target.prepare_cached("INSERT INTO feed (place, kind, body, crc) VALUES (?1, ?2, ?3, ?4)")?;
    for gap in hole.missing.chunk_by(|one, next| one + 1 == *next) {
        for position in gap {
            let (kind, body) = if position == &gap[0] {
                let items = amount(gap.len() as i64, "item of this stream was", "items of this stream were");
                let text = format!("{items} lost here when the database was damaged");
                ("problem", serde_json::json!({"code": "damaged", "text": text}).to_string())
            } else {
                ("missing", "{}".to_owned())
            };
            let body = body.into_bytes();
            let crc = super::checksum::of(&body);
            insert.execute((schema::place(hole.key, *position), kind, body, crc))?;
        }
    }
    Ok(())
}

fn living(journal: &Connection) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT key FROM threads WHERE root NOT IN (SELECT id FROM tombstones) ORDER BY key";
    journal.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

fn wounded(journal: &Connection, histories: &Histories, key: i64) -> rusqlite::Result<(String, Wounded)> {
    let sql = "SELECT id, header FROM threads WHERE key = ?1";
    let (id, header): (String, Vec<u8>) = journal.query_row(sql, [key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let records = |key: i64, start: i64, end: i64| -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
        let sql = "SELECT place, record FROM entries WHERE place >= ?1 AND place < ?2 ORDER BY place";
        let bounds = (schema::place(key, start), schema::place(key, end));
        let read = |row: &rusqlite::Row<'_>| Ok((schema::position(row.get(0)?), row.get(1)?));
        journal.prepare_cached(sql)?.query_map(bounds, read)?.collect()
    };
    let mut wounded = Wounded { own: records(key, 0, schema::POSITIONS)?, ..Wounded::default() };
    for (thread, start, end) in (histories.inherited)(&header).unwrap_or_default() {
        let sql = "SELECT key FROM threads WHERE id = ?1";
        if let Some(key) = journal.query_row(sql, [thread], |row| row.get(0)).optional()? {
            wounded.before.extend(records(key, start, end)?.into_iter().map(|(_, record)| record));
        }
    }
    let mut calls = journal.prepare_cached("SELECT record FROM calls WHERE thread = ?1 ORDER BY key")?;
    wounded.calls = calls.query_map([key], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    wounded.header = header;
    Ok((id, wounded))
}

/// Repairs that are on record.
const REMEMBERED: usize = 20;

/// That the journal was repaired, when, and what was lost: for good.
fn note(draft: &Path, aside: &Path, lost: &[String]) -> rusqlite::Result<()> {
    let target = Connection::open(draft)?;
    let sql = "SELECT value FROM meta WHERE key = 'repairs'";
    let found: Option<Vec<u8>> = target.query_row(sql, [], |row| row.get(0)).optional()?;
    let mut repairs: Vec<serde_json::Value> =
        found.and_then(|found| serde_json::from_slice(&found).ok()).unwrap_or_default();
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
    let some: Vec<_> = lost.iter().take(100).collect();
    repairs.push(serde_json::json!({"at": at, "damaged": aside, "lost": some}));
    let old = repairs.len().saturating_sub(REMEMBERED);
    let value = serde_json::json!(repairs[old..]).to_string().into_bytes();
    let sql = "REPLACE INTO meta (key, value, crc) VALUES ('repairs', ?1, ?2)";
    target.execute(sql, (&value, super::checksum::of(&value)))?;
    target.close().map_err(|(_, error)| error)
}

/// The first number under which no damaged file is kept.
fn free(path: &Path) -> i64 {
    (1..).find(|number| !aside(path, *number).exists()).unwrap_or(i64::MAX)
}

/// Where the damaged files go.
fn aside(path: &Path, number: i64) -> PathBuf {
    beside(path, &format!(".damaged-{number}"))
}

/// The draft takes the journal's place. Between any two steps the journal's name is free and something else of it is there, which open refuses.
fn exchange(path: &Path, draft: &Path) -> io::Result<PathBuf> {
    File::open(draft)?.sync_all()?;
    let free = free(path);
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
    // There is no log, and none is missing.
    mark::set(path, Mark::Clean)?;
    fs::rename(draft, path)?;
    sync_directory(path)?;
    Ok(aside)
}
