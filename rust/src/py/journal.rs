use super::delta::PyDelta;
use super::message::PyMessage;
use super::outcome;
use super::wake::PyWake;
use crate::delta::Spent;
use crate::history::{self, live_ranges, needs_a_person};
use crate::journal::{
    self, Arrival, Attempt, Examination, Expect, Filter, Headers, Histories, Journal, Mended, Read, Report, Ticket,
    Usage, Write,
};
use crate::message::Message;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

/// The local durable store. One writer thread with group commit; one reader thread.
#[pyclass(name = "Journal", module = "infinity._core", frozen)]
pub struct PyJournal(Journal);

#[pymethods]
impl PyJournal {
    /// Open or create. ``damaged``, ``too_new``, ``locked`` or ``storage`` with a text that says what to do.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, wake: &Bound<'_, PyWake>) -> PyResult<Self> {
        let wake = Arc::clone(&wake.get().0);
        Ok(Self(py.detach(|| Journal::open(&path, wake, Headers { live_ranges, needs_a_person }))?))
    }

    /// Finish what is queued, checkpoint, release the file.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }

    /// From now on writes wait for ``hand_over``, so that those of one turn of an event loop share a flush.
    fn gather(&self) {
        self.0.gather();
    }

    /// How many writes wait for ``hand_over``.
    fn gathered(&self) -> usize {
        self.0.gathered()
    }

    /// Give the writer what was submitted since the last call.
    fn hand_over(&self) {
        self.0.hand_over();
    }

    /// ``(ticket, value, error)`` of all that finished since the last call.
    fn finished(&self, py: Python<'_>) -> PyResult<Vec<outcome::Outcome>> {
        self.0.finished().into_iter().map(|(ticket, result)| outcome::from(py, ticket, result)).collect()
    }

    /// Append to the inbox.
    #[pyo3(signature = (message, expect = "any", call_id = None))]
    fn accept(&self, message: &Bound<'_, PyMessage>, expect: &str, call_id: Option<&str>) -> PyResult<Ticket> {
        let expect = Expect::parse(expect, call_id)?;
        Ok(self.0.write(Write::Accept { message: message.get().0.clone(), expect }))
    }

    /// One atomic commit (I6).
    #[pyo3(signature = (delta, events_kept = 604_800_000))]
    #[pyo3(text_signature = "(self, /, delta, events_kept=604800000)")]
    fn commit(&self, delta: &Bound<'_, PyDelta>, events_kept: i64) -> Ticket {
        self.0.write(Write::Commit { delta: Arc::clone(&delta.get().0), events_kept })
    }

    /// A failed attempt, beside the thread's commits.
    #[pyo3(signature = (thread, code, at, tokens = 0, microdollars = 0))]
    fn record_attempt(&self, thread: String, code: String, at: i64, tokens: i64, microdollars: i64) -> Ticket {
        let spent = Spent { tokens, cost: microdollars };
        self.0.write(Write::RecordAttempt(Attempt { thread, code, at, spent }))
    }

    /// The first thing a process does: what is queued after an unclean stop gets an attempt.
    fn begin(&self, now: i64) -> Ticket {
        self.0.write(Write::Begin { now })
    }

    /// Move due timers into their threads' inboxes.
    #[pyo3(signature = (now, limit = 1000))]
    fn fire_timers(&self, now: i64, limit: i64) -> Ticket {
        self.0.write(Write::FireTimers { now, limit })
    }

    /// Delete the row; mark ``sent_call`` as ``sent``; or accept ``failure`` in the same transaction.
    /// ``at``: when the try was made that ended it.
    #[pyo3(signature = (key, sent_call = None, failure = None, at = 0))]
    fn outbox_done(
        &self,
        key: String,
        sent_call: Option<String>,
        failure: Option<&Bound<'_, PyMessage>>,
        at: i64,
    ) -> Ticket {
        let failure: Option<Message> = failure.map(|message| message.get().0.clone());
        self.0.write(Write::OutboxDone { key, sent_call, failure, at })
    }

    /// Count an attempt, which failed for ``trouble``; not due before ``due_at``.
    #[pyo3(signature = (key, due_at, trouble = ""))]
    fn outbox_retry(&self, key: String, due_at: i64, trouble: &str) -> Ticket {
        self.0.write(Write::OutboxRetry { key, due_at, trouble: trouble.into() })
    }

    /// Keep the latest content of a view (VIEW-1).
    fn put_view(&self, thread: String, view_type: String, content: Vec<u8>) -> Ticket {
        self.0.write(Write::PutView { thread, view_type, content })
    }

    fn put_meta(&self, key: String, value: Vec<u8>) -> Ticket {
        self.0.write(Write::PutMeta { key, value })
    }

    /// Take a whole tree out of service here. ``mark``: it leaves, to live elsewhere.
    #[pyo3(signature = (root, note, mark = None))]
    fn retire_tree(&self, root: String, note: String, mark: Option<Vec<u8>>) -> Ticket {
        self.0.write(Write::RetireTree { root, note, mark })
    }

    /// Put a retired tree back into service. ``mark``: it had left, and is taken back.
    #[pyo3(signature = (root, mark = None))]
    fn unretire_tree(&self, root: String, mark: Option<Vec<u8>>) -> Ticket {
        self.0.write(Write::UnretireTree { root, mark })
    }

    /// Remove a whole tree.
    fn delete_tree(&self, root: String) -> Ticket {
        self.0.write(Write::DeleteTree(root))
    }

    /// Delete a whole tree for good: from now on nothing reaches it. ``([(thread, whether it was open)], [(thread, call)])``.
    fn mark_deleted(&self, root: String, at: i64) -> Ticket {
        self.0.write(Write::MarkDeleted { root, at })
    }

    /// Remove rows of a tree that was marked, about ``limit`` of them; true while there may be more.
    #[pyo3(signature = (root, limit = 250))]
    fn erase(&self, root: String, limit: i64) -> Ticket {
        self.0.write(Write::Erase { root, limit })
    }

    /// Write the file anew, without anything that was removed; then deletions whose rows are gone are over.
    #[pyo3(signature = (sparse_only = false))]
    fn compact(&self, sparse_only: bool) -> Ticket {
        self.0.write(Write::Compact { sparse_only })
    }

    /// Take in a tree from a file that ``export_tree`` wrote.
    #[pyo3(signature = (path, expected = None, resting = None))]
    fn import_tree(&self, path: PathBuf, expected: Option<String>, resting: Option<String>) -> Ticket {
        self.0.import_tree(path, Arrival { expected, resting })
    }

    /// Write a whole tree to a new file.
    fn export_tree(&self, root: String, path: PathBuf) -> Ticket {
        self.0.export_tree(root, path)
    }

    /// Read everything, beside all other work; what is wrong.
    fn examine(&self) -> Ticket {
        self.0.examine(HISTORIES)
    }

    /// A thread's records.
    #[pyo3(signature = (thread, known_version = -1, message_ids = Vec::new()))]
    #[pyo3(text_signature = "(self, /, thread, known_version=-1, message_ids=...)")]
    fn load(&self, thread: String, known_version: i64, message_ids: Vec<String>) -> Ticket {
        self.0.read(Read::Load { thread, known_version, message_ids })
    }

    /// Queued messages, by seq: what a start requeues.
    #[pyo3(signature = (after_seq = 0, limit = 10_000))]
    fn inbox(&self, after_seq: i64, limit: i64) -> Ticket {
        self.0.read(Read::Inbox { after: after_seq, limit })
    }

    /// What has not left yet, by key.
    #[pyo3(signature = (after_key = "", limit = 10_000))]
    fn outbox(&self, after_key: &str, limit: i64) -> Ticket {
        self.0.read(Read::Outbox { after: after_key.into(), limit })
    }

    /// Due time of the earliest timer.
    fn next_timer(&self) -> Ticket {
        self.0.read(Read::NextTimer)
    }

    /// One row of the listing.
    fn thread(&self, id: String) -> Ticket {
        self.0.read(Read::Thread(id))
    }

    /// Newest ``updated_at`` first.
    #[pyo3(signature = (root = None, parent = None, status = None, after = "", limit = 100, troubled = false))]
    fn threads(
        &self,
        root: Option<String>,
        parent: Option<String>,
        status: Option<String>,
        after: &str,
        limit: i64,
        troubled: bool,
    ) -> Ticket {
        self.0.read(Read::Threads(Filter { root, parent, status, troubled, after: after.into(), limit }))
    }

    /// How many children are not closed.
    fn open_children(&self, thread: String) -> Ticket {
        self.0.read(Read::OpenChildren(thread))
    }

    /// How many threads below a root are not closed.
    fn living(&self, root: String) -> Ticket {
        self.0.read(Read::Living(root))
    }

    /// The thread's own entries.
    #[pyo3(signature = (thread, after = -1, limit = 1000))]
    #[pyo3(text_signature = "(self, /, thread, after=-1, limit=1000)")]
    fn entries(&self, thread: String, after: i64, limit: i64) -> Ticket {
        self.0.read(Read::Entries { thread, after, limit })
    }

    /// The thread's durable event stream.
    #[pyo3(signature = (thread, after = -1, limit = 1000))]
    #[pyo3(text_signature = "(self, /, thread, after=-1, limit=1000)")]
    fn feed(&self, thread: String, after: i64, limit: i64) -> Ticket {
        self.0.read(Read::Feed { thread, after, limit })
    }

    /// What was used, summed.
    #[pyo3(signature = (since, until, by, root = None, after = 0, limit = 1000))]
    fn usage(&self, since: i64, until: i64, by: Vec<String>, root: Option<String>, after: i64, limit: i64) -> Ticket {
        self.0.read(Read::Usage(Usage { since, until, by, root, after, limit }))
    }

    /// The order of commits.
    #[pyo3(signature = (after = 0, limit = 1000))]
    fn log(&self, after: i64, limit: i64) -> Ticket {
        self.0.read(Read::Log { after, limit })
    }

    /// The thread's calls with their state, which may be ``sent``.
    #[pyo3(signature = (thread, open_only = true))]
    fn calls(&self, thread: String, open_only: bool) -> Ticket {
        self.0.read(Read::Calls { thread, open_only })
    }

    fn find_call(&self, call_id: String) -> Ticket {
        self.0.read(Read::FindCall(call_id))
    }

    /// What the thread's calls have been doing, oldest first; or one of them.
    #[pyo3(signature = (thread, call = None, after = 0, limit = 100))]
    fn call_rows(&self, thread: String, call: Option<String>, after: i64, limit: i64) -> Ticket {
        self.0.read(Read::CallRows { thread, call, after, limit })
    }

    /// Pending prompts.
    #[pyo3(signature = (thread = None, root = None))]
    fn prompts(&self, thread: Option<String>, root: Option<String>) -> Ticket {
        self.0.read(Read::Prompts { thread, root })
    }

    /// Who needs a person, those that have for longest first.
    #[pyo3(signature = (root = None, after = None, limit = 100))]
    fn attention(&self, root: Option<String>, after: Option<(i64, String, String)>, limit: i64) -> Ticket {
        self.0.read(Read::Attention { root, after, limit })
    }

    #[pyo3(signature = (thread = None))]
    fn timers(&self, thread: Option<String>) -> Ticket {
        self.0.read(Read::Timers { thread })
    }

    /// Of all threads, the earliest first, behind one of them.
    #[pyo3(signature = (after = None, limit = 100))]
    fn due_timers(&self, after: Option<(i64, String, String)>, limit: i64) -> Ticket {
        self.0.read(Read::DueTimers { after, limit })
    }

    /// What has not left yet, by its next try, behind one row of it.
    #[pyo3(signature = (after = None, limit = 100))]
    fn deliveries(&self, after: Option<(i64, String)>, limit: i64) -> Ticket {
        self.0.read(Read::Deliveries { after, limit })
    }

    /// Of all threads, newest first, before one of them.
    fn all_discards(&self, before: i64, limit: i64) -> Ticket {
        self.0.read(Read::AllDiscards { before, limit })
    }

    fn views(&self, thread: String) -> Ticket {
        self.0.read(Read::Views { thread })
    }

    /// Newest first.
    #[pyo3(signature = (thread, limit = 100))]
    fn discards(&self, thread: String, limit: i64) -> Ticket {
        self.0.read(Read::Discards { thread, limit })
    }

    fn meta(&self, key: String) -> Ticket {
        self.0.read(Read::Meta(key))
    }

    /// Why a tree is out of service here, or ``None``.
    fn retired(&self, root: String) -> Ticket {
        self.0.read(Read::Retired(root))
    }

    /// ``(number, whether what rests here is what left)``: how often a tree has left.
    fn generation(&self, root: String) -> Ticket {
        self.0.read(Read::Generation(root))
    }

    /// ``(root, note)`` of those trees that are out of service here.
    fn out_of_service(&self, roots: Vec<String>) -> Ticket {
        self.0.read(Read::OutOfService(roots))
    }

    /// ``(id, root, at, discarded)`` of a thread that was deleted, or ``None``.
    fn tombstone(&self, id: String) -> Ticket {
        self.0.read(Read::Tombstone(id))
    }

    /// Roots of trees whose deletion is under way.
    fn deletions(&self) -> Ticket {
        self.0.read(Read::Deletions)
    }

    /// ``(id, updated_at)`` of closed root threads, those that changed longest ago first.
    #[pyo3(signature = (limit = 100))]
    fn closed_roots(&self, limit: i64) -> Ticket {
        self.0.read(Read::ClosedRoots { limit })
    }

    /// Tokens and microdollars of a whole tree.
    fn spent(&self, root: String) -> Ticket {
        self.0.read(Read::Spent(root))
    }

    /// Rows by table.
    fn counts(&self) -> Ticket {
        self.0.read(Read::Counts)
    }
}

/// How examinations and repairs read what the journal does not.
const HISTORIES: Histories = Histories {
    bounds: |header| history::bounds(header).map(Some),
    inherited: history::inherited,
    needs_a_person,
    mend: |wounded| {
        let done = history::mend(&wounded.header, &wounded.before, &wounded.own, &wounded.calls)?;
        Ok(done.map(|done| Mended { header: done.header, entries: done.entries }))
    },
};

/// Salvage what can be read of a journal into a new one, which takes its place. Returns a report as JSON.
#[pyfunction]
fn repair_journal(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    let Report { path, damaged, rows, lost, mended } = py.detach(|| journal::repair(&path, &HISTORIES))?;
    let rows: serde_json::Map<_, _> = rows.into_iter().map(|(table, rows)| (table, rows.into())).collect();
    let report = serde_json::json!({ "path": path, "damaged": damaged, "rows": rows, "lost": lost, "mended": mended });
    Ok(report.to_string())
}

/// Read everything that a journal holds which nobody has open, and change nothing. Returns what was found as JSON.
#[pyfunction]
fn examine_journal(py: Python<'_>, path: PathBuf) -> PyResult<Option<String>> {
    let found = py.detach(|| journal::examine(&path, &HISTORIES))?;
    Ok(found.as_ref().map(examined))
}

/// ``{"problems": [texts], "rows": {table: number}, "repaired": {"at", "damaged", "lost"} or null, "threads": [[id, problem]]}``.
pub fn examined(found: &Examination) -> String {
    let rows: serde_json::Map<_, _> = found.rows.iter().map(|(table, rows)| (table.clone(), (*rows).into())).collect();
    let problem = |header: &[u8]| history::Header::decode(header).ok().and_then(|header| header.problem);
    let threads: Vec<_> =
        found.troubled.iter().filter_map(|(id, header)| problem(header).map(|problem| (id, problem))).collect();
    let (problems, repaired) = (&found.problems, &found.repaired);
    serde_json::json!({ "problems": problems, "rows": rows, "repaired": repaired, "threads": threads }).to_string()
}

/// The root of the tree that a file says it holds.
#[pyfunction]
fn exported_root(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    Ok(py.detach(|| journal::exported_root(&path))?)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyJournal>()?;
    module.add_function(wrap_pyfunction!(examine_journal, module)?)?;
    module.add_function(wrap_pyfunction!(exported_root, module)?)?;
    module.add_function(wrap_pyfunction!(repair_journal, module)?)
}
