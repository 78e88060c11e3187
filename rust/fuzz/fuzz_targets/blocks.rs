//! Whatever a caller hands over as content, it is refused or renders to valid JSON, with and without images (I4).

#![no_main]

use _core::history::{Answer, CallState, Plan, Thread, Usage};
use _core::render::RenderOptions;
use libfuzzer_sys::fuzz_target;

fn check(thread: &Thread) {
    for images in [true, false] {
        let rendered = thread.render(RenderOptions { images, ..Default::default() }).expect("renders");
        serde_json::from_slice::<&serde_json::value::RawValue>(&rendered).expect("JSON");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut thread = Thread::create("root".into(), 0, "", "", Some(br#"[{"type":"text","text":"seed"}]"#)).unwrap();
    let _ = thread.add_user(bytes, 0, None, b"{}");
    check(&thread);
    if thread.add_turn(bytes, vec![], 0, Usage::default(), b"{}").is_ok() {
        thread.add_user(br#"[{"type":"text","text":"more"}]"#, 0, None, b"{}").unwrap();
    }
    let plan = Plan {
        id: "call".into(),
        provider_id: "",
        tool: "",
        toolset: "",
        arguments: b"{}",
        deadline: None,
        user_id: None,
    };
    let call = thread.plan_call(plan).unwrap();
    let turn = br#"[{"type":"tool_use","id":"call","name":"x","input":{}}]"#;
    thread.add_turn(turn, vec![call], 0, Usage::default(), b"{}").unwrap();
    let answer = Answer {
        state: CallState::Answered,
        blocks: bytes,
        now: 0,
        event_id: "late",
        error: false,
        subscription: false,
        meta: b"{}",
    };
    if thread.answer(&"call".into(), answer).is_ok() {
        check(&thread);
    }
});
