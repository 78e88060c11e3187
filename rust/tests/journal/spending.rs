//! What a tree has spent: one look-up, whatever its size, and true with every commit.

use crate::desk::{Desk, created, next};
use _core::delta::{Delta, Spent};
use _core::journal::{Read, Value};

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
