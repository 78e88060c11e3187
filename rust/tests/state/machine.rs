//! Any sequence of operations, allowed or not, on a family of threads: what is rendered stays valid (I4), nothing that was said is lost or
//! repeated (I2, I3), a refused operation changes nothing, and a commit and a load at any point give the same thread (I6, I8).

use crate::store::Store;
use crate::subject::*;
use crate::valid::assert_valid;
use _core::delta::{OutboxRow, PromptRow, TimerRow};
use _core::error::Result;
use _core::history::{Answer, CallState, Event, Shared, Thread, Usage, lock};
use _core::id::CallId;
use _core::render::RenderOptions;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone)]
enum Operation {
    User(Said),
    Turn {
        calls: usize,
        frame: Frame,
        mismatch: bool,
        reuse: bool,
    },
    Answer {
        call: usize,
        state: CallState,
        subscription: bool,
        said: Said,
    },
    Detach(usize),
    CancelDetached(usize),
    EndSubscription(usize),
    Event {
        id: usize,
        said: Said,
    },
    Fork {
        seeded: bool,
        keep: Option<usize>,
    },
    Summary {
        keep: usize,
        stale: bool,
    },
    Consume {
        id: usize,
        discard: bool,
    },
    /// An event comes before the confirmation of its subscription.
    Keep {
        call: usize,
        id: usize,
    },
    /// Something of a call is to leave, to wake or to ask.
    Plan(usize),
    Attempt,
    Pending(bool),
    Close,
    Commit,
    Reload,
}

/// What a block array holds beside the marker that says who wrote it.
#[derive(Debug, Clone, Copy)]
enum Said {
    Text,
    Picture,
    Blank,
    Nothing,
    Garbage,
}

/// What stands around the calls of a turn.
#[derive(Debug, Clone, Copy)]
enum Frame {
    Text,
    Reasoned,
    Unsigned,
    Silent,
    Blank,
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        6 => Just(Said::Text),
        2 => Just(Said::Picture),
        1 => Just(Said::Blank),
        1 => Just(Said::Nothing),
        1 => Just(Said::Garbage),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let frame = prop::sample::select(vec![Frame::Text, Frame::Reasoned, Frame::Unsigned, Frame::Silent, Frame::Blank]);
    let state = prop::sample::select(vec![
        CallState::Answered,
        CallState::Answered,
        CallState::Failed,
        CallState::Cancelled,
        CallState::Planned,
    ]);
    let turn = (0usize..4, frame, prop::bool::weighted(0.05), prop::bool::weighted(0.15));
    let answer = (0usize..6, state, prop::bool::weighted(0.3), said());
    prop_oneof![
        4 => said().prop_map(Operation::User),
        6 => turn.prop_map(|(calls, frame, mismatch, reuse)| Operation::Turn { calls, frame, mismatch, reuse }),
        8 => answer.prop_map(|(call, state, subscription, said)| Operation::Answer { call, state, subscription, said }),
        3 => (0usize..6).prop_map(Operation::Detach),
        1 => (0usize..6).prop_map(Operation::CancelDetached),
        1 => (0usize..6).prop_map(Operation::EndSubscription),
        3 => (0usize..8, said()).prop_map(|(id, said)| Operation::Event { id, said }),
        2 => (any::<bool>(), prop::option::of(0usize..5)).prop_map(|(seeded, keep)| Operation::Fork { seeded, keep }),
        2 => (0usize..5, prop::bool::weighted(0.2)).prop_map(|(keep, stale)| Operation::Summary { keep, stale }),
        1 => (0usize..4, any::<bool>()).prop_map(|(id, discard)| Operation::Consume { id, discard }),
        3 => (0usize..6, 0usize..6).prop_map(|(call, id)| Operation::Keep { call, id }),
        3 => (0usize..6).prop_map(Operation::Plan),
        1 => Just(Operation::Attempt),
        1 => any::<bool>().prop_map(Operation::Pending),
        1 => prop::bool::weighted(0.2).prop_map(|close| if close { Operation::Close } else { Operation::Pending(true) }),
        3 => Just(Operation::Commit),
        1 => Just(Operation::Reload),
    ]
}

/// A thread and what its rendered history must tell, by position.
struct Node {
    thread: Shared,
    /// The node whose commit carries it, while it has not had one of its own.
    rides_with: Option<usize>,
    told: Vec<(i64, String)>,
    calls: Vec<CallId>,
}

#[derive(Default)]
struct World {
    store: Store,
    nodes: Vec<Node>,
    minted: usize,
}

impl World {
    fn new() -> Self {
        let mut world = Self::default();
        world.adopt(Arc::new(Mutex::new(thread("root"))), None, Vec::new());
        world
    }

    fn adopt(&mut self, thread: Shared, rides_with: Option<usize>, told: Vec<(i64, String)>) {
        self.nodes.push(Node { thread, rides_with, told, calls: Vec::new() });
    }

    fn mint(&mut self, prefix: &str) -> String {
        self.minted += 1;
        format!("{prefix}-{}", self.minted)
    }

    fn owner(&self, at: usize) -> usize {
        self.nodes[at].rides_with.map_or(at, |parent| self.owner(parent))
    }

    /// A marker and blocks that hold it, as the kind of content says.
    fn speak(&mut self, said: Said) -> (String, Vec<u8>) {
        let marker = self.mint("«said") + "»";
        let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}});
        let content = match said {
            Said::Text => text(&marker),
            Said::Picture => blocks(json!([image, {"type": "text", "text": marker}, image])),
            Said::Blank => blocks(json!([{"type": "text", "text": marker}, {"type": "text", "text": " "}])),
            Said::Nothing => b"[]".to_vec(),
            Said::Garbage => b"[{\"type\":".to_vec(),
        };
        (marker, content)
    }

    fn apply(&mut self, at: usize, operation: &Operation) {
        match operation {
            Operation::Commit => return self.commit(self.owner(at)),
            Operation::Reload => return self.reload(self.owner(at)),
            Operation::Fork { seeded, keep } => return self.fork(at, *seeded, *keep),
            _ => {}
        }
        let before = picture(&self.nodes[at].thread);
        let position = lock(&self.nodes[at].thread).unwrap().header().position;
        match self.change(at, operation) {
            Ok(marker) => self.nodes[at].told.extend(marker.map(|marker| (position, marker))),
            Err(_) => assert_eq!(picture(&self.nodes[at].thread), before, "a refused {operation:?} changed something"),
        }
    }

    /// Returns the marker that the operation put into history.
    fn change(&mut self, at: usize, operation: &Operation) -> Result<Option<String>> {
        let thread = self.nodes[at].thread.clone();
        let mut thread = lock(&thread).unwrap();
        match operation {
            Operation::User(said) => {
                let (marker, content) = self.speak(*said);
                thread.add_user(&content, NOW, None, EMPTY).map(|_| Some(marker))
            }
            Operation::Turn { calls, frame, mismatch, reuse } => {
                self.turn(at, &mut thread, *calls, *frame, *mismatch, *reuse)
            }
            Operation::Answer { call, state, subscription, said } => {
                let id = self.pick(at, *call);
                self.answer(&mut thread, &id, *state, *subscription, *said)
            }
            Operation::Detach(call) => {
                let (marker, content) = self.speak(Said::Text);
                thread.detach(&self.pick(at, *call), &content, NOW).map(|()| Some(marker))
            }
            Operation::CancelDetached(call) => thread.cancel_detached(&self.pick(at, *call)).map(|()| None),
            Operation::EndSubscription(call) => thread.end_subscription(&self.pick(at, *call)).map(|_| None),
            Operation::Event { id, said } => self.event(&mut thread, *id, *said),
            Operation::Summary { keep, stale } => {
                drop(thread);
                self.summarize(at, *keep, *stale).map(|()| None)
            }
            Operation::Consume { id, discard } => self.consume(&mut thread, &format!("m{id}"), *discard),
            Operation::Keep { call, id } => {
                let call = self.pick(at, *call);
                self.minted += 1;
                let event = message(thread.header().id.as_str(), &format!("early-{call}-{id}"), self.minted as i64);
                let early = thread.early(&call);
                let kept = thread.keep(&event, &call);
                assert_eq!(kept.is_ok(), early);
                kept.map(|()| None)
            }
            Operation::Plan(call) => {
                let call = self.pick(at, *call);
                // Also for one that has ended in this slice; nobody plans for one of an earlier slice, which the registry does not know.
                if thread.call(&call).is_none_or(|found| !found.is_open() && !thread.ends(&call)) {
                    return Ok(None);
                }
                self.plan(&mut thread, &call).map(|()| None)
            }
            Operation::Attempt if self.owner(at) == at => {
                let recorded = self.store.attempt(thread.header().id.as_str());
                thread.attempted(recorded);
                Ok(None)
            }
            Operation::Attempt => Ok(None),
            Operation::Pending(pending) => thread.set_pending(*pending).map(|()| None),
            Operation::Close => thread.close().map(|()| None),
            Operation::Commit | Operation::Reload | Operation::Fork { .. } => unreachable!("applied before"),
        }
    }

    fn answer(
        &mut self,
        thread: &mut Thread,
        id: &CallId,
        state: CallState,
        subscription: bool,
        said: Said,
    ) -> Result<Option<String>> {
        let (marker, content) = self.speak(said);
        let event_id = self.mint("late");
        let answer =
            Answer { state, blocks: &content, now: NOW, event_id: &event_id, error: false, subscription, meta: EMPTY };
        thread.answer(id, answer).map(|_| (!matches!(said, Said::Nothing)).then_some(marker))
    }

    fn event(&mut self, thread: &mut Thread, id: usize, said: Said) -> Result<Option<String>> {
        let (marker, content) = self.speak(said);
        let event = Event {
            // Few of them, so that they collide with each other and with calls.
            id: ["news", "call-1", "call-2", "no id", "", "é", "x", "y"][id],
            tool: "watch \"it\"",
            call: &CallId::from("old"),
            arguments: b"null",
            blocks: &content,
            now: NOW,
            meta: EMPTY,
        };
        thread.add_event(event).map(|_| (!matches!(said, Said::Nothing)).then_some(marker))
    }

    fn consume(&mut self, thread: &mut Thread, id: &str, discard: bool) -> Result<Option<String>> {
        self.minted += 1;
        let message = message(thread.header().id.as_str(), id, self.minted as i64);
        let seen = thread.seen(id);
        let result = thread.consume(&message, if discard { "duplicate" } else { "applied" });
        assert_eq!(result.is_err(), seen && !discard, "a message is applied once");
        result.map(|()| None)
    }

    fn plan(&mut self, thread: &mut Thread, call: &CallId) -> Result<()> {
        let kind = ["invoke", "choice", "cancel"][self.minted % 3];
        let key = self.mint(&format!("{kind}."));
        let (target, body) = (String::new(), EMPTY.to_vec());
        thread.plan_outbox(OutboxRow { key, kind: kind.into(), target, body, call: Some(call.clone()) })?;
        for purpose in ["deadline", "sleep", "prompt"] {
            let timer =
                TimerRow { id: format!("{purpose}.{call}"), due_at: NOW, kind: "timer".into(), body: EMPTY.into() };
            thread.set_timer(timer)?;
        }
        let id = format!("choice.{call}");
        thread.open_prompt(PromptRow { id, kind: "choice".into(), body: EMPTY.into() })
    }

    fn pick(&self, at: usize, call: usize) -> CallId {
        self.nodes[at].calls.iter().rev().nth(call).cloned().unwrap_or_else(|| "never".into())
    }

    fn turn(
        &mut self,
        at: usize,
        thread: &mut Thread,
        count: usize,
        frame: Frame,
        mismatch: bool,
        reuse: bool,
    ) -> Result<Option<String>> {
        let marker = self.mint("«turn") + "»";
        let mut ids: Vec<String> = (0..count).map(|_| self.mint("call")).collect();
        if reuse && let Some(first) = ids.first_mut() {
            *first = self.pick(at, count).to_string();
        }
        let signed = json!({"type": "thinking", "thinking": "hm", "signature": "c2ln"});
        let unsigned = json!({"type": "thinking", "thinking": "hm"});
        let spoken = json!({"type": "text", "text": marker});
        let blank = json!({"type": "text", "text": "\n"});
        let uses = ids.iter().map(|id| tool_use(id)).collect::<Vec<_>>();
        let content: Vec<Value> = match frame {
            Frame::Text => [vec![spoken], uses].concat(),
            Frame::Reasoned => [vec![signed.clone(), spoken], uses, vec![signed]].concat(),
            Frame::Unsigned => [vec![spoken], uses, vec![unsigned]].concat(),
            Frame::Silent => [uses, vec![signed]].concat(),
            Frame::Blank => [vec![blank.clone(), spoken], uses, vec![unsigned, blank]].concat(),
        };
        let skipped = usize::from(mismatch);
        let calls = ids.iter().skip(skipped).map(|id| plan(thread, id)).collect();
        thread.add_turn(&blocks(content.into()), calls, NOW, Usage([1, 1, 0, 0]), EMPTY)?;
        assert!(!(mismatch && count > 0), "a turn with a missing call was taken");
        self.nodes[at].calls.extend(ids.iter().map(|id| CallId::from(id.as_str())));
        Ok((!matches!(frame, Frame::Silent)).then_some(marker))
    }

    fn summarize(&mut self, at: usize, keep: usize, stale: bool) -> Result<()> {
        let (marker, content) = self.speak(Said::Text);
        let thread = self.nodes[at].thread.clone();
        let mut thread = lock(&thread).unwrap();
        let Some((start, end)) = thread.summary_range(keep) else { return Ok(()) };
        assert!(start < end);
        let kept = thread.live_entries();
        if stale {
            // A range that another compaction or a running call has made impossible: refused, or as valid as any other.
            let result = thread.add_summary(start + 1, end, &content, NOW, EMPTY);
            assert!(result.is_err());
            return result;
        }
        thread.add_summary(start, end, &content, NOW, EMPTY)?;
        assert!(thread.live_entries() > keep.min(kept - 1), "it covered more than it may");
        self.nodes[at].told.retain(|(position, _)| *position >= end);
        self.nodes[at].told.insert(0, (start, marker));
        Ok(())
    }

    fn fork(&mut self, at: usize, seeded: bool, keep: Option<usize>) {
        let id = self.mint("child");
        let node = &self.nodes[at];
        let thread = node.thread.clone();
        let mut thread = lock(&thread).unwrap();
        let upto = keep.and_then(|keep| thread.summary_range(keep)).map(|(_, end)| end);
        let seed_call = thread.attached().next().map(|call| call.id.to_string());
        let seed_call = seed_call.filter(|_| seeded && upto.is_none());
        let seed = seed_call.is_some().then_some("seed");
        let before = thread.header().children;
        let made = fork_upto(&mut thread, &id, seed_call.as_deref(), seed, upto);
        assert_eq!(made.is_err(), thread.header().closed);
        assert_eq!(thread.header().children, before + i64::from(made.is_ok()));
        if let Ok(child) = made {
            let upto = upto.unwrap_or(i64::MAX);
            let told = node.told.iter().filter(|(position, _)| *position < upto).cloned().collect();
            self.adopt(child, Some(at), told);
        }
    }

    fn commit(&mut self, owner: usize) {
        let delta = lock(&self.nodes[owner].thread).unwrap().delta(NOW).unwrap();
        self.store.commit(&delta);
        lock(&self.nodes[owner].thread).unwrap().committed().unwrap();
        for at in 0..self.nodes.len() {
            if at != owner && self.owner(at) == owner {
                let id = lock(&self.nodes[at].thread).unwrap().header().id.to_string();
                self.nodes[at].thread = Arc::new(Mutex::new(self.store.load(&id)));
            }
        }
        let riders: Vec<usize> = (0..self.nodes.len()).filter(|at| *at != owner && self.owner(*at) == owner).collect();
        riders.into_iter().for_each(|at| self.nodes[at].rides_with = None);
    }

    /// What a process does that comes after a crash: uncommitted work is gone, the rest is there.
    fn reload(&mut self, owner: usize) {
        self.commit(owner);
        let id = lock(&self.nodes[owner].thread).unwrap().header().id.to_string();
        self.nodes[owner].thread = Arc::new(Mutex::new(self.store.load(&id)));
    }

    fn check(&self, at: usize) {
        let node = &self.nodes[at];
        let id = lock(&node.thread).unwrap().header().id.to_string();
        let mut store = self.store.clone();
        store.commit(&lock(&self.nodes[self.owner(at)].thread).unwrap().delta(NOW).unwrap());
        store.check_endings();
        let loaded = store.load(&id);
        let thread = lock(&node.thread).unwrap();
        assert_eq!(loaded.pending(), thread.pending());
        assert_eq!(loaded.status(), thread.status());
        assert_eq!(loaded.attempts(), thread.attempts());
        assert!(loaded.calls().eq(thread.calls()) && loaded.attached().eq(thread.attached()));
        assert!(loaded.subscriptions().eq(thread.subscriptions()));
        for options in [RenderOptions::default(), RenderOptions { images: false, breakpoints: 1, ..Default::default() }]
        {
            let rendered = thread.render(options.clone());
            assert_eq!(rendered, loaded.render(options.clone()));
            let open = thread.attached().count() > 0 || thread.live_entries() == 0;
            assert_eq!(rendered.is_err(), open);
            if let Ok(rendered) = rendered {
                assert_valid(&rendered, options.breakpoints);
                let told: Vec<&str> = node.told.iter().map(|(_, marker)| marker.as_str()).collect();
                assert_eq!(markers(&rendered), told);
            }
        }
    }
}

/// Everything that a refused operation must leave alone.
fn picture(thread: &Shared) -> String {
    let thread = lock(thread).unwrap();
    let calls: Vec<_> = thread.calls().chain(thread.subscriptions()).collect();
    let rendered = thread.render(RenderOptions::default());
    format!("{:?} {calls:?} {rendered:?} {} {:?}", thread.header(), thread.changed(), thread.status())
}

/// The markers in the order in which the model reads them.
fn markers(rendered: &[u8]) -> Vec<String> {
    let rendered = String::from_utf8(rendered.to_vec()).unwrap();
    rendered.split('«').skip(1).map(|rest| format!("«{}»", rest.split('»').next().unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 2, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_operations_keeps_history_valid_and_durable(
        operations in prop::collection::vec((any::<prop::sample::Index>(), operation()), 1..60),
    ) {
        let mut world = World::new();
        for (index, operation) in &operations {
            let at = index.index(world.nodes.len());
            world.apply(at, operation);
            world.check(at);
        }
    }
}
