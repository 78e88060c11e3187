//! Nothing of a row that waits can change unseen: an examination, a read and a repair say so (L16, I8).

use crate::desk::{Desk, NO_HISTORIES, call, created, ids, message, next, outbox, scratch, timer};
use crate::frozen::thaw;
use _core::delta::{Delta, Kept, PromptRow};
use _core::id::CallId;
use _core::journal::value::Accepted;
use _core::journal::{Arrival, Expect, Read, Write, examine, repair};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A checksum that covers its row has this bit.
const ROW: i64 = 1 << 32;
const EARLY: [&str; 2] = ["kept", "early"];

fn early(desk: &Desk, id: &str) -> Kept {
    let call = CallId::from("c");
    let Accepted::Yes(message) = desk.accept(message("t", id), Expect::Event(call.clone())) else { panic!("{id}") };
    Kept { call, message }
}

/// A closed journal with a row or more in every table that a checksum covers.
fn filled(home: &TempDir) -> PathBuf {
    let path = home.path().join("infinity.db");
    let desk = Desk::at(&path);
    let prompts = vec![PromptRow { id: "p".into(), kind: "choice".into(), body: b"{}".to_vec() }];
    let first = Delta {
        calls: vec![call("c", "planned")],
        feed: vec![(0, "note".into(), b"{}".to_vec())],
        timers: vec![timer("soon", 10)],
        outbox: vec![outbox("out", Some("c"))],
        prompts,
        ..created("t")
    };
    for delta in [first, created("u"), created("left")] {
        desk.commit(delta).unwrap();
    }
    desk.queue("t", "plain");
    let [kept, _] = EARLY.map(|id| early(&desk, id));
    desk.commit(Delta { kept: vec![kept], ..next("t", 1) }).unwrap();
    for due_at in [20, 1 << 40] {
        desk.write(Write::OutboxRetry { key: "out".into(), due_at, trouble: "HTTP 503".into() }).unwrap();
    }
    let (thread, view_type, content) = ("t".into(), "diff".into(), b"{}".to_vec());
    desk.write(Write::PutView { thread, view_type, content }).unwrap();
    let (root, note, mark) = ("left".into(), "elsewhere".into(), Some(b"a mark  ".to_vec()));
    desk.write(Write::RetireTree { root, note, mark }).unwrap();
    path
}

fn problems(path: &Path) -> Vec<String> {
    let found = examine(path, &NO_HISTORIES).unwrap().unwrap().problems;
    // Records of these tests are none.
    found.into_iter().filter(|line| !line.starts_with("threads: ") && !line.starts_with("calls: ")).collect()
}

fn edit(path: &Path, sql: &str) {
    assert_eq!(Connection::open(path).unwrap().execute(sql, []).unwrap(), 1, "{sql}");
}

/// The first error of all that can be asked about what waits.
fn said(path: &Path) -> Option<&'static str> {
    let (desk, t) = (Desk::at(path), || "t".to_owned());
    let reads = [
        Read::Inbox { after: 0, limit: 9 },
        Read::Outbox { after: String::new(), limit: 9 },
        Read::Timers { thread: None },
        Read::Prompts { thread: None, root: None },
        Read::Views { thread: t() },
        Read::Feed { thread: t(), after: -1, limit: 9 },
        Read::Generation("left".into()),
    ];
    let error = reads.into_iter().find_map(|read| desk.read(read).err());
    let released = || desk.commit(Delta { released: vec!["c".into()], ..next("t", 2) }).err();
    error.or_else(released).map(|error| error.code())
}

#[test]
fn a_column_that_changes_by_itself_is_found_by_whoever_reads_it() {
    let home = scratch();
    let path = filled(&home);
    assert_eq!(problems(&path), [""; 0]);
    let whole = fs::read(&path).unwrap();
    for (table, change) in [
        ("inbox", "id = 'plaid' WHERE id = 'plain'"),
        ("inbox", "kind = 'uses' WHERE id = 'plain'"),
        ("inbox", "accepted_at = 1001 WHERE id = 'plain'"),
        ("inbox", "thread = 2 WHERE id = 'plain'"),
        ("inbox", "kept = 1, call = 'c' WHERE id = 'plain'"),
        ("inbox", "call = 'c' WHERE id = 'plain'"),
        ("inbox", "call = 'd' WHERE id = 'early'"),
        ("inbox", "kept = NULL WHERE id = 'kept'"),
        ("inbox", "id = 'keps' WHERE id = 'kept'"),
        ("inbox", "crc = crc & 4294967295 WHERE id = 'plain'"),
        ("outbox", "key = 'ouu'"),
        ("outbox", "kind = 'invokf'"),
        ("outbox", "target = 'http://tool/invokd'"),
        ("outbox", "call = NULL"),
        ("outbox", "thread = 2"),
        ("outbox", "attempts = 3"),
        ("outbox", "due_at = 0"),
        ("timers", "id = 'sooo'"),
        ("timers", "kind = 'times'"),
        ("timers", "due_at = 11"),
        ("timers", "thread = 2"),
        ("prompts", "id = 'q'"),
        ("prompts", "kind = 'choicd'"),
        ("prompts", "thread = 2"),
        ("views", "view_type = 'dift'"),
        ("feed", "kind = 'notd'"),
        ("generations", "number = 3"),
    ] {
        fs::write(&path, &whole).unwrap();
        edit(&path, &format!("UPDATE {table} SET {change}"));
        let found = problems(&path);
        assert!(found.len() == 1 && found[0].starts_with(&format!("{table}: ")), "{table}, {change}: {found:?}");
        assert_eq!(said(&path), Some("damaged"), "{table}, {change}");
        let report = repair(&path, &NO_HISTORIES).unwrap();
        assert!(report.lost.contains(&found[0]), "{table}, {change}: {report:?}");
    }
}

#[test]
fn a_queued_row_that_its_digest_does_not_know_is_not_salvaged() {
    let home = scratch();
    let path = filled(&home);
    edit(&path, "UPDATE inbox SET digest = x'00112233445566778899aabbccddeeff' WHERE id = 'plain'");
    assert!(problems(&path)[0].contains("plain of thread t is torn"));
    let lost = repair(&path, &NO_HISTORIES).unwrap().lost;
    assert!(lost.iter().any(|line| line.contains("plain of thread t is torn")), "{lost:?}");
    assert_eq!(ids(&Desk::at(&path).inbox()), ["early"]);
}

#[test]
fn a_timer_that_is_not_what_was_set_does_not_fire() {
    let home = scratch();
    let path = filled(&home);
    edit(&path, "UPDATE timers SET kind = 'times'");
    let desk = Desk::at(&path);
    assert_eq!(desk.write(Write::FireTimers { now: 20, limit: 9 }).unwrap_err().code(), "damaged");
}

#[test]
fn an_event_that_is_not_what_was_kept_is_not_thrown_away_under_another_name() {
    let home = scratch();
    let path = filled(&home);
    edit(&path, "UPDATE inbox SET id = 'keps' WHERE id = 'kept'");
    let desk = Desk::at(&path);
    let error = desk.commit(Delta { dropped: vec!["c".into()], ..next("t", 2) }).unwrap_err();
    assert_eq!(error.code(), "damaged");
}

#[test]
fn what_is_kept_released_and_tried_again_stays_covered() {
    let home = scratch();
    let path = filled(&home);
    assert_eq!(said(&path), None);
    // Released.
    assert_eq!(problems(&path), [""; 0]);
    assert_eq!(ids(&Desk::at(&path).inbox()), ["plain", "kept", "early"]);
    edit(&path, "UPDATE inbox SET kept = 1 WHERE id = 'kept'");
    assert_eq!(problems(&path).len(), 1);
}

/// The queue's row as it is in the file, without the help of an index; `None` if SQLite notices that something is wrong.
fn dump(path: &Path) -> Option<Vec<Vec<Cell>>> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI;
    let journal = Connection::open_with_flags(format!("file:{}?immutable=1", path.display()), flags).ok()?;
    let sql = "SELECT thread, id, kind, body, accepted_at, call, kept FROM inbox NOT INDEXED ORDER BY seq";
    let mut select = journal.prepare(sql).ok()?;
    let all = select.query_map([], |row| (0..7).map(|at| row.get(at)).collect()).ok()?;
    all.collect::<Result<_, _>>().ok()
}

#[test]
fn whichever_bit_of_a_queued_row_is_flipped_it_is_found() {
    let home = scratch();
    let path = filled(&home);
    let whole = fs::read(&path).unwrap();
    let expected = dump(&path).unwrap();
    let body = br#"plainuser{"text":"plain"}"#;
    let at = whole.windows(body.len()).position(|bytes| bytes == body).unwrap();
    let mut silent = 0;
    // From the header of the record to its end; every bit of each third byte.
    for byte in (at - 32..at + body.len() + 12).step_by(3) {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[byte] ^= 1 << bit;
            fs::write(&path, flipped).unwrap();
            let Some(found) = dump(&path) else { continue };
            if found != expected {
                silent += 1;
                assert!(!problems(&path).is_empty(), "byte {byte}, bit {bit}: {found:?}");
            }
        }
    }
    assert!(silent > 50, "SQLite noticed all but {silent} by itself");
}

/// How many rows that wait have a checksum over the whole row, and how many do not.
fn covered(path: &Path) -> [i64; 2] {
    let journal = Connection::open(path).unwrap();
    ["inbox", "outbox", "timers", "prompts"].into_iter().fold([0, 0], |[wide, all], table| {
        let sql = format!("SELECT count(*) FILTER (WHERE crc & {ROW}), count(*) FROM {table}");
        let [more, rows]: [i64; 2] = journal.query_row(&sql, [], |row| Ok([row.get(0)?, row.get(1)?])).unwrap();
        [wide + more, all + rows]
    })
}

#[test]
fn rows_of_an_older_format_are_covered_once_they_came_here() {
    let home = scratch();
    let old = thaw(&home, "journal-1.hex");
    let [wide, all] = covered(&old);
    assert!(wide == 0 && all > 8);
    let every = all;
    drop(Desk::of_threads(&old));
    assert_eq!(covered(&old), [every, every]);
    assert_eq!(problems(&old), [""; 0]);
    let new = home.path().join("new.db");
    let desk = Desk::of_threads(&new);
    desk.outcome(desk.journal.import_tree(thaw(&home, "tree-1.hex"), Arrival::default())).unwrap();
    drop(desk);
    let [wide, all] = covered(&new);
    assert!(wide == all && all > 4);
    assert_eq!(problems(&new), [""; 0]);
    let repaired = thaw(&home, "journal-1.hex");
    assert_eq!(covered(&repaired), [0, every]);
    repair(&repaired, &NO_HISTORIES).unwrap();
    assert_eq!(covered(&repaired), [every, every]);
}

#[test]
fn a_torn_row_of_an_older_format_stays_torn() {
    let home = scratch();
    let path = thaw(&home, "journal-1.hex");
    edit(&path, "UPDATE inbox SET body = x'7b7d20' WHERE id = 'queued first' AND thread = 1");
    let desk = Desk::of_threads(&path);
    assert_eq!(desk.read(Read::Inbox { after: 0, limit: 9 }).unwrap_err().code(), "damaged");
    drop(desk);
    let found = problems(&path);
    assert!(found.len() == 1 && found[0].contains("queued first of thread a is torn"), "{found:?}");
}

#[test]
fn a_row_whose_checksum_covers_its_body_alone_goes_on() {
    let home = scratch();
    let path = filled(&home);
    let journal = Connection::open(&path).unwrap();
    for (table, sum) in
        [("inbox", crc32fast::hash(br#"{"text":"kept"}"#)), ("outbox", crc32fast::hash(br#"{"id":"out"}"#))]
    {
        let which = if table == "inbox" { "id = 'kept'" } else { "key = 'out'" };
        assert_eq!(journal.execute(&format!("UPDATE {table} SET crc = {sum} WHERE {which}"), []).unwrap(), 1);
    }
    drop(journal);
    assert_eq!(problems(&path), [""; 0]);
    let desk = Desk::at(&path);
    desk.write(Write::OutboxRetry { key: "out".into(), due_at: 30, trouble: "HTTP 503".into() }).unwrap();
    let released = desk.commit(Delta { released: vec!["c".into()], ..next("t", 2) }).unwrap();
    assert_eq!(ids(&released), ["kept"]);
    drop(desk);
    assert_eq!(problems(&path), [""; 0]);
    edit(&path, "UPDATE outbox SET attempts = 9");
    assert_eq!(problems(&path).len(), 1);
}
