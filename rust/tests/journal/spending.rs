//! What a tree has spent: one look-up, whatever its size, and true with every commit.

use crate::desk::{Desk, HISTORIES, created, next, scratch};
use crate::family::raise;
use _core::delta::{Delta, Spent};
use _core::journal::{Read, Usage, Value, Write, repair};

fn spent(desk: &Desk, root: &str) -> (i64, i64) {
    match desk.read(Read::Spent(root.into())).unwrap() {
        Value::Spent(Spent { tokens, cost }) => (tokens, cost),
        other => panic!("spending answered {other:?}"),
    }
}

fn spending(delta: Delta, tokens: i64, cost: i64) -> Delta {
    Delta { spent: Spent { tokens, cost }, ..delta }
}

#[test]
fn a_tree_has_spent_what_all_its_threads_have() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    desk.commit(created("other")).unwrap();
    assert_eq!(spent(&desk, "t"), (0, 0));
    let child = |id: &str| Delta { parent: Some("t".into()), root: "t".into(), ..created(id) };
    let children = vec![spending(child("c1"), 7, 70), child("c2")];
    desk.commit(Delta { children, ..spending(next("t", 1), 100, 1_000) }).unwrap();
    desk.commit(spending(Delta { root: "t".into(), ..next("c2", 1) }, 20, 0)).unwrap();
    assert_eq!((spent(&desk, "t"), spent(&desk, "other"), spent(&desk, "c1")), ((127, 1_070), (0, 0), (0, 0)));
    assert_eq!(spent(&desk.reopened(), "t"), (127, 1_070));
}

#[test]
fn a_commit_that_fails_has_spent_nothing() {
    let desk = Desk::new();
    desk.commit(spending(created("t"), 5, 50)).unwrap();
    desk.commit(spending(next("t", 8), 100, 1_000)).unwrap_err();
    let twice = vec![(0, b"once".to_vec()), (0, b"twice".to_vec())];
    desk.commit(Delta { entries: twice, ..spending(next("t", 1), 100, 1_000) }).unwrap_err();
    assert_eq!(spent(&desk, "t"), (5, 50));
}

/// Turns and cost, by thread.
fn used(desk: &Desk) -> Vec<(Option<String>, i64, i64)> {
    let asked = Usage { since: 0, until: i64::MAX, by: vec!["thread".into()], limit: 9, ..Usage::default() };
    match desk.read(Read::Usage(asked)).unwrap() {
        Value::Usage(rows) => rows.into_iter().map(|row| (row.thread, row.sums[0], row.sums[5])).collect(),
        other => panic!("usage answered {other:?}"),
    }
}

#[test]
fn what_deleted_threads_have_used_is_there_after_a_repair() {
    let home = scratch();
    let path = home.path().join("infinity.db");
    let desk = Desk::of_threads(&path);
    ["goes", "stays"].iter().for_each(|root| raise(&desk, root));
    let stays =
        used(&desk).into_iter().filter(|(thread, ..)| thread.as_ref().is_some_and(|id| id.starts_with("stays")));
    let mut expected: Vec<_> = stays.collect();
    let (turns, cost) = expected.iter().fold((0, 0), |(turns, cost), row| (turns + row.1, cost + row.2));
    expected.push((None, turns, cost));
    desk.write(Write::MarkDeleted { root: "goes".into(), at: 1 }).unwrap();
    while desk.write(Write::Erase { root: "goes".into(), limit: 100 }).unwrap() == Value::Flag(true) {}
    assert_eq!(used(&desk), expected);
    drop(desk);
    assert_eq!(repair(&path, &HISTORIES).unwrap().lost, [""; 0]);
    assert_eq!(used(&Desk::of_threads(&path)), expected);
}
