//! What the model's API accepts, written from its documentation and independently of how rendering works.

use serde_json::Value;
use std::collections::HashSet;

/// Panics, saying where, unless the bytes are a `messages` array that the API accepts with this many cache breakpoints.
pub fn assert_valid(rendered: &[u8], breakpoints: usize) -> Vec<Value> {
    let text = String::from_utf8_lossy(rendered);
    let messages: Vec<Value> = serde_json::from_slice(rendered).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert!(!messages.is_empty(), "no messages");
    let mut ids = HashSet::new();
    let mut waiting: Vec<String> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().expect("a role");
        assert_eq!(role, ["user", "assistant"][index % 2], "roles do not alternate from user on: {text}");
        let blocks = message["content"].as_array().expect("an array of blocks");
        assert!(!blocks.is_empty(), "message {index} is empty: {text}");
        match role {
            "user" => check_user(blocks, &std::mem::take(&mut waiting)),
            _ => waiting = check_assistant(blocks, &mut ids),
        }
    }
    assert!(waiting.is_empty(), "calls without a result: {waiting:?} in {text}");
    check_breakpoints(&messages, breakpoints);
    messages
}

fn check_user(blocks: &[Value], waiting: &[String]) {
    let mut answered = HashSet::new();
    for (index, block) in blocks.iter().enumerate() {
        match kind(block) {
            "text" => check_text(block),
            "image" => assert!(block["source"].is_object()),
            "tool_result" => {
                assert!(index < waiting.len(), "a result that is not first: {block}");
                let id = block["tool_use_id"].as_str().expect("tool_use_id").to_owned();
                assert!(waiting.contains(&id), "a result for no call: {block}");
                assert!(answered.insert(id), "a second result: {block}");
                check_user(block["content"].as_array().expect("content"), &[]);
            }
            other => panic!("a {other} block from the user"),
        }
    }
    assert_eq!(answered.len(), waiting.len(), "{waiting:?} wait, {answered:?} are answered");
}

fn check_assistant(blocks: &[Value], ids: &mut HashSet<String>) -> Vec<String> {
    let mut calls = Vec::new();
    for block in blocks {
        match kind(block) {
            "text" => check_text(block),
            "thinking" | "redacted_thinking" => {}
            "tool_use" => {
                let id = block["id"].as_str().expect("an id").to_owned();
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                assert!(!id.is_empty() && id.chars().all(plain), "id {id}");
                assert!(block["input"].is_object(), "input is not an object: {block}");
                assert!(block["name"].as_str().is_some_and(|name| !name.is_empty()));
                assert!(ids.insert(id.clone()), "id {id} comes twice");
                calls.push(id);
            }
            other => panic!("a {other} block from the assistant"),
        }
    }
    let last = kind(blocks.last().expect("a block"));
    assert!(!last.ends_with("thinking"), "the message ends in reasoning: {blocks:?}");
    calls
}

fn check_text(block: &Value) {
    let text = block["text"].as_str().expect("text");
    assert!(!text.trim().is_empty(), "an empty text: {block}");
}

fn check_breakpoints(messages: &[Value], breakpoints: usize) {
    let users: Vec<&Value> = messages.iter().step_by(2).collect();
    let marked = users.len().saturating_sub(breakpoints);
    for (index, message) in users.iter().enumerate() {
        let blocks = message["content"].as_array().unwrap();
        let last = &blocks[blocks.len() - 1];
        assert_eq!(last.get("cache_control").is_some(), index >= marked, "breakpoint at user message {index}");
    }
    let count = serde_json::to_string(messages).unwrap().matches(r#""cache_control""#).count();
    assert_eq!(count, users.len() - marked);
}

fn kind(block: &Value) -> &str {
    block["type"].as_str().expect("a type")
}
