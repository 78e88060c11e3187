//! Compaction (DESIGN 5.5, L7, B9).

use crate::store::Store;
use crate::subject::*;
use _core::error::{Error, Result};
use _core::history::Thread;

fn summarize(thread: &mut Thread, start: i64, end: i64) -> Result<()> {
    thread.add_summary(start, end, &text(&format!("summary of {start} to {end}")), NOW, EMPTY)
}

/// user, turn, user, turn with call a, result, turn.
fn talk() -> Thread {
    let mut thread = calling(&[]);
    thread.add_user(&text("again"), NOW, None, EMPTY).unwrap();
    turn(&mut thread, &["a"]).unwrap();
    answer(&mut thread, "a", "one").unwrap();
    turn(&mut thread, &[]).unwrap();
    thread
}

#[test]
fn the_widest_range_keeps_the_last_entries_and_whole_turns() {
    let thread = talk();
    let ranges: Vec<_> = (0..8).map(|keep| thread.summary_range(keep)).collect();
    let expected = [Some((0, 6)), Some((0, 5)), Some((0, 3)), Some((0, 3)), Some((0, 2)), Some((0, 1)), None, None];
    assert_eq!(ranges, expected);
}

#[test]
fn an_open_turn_is_never_summarized() {
    let mut thread = calling(&["a", "b"]);
    answer(&mut thread, "a", "one").unwrap();
    assert_eq!(thread.summary_range(0), Some((0, 1)));
    assert!(matches!(summarize(&mut thread, 0, 3), Err(Error::Conflict(_))));
    assert!(matches!(summarize(&mut thread, 0, 2), Err(Error::Conflict(_))));
    summarize(&mut thread, 0, 1).unwrap();
    answer(&mut thread, "b", "two").unwrap();
    assert_eq!(outline(&thread)[0], "user: summary of 0 to 1");
}

#[test]
fn a_summary_replaces_its_range_and_only_that() {
    let mut thread = talk();
    let usage = thread.header().usage;
    summarize(&mut thread, 0, 3).unwrap();
    assert_eq!(
        outline(&thread),
        ["user: summary of 0 to 3", "assistant: turn + call a", "user: result a one", "assistant: turn"]
    );
    assert_eq!((thread.live_entries(), thread.pending()), (4, false));
    assert_eq!(thread.header().usage, usage);
}

#[test]
fn a_summary_of_everything_leaves_the_summary() {
    let mut thread = talk();
    summarize(&mut thread, 0, 6).unwrap();
    assert_eq!(outline(&thread), ["user: summary of 0 to 6"]);
    assert_eq!(thread.summary_range(0), None);
    thread.add_user(&text("on"), NOW, None, EMPTY).unwrap();
    turn(&mut thread, &[]).unwrap();
    assert_eq!(outline(&thread), ["user: summary of 0 to 6 + on", "assistant: turn"]);
}

#[test]
fn the_thread_may_go_on_while_a_summary_is_made() {
    let mut thread = talk();
    let (start, end) = thread.summary_range(0).unwrap();
    thread.add_user(&text("meanwhile"), NOW, None, EMPTY).unwrap();
    turn(&mut thread, &["b"]).unwrap();
    summarize(&mut thread, start, end).unwrap();
    answer(&mut thread, "b", "two").unwrap();
    assert_eq!(
        outline(&thread),
        ["user: summary of 0 to 6 + meanwhile", "assistant: turn + call b", "user: result b two"]
    );
}

#[test]
fn a_second_summary_must_begin_where_the_first_ended() {
    let mut thread = talk();
    summarize(&mut thread, 0, 3).unwrap();
    assert!(matches!(summarize(&mut thread, 0, 5), Err(Error::Conflict(_))), "another compaction came first");
    assert!(matches!(summarize(&mut thread, 3, 4), Err(Error::Conflict(_))), "it would part a turn from its result");
    assert!(matches!(summarize(&mut thread, 3, 99), Err(Error::Conflict(_))));
    assert!(matches!(summarize(&mut thread, 3, 3), Err(Error::Conflict(_))));
    assert!(is_rule(thread.add_summary(3, 5, b"[]", NOW, EMPTY)));
    summarize(&mut thread, 3, 5).unwrap();
    assert_eq!(outline(&thread), ["user: summary of 3 to 5", "assistant: turn"]);
}

#[test]
fn compaction_does_not_disconnect_subscriptions_and_late_results() {
    let mut thread = calling(&["a", "b"]);
    answer_as(&mut thread, "a", "subscribed", _core::history::CallState::Answered, true).unwrap();
    thread.detach(&"b".into(), &text("still running"), NOW).unwrap();
    thread.add_user(&text("more"), NOW, None, EMPTY).unwrap();
    turn(&mut thread, &[]).unwrap();
    let (start, end) = thread.summary_range(0).unwrap();
    summarize(&mut thread, start, end).unwrap();
    let mut store = Store::default();
    store.commit(&thread.delta(NOW).unwrap());
    let mut thread = store.load("root");
    assert_eq!(thread.subscriptions().count(), 1);
    answer(&mut thread, "b", "done").unwrap();
    assert_eq!(outline(&thread)[1..], ["assistant: call late-b", "user: result late-b done"]);
}

#[test]
fn a_load_reads_only_live_entries() {
    let mut thread = talk();
    summarize(&mut thread, 0, 5).unwrap();
    let mut store = Store::default();
    store.commit(&thread.delta(NOW).unwrap());
    thread.committed().unwrap();
    summarize(&mut thread, 5, 6).unwrap();
    store.commit(&thread.delta(NOW).unwrap());
    let snapshot = store.snapshot("root");
    assert_eq!(snapshot.entries.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [6, 7]);
    assert_eq!(render(&Thread::load(&snapshot).unwrap()), render(&thread));
    assert_eq!(outline(&thread), ["user: summary of 5 to 6"]);
}
