//! The local durable store: one SQLite file in write-ahead mode.
//!
//! | file | what it does |
//! |---|---|
//! | [`open`], [`schema`] | one owner, known tables, a damaged file refused |
//! | [`verify`], [`wal`], [`mark`] | is the log whole, and is it there, before SQLite takes what it finds |
//! | [`write`], [`group`], [`writer`] | operations that change something, many to one transaction and one fsync |
//! | [`read`], [`reader`] | operations that only look, beside the writer |
//! | [`lane`], [`ticket`], [`value`] | a thread per kind; every operation is answered once |
//! | [`failure`] | what went wrong, in the words of the core |
//! | [`checksum`], [`digest`] | torn bodies are noticed; ids take 16 bytes |
//! | [`write::deletion`], [`compact`] | a tree that is gone for good, step by step, and what stays of it |
//! | [`tree`], [`export`], [`write::import`] | a whole tree of threads as a file, and back |
//! | [`examine`] | everything is read, and what is wrong is named |
//! | [`repair`], [`salvage`] | what can be read of a damaged file, as a new one |
//! | [`image`] | the files as one, for both of them |
//! | [`table`] | what both know of a table |

mod checksum;
mod compact;
mod digest;
mod examine;
mod export;
mod failure;
mod group;
mod image;
mod lane;
mod mark;
mod open;
pub mod read;
mod reader;
mod repair;
mod salvage;
mod schema;
mod table;
mod ticket;
mod tree;
pub mod value;
mod verify;
pub mod wal;
pub mod write;
mod writer;

pub use examine::{Examination, examine};
pub use read::Read;
pub use read::facts::Usage;
pub use read::threads::Filter;
pub use repair::{Report, repair};
pub use ticket::Ticket;
pub use value::{Arrival, Value};
pub use write::Write;
pub use write::attempts::Attempt;
pub use write::import::exported_root;
pub use write::inbox::Expect;

use crate::error::Result;
use crate::wake::Wake;
use export::{Export, Exporter};
use lane::Lane;
use reader::Reader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use ticket::Finished;
use writer::Writer;

/// Which entries a thread's header says must be read: thread, start, end; ascending. The journal does not read headers itself.
pub type LiveRanges = fn(&[u8]) -> Result<Vec<(String, i64, i64)>>;

/// Whether a header says that its thread rests with a problem that only a person ends.
pub type Needs = fn(&[u8]) -> Result<bool>;

/// What an open journal has to know of headers.
#[derive(Clone, Copy)]
pub struct Headers {
    pub live_ranges: LiveRanges,
    pub needs_a_person: Needs,
}

/// Positions of a thread's own entries and the end of its feed: start, end, end of the feed.
pub type Bounds = (i64, i64, i64);

/// What examinations and repairs have to know of records, which the journal does not read itself.
#[derive(Clone, Copy)]
pub struct Histories {
    /// Of a header; `None`: nothing can be said.
    pub bounds: fn(&[u8]) -> Result<Option<Bounds>>,
    /// Where the entries come from that precede a thread's own: thread, start, end; of a header.
    pub inherited: LiveRanges,
    pub needs_a_person: Needs,
    pub mend: fn(&Wounded) -> Result<Option<Mended>>,
}

/// A thread as far as its records are there.
#[derive(Debug, Default)]
pub struct Wounded {
    pub header: Vec<u8>,
    /// What it inherits.
    pub before: Vec<Vec<u8>>,
    /// Its own entries by position.
    pub own: Vec<(i64, Vec<u8>)>,
    pub calls: Vec<Vec<u8>>,
}

/// What is written so that a thread can go on.
pub struct Mended {
    pub header: Vec<u8>,
    pub entries: Vec<(i64, Vec<u8>)>,
}

/// An open journal. Operations return a ticket at once; outcomes are collected with [`Journal::finished`] after the wake was signalled.
pub struct Journal {
    finished: Arc<Finished>,
    writes: Lane<Write>,
    reads: Lane<Read>,
    exports: Lane<Export>,
    gathering: AtomicBool,
    headers: Headers,
    /// Held for its lock.
    owner: Mutex<Option<open::Lock>>,
}

impl Journal {
    /// Open or create.
    ///
    /// # Errors
    /// `damaged`, `too_new`, `locked` or `storage`; the text says what to do.
    pub fn open(path: &Path, wake: Arc<Wake>, headers: Headers) -> Result<Self> {
        let owner = open::lock(path)?;
        let finished = Arc::new(Finished::new(wake));
        let writer = Writer {
            connection: open::writer(path, headers.needs_a_person)?,
            path: path.into(),
            finished: Arc::clone(&finished),
            begun: false,
        };
        let reader = Reader {
            connection: open::reader(path)?,
            path: path.into(),
            live_ranges: headers.live_ranges,
            finished: Arc::clone(&finished),
        };
        let exporter = Exporter { journal: path.into(), finished: Arc::clone(&finished) };
        Ok(Self {
            writes: Lane::start("infinity-writer", Arc::clone(&finished), |jobs| writer.run(jobs))?,
            reads: Lane::start("infinity-reader", Arc::clone(&finished), |jobs| reader.run(jobs))?,
            exports: Lane::start("infinity-export", Arc::clone(&finished), |jobs| exporter.run(jobs))?,
            gathering: AtomicBool::new(false),
            headers,
            finished,
            owner: Mutex::new(Some(owner)),
        })
    }

    /// Durable (fsync) once finished.
    pub fn write(&self, operation: Write) -> Ticket {
        if self.gathering.load(Ordering::Relaxed) {
            self.writes.gather(operation)
        } else {
            self.writes.submit(operation)
        }
    }

    /// From now on writes wait for [`Journal::hand_over`], so that those of one turn of an event loop share a flush.
    pub fn gather(&self) {
        self.gathering.store(true, Ordering::Relaxed);
    }

    /// How many writes wait for [`Journal::hand_over`].
    pub fn gathered(&self) -> usize {
        self.writes.gathered()
    }

    pub fn hand_over(&self) {
        self.writes.hand_over();
    }

    pub fn read(&self, operation: Read) -> Ticket {
        self.reads.submit(operation)
    }

    /// Write a whole tree to a new file.
    pub fn export_tree(&self, root: String, path: PathBuf) -> Ticket {
        self.exports.submit(Export::Tree { root, path })
    }

    /// Look at everything, beside all other work.
    pub fn examine(&self, histories: Histories) -> Ticket {
        self.exports.submit(Export::Examine(histories))
    }

    /// Take in a tree from a file that an export wrote: into service at once, or out of service, by the one transaction that brings it.
    pub fn import_tree(&self, path: PathBuf, arrival: Arrival) -> Ticket {
        self.write(Write::ImportTree { path, arrival, headers: self.headers })
    }

    /// The outcomes of all that finished since the last call.
    pub fn finished(&self) -> Vec<(Ticket, Result<Value>)> {
        self.finished.collect()
    }

    /// Finish what is queued, checkpoint, release the file. Operations submitted later are answered with `closed`.
    pub fn close(&self) {
        self.exports.close();
        self.reads.close();
        self.writes.close();
        drop(self.owner.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
