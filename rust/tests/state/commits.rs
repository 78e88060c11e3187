//! State ⇄ store: deltas, loads, and what is refused on the way (I6, I8, I10).

use crate::store::Store;
use crate::subject::*;
use _core::delta::{OutboxRow, PromptRow, SendRow, TimerRow};
use _core::error::Error;
use _core::history::{Call, CallState, Snapshot, Thread};

fn timer(id: &str, due_at: i64) -> TimerRow {
    TimerRow { id: id.into(), due_at, kind: "timer".into(), body: b"{}".to_vec() }
}

fn outbox(key: &str) -> OutboxRow {
    OutboxRow { key: key.into(), kind: "invoke".into(), target: "http://t".into(), body: b"{}".to_vec(), call: None }
}

#[test]
fn a_delta_is_the_same_until_something_changes() {
    let mut thread = calling(&["a"]);
    let first = thread.delta(NOW).unwrap();
    assert_eq!(thread.delta(NOW + 9).unwrap(), first);
    answer(&mut thread, "a", "one").unwrap();
    let second = thread.delta(NOW + 9).unwrap();
    assert_eq!((second.expected_version, second.new_version), (0, 1));
    assert_eq!((first.entries.len(), second.entries.len()), (2, 3));
    assert_eq!((first.updated_at, second.updated_at), (NOW, NOW + 9));
}

#[test]
fn a_commit_starts_afresh() {
    let mut thread = calling(&["a"]);
    assert!(thread.changed());
    assert!(is_rule(thread.committed()), "no delta was taken");
    thread.delta(NOW).unwrap();
    thread.set_title("later").unwrap();
    assert!(is_rule(thread.committed()), "it changed since");
    thread.delta(NOW).unwrap();
    thread.committed().unwrap();
    assert!(!thread.changed());
    assert_eq!(thread.header().version, 1);
    thread.set_title("later").unwrap();
    assert!(!thread.changed(), "the same title is not a change");
    answer(&mut thread, "a", "one").unwrap();
    let delta = thread.delta(NOW).unwrap();
    assert_eq!((delta.expected_version, delta.new_version), (1, 2));
    assert_eq!(delta.entries.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2]);
    assert_eq!(delta.calls.iter().map(|row| row.state.as_str()).collect::<Vec<_>>(), ["answered"]);
}

#[test]
fn an_answered_call_leaves_memory_with_the_commit_and_a_subscription_stays() {
    let mut thread = calling(&["a", "b"]);
    answer(&mut thread, "a", "one").unwrap();
    answer_as(&mut thread, "b", "two", CallState::Answered, true).unwrap();
    thread.delta(NOW).unwrap();
    thread.committed().unwrap();
    assert!(thread.call(&"a".into()).is_none());
    assert!(thread.call(&"b".into()).unwrap().subscription);
}

#[test]
fn the_cost_of_a_commit_does_not_grow_with_the_thread() {
    let mut thread = thread("root");
    let mut sizes = Vec::new();
    for _ in 0..300 {
        thread.add_user(&text("the same"), NOW, None, EMPTY).unwrap();
        turn(&mut thread, &[]).unwrap();
        sizes.push(thread.delta(NOW).unwrap().size());
        thread.committed().unwrap();
    }
    assert!(sizes[299] < sizes[1] + 24, "{} bytes at first, {} at last", sizes[1], sizes[299]);
}

#[test]
fn every_entry_adds_a_row_to_the_event_stream_in_order() {
    let mut thread = calling(&["a"]);
    thread.note("call", br#"{"id":"a"}"#).unwrap();
    answer(&mut thread, "a", "one").unwrap();
    assert!(is_rule(thread.note("call", b"not json")));
    assert!(is_rule(thread.note("entry", b"{}")));
    let delta = thread.delta(NOW).unwrap();
    let rows: Vec<_> = delta.feed.iter().map(|(at, kind, body)| (*at, kind.as_str(), body.as_slice())).collect();
    let expected: [(i64, &str, &[u8]); 4] = [
        (0, "entry", br#"{"position":0}"#),
        (1, "entry", br#"{"position":1}"#),
        (2, "call", br#"{"id":"a"}"#),
        (3, "entry", br#"{"position":2}"#),
    ];
    assert_eq!(rows, expected);
    thread.committed().unwrap();
    thread.note("status", b"{}").unwrap();
    assert_eq!(thread.delta(NOW).unwrap().feed[0].0, 4);
}

#[test]
fn a_delta_says_one_thing_about_each_row() {
    let mut thread = thread("root");
    thread.set_timer(timer("t1", 1)).unwrap();
    thread.set_timer(timer("t1", 2)).unwrap();
    thread.set_timer(timer("t2", 1)).unwrap();
    thread.cancel_timer("t2").unwrap();
    thread.cancel_timer("t3").unwrap();
    thread.cancel_timer("t3").unwrap();
    thread.set_timer(timer("t3", 1)).unwrap();
    thread.plan_outbox(outbox("o1")).unwrap();
    thread.plan_outbox(outbox("o1")).unwrap();
    assert!(is_rule(thread.plan_outbox(OutboxRow { target: "elsewhere".into(), ..outbox("o1") })));
    thread.plan_outbox(outbox("o2")).unwrap();
    thread.cancel_outbox("o2").unwrap();
    assert!(is_rule(thread.plan_outbox(outbox("o2"))));
    for id in ["s1", "s1", "s2"] {
        let body = b"{}".to_vec();
        thread.send(SendRow { thread: "other".into(), id: id.into(), kind: "user".into(), body }).unwrap();
    }
    for id in ["p1", "p1", "p2"] {
        thread.open_prompt(PromptRow { id: id.into(), kind: "choice".into(), body: b"{}".to_vec() }).unwrap();
    }
    thread.close_prompt("p2").unwrap();
    let delta = thread.delta(NOW).unwrap();
    let timers: Vec<_> = delta.timers.iter().map(|row| (row.id.as_str(), row.due_at)).collect();
    assert_eq!((timers, &delta.timers_cancelled[..]), (vec![("t1", 2), ("t3", 1)], &["t2".to_owned()][..]));
    assert_eq!((delta.outbox.len(), &delta.outbox_cancelled[..]), (1, &["o2".to_owned()][..]));
    assert_eq!((delta.sends.len(), delta.prompts.len()), (2, 1));
    assert_eq!(delta.prompts_closed, ["p2"]);
}

#[test]
fn what_was_stored_is_what_is_loaded() {
    let mut thread = Thread::create("root".into(), NOW, "model", "a title", Some(&text("seed"))).unwrap();
    thread.add_user(&text("hello"), NOW, Some("ada"), br#"{"message_id":"m"}"#).unwrap();
    thread.consume(&message("root", "m", 1), "applied").unwrap();
    turn(&mut thread, &["a", "b", "c"]).unwrap();
    answer_as(&mut thread, "a", "one", CallState::Answered, true).unwrap();
    thread.detach(&"b".into(), &text("still running"), NOW).unwrap();
    thread.set_problem(Some("the model is overloaded")).unwrap();
    let mut store = Store::default();
    store.commit(&thread.delta(NOW).unwrap());
    thread.committed().unwrap();
    let mut loaded = store.load("root");
    assert_eq!(loaded.header(), thread.header());
    assert!(!loaded.changed() && loaded.seen("m") && !loaded.seen("n"));
    let ids = |calls: Vec<&std::sync::Arc<Call>>| calls.iter().map(|call| (***call).clone()).collect::<Vec<_>>();
    assert_eq!(ids(loaded.calls().collect()), ids(thread.calls().collect()));
    assert_eq!(ids(loaded.attached().collect()), ids(thread.attached().collect()));
    assert_eq!(ids(loaded.subscriptions().collect()), ids(thread.subscriptions().collect()));
    answer(&mut loaded, "c", "three").unwrap();
    answer(&mut thread, "c", "three").unwrap();
    assert_eq!(render(&loaded), render(&thread));
    assert_eq!(loaded.delta(NOW).unwrap(), thread.delta(NOW).unwrap());
}

fn damage(change: impl FnOnce(&mut Snapshot)) -> Error {
    let mut thread = calling(&["a", "b"]);
    answer(&mut thread, "b", "two").unwrap();
    let mut store = Store::default();
    store.commit(&thread.delta(NOW).unwrap());
    let mut snapshot = store.snapshot("root");
    Thread::load(&snapshot).unwrap();
    change(&mut snapshot);
    Thread::load(&snapshot).unwrap_err()
}

#[test]
fn a_snapshot_with_something_missing_is_damaged_and_never_a_shorter_history() {
    let damages: [fn(&mut Snapshot); 9] = [
        |snapshot| drop(snapshot.entries.pop()),
        |snapshot| drop(snapshot.entries.remove(0)),
        |snapshot| snapshot.entries.clear(),
        |snapshot| snapshot.entries.swap(0, 1),
        |snapshot| snapshot.entries[1].1 = snapshot.entries[0].1.clone(),
        |snapshot| snapshot.entries.push((3, snapshot.entries[2].1.clone())),
        |snapshot| snapshot.calls.clear(),
        |snapshot| snapshot.calls.push(snapshot.calls[0].clone()),
        |snapshot| snapshot.header.truncate(5),
    ];
    for (index, change) in damages.into_iter().enumerate() {
        let error = damage(change);
        assert!(matches!(&error, Error::Damaged(_)), "{index}: {error}");
    }
}

#[test]
fn a_call_of_another_thread_in_a_snapshot_is_damage() {
    let foreign = Call { thread: "other".into(), ..plan(&thread("root"), "c") };
    let error = damage(|snapshot| snapshot.calls.push(foreign.encode()));
    assert!(error.text().contains("belongs to thread other"), "{error}");
}

#[test]
fn a_missing_summary_is_damage() {
    let mut thread = calling(&[]);
    thread.add_summary(0, 2, &text("so far"), NOW, EMPTY).unwrap();
    let mut store = Store::default();
    store.commit(&thread.delta(NOW).unwrap());
    let mut snapshot = store.snapshot("root");
    snapshot.entries.clear();
    assert!(matches!(Thread::load(&snapshot), Err(Error::Damaged(_))));
}
