//! Timers and the outbox: what waits is a row (L14), and leaves exactly once (I5).

use crate::desk::{Desk, call, consumed, created, ids, message, next, outbox, timer};
use _core::delta::Delta;
use _core::journal::value::{Accepted, OutboxRow, TimerRow};
use _core::journal::{Read, Value, Write};

fn desk() -> Desk {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    desk
}

fn fire(desk: &Desk, now: i64) -> Vec<String> {
    let Value::Messages(fired) = desk.write(Write::FireTimers { now, limit: 1000 }).unwrap() else { panic!() };
    ids(&fired).into_iter().map(str::to_owned).collect()
}

#[test]
fn due_timers_become_messages_earliest_first_and_only_once() {
    let desk = desk();
    desk.commit(Delta { timers: vec![timer("c", 30), timer("a", 10), timer("b", 20)], ..next("t", 1) }).unwrap();
    let desk = desk.reopened();
    assert_eq!(fire(&desk, 9), Vec::<String>::new());
    assert_eq!(fire(&desk, 20), ["a", "b"]);
    assert_eq!(fire(&desk, 20), Vec::<String>::new());
    assert_eq!(ids(&desk.inbox()), ["a", "b"]);
    assert_eq!(desk.read(Read::NextTimer).unwrap(), Value::Integer(Some(30)));
    let inbox = desk.inbox();
    assert_eq!((&*inbox[0].kind, inbox[0].accepted_at), ("timer", 20));
}

#[test]
fn a_limit_leaves_the_rest_of_the_timers_due() {
    let desk = desk();
    let timers = (0..5).map(|i| timer(&format!("t{i}"), i)).collect();
    desk.commit(Delta { timers, ..next("t", 1) }).unwrap();
    let Value::Messages(fired) = desk.write(Write::FireTimers { now: 10, limit: 3 }).unwrap() else { panic!() };
    assert_eq!(ids(&fired), ["t0", "t1", "t2"]);
    assert_eq!(fire(&desk, 10), ["t3", "t4"]);
}

#[test]
fn a_timer_of_a_closed_thread_is_recorded_and_dropped() {
    let desk = desk();
    desk.commit(Delta { timers: vec![timer("a", 10)], ..next("t", 1) }).unwrap();
    desk.commit(Delta { status: "closed".into(), ..next("t", 2) }).unwrap();
    assert_eq!(fire(&desk, 10), Vec::<String>::new());
    assert_eq!(desk.discards("t"), [("a".into(), "closed".into())]);
    assert_eq!(desk.count("timers"), 0);
}

#[test]
fn a_timer_whose_message_was_consumed_before_does_not_come_back() {
    let desk = desk();
    let queued = desk.queue("t", "a");
    desk.commit(Delta { consumed: vec![consumed(&queued)], timers: vec![timer("a", 10)], ..next("t", 1) }).unwrap();
    assert_eq!(fire(&desk, 10), Vec::<String>::new());
    assert_eq!((desk.count("timers"), desk.count("inbox")), (0, 0));
}

#[test]
fn timers_are_listed_earliest_first_for_one_thread_or_all() {
    let desk = desk();
    desk.commit(Delta { timers: vec![timer("b", 20)], ..next("t", 1) }).unwrap();
    desk.commit(Delta { timers: vec![timer("a", 10)], ..created("u") }).unwrap();
    let row = |id: &str, thread: &str, due_at| TimerRow {
        id: id.into(),
        thread: thread.into(),
        due_at,
        kind: "timer".into(),
        body: b"{}".to_vec(),
    };
    let all = Value::Timers(vec![row("a", "u", 10), row("b", "t", 20)]);
    assert_eq!(desk.read(Read::Timers { thread: None }).unwrap(), all);
    let one = Value::Timers(vec![row("b", "t", 20)]);
    assert_eq!(desk.read(Read::Timers { thread: Some("t".into()) }).unwrap(), one);
}

#[test]
fn an_outbox_row_stays_until_it_is_done_and_counts_its_attempts() {
    let desk = desk();
    desk.commit(Delta { outbox: vec![outbox("o1", Some("c1")), outbox("o2", None)], ..next("t", 1) }).unwrap();
    desk.write(Write::OutboxRetry { key: "o1".into(), due_at: 99, trouble: "HTTP 503".into() }).unwrap();
    desk.write(Write::OutboxDone { key: "o2".into(), sent_call: None, failure: None, at: 0 }).unwrap();
    let desk = desk.reopened();
    let row = OutboxRow {
        key: "o1".into(),
        kind: "invoke".into(),
        target: "http://tool/invoke".into(),
        body: br#"{"id":"o1"}"#.to_vec(),
        call: Some("c1".into()),
        thread: "t".into(),
        attempts: 1,
        due_at: 99,
        trouble: "HTTP 503".into(),
    };
    let read = |after: &str| desk.read(Read::Outbox { after: after.into(), limit: 10 }).unwrap();
    assert_eq!(read(""), Value::Outbox(vec![row]));
    assert_eq!(read("o1"), Value::Outbox(vec![]));
}

#[test]
fn a_failure_to_send_tells_the_thread_once() {
    let desk = desk();
    desk.commit(Delta { outbox: vec![outbox("o1", Some("c1"))], calls: vec![call("c1", "planned")], ..next("t", 1) })
        .unwrap();
    let done = || {
        let failure = Some(message("t", "c1"));
        desk.write(Write::OutboxDone { key: "o1".into(), sent_call: None, failure, at: 0 }).unwrap()
    };
    assert!(matches!(done(), Value::Accepted(Accepted::Yes(_))));
    assert_eq!(done(), Value::Accepted(Accepted::Duplicate));
    assert_eq!((desk.count("outbox"), ids(&desk.inbox())), (0, vec!["c1"]));
}

#[test]
fn a_call_that_was_answered_before_its_sending_was_noted_stays_answered() {
    let desk = desk();
    desk.commit(Delta { outbox: vec![outbox("o1", Some("c1"))], calls: vec![call("c1", "answered")], ..next("t", 1) })
        .unwrap();
    desk.write(Write::OutboxDone { key: "o1".into(), sent_call: Some("c1".into()), failure: None, at: 0 }).unwrap();
    assert_eq!(desk.call_states("t", false), ["answered"]);
}
