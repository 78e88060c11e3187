//! A tree that lives elsewhere: nothing reaches it here, nothing leaves it, nothing of it is lost. A tree that is deleted: nothing is left.

use crate::desk::{Desk, consumed, created, ids, message, next, outbox, send, timer};
use crate::family::{child, portrait, raise};
use _core::delta::Delta;
use _core::journal::value::Accepted;
use _core::journal::{Expect, Read, Value, Write};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;

fn retire(desk: &Desk, root: &str) {
    desk.write(Write::RetireTree { root: root.into(), note: "moved to the cloud".into(), mark: None }).unwrap();
}

fn unretire(desk: &Desk, root: &str) {
    desk.write(Write::UnretireTree { root: root.into(), mark: None }).unwrap();
}

fn delete(desk: &Desk, root: &str) -> i64 {
    match desk.write(Write::DeleteTree(root.into())).unwrap() {
        Value::Integer(Some(threads)) => threads,
        other => panic!("a deletion answered {other:?}"),
    }
}

fn note(desk: &Desk, root: &str) -> Option<String> {
    match desk.read(Read::Retired(root.into())).unwrap() {
        Value::Text(note) => note,
        other => panic!("{other:?}"),
    }
}

fn outbox_keys(desk: &Desk) -> Vec<String> {
    let Value::Outbox(rows) = desk.read(Read::Outbox { after: String::new(), limit: 9 }).unwrap() else { panic!() };
    rows.into_iter().map(|row| row.key).collect()
}

fn next_timer(desk: &Desk) -> Option<i64> {
    let Value::Integer(due_at) = desk.read(Read::NextTimer).unwrap() else { panic!() };
    due_at
}

fn fire(desk: &Desk, now: i64) -> Vec<String> {
    let Value::Messages(fired) = desk.write(Write::FireTimers { now, limit: 100 }).unwrap() else { panic!() };
    fired.iter().map(|message| message.id.to_string()).collect()
}

/// The trees `t` (with a child) and `u`, each with a message, a timer and an outgoing row.
fn two_trees() -> Desk {
    let desk = Desk::new();
    for (root, due_at) in [("t", 10), ("u", 20)] {
        desk.commit(created(root)).unwrap();
        let children = vec![Delta { parent: Some(root.into()), root: root.into(), ..created(&child(root)) }];
        let timers = vec![timer(&format!("timer of {root}"), due_at)];
        let outbox = vec![outbox(&format!("out of {root}"), None)];
        desk.commit(Delta { children, timers, outbox, ..next(root, 1) }).unwrap();
        desk.queue(root, &format!("queued for {root}"));
    }
    desk
}

#[test]
fn a_retired_tree_refuses_messages_and_commits() {
    let desk = two_trees();
    assert_eq!(note(&desk, "t"), None);
    retire(&desk, "t");
    assert_eq!(note(&desk, "t").as_deref(), Some("moved to the cloud"));
    for thread in ["t", "t.child"] {
        assert_eq!(desk.accept(message(thread, "late"), Expect::Any), Accepted::Moved);
        assert_eq!(desk.accept(message(thread, "late"), Expect::Call("c".into())), Accepted::Moved);
    }
    assert_eq!(desk.accept(message("t", "queued for t"), Expect::Any), Accepted::Moved);
    for delta in [next("t", 2), Delta { root: "t".into(), ..next("t.child", 1) }] {
        let error = desk.commit(delta).unwrap_err();
        assert_eq!(error.code(), "conflict");
        assert!(error.text().contains("moved to the cloud"), "{error}");
    }
    let view = Write::PutView { thread: "t".into(), view_type: "diff".into(), content: b"{}".to_vec() };
    assert_eq!(desk.write(view).unwrap(), Value::Flag(false));
    assert_eq!((desk.count("inbox"), desk.count("discards")), (2, 0));
    assert_eq!(desk.version("t"), Some(2), "it cannot even be read");
    desk.queue("u", "others go on");
}

#[test]
fn what_a_retired_tree_has_queued_rests() {
    let desk = two_trees();
    retire(&desk, "t");
    assert_eq!(ids(&desk.inbox()), ["queued for u"]);
    assert_eq!(outbox_keys(&desk), ["out of u"]);
    assert_eq!(next_timer(&desk), Some(20));
    assert_eq!(fire(&desk, 15), Vec::<String>::new());
    assert_eq!(fire(&desk, 25), ["timer of u"]);
    assert_eq!(next_timer(&desk), None);
    assert_eq!((desk.count("inbox"), desk.count("outbox"), desk.count("timers")), (3, 2, 1));
}

#[test]
fn a_move_that_is_called_off_leaves_the_tree_as_it_was() {
    let desk = two_trees();
    retire(&desk, "t");
    let desk = desk.reopened();
    assert_eq!(desk.accept(message("t", "late"), Expect::Any), Accepted::Moved);
    unretire(&desk, "t");
    unretire(&desk, "u");
    assert_eq!(note(&desk, "t"), None);
    assert_eq!(ids(&desk.inbox()), ["queued for t", "queued for u"]);
    assert_eq!((outbox_keys(&desk).len(), next_timer(&desk)), (2, Some(10)));
    assert_eq!(fire(&desk, 15), ["timer of t"]);
    desk.queue("t", "late");
    desk.commit(next("t", 2)).unwrap();
}

#[test]
fn a_failure_of_a_retired_tree_is_told_where_it_lives() {
    let desk = two_trees();
    retire(&desk, "t");
    let done = |key: &str, failure| Write::OutboxDone { key: key.into(), sent_call: None, failure, at: 0 };
    let told = desk.write(done("out of t", Some(message("t", "it failed")))).unwrap();
    assert_eq!(told, Value::Accepted(Accepted::Moved));
    unretire(&desk, "t");
    assert_eq!(outbox_keys(&desk), ["out of t", "out of u"], "the row is gone and nobody was told");
    retire(&desk, "t");
    // It has left, anyone who asks.
    desk.write(done("out of t", None)).unwrap();
    assert_eq!(desk.count("outbox"), 1);
}

#[test]
fn a_message_of_another_tree_to_a_retired_one_is_discarded_on_record() {
    let desk = two_trees();
    retire(&desk, "t");
    let sends = vec![send("t", "greeting")];
    assert!(desk.commit(Delta { sends, ..next("u", 2) }).unwrap().is_empty());
    assert_eq!(desk.discards("t"), [("greeting".into(), "moved".into())]);
}

#[test]
fn only_a_root_can_be_retired() {
    let desk = two_trees();
    for root in ["nobody", "t.child"] {
        let error = desk.write(Write::RetireTree { root: root.into(), note: String::new(), mark: None }).unwrap_err();
        assert_eq!(error.code(), "not_found");
        assert!(error.text().contains(root), "{error}");
    }
}

/// Rows of every table.
fn rows(path: &std::path::Path) -> BTreeMap<String, i64> {
    let journal = Connection::open(path).unwrap();
    let mut names = journal
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('tombstones', 'generations', 'log')",
        )
        .unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let count = |name: &str| journal.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0)).unwrap();
    names.into_iter().map(|name| (name.clone(), count(&name))).collect()
}

#[test]
fn a_deleted_tree_leaves_no_row_and_the_others_as_they_were() {
    let desk = Desk::new();
    let real = Desk::of_threads(&desk.directory.as_ref().unwrap().path().join("threads.db"));
    raise(&real, "stays");
    let before = (rows(&real.path), portrait(&real, "stays"), counts(&real));
    raise(&real, "goes");
    retire(&real, "goes");
    let full = rows(&real.path);
    let empty: Vec<_> = full.iter().filter(|(_, rows)| **rows == 0).collect();
    assert!(empty.is_empty(), "nothing to delete in {empty:?}");
    assert_eq!(delete(&real, "goes"), 2);
    assert_eq!((rows(&real.path), portrait(&real, "stays"), counts(&real)), before);
    assert_eq!(delete(&real, "goes"), 0);
    assert_eq!(real.accept(message("goes", "late"), Expect::Any), Accepted::UnknownThread);
    raise(&real, "goes");
}

fn counts(desk: &Desk) -> Value {
    desk.read(Read::Counts).unwrap()
}

#[test]
fn what_was_deleted_is_not_found_in_the_file() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    let queued = desk.queue("t", "m");
    let secret = b"a word that nobody may find";
    let entries = vec![(0, secret.repeat(400))];
    desk.commit(Delta { entries, consumed: vec![consumed(&queued)], ..next("t", 1) }).unwrap();
    let found = |desk: &Desk| fs::read(&desk.path).unwrap().windows(secret.len()).any(|window| window == secret);
    let desk = desk.reopened();
    assert!(found(&desk));
    assert_eq!(delete(&desk, "t"), 1);
    assert!(!found(&desk.reopened()));
}
