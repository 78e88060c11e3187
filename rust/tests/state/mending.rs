//! Whatever entries are lost, the thread goes on: it loads, and what it renders is what a model's API takes. What is there stays (I4, I8).

use crate::store::Store;
use crate::subject::{EMPTY, NOW, answer, calling, event, fork, render, text, turn};
use crate::valid::assert_valid;
use _core::history::{Thread, lock};

fn committed(store: &mut Store, thread: &mut Thread) {
    store.commit(&thread.delta(NOW).unwrap());
    thread.committed().unwrap();
}

/// user, turn with a and b, their results, turn, user, event, turn with c, which is open.
fn talk(store: &mut Store) -> Thread {
    let mut thread = calling(&["a", "b"]);
    answer(&mut thread, "a", "one").unwrap();
    answer(&mut thread, "b", "two").unwrap();
    turn(&mut thread, &[]).unwrap();
    thread.add_user(&text("again"), NOW, None, EMPTY).unwrap();
    event(&mut thread, "e", "it happened").unwrap();
    turn(&mut thread, &["c"]).unwrap();
    committed(store, &mut thread);
    thread
}

/// Load it, let it go on, and check what the model would get.
#[track_caller]
fn goes_on(store: &Store, id: &str) {
    let mut thread = store.load(id);
    for call in thread.attached().map(|call| call.id.clone()).collect::<Vec<_>>() {
        thread.detach(&call, &text("later"), NOW).unwrap();
    }
    thread.add_user(&text("go on"), NOW, None, EMPTY).unwrap();
    assert_valid(&render(&thread), 2);
    turn(&mut thread, &["next"]).unwrap();
    answer(&mut thread, "next", "three").unwrap();
    assert_valid(&render(&thread), 2);
}

#[test]
fn any_entries_can_be_lost_and_the_calls_too() {
    let mut whole = Store::default();
    let positions = talk(&mut whole).header().position;
    for lost in 1_u32..1 << positions {
        for calls in [true, false] {
            let mut store = whole.clone();
            (0..positions).filter(|at| lost & (1 << at) != 0).for_each(|at| store.lose("root", at));
            if !calls {
                store.lose_calls("root");
            }
            let before = store.clone();
            assert!(store.mend("root"));
            goes_on(&store, "root");
            assert!(store.load("root").header().problem.as_deref().unwrap().contains("lost when its database"));
            store.check_kept(&before);
            assert!(!store.mend("root"), "it was mended, and there is something to mend");
        }
    }
}

#[test]
fn nothing_is_done_where_nothing_is_lost() {
    let mut store = Store::default();
    talk(&mut store);
    assert!(!store.mend("root"));
}

#[test]
fn a_turn_is_shown_by_the_calls_on_record() {
    let mut store = Store::default();
    talk(&mut store);
    store.lose("root", 1);
    store.mend("root");
    let mut thread = store.load("root");
    thread.detach(&"c".into(), &text("later"), NOW).unwrap();
    let messages = assert_valid(&render(&thread), 2);
    assert_eq!(messages[1]["content"][0]["name"], "look");
    assert_eq!(messages[1]["content"][1]["input"]["at"], "it");
    assert_eq!(messages[2]["content"][0]["content"][0]["text"], "one");
}

#[test]
fn a_result_that_is_lost_is_an_error_and_other_entries_are_a_note() {
    let mut store = Store::default();
    talk(&mut store);
    [0, 3].into_iter().for_each(|at| store.lose("root", at));
    store.mend("root");
    let mut thread = store.load("root");
    thread.detach(&"c".into(), &text("later"), NOW).unwrap();
    let messages = assert_valid(&render(&thread), 2);
    assert!(messages[0]["content"][0]["text"].as_str().unwrap().contains("is lost"));
    assert_eq!(messages[2]["content"][0]["content"][0]["text"], "one");
    assert_eq!(messages[2]["content"][1]["is_error"], true);
}

#[test]
fn a_summary_that_is_lost_is_a_note() {
    let mut store = Store::default();
    let mut thread = talk(&mut store);
    let position = thread.header().position;
    thread.add_summary(0, 5, &text("what was said"), NOW, EMPTY).unwrap();
    committed(&mut store, &mut thread);
    store.lose("root", position);
    store.mend("root");
    let mut thread = store.load("root");
    thread.detach(&"c".into(), &text("later"), NOW).unwrap();
    assert!(String::from_utf8(render(&thread)).unwrap().contains("What was said before is lost"));
}

#[test]
fn a_child_goes_on_when_what_it_inherits_was_lost() {
    let mut whole = Store::default();
    let mut parent = talk(&mut whole);
    let child = fork(&mut parent, "child", Some("c"), Some("your part")).unwrap();
    lock(&child).unwrap().add_user(&text("more"), NOW, None, EMPTY).unwrap();
    committed(&mut whole, &mut parent);
    let (start, end) = (whole.load("child").header().lineage.own_start(), whole.load("child").header().position);
    for at in 0..start {
        let mut store = whole.clone();
        store.lose("root", at);
        store.mend("root");
        store.mend("child");
        goes_on(&store, "child");
    }
    for at in start..end {
        let mut store = whole.clone();
        store.lose("child", at);
        assert!(store.mend("child"));
        goes_on(&store, "child");
    }
}

#[test]
fn a_child_goes_on_when_the_placeholders_of_several_calls_were_lost() {
    let mut whole = Store::default();
    let mut parent = calling(&["a", "b", "c", "d"]);
    answer(&mut parent, "a", "one").unwrap();
    let child = fork(&mut parent, "child", Some("c"), Some("your part")).unwrap();
    {
        let mut child = lock(&child).unwrap();
        turn(&mut child, &["x", "y"]).unwrap();
        answer(&mut child, "x", "two").unwrap();
        answer(&mut child, "y", "three").unwrap();
        child.add_user(&text("more"), NOW, None, EMPTY).unwrap();
    }
    committed(&mut whole, &mut parent);
    let (start, end) = (whole.load("child").header().lineage.own_start(), whole.load("child").header().position);
    for lost in 1_u32..1 << (end - start) {
        for calls in [true, false] {
            let mut store = whole.clone();
            (start..end).filter(|at| lost & (1 << (at - start)) != 0).for_each(|at| store.lose("child", at));
            if !calls {
                store.lose_calls("child");
            }
            let before = store.clone();
            assert!(store.mend("child"));
            goes_on(&store, "child");
            store.check_kept(&before);
            assert!(!store.mend("child"), "it was mended, and there is something to mend");
        }
    }
}
