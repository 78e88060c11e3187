//! An examination finds whatever a reader would miss, and changes nothing (L23).

use crate::desk::{Desk, HISTORIES, NO_HISTORIES, created, scratch};
use crate::family::{raise, text};
use crate::files::{Files, beside};
use _core::history::Thread;
use _core::journal::{Filter, Read, Value, Write, examine};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A closed journal of real threads.
fn filled(home: &TempDir) -> PathBuf {
    let path = home.path().join("infinity.db");
    let desk = Desk::of_threads(&path);
    ["a", "b"].into_iter().for_each(|root| raise(&desk, root));
    for number in 0..30 {
        let name = format!("long {number}");
        let mut thread = Thread::create(name.as_str().into(), 1, "model", "", None).unwrap();
        for said in 0..6 {
            thread.add_user(&text(&format!("{said} ").repeat(60)), 1, None, b"{}").unwrap();
        }
        crate::family::commit(&desk, &mut thread);
        let queued = desk.queue(&name, "m");
        thread.consume(&queued, "applied").unwrap();
        crate::family::commit(&desk, &mut thread);
    }
    path
}

fn problems(path: &Path) -> Vec<String> {
    examine(path, &HISTORIES).unwrap().unwrap().problems
}

/// Threads that are not real have no header.
fn header_of_a_test(line: &str) -> bool {
    line.contains("thread header record: only 0 bytes long")
}

/// Every byte of a directory.
fn bytes(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(directory)
        .unwrap()
        .map(|each| each.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

#[test]
fn of_a_whole_journal_every_row_is_read_and_nothing_is_found() {
    let home = scratch();
    let path = filled(&home);
    let before = bytes(home.path());
    let found = examine(&path, &HISTORIES).unwrap().unwrap();
    assert_eq!(found.problems, [""; 0]);
    let rows: BTreeMap<_, _> = found.rows.into_iter().collect();
    assert_eq!((rows["threads"], rows["seen"], rows["inbox"]), (34, 34, 8));
    assert_eq!(bytes(home.path()), before);
}

#[test]
fn after_a_kill_the_log_is_read_as_well_and_stays() {
    let home = scratch();
    let path = Files::with(20).put(&home);
    let before = bytes(home.path());
    let found = examine(&path, &NO_HISTORIES).unwrap().unwrap();
    assert!(found.problems.iter().all(|line| header_of_a_test(line)), "{:?}", found.problems);
    assert!(found.rows.contains(&("inbox".to_owned(), 20)), "{:?}", found.rows);
    assert_eq!(bytes(home.path()), before);
}

#[test]
fn a_broken_log_is_named_and_stays() {
    let home = scratch();
    let mut files = Files::with(20);
    files.spoil(3);
    let path = files.put(&home);
    let before = bytes(home.path());
    let found = examine(&path, &NO_HISTORIES).unwrap().unwrap();
    assert!(found.problems[0].contains("its write-ahead log"), "{:?}", found.problems);
    assert_eq!(bytes(home.path()), before);
}

#[test]
fn a_journal_that_is_not_there_is_told_from_one_that_is_gone() {
    let home = scratch();
    let path = home.path().join("infinity.db");
    assert_eq!(examine(&path, &NO_HISTORIES), Ok(None));
    fs::write(beside(&path, ".mark"), "clean\n").unwrap();
    assert!(examine(&path, &NO_HISTORIES).unwrap().unwrap().problems[0].contains("is gone"));
}

#[test]
fn a_journal_in_use_is_examined_from_inside_only() {
    let home = scratch();
    let path = filled(&home);
    let desk = Desk::of_threads(&path);
    let holder = fs::read(beside(&path, ".lock")).unwrap();
    assert_eq!(examine(&path, &HISTORIES).unwrap_err().code(), "locked");
    assert_eq!(fs::read(beside(&path, ".lock")).unwrap(), holder);
    let examined = || match desk.outcome(desk.journal.examine(HISTORIES)).unwrap() {
        Value::Examined(found) => found.problems,
        other => panic!("an examination answered {other:?}"),
    };
    assert_eq!(examined(), [""; 0]);
    Connection::open(&path)
        .unwrap()
        .execute_batch("DELETE FROM entries WHERE place = (SELECT key << 32 FROM threads WHERE id = 'a') + 1")
        .unwrap();
    let found = examined();
    assert!(found.iter().any(|line| line.contains("thread a: 1 row of its entries is missing (1)")), "{found:?}");
    desk.write(Write::PutMeta { key: "goes".into(), value: b"on".into() }).unwrap();
}

#[test]
fn what_was_never_counted_or_has_a_wrong_checksum_is_named() {
    for (sql, named) in [
        ("DELETE FROM seen WHERE thread = 3", "seen: 32 rows are there, and 34 were written"),
        (
            "UPDATE inbox SET body = x'7b' WHERE seq = (SELECT max(seq) FROM inbox)",
            "inbox: queued third of thread b is torn",
        ),
        (
            "UPDATE entries SET record = x'00' WHERE place = (SELECT max(place) FROM entries)",
            "entries: position 5 of thread long 29 cannot be read",
        ),
        ("DELETE FROM feed WHERE place = (SELECT max(place) FROM feed)", "1 row of its feed is missing"),
        ("UPDATE threads SET header = x'00' WHERE id = 'a'", "threads: thread a cannot be read"),
    ] {
        let home = scratch();
        let path = filled(&home);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let found = problems(&path);
        assert!(found.len() == 1 && found[0].contains(named), "{sql}: {found:?}");
    }
}

/// All rows as SQLite reads them; `None` if it notices that something is wrong.
fn dump(path: &Path) -> Option<Vec<Vec<Cell>>> {
    let uri = format!("file:{}?immutable=1", path.display());
    let journal = Connection::open_with_flags(
        uri,
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI,
    )
    .ok()?;
    let mut all = Vec::new();
    for table in [
        "threads", "entries", "calls", "inbox", "seen", "outbox", "timers", "prompts", "views", "discards", "feed",
        "meta",
    ] {
        let mut select = journal.prepare(&format!("SELECT * FROM {table} NOT INDEXED")).ok()?;
        let columns = select.column_count();
        let mut rows = select.query([]).ok()?;
        while let Some(row) = rows.next().ok()? {
            all.push((0..columns).map(|at| row.get(at)).collect::<Result<_, _>>().ok()?);
        }
    }
    Some(all)
}

#[test]
fn whichever_sector_is_zeroed_rows_that_vanish_are_missed() {
    let home = scratch();
    let path = filled(&home);
    let whole = fs::read(&path).unwrap();
    let expected = dump(&path).unwrap();
    let mut silent = 0;
    for sector in (512..whole.len()).step_by(512).filter(|at| whole[*at..at + 512].iter().any(|byte| *byte != 0)) {
        let mut zeroed = whole.clone();
        zeroed[sector..sector + 512].fill(0);
        fs::write(&path, zeroed).unwrap();
        let Some(found) = dump(&path) else { continue };
        if found != expected {
            silent += 1;
            assert!(!problems(&path).is_empty(), "sector {sector}: {} of {} rows", found.len(), expected.len());
        }
    }
    assert!(silent > 5, "SQLite noticed all but {silent} by itself");
}

#[test]
fn the_name_of_a_journal_may_have_any_characters() {
    let home = scratch();
    let odd = home.path().join("a ?#%20 b");
    fs::create_dir(&odd).unwrap();
    let path = odd.join("infinity.db");
    let desk = Desk::at(&path);
    desk.commit(created("t")).unwrap();
    drop(desk);
    let found = examine(&path, &NO_HISTORIES).unwrap().unwrap().problems;
    assert!(found.iter().all(|line| header_of_a_test(line)), "{found:?}");
}

#[test]
fn a_listing_goes_around_pages_that_cannot_be_read() {
    let home = scratch();
    let path = filled(&home);
    let whole = fs::read(&path).unwrap();
    let listed = |desk: &Desk| {
        let Value::Threads(rows) = desk.read(Read::Threads(Filter { limit: 100, ..Filter::default() })).unwrap() else {
            panic!()
        };
        rows
    };
    let expected = listed(&Desk::of_threads(&path));
    let (mut around, mut pieces) = (0, 0);
    for page in 1..whole.len() / 4096 {
        let mut spoiled = whole.clone();
        spoiled[page * 4096..(page + 1) * 4096].fill(0xa5);
        let home = scratch();
        let path = home.path().join("infinity.db");
        fs::write(&path, &spoiled).unwrap();
        let Ok((journal, _)) = crate::desk::open(&path) else { continue };
        drop(journal);
        let desk = Desk::of_threads(&path);
        if desk.read(Read::Threads(Filter { limit: 100, ..Filter::default() })).is_ok() {
            let rows = listed(&desk);
            assert_eq!(rows.len(), expected.len(), "page {page}");
            around += rows.iter().filter(|row| row.status == "damaged").count();
        }
        for thread in ["a", "long 7", "long 20"] {
            let read = Read::Entries { thread: thread.into(), after: -1, limit: 100 };
            let Ok(Value::Entries(entries)) = desk.read(read) else { continue };
            pieces += entries.iter().filter(|(_, record)| record.is_empty()).count();
        }
    }
    assert!(around > 0 && pieces > 0, "{around} threads, {pieces} entries");
}
