//! A tree of real threads with something in every table.

use crate::desk::Desk;
use _core::delta::{OutboxRow, PromptRow, SendRow, Spent, TimerRow};
use _core::history::{Answer, CallState, Fork, Plan, Snapshot, Spending, Thread, Usage, lock};
use _core::journal::{Attempt, Read, Value, Write};
use _core::render::RenderOptions;

pub const NOW: i64 = 1_800_000_000_000;
const NOTHING: &[u8] = b"{}";

pub fn text(text: &str) -> Vec<u8> {
    format!(r#"[{{"type":"text","text":"{text}"}}]"#).into_bytes()
}

/// A turn that calls tools.
pub fn call(thread: &mut Thread, ids: &[&str]) {
    let plan = |id: &&str| {
        let plan = Plan {
            id: (*id).into(),
            provider_id: "provider",
            tool: "build",
            toolset: "ci",
            arguments: NOTHING,
            deadline: Some(NOW + 60_000),
            user_id: Some("ada"),
        };
        thread.plan_call(plan).unwrap()
    };
    let calls = ids.iter().map(plan).collect();
    let uses: Vec<_> =
        ids.iter().map(|id| format!(r#"{{"type":"tool_use","id":"{id}","name":"build","input":{{}}}}"#)).collect();
    let blocks = format!("[{}]", uses.join(","));
    let spending = Spending { usage: Usage([100, 20, 3, 4]), cost: 5_000 };
    thread.add_turn(blocks.as_bytes(), calls, NOW, spending, NOTHING).unwrap();
}

pub fn commit(desk: &Desk, thread: &mut Thread) {
    let delta = thread.delta(NOW).unwrap();
    desk.commit((*delta).clone()).unwrap();
    thread.committed().unwrap();
}

/// The tree `root` and its child `<root>.child`.
pub fn raise(desk: &Desk, root: &str) {
    let mut thread = Thread::create(root.into(), NOW, "model", "a title", Some(&text("You are a thread."))).unwrap();
    thread.add_user(&text("hello"), NOW, Some("ada"), NOTHING).unwrap();
    commit(desk, &mut thread);
    for id in ["consumed", "thrown away"] {
        let queued = desk.queue(root, id);
        let outcome = if id == "consumed" { "applied" } else { "unknown kind" };
        thread.consume(&queued, outcome).unwrap();
    }
    let [subscribed, open] = ["subscribed", "open"].map(|name| format!("{root}-{name}"));
    call(&mut thread, &[&subscribed, &open]);
    let answer = Answer {
        state: CallState::Answered,
        blocks: &text("watching"),
        now: NOW,
        event_id: "e",
        error: false,
        subscription: true,
        meta: NOTHING,
    };
    thread.answer(&subscribed.as_str().into(), answer).unwrap();
    let forked = thread
        .fork(Fork {
            id: child(root).as_str().into(),
            now: NOW,
            origin: br#"{"why":"test"}"#,
            placeholder: &text("later"),
            seed_call: None,
            seed: None,
            model: None,
            upto: None,
        })
        .unwrap();
    lock(&forked).unwrap().add_user(&text("your part"), NOW, None, NOTHING).unwrap();
    lock(&forked).unwrap().add_turn(&text("done"), vec![], NOW, Usage([7, 0, 0, 0]), NOTHING).unwrap();
    plan_all(&mut thread, root, &open);
    commit(desk, &mut thread);
    desk.queue(root, "queued first");
    desk.queue(&child(root), "queued second");
    desk.queue(root, "queued third");
    keep_facts(desk, root);
}

pub fn child(root: &str) -> String {
    format!("{root}.child")
}

fn plan_all(thread: &mut Thread, root: &str, open: &str) {
    let body = || NOTHING.to_vec();
    let timer = |id: &str, due_at| TimerRow { id: id.into(), due_at, kind: "timer".into(), body: body() };
    thread.set_timer(timer("soon", NOW + 10)).unwrap();
    thread.set_timer(timer("late", NOW + 90_000)).unwrap();
    let key = format!("invoke.{open}");
    let (kind, target) = ("invoke".into(), "http://tool/invoke".into());
    thread.plan_outbox(OutboxRow { key, kind, target, body: body(), call: Some(open.into()) }).unwrap();
    thread.open_prompt(PromptRow { id: "p".into(), kind: "choice".into(), body: body() }).unwrap();
    thread.note("status", br#"{"status":"busy"}"#.to_vec().as_slice()).unwrap();
    let kind = "parent".into();
    thread.send(SendRow { thread: child(root).as_str().into(), id: "sent".into(), kind, body: body() }).unwrap();
}

fn keep_facts(desk: &Desk, root: &str) {
    let (thread, code) = (root.into(), "unavailable".into());
    desk.write(Write::RecordAttempt(Attempt { thread, code, at: NOW, spent: Spent::default() })).unwrap();
    let (view_type, content) = ("diff".into(), br#"{"n":1}"#.to_vec());
    desk.write(Write::PutView { thread: root.into(), view_type, content }).unwrap();
    // Trees share definitions.
    for (key, value) in [(format!("catalog.{root}"), "d1"), ("definitions.d1".into(), "[]")] {
        desk.write(Write::PutMeta { key, value: value.into() }).unwrap();
    }
}

/// What the model would be shown, after a load from the store.
pub fn rendered(desk: &Desk, id: &str) -> String {
    let thread = loaded(desk, id);
    let rendered = match thread.attached().next() {
        // Whatever waits for a call cannot be rendered: its entries then.
        Some(_) => thread.rendered().flat_map(|entry| entry.json().unwrap()).collect(),
        None => thread.render(RenderOptions::default()).unwrap(),
    };
    String::from_utf8(rendered).unwrap()
}

pub fn loaded(desk: &Desk, id: &str) -> Thread {
    let load = Read::Load { thread: id.into(), known_version: -1, message_ids: vec!["consumed".into()] };
    let Value::Loaded(Some(loaded)) = desk.read(load).unwrap() else { panic!("nothing was loaded") };
    let _core::journal::value::Loaded { header, entries, calls, seen, attempts, kept } = loaded;
    Thread::load(&Snapshot { header, entries, calls, seen, attempts, kept }).unwrap()
}

/// All that can be asked about a tree, as text; places in the inbox left out, because they differ from store to store.
pub fn portrait(desk: &Desk, root: &str) -> String {
    let mut lines = vec![format!("{:?}", desk.read(Read::Spent(root.into())).unwrap())];
    for thread in [root.to_owned(), child(root)] {
        lines.push(rendered(desk, &thread));
        let (one, after, limit) = (|| thread.clone(), -1, 1_000);
        for read in [
            Read::Thread(one()),
            Read::Entries { thread: one(), after, limit },
            Read::Feed { thread: one(), after, limit },
            Read::Calls { thread: one(), open_only: false },
            Read::CallRows { thread: one(), call: None, after: 0, limit },
            Read::Prompts { thread: Some(one()), root: Some(root.to_owned()) },
            Read::Timers { thread: Some(one()) },
            Read::Views { thread: one() },
            Read::Discards { thread: one(), limit },
        ] {
            lines.push(format!("{:?}", desk.read(read).unwrap()));
        }
    }
    for key in [format!("catalog.{root}"), "definitions.d1".into()] {
        lines.push(format!("{:?}", desk.read(Read::Meta(key)).unwrap()));
    }
    let mine = |thread: &str| thread == root || thread == child(root);
    lines.extend(desk.inbox().iter().filter(|message| mine(message.thread.as_str())).map(|message| {
        format!("{} {} {} {:?} {}", message.thread, message.id, message.kind, message.body, message.accepted_at)
    }));
    let Value::Outbox(rows) = desk.read(Read::Outbox { after: String::new(), limit: 100 }).unwrap() else { panic!() };
    lines.extend(rows.iter().filter(|row| mine(&row.thread)).map(|row| format!("{row:?}")));
    lines.join("\n")
}
