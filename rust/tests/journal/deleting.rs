//! A tree that is deleted for good: nobody reaches it from the mark on, its rows go step by step, and nothing of it is left in the file.

use crate::desk::{Desk, created, ids, message, next, outbox, send, timer};
use crate::family::{child, portrait, raise};
use _core::delta::Delta;
use _core::error::Result;
use _core::journal::value::{Accepted, Condemned, Tombstone};
use _core::journal::{Arrival, Attempt, Expect, Filter, Read, Value, Write};
use rusqlite::Connection;
use std::fs;
use std::path::Path;

const AT: i64 = 7_000;

fn mark(desk: &Desk, root: &str) -> Result<Condemned> {
    match desk.write(Write::MarkDeleted { root: root.into(), at: AT })? {
        Value::Condemned(condemned) => Ok(condemned),
        other => panic!("a mark answered {other:?}"),
    }
}

fn erase(desk: &Desk, root: &str, limit: i64) -> bool {
    match desk.write(Write::Erase { root: root.into(), limit }).unwrap() {
        Value::Flag(more) => more,
        other => panic!("an erasure answered {other:?}"),
    }
}

fn delete(desk: &Desk, root: &str) {
    mark(desk, root).unwrap();
    while erase(desk, root, 1_000) {}
    desk.write(Write::Compact { sparse_only: false }).unwrap();
}

fn tombstone(desk: &Desk, id: &str) -> Option<Tombstone> {
    let Value::Tombstone(found) = desk.read(Read::Tombstone(id.into())).unwrap() else { panic!() };
    found
}

fn under_way(desk: &Desk) -> Vec<String> {
    let Value::Roots(roots) = desk.read(Read::Deletions).unwrap() else { panic!() };
    roots
}

fn listed(desk: &Desk) -> Vec<String> {
    let Value::Threads(rows) = desk.read(Read::Threads(Filter { limit: 100, ..Filter::default() })).unwrap() else {
        panic!()
    };
    rows.into_iter().map(|row| row.id).collect()
}

fn load(thread: &str) -> Read {
    Read::Load { thread: thread.into(), known_version: -1, message_ids: Vec::new() }
}

fn tree(desk: &Desk, root: &str) {
    desk.commit(created(root)).unwrap();
    let children = vec![Delta { parent: Some(root.into()), root: root.into(), ..created(&child(root)) }];
    let timers = vec![timer(&format!("timer of {root}"), 10)];
    let outbox = vec![outbox(&format!("out of {root}"), None)];
    desk.commit(Delta { children, timers, outbox, ..next(root, 1) }).unwrap();
    desk.queue(root, &format!("queued for {root}"));
}

/// Of what goes. The newest row of the log stays, and so does what was used, which is nobody's then.
fn rows(path: &Path) -> Vec<(String, i64)> {
    let journal = Connection::open(path).unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('tombstones', 'log', 'usage') ORDER BY name";
    let names: Vec<String> =
        journal.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(|name| name.unwrap()).collect();
    let count =
        |name: &String| journal.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0)).unwrap();
    names.iter().map(|name| (name.clone(), count(name))).collect()
}

#[test]
fn a_marked_tree_is_reached_by_nobody_and_what_comes_for_it_is_counted() {
    let desk = Desk::new();
    tree(&desk, "t");
    tree(&desk, "u");
    let condemned = mark(&desk, "t").unwrap();
    assert_eq!(condemned.threads, [("t".into(), true), (child("t"), true)]);
    {
        for thread in ["t", "t.child"] {
            assert_eq!(desk.accept(message(thread, "late"), Expect::Any), Accepted::Deleted);
            assert_eq!(desk.version(thread), None);
            assert_eq!(desk.read(load(thread)).unwrap_err().code(), "deleted");
        }
        assert_eq!(desk.accept(message("t", "queued for t"), Expect::Call("c".into())), Accepted::Deleted);
        for delta in [next("t", 2), Delta { root: "t".into(), ..next("t.child", 1) }, created("t")] {
            assert_eq!(desk.commit(delta).unwrap_err().code(), "deleted");
        }
        let attempt = Attempt { thread: "t".into(), code: "c".into(), at: 1, spent: Default::default() };
        assert_eq!(desk.write(Write::RecordAttempt(attempt)).unwrap_err().code(), "deleted");
        let view = Write::PutView { thread: "t".into(), view_type: "v".into(), content: b"{}".to_vec() };
        assert_eq!(desk.write(view).unwrap(), Value::Flag(false));
    }
    assert_eq!(listed(&desk), ["u", "u.child"]);
    assert_eq!(ids(&desk.inbox()), ["queued for u"]);
    let Value::Messages(fired) = desk.write(Write::FireTimers { now: 15, limit: 9 }).unwrap() else { panic!() };
    assert_eq!(ids(&fired), ["timer of u"]);
    assert!(desk.commit(Delta { sends: vec![send("t", "greeting")], ..next("u", 2) }).unwrap().is_empty());
    // One was queued, four came.
    let stone = Tombstone { id: "t".into(), root: "t".into(), at: AT, discarded: 5 };
    assert_eq!(tombstone(&desk, "t"), Some(stone));
    assert_eq!(tombstone(&desk, "u"), None);
}

#[test]
fn rows_go_in_bounded_steps_whatever_is_between_them() {
    let first = Desk::new();
    let path = first.directory.as_ref().unwrap().path().join("threads.db");
    let mut desk = Desk::of_threads(&path);
    raise(&desk, "stays");
    let before = (rows(&path), portrait(&desk, "stays"));
    raise(&desk, "goes");
    let full: i64 = rows(&path).iter().map(|(_, rows)| rows).sum();
    let condemned = mark(&desk, "goes").unwrap();
    assert_eq!(condemned.calls, [("goes".into(), "goes-subscribed".into()), ("goes".into(), "goes-open".into())]);
    let mut left = full;
    let mut steps = 0;
    while erase(&desk, "goes", 3) {
        drop(desk);
        let now: i64 = rows(&path).iter().map(|(_, rows)| rows).sum();
        assert!(left - now <= 4, "{} rows in one step", left - now);
        left = now;
        steps += 1;
        desk = Desk::of_threads(&path);
        assert_eq!(under_way(&desk), ["goes"]);
        assert_eq!(desk.accept(message("goes", "late"), Expect::Any), Accepted::Deleted);
    }
    assert!(steps > 5);
    assert_eq!(under_way(&desk), ["goes"], "it is over before the file is compacted");
    assert_eq!(mark(&desk, "goes").unwrap(), Condemned { threads: vec![], calls: vec![] });
    desk.write(Write::Compact { sparse_only: false }).unwrap();
    assert_eq!(under_way(&desk), Vec::<String>::new());
    assert_eq!((rows(&path), portrait(&desk, "stays")), before);
    for (id, discarded) in [("goes".to_owned(), 4 + steps), (child("goes"), 0)] {
        let stone = Tombstone { id: id.clone(), root: "goes".into(), at: AT, discarded };
        assert_eq!(tombstone(&desk, &id), Some(stone));
        assert_eq!(desk.accept(message(&id, "late"), Expect::Any), Accepted::Deleted);
        assert_eq!(desk.commit(created(&id)).unwrap_err().code(), "deleted");
        assert_eq!(desk.read(load(&id)).unwrap_err().code(), "deleted");
    }
    assert_eq!(mark(&desk, "goes").unwrap_err().code(), "deleted");
}

#[test]
fn only_a_whole_tree_can_be_deleted() {
    let desk = Desk::new();
    tree(&desk, "t");
    assert_eq!(mark(&desk, "nobody").unwrap_err().code(), "not_found");
    let error = mark(&desk, "t.child").unwrap_err();
    assert_eq!(error.code(), "bad_request");
    assert!(error.text().contains("delete t"), "{error}");
    assert!(!erase(&desk, "t", 100), "what was not marked is erased");
    assert_eq!(desk.version("t"), Some(2));
}

#[test]
fn a_deleted_tree_can_be_neither_retired_nor_exported_nor_imported() {
    let desk = Desk::new();
    let directory = desk.directory.as_ref().unwrap().path();
    let desk = Desk::of_threads(&directory.join("threads.db"));
    raise(&desk, "t");
    let copy = directory.join("copy");
    desk.outcome(desk.journal.export_tree("t".into(), copy.clone())).unwrap();
    mark(&desk, "t").unwrap();
    let retire =
        || desk.write(Write::RetireTree { root: "t".into(), note: "moved".into(), mark: None }).unwrap_err().code();
    let take_in = || desk.outcome(desk.journal.import_tree(copy.clone(), Arrival::default())).unwrap_err().code();
    assert_eq!((retire(), take_in()), ("deleted", "deleted"));
    desk.write(Write::UnretireTree { root: "t".into(), mark: None }).unwrap();
    let again = desk.outcome(desk.journal.export_tree("t".into(), directory.join("again")));
    assert_eq!(again.unwrap_err().code(), "not_found");
    assert_eq!(under_way(&desk), ["t"]);
    delete(&desk, "t");
    assert_eq!((retire(), take_in()), ("not_found", "deleted"));
}

/// Texts of two trees, small and large, in turns, so that they share pages and pages are split between them.
fn interleave(desk: &Desk) {
    for root in ["keep", "secret"] {
        desk.commit(created(root)).unwrap();
    }
    for version in 1..120 {
        for root in ["keep", "secret"] {
            let size = [1, 3, 17, 60, 400][version as usize % 5];
            let body = format!("<{root} text {version}>").repeat(size).into_bytes();
            let title = format!("<{root} text of a title {}>", "x".repeat(version as usize));
            let queued = desk.accept(
                _core::message::Message {
                    body: body.clone().into(),
                    ..message(root, &format!("{root} text {version}"))
                },
                Expect::Any,
            );
            let Accepted::Yes(queued) = queued else { panic!("{queued:?}") };
            let view_type = format!("<{root} text view {}>", version % 7);
            desk.write(Write::PutView { thread: root.into(), view_type, content: body.clone() }).unwrap();
            let entries = vec![(version - 1, body)];
            let consumed = vec![crate::desk::consumed(&queued)];
            desk.commit(Delta { entries, title, consumed, ..next(root, version) }).unwrap();
        }
    }
}

fn found(path: &Path, word: &[u8]) -> usize {
    let files = ["", "-wal", "-shm"].map(|suffix| path.with_file_name(format!("infinity.db{suffix}")));
    let bytes = files.iter().flat_map(|file| fs::read(file).unwrap_or_default()).collect::<Vec<_>>();
    bytes.windows(word.len()).filter(|window| *window == word).count()
}

#[test]
fn nothing_of_a_deleted_tree_is_left_in_the_files_and_their_space_is_given_back() {
    let desk = Desk::new();
    interleave(&desk);
    assert!(found(&desk.path, b"secret text") > 1_000);
    let size = |desk: &Desk| {
        let log = fs::metadata(desk.path.with_file_name("infinity.db-wal")).map_or(0, |file| file.len());
        (fs::metadata(&desk.path).unwrap().len(), log)
    };
    desk.write(Write::Compact { sparse_only: false }).unwrap();
    let (whole, _) = size(&desk);
    delete(&desk, "secret");
    assert_eq!(found(&desk.path, b"secret text"), 0);
    let check =
        Connection::open(&desk.path).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(check.unwrap(), "ok");
    assert!(found(&desk.path, b"keep text") > 1_000);
    let (half, log) = size(&desk);
    assert!(half * 100 < whole * 65 && log < 50_000, "{whole} bytes became {half} and a log of {log}");
    assert_eq!(desk.version("keep"), Some(120));
    let desk = desk.reopened();
    desk.commit(next("keep", 120)).unwrap();
    assert_eq!(found(&desk.path, b"secret text"), 0);
}

#[test]
fn a_compaction_that_a_reader_holds_up_is_done_later() {
    let desk = Desk::new();
    interleave(&desk);
    mark(&desk, "secret").unwrap();
    while erase(&desk, "secret", 1_000) {}
    let reader = Connection::open(&desk.path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM threads").unwrap();
    let error = desk.write(Write::Compact { sparse_only: false }).unwrap_err();
    assert_eq!(error.code(), "locked", "{error}");
    assert_eq!(under_way(&desk), ["secret"]);
    desk.queue("keep", "the journal works");
    drop(reader);
    desk.write(Write::Compact { sparse_only: false }).unwrap();
    assert_eq!((under_way(&desk), found(&desk.path, b"secret text")), (vec![], 0));
}

#[test]
fn a_compaction_keeps_its_place_among_other_writes() {
    let desk = Desk::new();
    tree(&desk, "t");
    let tickets: Vec<_> = (0..50)
        .flat_map(|number| {
            let accept = Write::Accept { message: message("t", &format!("m{number}")), expect: Expect::Any };
            let first = desk.journal.write(accept);
            if number % 10 == 5 {
                vec![first, desk.journal.write(Write::Compact { sparse_only: false })]
            } else {
                vec![first]
            }
        })
        .collect();
    for ticket in tickets {
        desk.outcome(ticket).unwrap();
    }
    assert_eq!(desk.inbox().len(), 51);
}

#[test]
fn closed_roots_are_listed_from_the_oldest_on() {
    let desk = Desk::new();
    for (root, at) in [("young", 30), ("old", 10), ("middle", 20), ("moved", 5), ("gone", 6)] {
        tree(&desk, root);
        desk.commit(Delta { status: "closed".into(), updated_at: at, ..next(root, 2) }).unwrap();
    }
    tree(&desk, "open");
    desk.write(Write::RetireTree { root: "moved".into(), note: "moved".into(), mark: None }).unwrap();
    mark(&desk, "gone").unwrap();
    let Value::Closed(found) = desk.read(Read::ClosedRoots { limit: 2 }).unwrap() else { panic!() };
    assert_eq!(found, [("old".into(), 10), ("middle".into(), 20)]);
}

#[test]
fn the_space_of_trees_that_leave_is_given_back_once_it_is_most_of_the_file() {
    let desk = Desk::new();
    interleave(&desk);
    tree(&desk, "small");
    let size = || fs::metadata(&desk.path).unwrap().len();
    let leave = |root: &str| {
        desk.write(Write::DeleteTree(root.into())).unwrap();
        desk.write(Write::Compact { sparse_only: true }).unwrap();
    };
    desk.write(Write::Compact { sparse_only: false }).unwrap();
    let whole = size();
    leave("small");
    leave("secret");
    assert_eq!(size(), whole, "it is written anew although most of it is in use");
    leave("keep");
    assert!(size() * 3 < whole, "{whole} bytes became {}", size());
}
