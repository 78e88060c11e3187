//! What the model is sent, byte for byte.

use crate::subject::*;
use crate::valid::assert_valid;
use _core::history::Usage;
use _core::render::RenderOptions;
use serde_json::{Value, json};

fn rendered(thread: &_core::history::Thread, images: bool, breakpoints: usize) -> String {
    let bytes = thread.render(RenderOptions { images, breakpoints, ..Default::default() }).unwrap();
    assert_valid(&bytes, breakpoints);
    String::from_utf8(bytes).unwrap()
}

fn said(content: Value) -> _core::history::Thread {
    let mut thread = thread("root");
    thread.add_user(&text("hello"), NOW, None, EMPTY).unwrap();
    thread.add_turn(&blocks(content), vec![], NOW, Usage::default(), EMPTY).unwrap();
    thread
}

#[test]
fn blocks_are_kept_byte_for_byte() {
    let strange = r#"{"z":1, "type":"text","text":"caf\u00e9 \"x\" \ud83d\ude00","a":[ 1 ,2.50e0 ]}"#;
    let mut thread = thread("root");
    thread.add_user(format!("[ {strange} , {strange}]").as_bytes(), NOW, None, EMPTY).unwrap();
    let expected = format!(r#"[{{"role":"user","content":[{strange},{strange}]}}]"#);
    assert_eq!(rendered(&thread, true, 0), expected);
}

#[test]
fn an_empty_thread_has_nothing_to_render() {
    assert!(is_rule(thread("root").render(Default::default())));
}

#[test]
fn the_last_user_messages_end_in_a_cache_breakpoint() {
    let mut thread = thread("root");
    for _ in 0..4 {
        thread.add_user(&text("hello"), NOW, None, EMPTY).unwrap();
        turn(&mut thread, &[]).unwrap();
    }
    for breakpoints in [0, 1, 2, 4, 9] {
        rendered(&thread, true, breakpoints);
    }
    let last = r#","cache_control":{"type":"ephemeral"}}]},"#;
    assert_eq!(rendered(&thread, true, 2).matches(last).count(), 2);
}

#[test]
fn a_longer_history_begins_with_the_shorter_one() {
    let mut thread = calling(&["a"]);
    answer(&mut thread, "a", "one").unwrap();
    let before = rendered(&thread, true, 0);
    turn(&mut thread, &[]).unwrap();
    event(&mut thread, "news", "first").unwrap();
    let after = rendered(&thread, true, 0);
    let prefix = before.strip_suffix("]").unwrap();
    assert!(after.starts_with(prefix), "the provider's prompt cache would miss");
}

#[test]
fn an_empty_turn_is_recorded_and_renders_as_nothing() {
    let mut thread = said(json!([]));
    assert_eq!((thread.live_entries(), thread.pending()), (2, false));
    thread.add_user(&text("well?"), NOW, None, EMPTY).unwrap();
    assert_eq!(outline(&thread), ["user: hello + well?"]);
}

#[test]
fn unsigned_reasoning_at_the_end_of_a_turn_is_dropped() {
    let unsigned = json!({"type": "thinking", "thinking": "hm"});
    let blank = json!({"type": "thinking", "thinking": "hm", "signature": ""});
    let spoken = json!({"type": "text", "text": "yes"});
    assert_eq!(outline(&said(json!([spoken, unsigned, blank]))), ["user: hello", "assistant: yes"]);
    assert_eq!(outline(&said(json!([unsigned]))), ["user: hello"]);
    assert_eq!(outline(&said(json!([unsigned, {"type": "text", "text": ""}]))), ["user: hello"]);
    assert_eq!(said(json!([unsigned])).live_entries(), 2);
}

#[test]
fn signed_reasoning_is_kept_and_never_ends_a_message() {
    let signed = json!({"type": "thinking", "thinking": "hm", "signature": "c2lnbg=="});
    let redacted = json!({"type": "redacted_thinking", "data": "eHh4"});
    let spoken = json!({"type": "text", "text": "yes"});
    let kept = outline(&said(json!([signed, redacted, spoken])));
    assert_eq!(kept, ["user: hello", "assistant: thinking + redacted_thinking + yes"]);
    assert_eq!(outline(&said(json!([spoken, signed, redacted]))), ["user: hello", "assistant: yes"]);
    let mut only = said(json!([signed]));
    assert_eq!(outline(&only), ["user: hello"]);
    event(&mut only, "news", "first").unwrap();
    assert_eq!(outline(&only), ["user: hello", "assistant: thinking + call news", "user: result news first"]);
}

#[test]
fn empty_text_of_a_turn_is_left_out() {
    let content =
        json!([{"type": "text", "text": ""}, {"type": "text", "text": "yes"}, {"type": "text", "text": "\n"}]);
    assert_eq!(outline(&said(content)), ["user: hello", "assistant: yes"]);
}

#[test]
fn images_become_placeholders_for_a_model_without_eyes() {
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}});
    let linked = json!({"type": "image", "source": {"type": "url", "url": "https://x.example/y"}});
    let mut thread = thread("root");
    let content = json!([{"type": "text", "text": "see [\"image\"]"}, image, linked]);
    thread.add_user(&blocks(content), NOW, None, EMPTY).unwrap();
    turn(&mut thread, &["a"]).unwrap();
    let content = blocks(json!([image, {"type": "text", "text": "a picture"}]));
    let answer = _core::history::Answer {
        state: _core::history::CallState::Answered,
        blocks: &content,
        now: NOW,
        event_id: "late",
        error: true,
        subscription: false,
        meta: EMPTY,
    };
    thread.answer(&"a".into(), answer).unwrap();
    let with = rendered(&thread, true, 2);
    assert_eq!(with.matches(r#""type":"image""#).count(), 3);
    let without = rendered(&thread, false, 2);
    assert!(!without.contains(r#""type":"image""#) && !without.contains("iVBO"));
    assert_eq!(without.matches("[image: image/png, not shown to this model]").count(), 2);
    assert_eq!(without.matches("[image: of unknown type, not shown to this model]").count(), 1);
    assert!(without.contains("a picture") && without.contains(r#""is_error":true"#));
    assert_eq!(rendered(&thread, true, 2), with, "the history itself keeps its images");
}
