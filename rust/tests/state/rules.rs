//! What may enter history, when, and what it changes (I3, I4, DESIGN 5.2).

use crate::subject::*;
use _core::error::Error;
use _core::history::{Answered, CallState, Status, Thread, Usage};
use serde_json::json;

#[test]
fn a_thread_with_a_seed_is_idle_until_somebody_speaks() {
    let mut thread = Thread::create("root".into(), NOW, "model", "", Some(&text("you are root"))).unwrap();
    assert_eq!((thread.status(), thread.pending()), (Status::Idle, false));
    thread.add_user(&text("hello"), NOW, Some("ada"), EMPTY).unwrap();
    assert_eq!((thread.status(), thread.pending()), (Status::Waiting, true));
    assert_eq!(thread.header().actor.as_deref(), Some("ada"));
    assert_eq!(outline(&thread), ["user: you are root + hello"]);
}

#[test]
fn a_turn_clears_pending_and_counts_its_tokens() {
    let mut thread = calling(&[]);
    assert_eq!((thread.status(), thread.pending()), (Status::Idle, false));
    assert_eq!((thread.header().usage, thread.header().context_tokens), (Usage([10, 20, 30, 40]), 100));
    thread.add_user(&text("more"), NOW, None, EMPTY).unwrap();
    thread.add_turn(b"[]", vec![], NOW, Usage::default(), EMPTY).unwrap();
    assert_eq!(thread.header().context_tokens, 100, "a turn without figures keeps the last ones");
}

#[test]
fn a_turn_cannot_be_first_nor_follow_a_turn() {
    let mut thread = thread("root");
    assert!(is_rule(turn(&mut thread, &[])));
    thread.add_user(&text("hello"), NOW, None, EMPTY).unwrap();
    turn(&mut thread, &[]).unwrap();
    assert!(is_rule(turn(&mut thread, &[])));
}

#[test]
fn an_event_cannot_be_first() {
    assert!(is_rule(event(&mut thread("root"), "event", "news")));
}

#[test]
fn nothing_but_results_enters_while_a_call_is_attached() {
    let mut thread = calling(&["a", "b"]);
    answer(&mut thread, "a", "one").unwrap();
    assert!(is_rule(thread.add_user(&text("hurry"), NOW, None, EMPTY)));
    assert!(is_rule(event(&mut thread, "event", "news")));
    assert!(is_rule(turn(&mut thread, &[])));
    assert!(is_rule(thread.render(Default::default())));
    assert!(is_rule(thread.close()));
    assert_eq!(thread.header().position, 3);
}

#[test]
fn the_thread_is_pending_when_the_last_call_of_a_turn_is_answered() {
    let mut thread = calling(&["a", "b"]);
    assert_eq!(answer(&mut thread, "b", "two"), Ok(Answered::Result));
    assert!(!thread.pending());
    assert_eq!(answer(&mut thread, "a", "one"), Ok(Answered::Result));
    assert!(thread.pending());
    assert_eq!(outline(&thread)[2], "user: result b two + result a one");
}

#[test]
fn cancelling_every_call_of_a_turn_leaves_nothing_to_say() {
    let mut thread = calling(&["a", "b"]);
    answer_as(&mut thread, "a", "interrupted", CallState::Cancelled, false).unwrap();
    answer_as(&mut thread, "b", "interrupted", CallState::Cancelled, false).unwrap();
    assert_eq!((thread.pending(), thread.status()), (false, Status::Idle));
    assert_eq!(outline(&thread).len(), 3);
}

#[test]
fn cancelling_one_call_does_not_silence_the_result_of_another() {
    let mut thread = calling(&["a", "b"]);
    answer(&mut thread, "a", "one").unwrap();
    answer_as(&mut thread, "b", "interrupted", CallState::Cancelled, false).unwrap();
    assert!(thread.pending());
}

#[test]
fn a_call_is_answered_once() {
    let mut thread = calling(&["a"]);
    answer(&mut thread, "a", "one").unwrap();
    assert!(is_rule(answer(&mut thread, "a", "one")));
    assert!(is_rule(thread.detach(&"a".into(), &text("running"), NOW)));
    assert!(is_rule(answer(&mut thread, "never", "one")));
}

#[test]
fn a_detached_call_lets_the_conversation_go_on_and_answers_as_an_event() {
    let mut thread = calling(&["a", "b"]);
    for id in ["a", "b"] {
        thread.detach(&id.into(), &text("still running"), NOW).unwrap();
    }
    assert_eq!((thread.pending(), thread.status()), (false, Status::Waiting));
    assert!(is_rule(thread.detach(&"a".into(), &text("still running"), NOW)));
    thread.add_user(&text("meanwhile"), NOW, None, EMPTY).unwrap();
    turn(&mut thread, &[]).unwrap();
    assert_eq!(answer(&mut thread, "a", "done"), Ok(Answered::Event));
    assert!(thread.pending());
    assert!(is_rule(answer(&mut thread, "a", "done again")));
    assert_eq!(
        outline(&thread),
        [
            "user: hello",
            "assistant: turn + call a + call b",
            "user: result a still running + result b still running + meanwhile",
            "assistant: turn + call late-a",
            "user: result late-a done",
        ]
    );
    assert_eq!(thread.calls().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_late_result_waits_while_another_call_is_attached() {
    let mut thread = calling(&["a"]);
    thread.detach(&"a".into(), &text("still running"), NOW).unwrap();
    thread.add_user(&text("meanwhile"), NOW, None, EMPTY).unwrap();
    turn(&mut thread, &["b"]).unwrap();
    assert!(is_rule(answer(&mut thread, "a", "done")));
    answer(&mut thread, "b", "quick").unwrap();
    assert_eq!(answer(&mut thread, "a", "done"), Ok(Answered::Event));
}

#[test]
fn a_call_whose_arguments_are_changed_leaves_its_turn_as_it_was_said() {
    let mut thread = calling(&["a"]);
    let entries = thread.delta(NOW).unwrap().entries.clone();
    assert!(thread.change_arguments(&"a".into(), b"[1]").is_err());
    thread.change_arguments(&"a".into(), br#"{"n":2}"#).unwrap();
    assert_eq!(thread.call(&"a".into()).unwrap().arguments, br#"{"n":2}"#);
    assert_eq!(thread.delta(NOW).unwrap().entries, entries);
    answer(&mut thread, "a", "done").unwrap();
    assert!(is_rule(thread.change_arguments(&"a".into(), b"{}")));
    assert_eq!(thread.call(&"a".into()).unwrap().arguments, br#"{"n":2}"#);
}

#[test]
fn a_cancelled_detached_call_leaves_no_trace_in_history() {
    let mut thread = calling(&["a"]);
    assert!(is_rule(thread.cancel_detached(&"a".into())));
    thread.detach(&"a".into(), &text("still running"), NOW).unwrap();
    let position = thread.header().position;
    thread.cancel_detached(&"a".into()).unwrap();
    assert!(is_rule(thread.cancel_detached(&"a".into())));
    assert_eq!((thread.header().position, thread.status()), (position, Status::Idle));
    assert_eq!(thread.call(&"a".into()).unwrap().state, CallState::Cancelled);
}

#[test]
fn a_subscription_keeps_the_thread_waiting_until_it_ends() {
    let mut thread = calling(&["a"]);
    assert!(is_rule(answer_as(&mut thread, "a", "no", CallState::Failed, true)));
    answer_as(&mut thread, "a", "subscribed", CallState::Answered, true).unwrap();
    turn(&mut thread, &[]).unwrap();
    assert_eq!(thread.status(), Status::Waiting);
    assert_eq!(thread.subscriptions().count(), 1);
    assert_eq!(thread.calls().count(), 0);
    assert_eq!(thread.end_subscription(&"a".into()), Ok(true));
    assert_eq!(thread.end_subscription(&"a".into()), Ok(false));
    assert_eq!(thread.status(), Status::Idle);
}

#[test]
fn an_error_result_says_so_to_the_model() {
    let mut thread = calling(&["a"]);
    answer_as(&mut thread, "a", "Error: no", CallState::Failed, false).unwrap();
    let rendered = String::from_utf8(render(&thread)).unwrap();
    assert!(rendered.contains(r#""is_error":true"#));
}

#[test]
fn an_event_after_a_turn_joins_its_message() {
    let mut thread = calling(&[]);
    event(&mut thread, "news-1", "first").unwrap();
    event(&mut thread, "news-2", "second").unwrap();
    assert_eq!(
        outline(&thread),
        [
            "user: hello",
            "assistant: turn + call news-1",
            "user: result news-1 first",
            "assistant: call news-2",
            "user: result news-2 second"
        ]
    );
}

#[test]
fn an_event_names_the_call_that_it_is_about() {
    let mut thread = calling(&[]);
    event(&mut thread, "news", "first").unwrap();
    let messages: serde_json::Value = serde_json::from_slice(&render(&thread)).unwrap();
    assert_eq!(
        messages[1]["content"][1],
        json!({"type": "tool_use", "id": "news", "name": "receive_event__injected", "input": {
            "original_tool_name": "watch", "original_tool_call_id": "call-of-old", "original_args": {"repo": "it"}}})
    );
}

#[test]
fn an_event_id_that_the_api_would_refuse_is_replaced() {
    let mut thread = calling(&["a"]);
    answer(&mut thread, "a", "one").unwrap();
    let long = "x".repeat(500);
    for id in ["a", "github:42/é \"", "", &long, "fine", "fine"] {
        event(&mut thread, id, "news").unwrap();
    }
    assert_eq!(outline(&thread).len(), 2 + 1 + 12);
    assert!(String::from_utf8(render(&thread)).unwrap().contains(r#""id":"fine""#));
}

#[test]
fn tool_use_blocks_and_calls_match_one_to_one_in_order() {
    let mut thread = calling(&[]);
    thread.add_user(&text("again"), NOW, None, EMPTY).unwrap();
    let (a, b) = (plan(&thread, "a"), plan(&thread, "b"));
    let both = blocks(json!([tool_use("a"), tool_use("b")]));
    for calls in [vec![], vec![a.clone()], vec![b.clone(), a.clone()], vec![a.clone(), a.clone()]] {
        assert!(is_rule(thread.add_turn(&both, calls, NOW, Usage::default(), EMPTY)));
    }
    let twice = blocks(json!([tool_use("a"), tool_use("a")]));
    assert!(is_rule(thread.add_turn(&twice, vec![a.clone(), a.clone()], NOW, Usage::default(), EMPTY)));
    thread.add_turn(&both, vec![a, b], NOW, Usage::default(), EMPTY).unwrap();
    assert_eq!(thread.attached().count(), 2);
}

#[test]
fn a_call_id_is_never_used_twice() {
    let mut thread = calling(&["a", "b"]);
    answer(&mut thread, "a", "one").unwrap();
    thread.detach(&"b".into(), &text("still running"), NOW).unwrap();
    assert!(is_rule(turn(&mut thread, &["a"])));
    thread.delta(NOW).unwrap();
    thread.committed().unwrap();
    assert!(is_rule(turn(&mut thread, &["a"])), "the registry has forgotten it, history has not");
    let (start, end) = thread.summary_range(0).unwrap();
    thread.add_summary(start, end, &text("so far"), NOW, EMPTY).unwrap();
    assert!(is_rule(turn(&mut thread, &["b"])), "history has forgotten it, the registry has not");
    turn(&mut thread, &["c"]).unwrap();
}

#[test]
fn a_call_of_another_thread_is_refused() {
    let mut thread = calling(&[]);
    thread.add_user(&text("again"), NOW, None, EMPTY).unwrap();
    let foreign = plan(&calling(&[]), "a");
    let mut foreign_thread = foreign.clone();
    foreign_thread.thread = "other".into();
    let content = blocks(json!([tool_use("a")]));
    assert!(is_rule(thread.add_turn(&content, vec![foreign_thread], NOW, Usage::default(), EMPTY)));
    assert!(!is_rule(thread.add_turn(&content, vec![foreign], NOW, Usage::default(), EMPTY)));
}

#[test]
fn empty_text_and_foreign_blocks_are_refused_from_users() {
    let mut thread = thread("root");
    let refused = [
        json!([]),
        json!({}),
        json!("hello"),
        json!([["text", "hello"]]),
        json!([{"text": "hello"}]),
        json!([{"type": "text", "text": ""}]),
        json!([{"type": "text", "text": " \n\u{1f}\u{3000}"}]),
        json!([{"type": "text"}]),
        json!([{"type": "text", "text": "hello"}, {"type": "text", "text": ""}]),
        json!([{"type": "tool_result", "tool_use_id": "a", "content": []}]),
        json!([{"type": "tool_use", "id": "a", "name": "x", "input": {}}]),
        json!([{"type": "thinking", "thinking": "hm", "signature": "s"}]),
        json!([{"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}]),
    ];
    for content in refused {
        assert!(is_rule(thread.add_user(&blocks(content.clone()), NOW, None, EMPTY)), "{content}");
    }
    for garbage in [&b""[..], b"[", b"[{}", b"\xff\xfe", b"[{\"type\":\"text\",\"text\":\"\xff\"}]", b"[] []"] {
        assert!(is_rule(thread.add_user(garbage, NOW, None, EMPTY)));
    }
    assert!(is_rule(thread.add_user(&text("hello"), NOW, None, b"[]")));
    assert_eq!((thread.live_entries(), thread.pending()), (0, false));
}

#[test]
fn a_result_without_text_is_an_empty_result() {
    let mut thread = calling(&["a"]);
    answer(&mut thread, "a", "  ").unwrap();
    assert_eq!(outline(&thread)[2], "user: result a nothing");
}

#[test]
fn a_message_is_applied_once() {
    let mut thread = thread("root");
    thread.consume(&message("root", "m1", 1), "applied").unwrap();
    assert!(thread.seen("m1"));
    assert!(is_rule(thread.consume(&message("root", "m1", 2), "applied")));
    thread.consume(&message("root", "m1", 2), "duplicate").unwrap();
    thread.consume(&message("root", "m1", 2), "duplicate").unwrap();
    assert_eq!(thread.delta(NOW).unwrap().consumed.len(), 2, "one place in the inbox, one row");
    assert!(is_rule(thread.consume(&message("other", "m2", 3), "applied")));
    assert_eq!(thread.delta(NOW).unwrap().consumed.len(), 2);
}

#[test]
fn a_closed_thread_takes_nothing_more() {
    let mut thread = calling(&["a"]);
    thread.detach(&"a".into(), &text("still running"), NOW).unwrap();
    thread.close().unwrap();
    thread.close().unwrap();
    assert_eq!((thread.status(), thread.pending()), (Status::Closed, false));
    assert!(is_rule(thread.add_user(&text("hello"), NOW, None, EMPTY)));
    assert!(is_rule(event(&mut thread, "news", "first")));
    assert!(is_rule(turn(&mut thread, &[])));
    assert!(is_rule(answer(&mut thread, "a", "late")));
    assert!(is_rule(fork(&mut thread, "child", None, None)));
    assert!(is_rule(thread.add_summary(0, 3, &text("all"), NOW, EMPTY)));
    assert!(is_rule(thread.cancel_detached(&"a".into())), "the closing has cancelled it");
    thread.consume(&message("root", "m1", 1), "thread closed").unwrap();
    let delta = thread.delta(NOW).unwrap();
    assert_eq!(delta.ended, ["a".into()]);
    assert_eq!(delta.calls[0].state, "cancelled");
}

#[test]
fn status_says_the_strongest_reason() {
    let mut thread = calling(&["a"]);
    assert_eq!(thread.status(), Status::Waiting);
    thread.set_stopped(true).unwrap();
    assert_eq!(thread.status(), Status::Stopped);
    answer(&mut thread, "a", "one").unwrap();
    thread.close().unwrap();
    assert_eq!(thread.status(), Status::Closed);
}

#[test]
fn pending_can_be_taken_and_given_back() {
    let mut thread = thread("root");
    thread.add_user(&text("hello"), NOW, None, EMPTY).unwrap();
    thread.set_pending(false).unwrap();
    assert_eq!((thread.pending(), thread.status()), (false, Status::Idle));
    thread.set_pending(true).unwrap();
    assert!(thread.pending());
}

#[test]
fn planning_checks_the_id_and_the_arguments() {
    let thread = thread("root");
    let plan = |id: &str, arguments: &[u8]| {
        let plan = _core::history::Plan {
            id: id.into(),
            provider_id: "",
            tool: "t",
            toolset: "",
            arguments,
            deadline: None,
            user_id: None,
        };
        thread.plan_call(plan)
    };
    assert!(plan("call_1", b"{}").is_ok());
    for (id, arguments) in [("", "{}"), ("a b", "{}"), ("é", "{}"), ("a", ""), ("a", "[]"), ("a", "{")] {
        assert!(matches!(plan(id, arguments.as_bytes()), Err(Error::Rule(_))), "{id} {arguments}");
    }
}
