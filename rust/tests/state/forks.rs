//! Children: inheritance by reference, one commit with the parent (DESIGN 5.4, L13).

use crate::store::Store;
use crate::subject::*;
use _core::history::{Status, Thread, live_ranges, lock};

#[test]
fn a_child_inherits_everything_and_its_turn_is_closed_with_placeholders() {
    let mut parent = calling(&["a", "spawn", "b"]);
    answer(&mut parent, "a", "one").unwrap();
    let child = fork(&mut parent, "child", Some("spawn"), Some("you are the child")).unwrap();
    let child = lock(&child).unwrap();
    assert_eq!(
        outline(&child),
        [
            "user: hello",
            "assistant: turn + call a + call spawn + call b",
            "user: result a one + result b the parent waits for it + result spawn you are the child"
        ]
    );
    assert!(child.pending());
    assert_eq!((child.calls().count(), parent.attached().count()), (0, 2));
    let header = child.header();
    assert_eq!((header.root().as_str(), header.parent().unwrap().as_str()), ("root", "root"));
    assert_eq!((header.position, header.version, header.feed), (5, 0, 2));
    assert_eq!(header.actor.as_deref(), Some("somebody"), "who caused the spawning call");
    assert_eq!(parent.header().children, 1);
}

#[test]
fn what_a_child_writes_does_not_grow_with_the_calls_of_its_turn() {
    let names: Vec<String> = (0..64).map(|n| format!("call_{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (answered, placeholders) in [(0, 63), (62, 1)] {
        let mut parent = calling(&names);
        for name in &names[..answered] {
            answer(&mut parent, name, "one").unwrap();
        }
        fork(&mut parent, "child", Some("call_63"), Some("you are the child")).unwrap();
        let delta = parent.delta(NOW).unwrap();
        assert_eq!(delta.children[0].entries.len(), 2, "one entry of {placeholders} placeholders, and its seed");
    }
    let mut parent = calling(&["only"]);
    fork(&mut parent, "child", Some("only"), Some("you are the child")).unwrap();
    assert_eq!(parent.delta(NOW).unwrap().children[0].entries.len(), 1, "nothing to hold a place for");
}

#[test]
fn a_child_without_a_seed_call_waits_for_what_wakes_it() {
    let mut parent = calling(&[]);
    let child = fork(&mut parent, "child", None, Some("you are the child")).unwrap();
    let mut child = lock(&child).unwrap();
    assert_eq!((child.pending(), child.status()), (false, Status::Idle));
    event(&mut child, "news", "first").unwrap();
    assert!(child.pending());
    assert_eq!(
        outline(&child),
        [
            "user: hello",
            "assistant: turn",
            "user: you are the child",
            "assistant: call news",
            "user: result news first"
        ]
    );
    assert_eq!(outline(&parent).len(), 2, "the parent does not see it");
}

#[test]
fn a_seed_call_must_be_an_unanswered_call_of_the_last_turn() {
    let mut parent = calling(&["a", "b"]);
    answer(&mut parent, "a", "one").unwrap();
    assert!(is_rule(fork(&mut parent, "child", Some("a"), Some("seed"))));
    assert!(is_rule(fork(&mut parent, "child", Some("never"), Some("seed"))));
    assert!(is_rule(fork(&mut parent, "child", Some("b"), None)));
    assert_eq!(parent.header().children, 0);
    fork(&mut parent, "child", Some("b"), Some("seed")).unwrap();
}

#[test]
fn a_child_id_is_not_used_twice() {
    let mut parent = calling(&[]);
    fork(&mut parent, "child", None, None).unwrap();
    for id in ["child", "root", ""] {
        assert!(is_rule(fork(&mut parent, id, None, None)), "{id}");
    }
}

#[test]
fn a_child_rides_in_its_parents_delta_and_is_spent_after_it() {
    let mut store = Store::default();
    let mut parent = calling(&[]);
    let child = fork(&mut parent, "child", None, None).unwrap();
    let early = parent.delta(NOW).unwrap();
    event(&mut lock(&child).unwrap(), "news", "first").unwrap();
    assert!(is_rule(lock(&child).unwrap().delta(NOW)));
    assert!(is_rule(lock(&child).unwrap().committed()));
    assert!(is_rule(parent.committed()), "the child changed after the delta");
    let delta = parent.delta(NOW).unwrap();
    assert_eq!((early.children[0].entries.len(), delta.children[0].entries.len()), (0, 1));
    assert_eq!((delta.children[0].status.as_str(), delta.status.as_str()), ("waiting", "idle"));
    store.commit(&delta);
    parent.committed().unwrap();
    assert!(is_rule(lock(&child).unwrap().add_user(&text("hello"), NOW, None, EMPTY)));
    assert!(!parent.changed());
    let mut loaded = store.load("child");
    assert_eq!(render(&loaded), render(&lock(&child).unwrap()));
    turn(&mut loaded, &[]).unwrap();
    store.commit(&loaded.delta(NOW).unwrap());
}

#[test]
fn inherited_entries_are_not_written_again() {
    let mut parent = calling(&[]);
    for _ in 0..50 {
        parent.add_user(&text(&"long ".repeat(100)), NOW, None, EMPTY).unwrap();
    }
    parent.delta(NOW).unwrap();
    parent.committed().unwrap();
    let child = fork(&mut parent, "child", None, Some("you are the child")).unwrap();
    let delta = parent.delta(NOW).unwrap();
    assert_eq!((delta.entries.len(), delta.children[0].entries.len()), (0, 1));
    assert!(delta.size() < 1000, "{} bytes", delta.size());
    assert_eq!(lock(&child).unwrap().live_entries(), parent.live_entries() + 1);
}

#[test]
fn grandchildren_read_every_ancestors_entries_up_to_each_fork() {
    let mut store = Store::default();
    let mut parent = calling(&[]);
    let child = fork(&mut parent, "child", None, Some("child")).unwrap();
    let grandchild = {
        let mut child = lock(&child).unwrap();
        let grandchild = fork(&mut child, "grandchild", None, Some("grandchild")).unwrap();
        child.add_user(&text("only for the child"), NOW, None, EMPTY).unwrap();
        grandchild
    };
    parent.add_user(&text("only for the parent"), NOW, None, EMPTY).unwrap();
    store.commit(&parent.delta(NOW).unwrap());
    parent.committed().unwrap();
    assert!(is_rule(lock(&grandchild).unwrap().set_title("late")));
    let loaded = store.load("grandchild");
    assert_eq!(outline(&loaded), ["user: hello", "assistant: turn", "user: child + grandchild"]);
    let expected = [("root", 0, 2), ("child", 2, 3), ("grandchild", 3, 4)];
    let ranges = live_ranges(&store.snapshot("grandchild").header).unwrap();
    assert_eq!(ranges.iter().map(|(id, start, end)| (id.as_str(), *start, *end)).collect::<Vec<_>>(), expected);
    let ancestors: Vec<_> = loaded.header().ancestors.iter().map(|id| id.as_str().to_owned()).collect();
    assert_eq!((ancestors, loaded.header().root().as_str()), (vec!["root".into(), "child".into()], "root"));
}

#[test]
fn a_child_of_a_compacted_thread_reads_the_summary_and_what_follows() {
    let mut store = Store::default();
    let mut parent = calling(&[]);
    for index in 0..3 {
        parent.add_user(&text(&format!("more {index}")), NOW, None, EMPTY).unwrap();
    }
    parent.add_summary(0, 4, &text("so far"), NOW, EMPTY).unwrap();
    fork(&mut parent, "child", None, Some("child")).unwrap();
    parent.add_summary(4, 5, &text("later"), NOW, EMPTY).unwrap();
    store.commit(&parent.delta(NOW).unwrap());
    let ranges = live_ranges(&store.snapshot("child").header).unwrap();
    assert_eq!(ranges, [("root".to_owned(), 4, 6), ("child".to_owned(), 6, 7)]);
    let mut child = store.load("child");
    assert_eq!(outline(&child), ["user: so far + more 2 + child"]);
    child.add_summary(4, 7, &text("the child's own"), NOW, EMPTY).unwrap();
    store.commit(&child.delta(NOW).unwrap());
    assert_eq!(outline(&store.load("child")), ["user: the child's own"]);
    assert_eq!(outline(&store.load("root")), ["user: later"], "the parent's own summary stands");
}

#[test]
fn a_loaded_thread_forks_like_one_in_memory() {
    let mut store = Store::default();
    let mut parent = calling(&["spawn"]);
    store.commit(&parent.delta(NOW).unwrap());
    let mut parent: Thread = store.load("root");
    fork(&mut parent, "child", Some("spawn"), Some("seed")).unwrap();
    answer(&mut parent, "spawn", "spawned").unwrap();
    store.commit(&parent.delta(NOW).unwrap());
    assert_eq!(outline(&store.load("child"))[2], "user: result spawn seed");
    assert_eq!(outline(&store.load("root"))[2], "user: result spawn spawned");
}

#[test]
fn a_child_may_inherit_a_part_that_ends_at_a_border() {
    let mut store = Store::default();
    let mut parent = calling(&["a"]);
    answer(&mut parent, "a", "one").unwrap();
    turn(&mut parent, &["b"]).unwrap();
    for upto in [0, 2, 5, 99] {
        assert!(is_rule(fork_upto(&mut parent, "child", None, None, Some(upto))), "{upto}");
    }
    assert!(is_rule(fork_upto(&mut parent, "child", Some("b"), Some("seed"), Some(3))), "its call is not inherited");
    let child = fork_upto(&mut parent, "child", None, Some("you are the child"), Some(3)).unwrap();
    lock(&child).unwrap().add_user(&text("summarize"), NOW, None, EMPTY).unwrap();
    store.commit(&parent.delta(NOW).unwrap());
    let last = "user: result a one + you are the child + summarize";
    assert_eq!(outline(&store.load("child"))[2], last);
    let ranges = live_ranges(&store.snapshot("child").header).unwrap();
    assert_eq!(ranges, [("root".to_owned(), 0, 3), ("child".to_owned(), 3, 5)]);
}

#[test]
fn a_child_may_inherit_a_part_of_what_its_parent_inherited() {
    let mut store = Store::default();
    let mut root = calling(&[]);
    root.add_user(&text("more"), NOW, None, EMPTY).unwrap();
    let child = fork(&mut root, "child", None, Some("child")).unwrap();
    fork_upto(&mut lock(&child).unwrap(), "grandchild", None, Some("grandchild"), Some(1)).unwrap();
    store.commit(&root.delta(NOW).unwrap());
    assert_eq!(outline(&store.load("grandchild")), ["user: hello + grandchild"]);
}

#[test]
fn a_compacting_child_inherits_the_summary_in_force() {
    let mut store = Store::default();
    let mut parent = calling(&[]);
    for index in 0..4 {
        parent.add_user(&text(&format!("more {index}")), NOW, None, EMPTY).unwrap();
    }
    parent.add_summary(0, 3, &text("so far"), NOW, EMPTY).unwrap();
    assert_eq!(parent.summary_range(1), None, "a child would not inherit the summary");
    for index in 4..6 {
        parent.add_user(&text(&format!("more {index}")), NOW, None, EMPTY).unwrap();
    }
    let (start, end) = parent.summary_range(1).unwrap();
    assert_eq!((start, end), (3, 8));
    fork_upto(&mut parent, "child", None, Some("summarize"), Some(end)).unwrap();
    store.commit(&parent.delta(NOW).unwrap());
    assert_eq!(outline(&store.load("child")), ["user: so far + more 1 + more 2 + more 3 + more 4 + summarize"]);
    parent.add_summary(start, end, &text("so far, again"), NOW, EMPTY).unwrap();
    assert_eq!(outline(&parent), ["user: so far, again + more 5"]);
}
