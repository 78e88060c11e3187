//! One commit per slice: all or none (I6), and only for the slice that still holds its claim (I1).

use crate::desk::{Desk, call, consumed, created, ids, next, outbox, send, subscription, timer};
use _core::delta::{Delta, PromptRow};
use _core::error::Error;
use _core::id::MessageId;
use _core::journal::{Read, Value};

fn desk() -> Desk {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    desk
}

#[track_caller]
fn assert_conflict<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert_eq!(outcome.unwrap_err().code(), "conflict");
}

#[test]
fn of_two_slices_that_loaded_the_same_version_one_commits() {
    let desk = desk();
    let commit = |position| {
        let mut delta = next("t", 1);
        delta.entries = vec![(0, format!("by {position}").into_bytes())];
        desk.commit(delta)
    };
    commit("the first").unwrap();
    assert_conflict(commit("the second"));
    let read = Read::Entries { thread: "t".into(), after: -1, limit: 10 };
    assert_eq!(desk.read(read).unwrap(), Value::Entries(vec![(0, b"by the first".to_vec())]));
    assert_eq!(desk.version("t"), Some(2));
}

#[test]
fn a_thread_cannot_be_created_twice_nor_changed_before_it_exists() {
    let desk = desk();
    assert_conflict(desk.commit(created("t")));
    assert_conflict(desk.commit(next("u", 3)));
    assert_eq!(desk.version("u"), None);
}

#[test]
fn a_commit_that_consumes_a_message_twice_changes_nothing() {
    let desk = desk();
    let queued = desk.queue("t", "m1");
    let mut delta = next("t", 1);
    delta.consumed = vec![consumed(&queued)];
    desk.commit(delta).unwrap();

    let mut again = next("t", 2);
    again.consumed = vec![consumed(&queued)];
    again.entries = vec![(0, b"a repetition".to_vec())];
    again.outbox = vec![outbox("o", None)];
    assert_conflict(desk.commit(again));
    assert_eq!((desk.version("t"), desk.count("entries"), desk.count("outbox")), (Some(2), 0, 0));
}

#[test]
fn a_message_of_another_thread_cannot_be_consumed() {
    let desk = desk();
    desk.commit(created("u")).unwrap();
    let queued = desk.queue("u", "m1");
    let mut delta = next("t", 1);
    delta.consumed = vec![consumed(&queued)];
    assert_conflict(desk.commit(delta));
    assert_eq!(ids(&desk.inbox()), ["m1"]);
}

#[test]
fn a_commit_that_breaks_takes_no_other_of_its_group_down() {
    let desk = desk();
    for thread in ["u", "v"] {
        desk.commit(created(thread)).unwrap();
    }
    let broken = |thread| {
        let mut delta = next(thread, 1);
        delta.entries = vec![(0, b"once".to_vec()), (0, b"twice".to_vec())];
        delta
    };
    let good = |thread| {
        let mut delta = next(thread, 1);
        delta.entries = vec![(0, b"good".to_vec())];
        delta
    };
    let submit =
        |delta: Delta| desk.journal.write(_core::journal::Write::Commit { delta: delta.into(), events_kept: 0 });
    let tickets = [submit(good("t")), submit(broken("u")), submit(good("v"))];
    let [first, second, third] = tickets.map(|ticket| desk.outcome(ticket));
    assert!(first.is_ok() && third.is_ok());
    assert_eq!(second.unwrap_err().code(), "rule");
    assert_eq!(["t", "u", "v"].map(|thread| desk.version(thread)), [Some(2), Some(1), Some(2)]);
    assert_eq!(desk.count("entries"), 2);
}

#[test]
fn a_discarded_message_is_consumed_and_recorded_with_its_reason() {
    let desk = desk();
    let queued = desk.queue("t", "m1");
    let mut delta = next("t", 1);
    delta.consumed = vec![_core::delta::Consumed { outcome: "unknown kind".into(), ..consumed(&queued) }];
    desk.commit(delta).unwrap();
    assert_eq!(desk.discards("t"), [("m1".into(), "unknown kind".into())]);
    assert_eq!(desk.count("inbox"), 0);
}

#[test]
fn children_come_to_be_with_their_parents_commit() {
    let desk = desk();
    let child = |id: &str| Delta { parent: Some("t".into()), root: "t".into(), ..created(id) };
    let mut first = child("c1");
    first.entries = vec![(5, b"the seed".to_vec())];
    first.children = vec![child("c1.1")];
    let mut delta = next("t", 1);
    delta.children = vec![first, child("c2")];
    delta.sends = vec![send("c1", "hello")];
    let sent = desk.commit(delta).unwrap();
    assert_eq!(ids(&sent), ["hello"]);
    assert_eq!(["c1", "c2", "c1.1"].map(|thread| desk.version(thread)), [Some(1); 3]);
    assert_eq!(desk.count("threads"), 4);
}

#[test]
fn a_child_that_exists_already_stops_its_parents_commit() {
    let desk = desk();
    desk.commit(created("c")).unwrap();
    let mut delta = next("t", 1);
    delta.entries = vec![(0, b"spawned".to_vec())];
    delta.children = vec![created("c")];
    assert_conflict(desk.commit(delta));
    assert_eq!((desk.version("t"), desk.count("entries")), (Some(1), 0));
}

#[test]
fn a_send_enters_its_inbox_once_and_never_a_closed_or_unknown_one() {
    let desk = desk();
    desk.commit(created("u")).unwrap();
    desk.commit(Delta { status: "closed".into(), ..created("closed") }).unwrap();
    let mut delta = next("t", 1);
    delta.sends = ["u", "u", "closed", "nobody"].map(|thread| send(thread, "r1")).to_vec();
    let sent = desk.commit(delta).unwrap();
    assert_eq!(sent, desk.inbox());
    assert_eq!((ids(&sent), sent[0].thread.as_str(), sent[0].accepted_at), (vec!["r1"], "u", 2));
    assert_eq!(desk.discards("closed"), [("r1".into(), "closed".into())]);

    let mut delta = next("u", 1);
    delta.consumed = vec![consumed(&sent[0])];
    desk.commit(delta).unwrap();
    let mut delta = next("t", 2);
    delta.sends = vec![send("u", "r1")];
    assert!(desk.commit(delta).unwrap().is_empty());
}

#[test]
fn a_call_that_was_sent_does_not_become_planned_again() {
    let desk = desk();
    let mut delta = next("t", 1);
    delta.calls = vec![call("c", "planned")];
    desk.commit(delta).unwrap();
    let done = _core::journal::Write::OutboxDone { key: "c".into(), sent_call: Some("c".into()), failure: None, at: 0 };
    desk.write(done).unwrap();
    let mut delta = next("t", 2);
    delta.calls = vec![call("c", "planned")];
    desk.commit(delta).unwrap();
    assert_eq!(desk.call_states("t", true), ["sent"]);
    let mut delta = next("t", 3);
    delta.calls = vec![call("c", "answered")];
    desk.commit(delta).unwrap();
    assert_eq!(desk.call_states("t", true), Vec::<String>::new());
    assert_eq!(desk.call_states("t", false), ["answered"]);
}

#[test]
fn a_call_cannot_be_taken_over_by_another_thread() {
    let desk = desk();
    desk.commit(created("u")).unwrap();
    let mut delta = next("t", 1);
    delta.calls = vec![call("c", "planned")];
    desk.commit(delta).unwrap();
    let mut delta = next("u", 1);
    delta.calls = vec![call("c", "answered")];
    assert_eq!(desk.commit(delta).unwrap_err().code(), "rule");
    assert_eq!(desk.call_states("t", true), ["planned"]);
}

#[test]
fn calls_stay_listed_while_they_are_open_or_subscribed() {
    let desk = desk();
    let mut delta = next("t", 1);
    delta.calls = vec![subscription("s"), call("open", "planned"), call("over", "failed")];
    desk.commit(delta).unwrap();
    assert_eq!(desk.call_states("t", true), ["answered", "planned"]);
    assert_eq!(desk.call_states("t", false), ["answered", "planned", "failed"]);
    let found = desk.read(Read::FindCall("s".into())).unwrap();
    assert_eq!(found, Value::Call(Some((b"record of s".to_vec(), "answered".into()))));
    assert_eq!(desk.read(Read::FindCall("x".into())).unwrap(), Value::Call(None));
}

#[test]
fn timers_outbox_rows_and_prompts_are_set_and_taken_back_by_commits() {
    let desk = desk();
    let prompt = |id: &str| PromptRow { id: id.into(), kind: "choice".into(), body: b"{}".to_vec() };
    let mut delta = next("t", 1);
    delta.timers = vec![timer("a", 50), timer("b", 60)];
    delta.outbox = vec![outbox("o1", None), outbox("o2", None)];
    delta.prompts = vec![prompt("p1"), prompt("p2")];
    desk.commit(delta).unwrap();
    let mut delta = next("t", 2);
    delta.timers = vec![timer("a", 70)];
    delta.timers_cancelled = vec!["b".into()];
    delta.outbox_cancelled = vec!["o1".into(), "sent long ago".into()];
    delta.prompts_closed = vec!["p2".into()];
    desk.commit(delta).unwrap();

    assert_eq!(desk.read(Read::NextTimer).unwrap(), Value::Integer(Some(70)));
    let Value::Outbox(rows) = desk.read(Read::Outbox { after: String::new(), limit: 9 }).unwrap() else { panic!() };
    assert_eq!(rows.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["o2"]);
    let Value::Prompts(rows) = desk.read(Read::Prompts { thread: None, root: None }).unwrap() else { panic!() };
    assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["p1"]);
}

#[test]
fn one_thread_cannot_cancel_what_another_planned() {
    let desk = desk();
    desk.commit(created("u")).unwrap();
    let mut delta = next("t", 1);
    delta.outbox = vec![outbox("o1", None)];
    delta.timers = vec![timer("a", 50)];
    desk.commit(delta).unwrap();
    let mut delta = next("u", 1);
    delta.outbox_cancelled = vec!["o1".into()];
    delta.timers_cancelled = vec!["a".into()];
    desk.commit(delta).unwrap();
    assert_eq!((desk.count("outbox"), desk.count("timers")), (1, 1));
}

#[test]
fn a_seq_alone_does_not_consume_another_message() {
    let desk = desk();
    let queued = desk.queue("t", "m1");
    let mut delta = next("t", 1);
    delta.consumed = vec![_core::delta::Consumed { id: MessageId::from("m2"), ..consumed(&queued) }];
    assert_conflict(desk.commit(delta));
    assert_eq!(ids(&desk.inbox()), ["m1"]);
}
