//! A repair salvages what can be read, guesses nothing (I8), and keeps the evidence (L16).

use crate::desk::{Desk, NO_HISTORIES, consumed, created, next, outbox, refusal, scratch, send, timer};
use _core::codec::{self, Kind};
use _core::delta::Delta;
use _core::journal::{Read, Value, repair};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const PAGE: usize = 4096;
const THREADS: i64 = 40;

/// A closed journal with something in every table, of a few dozen pages.
fn filled(directory: &Path) -> PathBuf {
    let path = directory.join("infinity.db");
    let desk = Desk::at(&path);
    for number in 0..THREADS {
        let thread = format!("thread {number}");
        let entries = (0..4).map(|position| (position, record(&thread, position))).collect();
        let header = sealed(Kind::Header, &[7; 200]);
        desk.commit(Delta { entries, header: header.clone(), ..created(&thread) }).unwrap();
        let queued = desk.queue(&thread, "consumed");
        desk.commit(Delta {
            entries: vec![(4, record(&thread, 4))],
            header,
            consumed: vec![consumed(&queued)],
            timers: vec![timer("timer", number)],
            outbox: vec![outbox(&format!("out {number}"), None)],
            sends: vec![send(&thread, "queued")],
            feed: vec![(0, "note".into(), vec![b'1'; 300])],
            ..next(&thread, 1)
        })
        .unwrap();
    }
    path
}

fn sealed(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut record = codec::begin(kind);
    record.raw(payload);
    record.seal()
}

/// Position 4 of every thread is larger than a page.
fn record(thread: &str, position: i64) -> Vec<u8> {
    let times = if position == 4 { 500 } else { 12 };
    sealed(Kind::Entry, format!("{thread} entry {position} ").repeat(times).as_bytes())
}

fn spoil(path: &Path, page: usize) {
    let mut bytes = fs::read(path).unwrap();
    let noise = (0..PAGE).map(|at| (at * 31 + page * 7 + 13) as u8);
    bytes.splice(page * PAGE..(page + 1) * PAGE, noise);
    fs::write(path, bytes).unwrap();
}

fn entries(desk: &Desk, thread: &str) -> Vec<(i64, Vec<u8>)> {
    let read = Read::Entries { thread: thread.into(), after: -1, limit: 100 };
    let Value::Entries(entries) = desk.read(read).unwrap() else { panic!() };
    entries
}

/// Everything that is there is as it was written, or says that it is not. How many rows are whole.
fn inspect(desk: &Desk) -> i64 {
    let mut whole = 0;
    for number in 0..THREADS {
        let thread = format!("thread {number}");
        for (position, found) in entries(desk, &thread) {
            let torn = codec::open(Kind::Entry, &found).is_err();
            assert!(torn || found == record(&thread, position), "entry {position} of {thread} was made up");
            whole += i64::from(!torn);
        }
    }
    assert!(desk.inbox().iter().all(|message| &*message.body == b"{}"));
    let tables = ["threads", "seen", "inbox", "outbox", "timers"];
    whole + tables.iter().map(|table| desk.count(table)).sum::<i64>()
}

#[test]
fn whichever_page_is_torn_the_rest_is_salvaged_as_it_was() {
    let home = scratch();
    let original = fs::read(filled(home.path())).unwrap();
    let pages = original.len() / PAGE;
    assert!(pages > 60, "only {pages} pages");
    let whole = THREADS * (1 + 5 + 4);
    for page in 0..pages {
        let directory = scratch();
        let path = directory.path().join("infinity.db");
        fs::write(&path, &original).unwrap();
        spoil(&path, page);
        let evidence = fs::read(&path).unwrap();
        match repair(&path, &NO_HISTORIES) {
            Ok(report) => {
                assert_eq!(fs::read(&report.damaged).unwrap(), evidence);
                let kept = inspect(&Desk::at(&path));
                assert!(kept <= whole);
                let first = report.lost.iter().any(|line| line.starts_with("the first page"));
                assert!(!first || page == 0, "page {page}: {report:?}");
                assert!(kept == whole || !report.lost.is_empty(), "page {page}: silent loss of {} rows", whole - kept);
            }
            Err(error) => {
                assert_eq!(error.code(), "damaged", "page {page}: {error}");
                assert_eq!(fs::read(&path).unwrap(), evidence, "a failed repair changed the evidence");
            }
        }
    }
}

#[test]
fn a_torn_first_page_loses_nothing() {
    let home = TempDir::new().unwrap();
    let path = filled(home.path());
    spoil(&path, 0);
    assert_eq!(refusal(&path).code(), "damaged");
    let report = repair(&path, &NO_HISTORIES).unwrap();
    assert!(report.lost[0].starts_with("the first page"), "{report:?}");
    assert_eq!(inspect(&Desk::at(&path)), THREADS * 10);
}

#[test]
fn a_hole_in_the_entries_costs_the_entries_in_it_only() {
    let home = TempDir::new().unwrap();
    let path = filled(home.path());
    let bytes = fs::read(&path).unwrap();
    // A leaf with entries of a thread in the middle.
    let needle = record("thread 20", 1);
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    spoil(&path, at / PAGE);
    let report = repair(&path, &NO_HISTORIES).unwrap();
    let desk = Desk::at(&path);
    assert!(entries(&desk, "thread 20").len() < 5);
    for whole in ["thread 0", "thread 15", "thread 25", "thread 39"] {
        assert_eq!(entries(&desk, whole).len(), 5, "{report:?}");
    }
    assert!(inspect(&desk) >= THREADS * 10 - 15, "{report:?}");
}

#[test]
fn what_only_the_log_holds_is_salvaged_too() {
    let home = TempDir::new().unwrap();
    let path = filled(home.path());
    let desk = Desk::at(&path);
    desk.commit(Delta { entries: vec![(0, b"late".to_vec())], ..created("late") }).unwrap();
    // A crash: the files as they are while the journal is open.
    let crashed = TempDir::new().unwrap();
    let copy = crashed.path().join("infinity.db");
    fs::copy(&path, &copy).unwrap();
    fs::copy(home.path().join("infinity.db-wal"), crashed.path().join("infinity.db-wal")).unwrap();
    spoil(&copy, 0);
    let report = repair(&copy, &NO_HISTORIES).unwrap();
    assert!(crashed.path().join("infinity.db.damaged-1-wal").exists());
    assert_eq!(entries(&Desk::at(&copy), "late"), [(0, b"late".to_vec())], "{report:?}");
}

#[test]
fn rows_of_threads_that_are_gone_do_not_turn_up_in_new_ones() {
    let home = TempDir::new().unwrap();
    let path = filled(home.path());
    let last = format!("DELETE FROM threads WHERE id = 'thread {}'", THREADS - 1);
    rusqlite::Connection::open(&path).unwrap().execute_batch(&last).unwrap();
    let report = repair(&path, &NO_HISTORIES).unwrap();
    assert!(report.lost.contains(&"entries: 5 rows of threads that are gone".to_owned()), "{report:?}");
    let desk = Desk::at(&path);
    desk.commit(created("new")).unwrap();
    assert!(entries(&desk, "new").is_empty());
    assert!(desk.inbox().iter().all(|message| message.thread.as_str() != "new"));
}

#[test]
fn a_message_with_a_wrong_checksum_is_dropped_and_reported() {
    let home = TempDir::new().unwrap();
    let path = filled(home.path());
    let sql = "UPDATE inbox SET body = x'7b7b' WHERE thread = 3";
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let report = repair(&path, &NO_HISTORIES).unwrap();
    assert_eq!(report.lost.len(), 1);
    assert!(report.lost[0].starts_with("inbox: queued of thread thread 2 is torn"), "{report:?}");
    assert_eq!(Desk::at(&path).inbox().len() as i64, THREADS - 1);
}

#[test]
fn a_journal_in_use_is_not_repaired() {
    let desk = Desk::new();
    assert_eq!(repair(&desk.path, &NO_HISTORIES).unwrap_err().code(), "locked");
}

#[test]
fn a_journal_of_which_nothing_is_left_is_not_replaced_by_an_empty_one() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("infinity.db");
    assert_eq!(repair(&path, &NO_HISTORIES).unwrap_err().code(), "storage");
    fs::write(&path, "").unwrap();
    assert_eq!(repair(&path, &NO_HISTORIES).unwrap_err().code(), "damaged");
    assert_eq!(refusal(&path).code(), "damaged");
}

#[test]
fn an_exchange_that_was_interrupted_is_finished_by_the_next_repair() {
    let home = TempDir::new().unwrap();
    let path = filled(home.path());
    fs::rename(&path, home.path().join("infinity.db.repaired")).unwrap();
    assert_eq!(refusal(&path).code(), "damaged");
    repair(&path, &NO_HISTORIES).unwrap();
    assert_eq!(inspect(&Desk::at(&path)), THREADS * 10);
}

#[test]
fn two_repairs_keep_two_sets_of_evidence() {
    let home = TempDir::new().unwrap();
    let path = filled(home.path());
    let names: BTreeSet<PathBuf> = (0..2).map(|_| repair(&path, &NO_HISTORIES).unwrap().damaged).collect();
    assert!(names.len() == 2 && names.iter().all(|name| name.exists()));
}
