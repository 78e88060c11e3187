//! A tree as one file of its own: a journal that holds nothing else. Written on a thread of its own, so that nobody waits for it.

use super::Histories;
use super::examine::examine_open;
use super::failure::{Failure, describe};
use super::lane::Job;
use super::open::{beside, make, reader, sync_directory};
use super::ticket::Finished;
use super::tree::{COPY, FINGERPRINT, ROOT, Source};
use super::value::Value;
use super::{checksum, schema};
use crate::error::{Error, Result};
use rusqlite::{Connection, Transaction, params_from_iter};
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// What takes long and only reads.
pub enum Export {
    Tree { root: String, path: PathBuf },
    Examine(Histories),
}

pub struct Exporter {
    pub journal: PathBuf,
    pub finished: Arc<Finished>,
}

impl Exporter {
    /// Until the channel ends.
    pub fn run(self, jobs: Receiver<Vec<Job<Export>>>) {
        for Job { operation, promise } in jobs.into_iter().flatten() {
            // A panic drops the promise, which then reports it (trap B6).
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let promise = promise;
                let outcome = match &operation {
                    Export::Tree { root, path } => {
                        export(&self.journal, root, path).map(|threads| Value::Integer(Some(threads)))
                    }
                    Export::Examine(histories) => examine_open(&self.journal, histories).map(Value::Examined),
                };
                self.finished.publish([(promise, outcome)]);
            }));
        }
    }
}

/// How many threads were written. The file is there whole, or not at all.
///
/// # Errors
/// `not_found`; `conflict` if there is a file of that name; `damaged` if a row of the tree is torn; `storage`.
fn export(journal: &Path, root: &str, path: &Path) -> Result<i64> {
    let mut connection = reader(journal)?;
    let source = Source::journal(&mut connection, journal)?;
    let threads = source.threads(root)?.len() as i64;
    if threads == 0 || source.deleted(root)? {
        let text = format!("there is no tree of threads whose root is {root}; give the id of its root thread");
        return Err(Error::NotFound(text));
    }
    let place = Place::reserve(path)?;
    let draft = Draft(beside(path, ".new"));
    make(&draft.0)?;
    // It holds conversations.
    fs::set_permissions(&draft.0, Permissions::from_mode(0o600)).map_err(|error| unwritable(path, &error))?;
    fill(&draft.0, &source, root).map_err(|failure| failure.into_error(&draft.0))?;
    place.settle(&draft.0)?;
    Ok(threads)
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    let name = path.display();
    Error::Storage(format!("{name} cannot be written ({error}); check the directory, its permissions and the space"))
}

/// The name of the new file, taken by an empty one until the whole takes its place.
struct Place<'p> {
    path: &'p Path,
    settled: bool,
}

impl<'p> Place<'p> {
    fn reserve(path: &'p Path) -> Result<Self> {
        match File::options().write(true).create_new(true).open(path) {
            Ok(_) => Ok(Self { path, settled: false }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let name = path.display();
                Err(Error::Conflict(format!("there is a file {name} already; give another name, or remove it")))
            }
            Err(error) => Err(unwritable(path, &error)),
        }
    }

    fn settle(mut self, draft: &Path) -> Result<()> {
        let moved = File::open(draft).and_then(|file| file.sync_all()).and_then(|()| fs::rename(draft, self.path));
        moved.and_then(|()| sync_directory(self.path)).map_err(|error| unwritable(self.path, &error))?;
        self.settled = true;
        Ok(())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.settled {
            // Left behind, it refuses to be imported and to be exported to: it is empty.
            let _ = fs::remove_file(self.path);
        }
    }
}

struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            // What is not there need not be removed; the next export of this name removes the rest.
            let _ = fs::remove_file(beside(&self.0, suffix));
        }
    }
}

fn fill(draft: &Path, source: &Source<'_>, root: &str) -> Result<(), Failure> {
    let mut target = Connection::open(draft)?;
    let transaction = target.transaction()?;
    let fingerprint = source.read(root, |table, values| {
        transaction.prepare_cached(&table.write("INSERT"))?.execute(params_from_iter(values))?;
        Ok(())
    })?;
    for name in schema::TALLIED {
        let sql = format!("UPDATE tallies SET rows = (SELECT count(*) FROM {name}) WHERE name = ?1");
        transaction.execute(&sql, [name])?;
    }
    note(&transaction, ROOT, root.as_bytes())?;
    note(&transaction, FINGERPRINT, &fingerprint)?;
    if source.in_service(root).map_err(Failure::broken)? {
        note(&transaction, COPY, b"1")?;
    }
    transaction.commit()?;
    target.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    target.close().map_err(|(_, error)| Failure::broken(describe(draft, &error)))
}

fn note(transaction: &Transaction<'_>, key: &str, value: &[u8]) -> rusqlite::Result<usize> {
    let sql = "INSERT INTO meta (key, value, crc) VALUES (?1, ?2, ?3)";
    transaction.execute(sql, (key, value, checksum::of(value)))
}
