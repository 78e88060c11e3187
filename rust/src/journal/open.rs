//! Opening: one owner at a time, nothing but our own files, and never a damaged file taken for an empty one (I8, L16).

use super::failure::{damaged, describe};
use super::mark::{self, Mark};
use super::table::{QUEUES, cover_queues};
use super::write::attention;
use super::{Needs, checksum, schema, verify};
use crate::error::{Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another program that holds the file is waited for.
pub const BUSY: Duration = Duration::from_millis(100);

/// Prepared statements that a connection keeps: more than there are.
const STATEMENTS: usize = 128;

/// The journal's file with something appended to its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// A lock on the journal, until it is dropped or the process ends in whatever way.
///
/// It is taken back, and not only closed: a child that another thread is just starting has a copy of the file until it runs its own program, and
/// the lock would last as long as the copy. A process that was forked off takes nothing back, because the lock is its parent's.
pub struct Lock {
    pub(super) file: File,
    process: u32,
}

impl Lock {
    pub fn of(file: File) -> Self {
        Self { file, process: std::process::id() }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            let _ = self.file.unlock();
        }
    }
}

/// Become the journal's only owner.
///
/// # Errors
/// `locked`, naming the process that holds it.
pub fn lock(path: &Path) -> Result<Lock> {
    let name = beside(path, ".lock");
    let unusable = |error: io::Error| {
        let name = name.display();
        Error::Storage(format!("{name} cannot be used ({error}); check that its directory exists and can be written"))
    };
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&name).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::Locked(held(path, &mut file))),
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    let owner = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.write_all(owner.as_bytes())).map_err(unusable)?;
    Ok(Lock::of(file))
}

pub fn held(path: &Path, lock: &mut File) -> String {
    let mut owner = String::new();
    // Only for the text: without a number it still says what to do.
    let known = lock.read_to_string(&mut owner).is_ok() && !owner.trim().is_empty();
    let owner = if known { format!("process {}", owner.trim()) } else { "another process".into() };
    format!("the journal {} is held by {owner}; stop that one (`infinity daemon stop`), then try again", path.display())
}

/// The connection that writes. The caller holds the lock.
///
/// # Errors
/// `damaged`, `too_new`, `locked` or `storage`; the text says what to do.
pub fn writer(path: &Path, needs: Needs) -> Result<Connection> {
    if !exists(path)? {
        create(path)?;
    }
    if let Some(what) = verify::damage(path)? {
        return Err(damaged(path, &what));
    }
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let version = check(path, &connection)?;
    migrate(&mut connection, version, needs).map_err(|error| describe(path, &error))?;
    begin_log(path, &connection)?;
    Ok(connection)
}

/// What an earlier process left in the log comes into the main file, so that no round has frames of two processes; then a new round.
fn begin_log(path: &Path, connection: &Connection) -> Result<()> {
    checkpoint(connection, "RESTART").map_err(|error| describe(path, &error))?;
    start_log(path, connection)
}

/// A new round of the log with one frame in it, and the mark that says so.
pub fn start_log(path: &Path, connection: &Connection) -> Result<()> {
    // The same number again: a transaction that changes nothing.
    let begun = connection.pragma_update(None, "user_version", schema::VERSION);
    begun.map_err(|error| describe(path, &error))?;
    match mark::read(path) {
        Ok(Mark::Running) => Ok(()),
        Ok(_) => mark::set(path, Mark::Running).map_err(|error| unmarked(path, &error)),
        Err(error) => Err(unmarked(path, &error)),
    }
}

fn unmarked(path: &Path, error: &io::Error) -> Error {
    let name = beside(path, ".mark");
    Error::Storage(format!("{} cannot be written ({error}); check the space and the permissions", name.display()))
}

/// Everything into the main file; then the mark, and only then is the log cut off. False if somebody else reads: the log is as it was.
pub fn cut_log(path: &Path, connection: &Connection) -> Result<bool> {
    let sqlite = |error| describe(path, &error);
    if !checkpoint(connection, "FULL").map_err(sqlite)? {
        return Ok(false);
    }
    mark::set(path, Mark::Clean).map_err(|error| unmarked(path, &error))?;
    let cut = checkpoint(connection, "TRUNCATE").map_err(sqlite)?;
    if !cut {
        start_log(path, connection)?;
    }
    Ok(cut)
}

/// The last thing that a writer does. What fails here leaves the log where it is, and the next start finds it there.
pub fn settle(path: &Path, connection: &Connection) -> Result<()> {
    if cut_log(path, connection)? {
        let kept = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
        kept.map_err(|error| describe(path, &error))?;
    }
    Ok(())
}

/// Whether the whole log is in the main file now.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<bool> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let (busy, frames, moved): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(busy == 0 && frames == moved)
    })
}

/// Bring the tables of an older version up to date, all of it or nothing. The caller holds the lock.
fn migrate(connection: &mut Connection, version: i32, needs: Needs) -> rusqlite::Result<()> {
    if version == schema::VERSION {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let steps = usize::try_from(version - 1).unwrap_or(0);
    for step in schema::STEPS.iter().skip(steps) {
        transaction.execute_batch(step.tables)?;
        transaction.execute_batch(step.rows)?;
    }
    cover_queues(&transaction)?;
    if version < schema::ATTENTION {
        attention::settle(&transaction, needs)?;
    }
    transaction.pragma_update(None, "user_version", schema::VERSION)?;
    transaction.commit()
}

/// A connection that only reads.
pub fn reader(path: &Path) -> Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Whether there is a journal, whole or not.
///
/// # Errors
/// `damaged` if there is none, and something of one.
pub fn exists(path: &Path) -> Result<bool> {
    let there = |path: &Path| {
        path.try_exists().map_err(|error| Error::Storage(format!("{} cannot be looked at ({error})", path.display())))
    };
    if there(path)? {
        return Ok(true);
    }
    if there(&beside(path, "-wal"))? {
        // SQLite would replay the log into the new file.
        return Err(damaged(path, "the file is gone, but its write-ahead log (-wal) is there"));
    }
    if there(&beside(path, ".repaired"))? {
        return Err(damaged(path, "a repair of it was interrupted"));
    }
    if there(&beside(path, ".mark"))? {
        let (name, mark) = (path.display(), beside(path, ".mark"));
        return Err(Error::Damaged(format!(
            "the journal {name} is gone, although {0} says that there was one; bring it back, or restore a backup. If it is to begin empty, remove {0}",
            mark.display()
        )));
    }
    Ok(false)
}

/// Under another name first, so that a crash on the way leaves no half-made journal.
fn create(path: &Path) -> Result<()> {
    let draft = beside(path, ".new");
    make(&draft)?;
    let settled = fs::rename(&draft, path).and_then(|()| sync_directory(path));
    settled.map_err(|error| Error::Storage(format!("the journal {} cannot be created ({error})", path.display())))
}

/// Make a rename survive a power cut.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|name| !name.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

/// A complete, empty journal in a single, synced file.
pub fn make(path: &Path) -> Result<()> {
    make_as(path, schema::VERSION)
}

/// The same with the tables of an older version, for what a repair compares with.
pub fn make_as(path: &Path, version: i32) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::Storage(format!("{} is in the way and cannot be removed ({error})", path.display())));
        }
        _ => {}
    }
    let build = || {
        let connection = Connection::open(path)?;
        let (size, application) = (schema::PAGE_SIZE, schema::APPLICATION_ID);
        connection.execute_batch(&format!(
            "PRAGMA page_size = {size}; PRAGMA synchronous = FULL; PRAGMA application_id = {application};
             PRAGMA user_version = {version}; BEGIN; {} COMMIT;",
            schema::tables(version)
        ))?;
        for table in schema::TALLIED {
            connection.execute("INSERT INTO tallies (name, rows) VALUES (?1, 0)", [table])?;
        }
        let creator = env!("CARGO_PKG_VERSION").as_bytes();
        let sql = "INSERT INTO meta (key, value, crc) VALUES ('created_by', ?1, ?2)";
        connection.execute(sql, (creator, checksum::of(creator)))?;
        connection.pragma_update(None, "journal_mode", "WAL")
    };
    build().map_err(|error| describe(path, &error))
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection> {
    let open = || {
        // No mutex inside SQLite: one thread uses the connection.
        let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        // The log stays until it is known that it is not needed any more: see `settle`.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA foreign_keys = OFF;
             PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000;
             PRAGMA journal_size_limit = 67108864;",
        )?;
        Ok(connection)
    };
    open().map_err(|error| describe(path, &error))
}

/// Is it a journal, of a version that we know, and whole in its outline? Its version. `damaged` says what to do with a file that is not.
pub fn recognize(path: &Path, connection: &Connection, damaged: fn(&Path, &str) -> Error) -> Result<i32> {
    let sqlite = |error: rusqlite::Error| match describe(path, &error) {
        Error::Damaged(_) => damaged(path, &error.to_string()),
        other => other,
    };
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(sqlite);
    if pragma("application_id")? != schema::APPLICATION_ID {
        return Err(damaged(path, "it is not a journal of Infinity"));
    }
    let version = pragma("user_version")?;
    if version > schema::VERSION {
        return Err(Error::TooNew(format!(
            "the journal {} has format {version}, this Infinity reads up to {}; install the version that wrote it, or a newer one",
            path.display(),
            schema::VERSION
        )));
    }
    if version < 1 || outline(connection).map_err(sqlite)? != outline_of(version).map_err(sqlite)? {
        return Err(damaged(path, "its tables are not those of its format"));
    }
    Ok(version)
}

/// What `outline` says of a journal of this version.
pub fn outline_of(version: i32) -> rusqlite::Result<Outline> {
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(&schema::tables(version))?;
    outline(&fresh)
}

/// Is it ours, and whole as far as can be told at a glance?
fn check(path: &Path, connection: &Connection) -> Result<i32> {
    let sqlite = |error| describe(path, &error);
    let version = recognize(path, connection, damaged)?;
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(sqlite)?;
    if mode != "wal" {
        return Err(damaged(path, &format!("its journal mode is {mode}, not wal")));
    }
    let creator = connection
        .query_row("SELECT value, crc FROM meta WHERE key = 'created_by'", [], |row| checksum::checked(row, 0));
    creator.map_err(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => damaged(path, "its first row is missing"),
        other => describe(path, &other),
    })?;
    queues(path, connection)?;
    Ok(version)
}

/// What waits has to be there: a row that its table has lost still stands in an index. They are short, and a start reads them anyway.
fn queues(path: &Path, connection: &Connection) -> Result<()> {
    for queue in QUEUES {
        let found = integrity(connection, queue).map_err(|error| describe(path, &error))?;
        if let Some(first) = found.first() {
            return Err(damaged(path, &format!("{queue}: {first}")));
        }
    }
    Ok(())
}

/// What SQLite finds wrong with a table and its indices.
pub fn integrity(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare(&format!("PRAGMA integrity_check({table})"))?;
    let found: Vec<String> = check.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let lines = found.iter().flat_map(|text| text.lines()).filter(|line| *line != "ok" && !line.starts_with("***"));
    Ok(lines.map(str::to_owned).collect())
}

pub type Outline = Vec<(String, Option<String>)>;

/// The definitions of all tables and indices, but for the statistics that somebody's ANALYZE may have left.
pub fn outline(connection: &Connection) -> rusqlite::Result<Outline> {
    let mut all =
        connection.prepare("SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name")?;
    all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
