//! The one door to a thread: everything it lets in is durable (I2), once (I3), and expected (CB-2, SUB-1).

use crate::desk::{Desk, call, consumed, created, ids, message, next, outbox, subscription};
use _core::id::CallId;
use _core::journal::value::Accepted;
use _core::journal::{Expect, Value, Write};

fn for_call(id: &str) -> Expect {
    Expect::Call(CallId::from(id))
}

fn for_event(id: &str) -> Expect {
    Expect::Event(CallId::from(id))
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    desk
}

#[test]
fn an_accepted_message_survives_a_restart_in_order() {
    let desk = desk();
    for id in ["m1", "m2", "m3"] {
        desk.queue("t", id);
    }
    let desk = desk.reopened();
    let inbox = desk.inbox();
    assert_eq!(ids(&inbox), ["m1", "m2", "m3"]);
    assert!(inbox.is_sorted_by_key(|message| message.seq));
    assert_eq!(&*inbox[0].body, br#"{"text":"m1"}"#);
    assert_eq!((inbox[0].accepted_at, &*inbox[0].kind), (1_000, "user"));
}

#[test]
fn a_message_that_is_queued_is_a_duplicate() {
    let desk = desk();
    desk.queue("t", "m1");
    assert_eq!(desk.accept(message("t", "m1"), Expect::Any), Accepted::Duplicate);
    assert_eq!(desk.inbox().len(), 1);
}

#[test]
fn a_message_that_was_consumed_is_a_duplicate_for_ever() {
    let desk = desk();
    let queued = desk.queue("t", "m1");
    let delta = next("t", 1);
    desk.commit(_core::delta::Delta { consumed: vec![consumed(&queued)], ..delta }).unwrap();
    let desk = desk.reopened();
    assert_eq!(desk.accept(message("t", "m1"), Expect::Any), Accepted::Duplicate);
    assert!(desk.inbox().is_empty());
}

#[test]
fn the_same_id_in_two_threads_is_two_messages() {
    let desk = desk();
    desk.commit(created("u")).unwrap();
    desk.queue("t", "m1");
    desk.queue("u", "m1");
    assert_eq!(desk.inbox().len(), 2);
}

#[test]
fn a_duplicate_within_one_group_is_noticed() {
    let desk = desk();
    let submit = || desk.journal.write(Write::Accept { message: message("t", "m1"), expect: Expect::Any });
    let tickets: Vec<_> = (0..20).map(|_| submit()).collect();
    let accepted = tickets
        .into_iter()
        .filter(|ticket| matches!(desk.outcome(*ticket), Ok(Value::Accepted(Accepted::Yes(_)))))
        .count();
    assert_eq!(accepted, 1);
}

#[test]
fn a_message_for_nobody_leaves_nothing_behind() {
    let desk = desk();
    assert_eq!(desk.accept(message("nobody", "m1"), Expect::Any), Accepted::UnknownThread);
    assert!(desk.inbox().is_empty());
}

#[test]
fn a_message_for_a_closed_thread_is_discarded_and_that_is_recorded_once() {
    let desk = desk();
    let mut delta = next("t", 1);
    delta.status = "closed".into();
    desk.commit(delta).unwrap();
    for _ in 0..2 {
        assert_eq!(desk.accept(message("t", "m1"), Expect::Any), Accepted::Discarded);
    }
    assert_eq!(desk.discards("t"), [("m1".into(), "closed".into())]);
    assert_eq!(desk.count("discards"), 1);
    assert!(desk.inbox().is_empty());
}

#[test]
fn a_result_is_accepted_only_for_an_open_call_of_its_thread() {
    let desk = desk();
    desk.commit(created("u")).unwrap();
    let mut delta = next("t", 1);
    delta.calls = ["planned", "answered", "failed", "cancelled"].map(|state| call(state, state)).to_vec();
    desk.commit(delta).unwrap();

    let result = |thread, call| desk.accept(message(thread, call), for_call(call));
    assert!(matches!(result("t", "planned"), Accepted::Yes(_)));
    assert_eq!(result("t", "answered"), Accepted::NotPending);
    assert_eq!(result("t", "failed"), Accepted::NotPending);
    assert_eq!(result("t", "cancelled"), Accepted::Discarded);
    assert_eq!(result("t", "invented"), Accepted::UnknownCall);
    assert_eq!(result("u", "planned"), Accepted::UnknownCall);
    let mut discards = desk.discards("t");
    discards.sort();
    let recorded = [("cancelled", "cancelled"), ("failed", "the call had failed")];
    assert_eq!(discards, recorded.map(|(id, reason)| (id.to_owned(), reason.to_owned())));
    assert_eq!(ids(&desk.inbox()), ["planned"]);
}

#[test]
fn a_result_for_a_call_that_is_on_its_way_is_accepted() {
    let desk = desk();
    let mut delta = next("t", 1);
    delta.calls = vec![call("c", "planned")];
    delta.outbox = vec![outbox("c", Some("c"))];
    desk.commit(delta).unwrap();
    let done = Write::OutboxDone { key: "c".into(), sent_call: Some("c".into()), failure: None, at: 0 };
    desk.write(done).unwrap();
    assert_eq!(desk.call_states("t", true), ["sent"]);
    assert!(matches!(desk.accept(message("t", "c"), for_call("c")), Accepted::Yes(_)));
}

#[test]
fn an_event_is_accepted_for_a_subscription_or_a_call_that_may_become_one() {
    let desk = desk();
    desk.commit(created("u")).unwrap();
    let mut delta = next("t", 1);
    delta.calls =
        vec![subscription("sub"), call("open", "planned"), call("over", "answered"), call("gone", "cancelled")];
    desk.commit(delta).unwrap();

    let event = |thread, id, call| desk.accept(message(thread, id), for_event(call));
    assert!(matches!(event("t", "e1", "sub"), Accepted::Yes(_)));
    assert!(matches!(event("t", "e2", "open"), Accepted::Yes(_)));
    assert_eq!(event("t", "e3", "over"), Accepted::NotSubscribed);
    assert_eq!(event("t", "e4", "gone"), Accepted::NotSubscribed);
    assert_eq!(event("t", "e5", "invented"), Accepted::UnknownCall);
    assert_eq!(event("u", "e6", "sub"), Accepted::UnknownCall);
    assert_eq!(ids(&desk.inbox()), ["e1", "e2"]);
}

#[test]
fn an_event_after_the_end_of_its_subscription_is_refused() {
    let desk = desk();
    let mut delta = next("t", 1);
    delta.calls = vec![subscription("sub")];
    desk.commit(delta).unwrap();
    let mut delta = next("t", 2);
    delta.calls = vec![call("sub", "answered")];
    desk.commit(delta).unwrap();
    assert_eq!(desk.accept(message("t", "e1"), for_event("sub")), Accepted::NotSubscribed);
}
