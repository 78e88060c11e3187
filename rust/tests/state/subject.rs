//! Short words for what tests do to a thread.

use _core::error::{Error, Result};
use _core::history::{Answer, Answered, Call, CallState, Event, Fork, Plan, Shared, Thread, Usage};
use _core::id::{CallId, MessageId};
use _core::message::Message;
use _core::render::RenderOptions;
use serde_json::{Value, json};

pub const NOW: i64 = 1_700_000_000_000;
pub const EMPTY: &[u8] = b"{}";

pub fn text(text: &str) -> Vec<u8> {
    blocks(json!([{"type": "text", "text": text}]))
}

pub fn blocks(blocks: Value) -> Vec<u8> {
    blocks.to_string().into_bytes()
}

pub fn thread(id: &str) -> Thread {
    Thread::create(id.into(), NOW, "model", "", None).unwrap()
}

/// A thread with one call open for each id.
pub fn calling(ids: &[&str]) -> Thread {
    let mut thread = thread("root");
    thread.add_user(&text("hello"), NOW, None, EMPTY).unwrap();
    turn(&mut thread, ids).unwrap();
    thread
}

pub fn plan(thread: &Thread, id: &str) -> Call {
    let plan = Plan {
        id: id.into(),
        provider_id: "provider",
        tool: "look",
        toolset: "eyes",
        arguments: br#"{"at":"it"}"#,
        deadline: Some(NOW + 1),
        user_id: Some("somebody"),
    };
    thread.plan_call(plan).unwrap()
}

pub fn tool_use(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "look", "input": {"at": "it"}})
}

/// A turn that says `turn` and makes these calls.
pub fn turn(thread: &mut Thread, ids: &[&str]) -> Result<i64> {
    let mut content = vec![json!({"type": "text", "text": "turn"})];
    content.extend(ids.iter().map(|id| tool_use(id)));
    let calls = ids.iter().map(|id| plan(thread, id)).collect();
    thread.add_turn(&blocks(content.into()), calls, NOW, Usage([10, 20, 30, 40]), EMPTY)
}

pub fn answer(thread: &mut Thread, id: &str, said: &str) -> Result<Answered> {
    answer_as(thread, id, said, CallState::Answered, false)
}

pub fn answer_as(thread: &mut Thread, id: &str, said: &str, state: CallState, subscription: bool) -> Result<Answered> {
    let answer = Answer {
        state,
        blocks: &text(said),
        now: NOW,
        event_id: &format!("late-{id}"),
        error: state == CallState::Failed,
        subscription,
        meta: EMPTY,
    };
    thread.answer(&id.into(), answer)
}

pub fn event(thread: &mut Thread, id: &str, said: &str) -> Result<i64> {
    let event = Event {
        id,
        tool: "watch",
        call: &CallId::from("call-of-old"),
        arguments: br#"{"repo":"it"}"#,
        blocks: &text(said),
        now: NOW,
        meta: EMPTY,
    };
    thread.add_event(event)
}

pub fn fork(thread: &mut Thread, id: &str, seed_call: Option<&str>, seed: Option<&str>) -> Result<Shared> {
    fork_upto(thread, id, seed_call, seed, None)
}

pub fn fork_upto(
    thread: &mut Thread,
    id: &str,
    seed_call: Option<&str>,
    seed: Option<&str>,
    upto: Option<i64>,
) -> Result<Shared> {
    let seed_call = seed_call.map(CallId::from);
    let seed = seed.map(text);
    thread.fork(Fork {
        upto,
        id: id.into(),
        now: NOW,
        origin: br#"{"why":"test"}"#,
        placeholder: &text("the parent waits for it"),
        seed_call: seed_call.as_ref(),
        seed: seed.as_deref(),
        model: None,
    })
}

pub fn message(thread: &str, id: &str, seq: i64) -> Message {
    Message {
        thread: thread.into(),
        id: MessageId::from(id),
        kind: "user".into(),
        body: EMPTY.into(),
        seq,
        accepted_at: NOW,
    }
}

pub fn render(thread: &Thread) -> Vec<u8> {
    thread.render(RenderOptions::default()).unwrap()
}

/// The rendered messages without breakpoints, as `role: block types` lines.
pub fn outline(thread: &Thread) -> Vec<String> {
    let rendered = thread.render(RenderOptions { breakpoints: 0, ..Default::default() }).unwrap();
    let messages = super::valid::assert_valid(&rendered, 0);
    let line = |message: &Value| {
        let kinds = message["content"].as_array().unwrap().iter().map(|block| match block["type"].as_str().unwrap() {
            "text" => block["text"].as_str().unwrap().to_owned(),
            "tool_use" => format!("call {}", block["id"].as_str().unwrap()),
            "tool_result" => format!(
                "result {} {}",
                block["tool_use_id"].as_str().unwrap(),
                block["content"][0]["text"].as_str().unwrap_or("nothing")
            ),
            other => other.to_owned(),
        });
        format!("{}: {}", message["role"].as_str().unwrap(), kinds.collect::<Vec<_>>().join(" + "))
    };
    messages.iter().map(line).collect()
}

pub fn is_rule<T: std::fmt::Debug>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Rule(_)))
}
