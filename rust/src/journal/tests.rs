//! Faults that only the inside can inject: a full disk, a panic, a held-up writer. The rest is tested from outside, in `rust/tests/journal`.

use super::group::Group;
use super::value::Accepted;
use super::*;
use crate::delta::Delta;
use crate::id::{MessageId, ThreadId};
use crate::message::Message;
use std::collections::HashMap;
use std::fs;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

struct Desk {
    journal: Journal,
    directory: TempDir,
}

impl Desk {
    /// A journal with the thread `t`.
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let wake = Arc::new(Wake::new().unwrap());
        let headers = Headers { live_ranges: |_| Ok(Vec::new()), needs_a_person: |_| Ok(false) };
        let journal = Journal::open(&directory.path().join("infinity.db"), wake, headers).unwrap();
        let desk = Self { journal, directory };
        let delta = Delta { thread: "t".into(), new_version: 1, status: "idle".into(), ..Delta::default() };
        desk.wait([desk.journal.write(Write::Commit { delta: delta.into(), events_kept: 0 })]).remove(0).unwrap();
        desk
    }

    fn wait(&self, tickets: impl IntoIterator<Item = Ticket>) -> Vec<Result<Value>> {
        let until = Instant::now() + PATIENCE;
        let mut outcomes = HashMap::new();
        tickets
            .into_iter()
            .map(|ticket| {
                loop {
                    if let Some(outcome) = outcomes.remove(&ticket) {
                        return outcome;
                    }
                    assert!(Instant::now() < until, "no outcome within {PATIENCE:?}");
                    outcomes.extend(self.journal.finished());
                    std::thread::yield_now();
                }
            })
            .collect()
    }

    fn inject(&self, fault: impl Fn(&Group<'_>) -> Result<Value, failure::Failure> + Send + 'static) -> Ticket {
        self.journal.write(Write::Inject(Box::new(fault)))
    }

    /// Keep the writer busy until the guard is dropped, so that what is submitted meanwhile becomes one group.
    fn hold_up(&self) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        self.inject(move |_| {
            begun.send(()).unwrap();
            // The sender is only ever dropped.
            let _ = released.recv();
            Ok(Value::Nothing)
        });
        has_begun.recv().unwrap();
        release
    }

    fn accept(&self, id: &str, bytes: usize) -> Ticket {
        let message = Message {
            thread: ThreadId::from("t"),
            id: MessageId::from(id),
            kind: "user".into(),
            body: vec![b'x'; bytes].into(),
            seq: 0,
            accepted_at: 1,
        };
        self.journal.write(Write::Accept { message, expect: Expect::Any })
    }

    fn limit_pages(&self, more: i64) {
        let set = move |group: &Group<'_>| {
            let pages: i64 = group.find("PRAGMA page_count", [], |row| row.get(0))?.unwrap();
            group.find(&format!("PRAGMA max_page_count = {}", pages.saturating_add(more)), [], |_| Ok(()))?;
            Ok(Value::Nothing)
        };
        self.wait([self.inject(set)]).remove(0).unwrap();
    }

    fn queued(&self) -> Vec<String> {
        let read = Read::Inbox { after: 0, limit: 10_000 };
        let Ok(Value::Messages(messages)) = self.wait([self.journal.read(read)]).remove(0) else { panic!("no inbox") };
        messages.into_iter().map(|message| message.id.as_str().to_owned()).collect()
    }

    /// Transactions in the write-ahead log: frames whose header says that they end one.
    fn commits(&self) -> usize {
        const HEADER: usize = 32;
        const FRAME: usize = 24 + 4096;
        let log = fs::read(self.directory.path().join("infinity.db-wal")).unwrap();
        log[HEADER..].chunks_exact(FRAME).filter(|frame| frame[4..8] != [0; 4]).count()
    }
}

fn accepted(outcome: &Result<Value>) -> bool {
    matches!(outcome, Ok(Value::Accepted(Accepted::Yes(_))))
}

fn code(outcome: &Result<Value>) -> &'static str {
    outcome.as_ref().unwrap_err().code()
}

/// The copy stands for what a child has from the moment it is forked off until it runs its own program.
#[test]
fn a_lock_that_is_given_back_is_free_although_a_copy_of_it_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("infinity.db");
    let lock = super::open::lock(&path).unwrap();
    let copy = lock.file.try_clone().unwrap();
    assert!(super::open::lock(&path).is_err());
    drop(lock);
    drop(super::open::lock(&path).unwrap());
    drop(copy);
}

#[test]
fn whatever_queued_up_during_a_flush_shares_the_next_one() {
    let desk = Desk::new();
    let held = desk.hold_up();
    let before = desk.commits();
    let tickets: Vec<_> = (0..200).map(|number| desk.accept(&format!("m{number}"), 10)).collect();
    drop(held);
    assert!(desk.wait(tickets).iter().all(accepted));
    assert_eq!(desk.commits() - before, 1, "200 operations, one transaction");
    assert_eq!(desk.queued().len(), 200);
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_takes_the_rest() {
    let desk = Desk::new();
    desk.limit_pages(4);
    let held = desk.hold_up();
    let tickets = [desk.accept("small", 10), desk.accept("large", 1 << 20), desk.accept("also small", 10)];
    drop(held);
    let outcomes = desk.wait(tickets);
    assert!(accepted(&outcomes[0]) && accepted(&outcomes[2]), "{outcomes:?}");
    assert_eq!(code(&outcomes[1]), "storage");
    assert!(outcomes[1].as_ref().unwrap_err().text().contains("free some"));
    assert_eq!(desk.queued(), ["small", "also small"]);

    desk.limit_pages(1 << 20);
    assert!(accepted(&desk.wait([desk.accept("large", 1 << 20)])[0]), "space is back");
    assert_eq!(desk.queued(), ["small", "also small", "large"]);
}

#[test]
fn a_panic_in_the_writer_is_told_to_everybody_and_the_journal_goes_on() {
    let desk = Desk::new();
    let held = desk.hold_up();
    let tickets = [desk.accept("before", 10), desk.inject(|_| panic!("on purpose")), desk.accept("after", 10)];
    drop(held);
    for outcome in desk.wait(tickets) {
        assert_eq!(code(&outcome), "storage");
    }
    assert!(desk.queued().is_empty(), "half a group was committed");
    assert!(accepted(&desk.wait([desk.accept("later", 10)])[0]));
}

#[test]
fn an_operation_that_breaks_half_way_leaves_nothing_of_itself() {
    let desk = Desk::new();
    let held = desk.hold_up();
    let half = desk.inject(|group| {
        group.execute("INSERT INTO meta (key, value, crc) VALUES ('half', x'', 0)", [])?;
        Err(failure::Failure::broken(crate::error::Error::Rule("on purpose".into())))
    });
    let whole = desk.accept("whole", 10);
    drop(held);
    let outcomes = desk.wait([half, whole]);
    assert_eq!(code(&outcomes[0]), "rule");
    assert!(accepted(&outcomes[1]));
    let half = desk.journal.read(Read::Meta("half".into()));
    assert_eq!(desk.wait([half])[0], Ok(Value::Bytes(None)));
}

#[test]
fn the_largest_group_is_bounded() {
    let desk = Desk::new();
    let held = desk.hold_up();
    let before = desk.commits();
    let tickets: Vec<_> = (0..1_200).map(|number| desk.accept(&format!("m{number}"), 1)).collect();
    drop(held);
    assert!(desk.wait(tickets).iter().all(accepted));
    let commits = desk.commits() - before;
    assert!((2..=10).contains(&commits), "{commits} transactions");
}

#[test]
fn reads_do_not_wait_for_a_transaction_that_is_under_way() {
    let desk = Desk::new();
    desk.wait([desk.accept("before", 10)]);
    let held = desk.hold_up();
    let pending = desk.accept("after", 10);
    assert_eq!(desk.queued(), ["before"]);
    drop(held);
    assert!(accepted(&desk.wait([pending])[0]));
}

#[test]
fn writes_do_not_wait_for_a_reader_that_takes_its_time() {
    let desk = Desk::new();
    let mut slow = open::reader(&desk.directory.path().join("infinity.db")).unwrap();
    let picture = read::Picture::take(&mut slow, std::path::Path::new("slow"), |_| Ok(Vec::new())).unwrap();
    let count = || picture.one("SELECT count(*) FROM inbox", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 0);
    assert!(accepted(&desk.wait([desk.accept("meanwhile", 10)])[0]));
    assert_eq!(count(), 0, "the picture changed under its reader");
}

/// The SQL in the sources of this folder that is written out in one piece.
fn statements() -> Vec<String> {
    let sources = [
        include_str!("read.rs"),
        include_str!("read/facts.rs"),
        include_str!("read/queues.rs"),
        include_str!("read/records.rs"),
        include_str!("read/state.rs"),
        include_str!("read/threads.rs"),
        include_str!("write.rs"),
        include_str!("write/attempts.rs"),
        include_str!("write/commit.rs"),
        include_str!("write/inbox.rs"),
        include_str!("write/outbox.rs"),
        include_str!("write/timers.rs"),
        include_str!("write/trees.rs"),
        include_str!("group.rs"),
    ];
    let verbs = ["SELECT ", "INSERT ", "UPDATE ", "REPLACE ", "DELETE "];
    let literals = sources.iter().flat_map(|source| source.split('"'));
    let statements = literals.filter(|text| verbs.iter().any(|verb| text.starts_with(verb)) && !text.contains('{'));
    statements.map(str::to_owned).collect()
}

/// I10: what a slice costs does not depend on how much there is.
#[test]
fn every_statement_finds_its_rows_by_key() {
    let journal = rusqlite::Connection::open_in_memory().unwrap();
    journal.execute_batch(&schema::tables(schema::VERSION)).unwrap();
    let listings = ["", " AND status = :status", " AND root = :root"].map(|filter| {
        format!(
            "SELECT id FROM threads WHERE (updated_at, id) < (:updated_at, :id){filter} ORDER BY updated_at DESC, id DESC LIMIT 1"
        )
    });
    let timers = "SELECT id FROM timers WHERE thread = ?1 ORDER BY due_at, id".to_owned();
    let statements: Vec<String> = statements().into_iter().chain(listings).chain([timers]).collect();
    assert!(statements.len() > 35, "the statements were not found");
    for sql in statements {
        let mut explain = journal.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> = explain.raw_query().mapped(|row| row.get(3)).map(Result::unwrap).collect();
        // Without a condition it is a listing of a whole queue, or a count of one; with a limit of one, it ends at its first row.
        let scans =
            plan.iter().any(|step| step.starts_with("SCAN ")) && sql.contains(" WHERE ") && !sql.ends_with("LIMIT 1");
        // One tree's threads, one thread's timers, calls or discards: for people, and sorted on the spot.
        let sorts = plan.iter().any(|step| step.contains("TEMP B-TREE"));
        let may_sort = ["root =", "FROM timers WHERE thread", "FROM discards", "FROM calls WHERE thread = ?1 ORDER"]
            .iter()
            .any(|few| sql.contains(few));
        // Once in the life of a process; and where an index lacks what was accepted before, which is damage.
        let starts = sql.contains("SELECT DISTINCT thread, 1, ") || sql.contains(" NOT INDEXED ");
        assert!((!scans || starts) && (!sorts || may_sort), "{sql}\n{plan:#?}");
    }
}
