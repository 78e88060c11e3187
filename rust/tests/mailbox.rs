//! Mailboxes: first in, first out per thread, one taker at a time (I1), and a model that agrees with any sequence of operations.

use _core::id::{MessageId, ThreadId};
use _core::mailbox::{Batch, Mailboxes, Ring};
use _core::message::Message;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn message(thread: &str, id: &str) -> Message {
    Message {
        thread: ThreadId::from(thread),
        id: MessageId::from(id),
        kind: "user".into(),
        body: b"{}".as_slice().into(),
        seq: 0,
        accepted_at: 0,
    }
}

fn thread(name: &str) -> ThreadId {
    ThreadId::from(name)
}

fn boxes() -> Mailboxes {
    Mailboxes::new(Arc::new(|| {}), 100)
}

fn ids(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

#[track_caller]
fn taken(batch: Option<Batch>) -> (String, Vec<String>) {
    let batch = batch.expect("a thread is ready");
    (batch.thread.to_string(), ids(&batch.messages).into_iter().map(str::to_owned).collect())
}

fn rung() -> (Ring, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let ring = move || {
        counter.fetch_add(1, Ordering::SeqCst);
    };
    (Arc::new(ring), count)
}

#[test]
fn threads_are_taken_in_the_order_they_became_ready_each_with_its_whole_queue() {
    let boxes = boxes();
    for (name, id) in [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1")] {
        assert!(boxes.put(message(name, id)).unwrap());
    }
    assert_eq!(taken(boxes.take()), ("a".into(), vec!["1".into(), "2".into()]));
    assert_eq!(taken(boxes.take()), ("b".into(), vec!["1".into()]));
    assert_eq!(taken(boxes.take_thread(&thread("c"))), ("c".into(), vec!["1".into()]));
    assert_eq!(boxes.take(), None);
}

#[test]
fn a_taken_thread_is_nobody_elses_until_it_is_released() {
    let boxes = boxes();
    boxes.put(message("a", "1")).unwrap();
    boxes.take().unwrap();
    boxes.put(message("a", "2")).unwrap();
    assert_eq!((boxes.take(), boxes.take_thread(&thread("a"))), (None, None));
    assert!(boxes.taken(&thread("a")));
    boxes.release(&thread("a"), false);
    assert_eq!(taken(boxes.take()), ("a".into(), vec!["2".into()]));
}

#[test]
fn what_arrives_for_a_taken_thread_can_join_its_batch_and_come_back_with_it() {
    let boxes = boxes();
    boxes.put(message("a", "1")).unwrap();
    boxes.take().unwrap();
    boxes.put(message("a", "2")).unwrap();
    assert_eq!(ids(&boxes.more(&thread("a"))), ["2"]);
    assert!(boxes.more(&thread("a")).is_empty());
    boxes.put(message("a", "3")).unwrap();
    boxes.release(&thread("a"), true);
    assert_eq!(taken(boxes.take()).1, ["1", "2", "3"]);
}

#[test]
fn more_gives_nothing_to_somebody_who_has_not_taken_the_thread() {
    let boxes = boxes();
    boxes.put(message("a", "1")).unwrap();
    assert!(boxes.more(&thread("a")).is_empty());
    assert_eq!(boxes.queued(&thread("a")), 1);
}

#[test]
fn a_message_that_is_queued_or_taken_is_not_queued_again() {
    let boxes = boxes();
    assert!(boxes.put(message("a", "1")).unwrap());
    assert!(!boxes.put(message("a", "1")).unwrap());
    boxes.take().unwrap();
    assert!(!boxes.put(message("a", "1")).unwrap());
    assert!(boxes.put(message("b", "1")).unwrap(), "ids count per thread");
    boxes.release(&thread("a"), false);
    assert!(boxes.put(message("a", "1")).unwrap(), "over and done with: the store knows it now");
}

#[test]
fn a_full_queue_is_an_error_for_its_own_thread_only() {
    let boxes = Mailboxes::new(Arc::new(|| {}), 2);
    for id in ["1", "2"] {
        boxes.put(message("a", id)).unwrap();
    }
    let error = boxes.put(message("a", "3")).unwrap_err();
    assert_eq!(error.code(), "limit");
    assert!(boxes.put(message("b", "3")).unwrap());
    boxes.take_thread(&thread("a")).unwrap();
    assert!(boxes.put(message("a", "3")).unwrap(), "a taken batch does not count");
}

#[test]
fn a_thread_with_nothing_costs_nothing() {
    let boxes = Mailboxes::new(Arc::new(|| {}), 0);
    assert!(boxes.put(message("a", "1")).is_err());
    assert!(boxes.is_empty());
    let boxes = self::boxes();
    boxes.put(message("a", "1")).unwrap();
    assert_eq!(boxes.len(), 1);
    boxes.take().unwrap();
    assert_eq!(boxes.len(), 1);
    boxes.release(&thread("a"), false);
    assert!(boxes.is_empty());
    boxes.release(&thread("a"), true);
    assert!(boxes.is_empty() && boxes.take().is_none());
}

#[test]
fn the_ring_is_rung_when_a_thread_becomes_ready_and_not_otherwise() {
    let (ring, count) = rung();
    let boxes = Mailboxes::new(ring, 100);
    let rings = || count.swap(0, Ordering::SeqCst);
    boxes.put(message("a", "1")).unwrap();
    assert_eq!(rings(), 1);
    boxes.put(message("a", "1")).unwrap();
    boxes.put(message("a", "2")).unwrap();
    assert_eq!(rings(), 0, "it was ready before");
    boxes.take().unwrap();
    boxes.put(message("a", "3")).unwrap();
    assert_eq!(rings(), 0, "its taker asks for more");
    boxes.release(&thread("a"), false);
    assert_eq!(rings(), 1, "something is left");
    boxes.take().unwrap();
    boxes.release(&thread("a"), false);
    assert_eq!(rings(), 0);
}

#[test]
fn a_message_from_inside_the_ring_does_not_deadlock() {
    let boxes: Arc<std::sync::OnceLock<Mailboxes>> = Arc::default();
    let inside = Arc::clone(&boxes);
    let ring: Ring = Arc::new(move || {
        let boxes = inside.get().unwrap();
        if boxes.queued(&thread("echo")) == 0 {
            boxes.put(message("echo", "1")).unwrap();
        }
    });
    let boxes = boxes.get_or_init(|| Mailboxes::new(ring, 100));
    boxes.put(message("a", "1")).unwrap();
    assert_eq!(boxes.len(), 2);
}

#[test]
fn senders_on_many_os_threads_keep_their_own_order() {
    const SENDERS: usize = 4;
    const EACH: usize = 500;
    let boxes = Arc::new(Mailboxes::new(Arc::new(|| {}), SENDERS * EACH));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let boxes = Arc::clone(&boxes);
            std::thread::spawn(move || {
                for number in 0..EACH {
                    boxes.put(message("t", &format!("{sender}:{number}"))).unwrap();
                }
            })
        })
        .collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut total = 0;
    while total < SENDERS * EACH {
        let Some(batch) = boxes.take() else {
            std::thread::yield_now();
            continue;
        };
        for id in ids(&batch.messages) {
            let (sender, number) = id.split_once(':').unwrap();
            let next = seen.entry(sender.into()).or_default();
            assert_eq!(number.parse(), Ok(*next), "sender {sender} was reordered");
            *next += 1;
            total += 1;
        }
        boxes.release(&batch.thread, false);
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    Take,
    TakeThread(u8),
    More(u8),
    Release(u8, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (name, id) = (0..4u8, 0..12u8);
    let step = prop_oneof![
        4 => (name.clone(), id).prop_map(|(name, id)| Step::Put(name, id)),
        2 => Just(Step::Take),
        1 => name.clone().prop_map(Step::TakeThread),
        1 => name.clone().prop_map(Step::More),
        2 => (name, any::<bool>()).prop_map(|(name, keep)| Step::Release(name, keep)),
    ];
    prop::collection::vec(step, 0..120)
}

/// The same, said as simply as possible.
#[derive(Default)]
struct Model {
    queued: BTreeMap<u8, VecDeque<u8>>,
    taken: BTreeMap<u8, Vec<u8>>,
    ready: VecDeque<u8>,
}

impl Model {
    const CAPACITY: usize = 5;

    fn line_up(&mut self, name: u8) {
        let waits = self.queued.get(&name).is_some_and(|queue| !queue.is_empty());
        if waits && !self.taken.contains_key(&name) && !self.ready.contains(&name) {
            self.ready.push_back(name);
        }
    }

    fn put(&mut self, name: u8, id: u8) -> Option<bool> {
        let known = self.taken.get(&name).is_some_and(|batch| batch.contains(&id));
        let queue = self.queued.entry(name).or_default();
        if known || queue.contains(&id) {
            return Some(false);
        }
        if queue.len() >= Self::CAPACITY {
            return None;
        }
        queue.push_back(id);
        self.line_up(name);
        Some(true)
    }

    fn take(&mut self, name: Option<u8>) -> Option<(u8, Vec<u8>)> {
        let name = name.or(self.ready.front().copied())?;
        let at = self.ready.iter().position(|ready| *ready == name)?;
        self.ready.remove(at);
        let batch: Vec<u8> = self.queued.remove(&name)?.into();
        self.taken.insert(name, batch.clone());
        Some((name, batch))
    }

    fn more(&mut self, name: u8) -> Vec<u8> {
        let Some(batch) = self.taken.get_mut(&name) else { return Vec::new() };
        let arrived: Vec<u8> = self.queued.remove(&name).unwrap_or_default().into();
        batch.extend(&arrived);
        arrived
    }

    fn release(&mut self, name: u8, keep: bool) {
        let Some(batch) = self.taken.remove(&name) else { return };
        if keep {
            let queue = self.queued.entry(name).or_default();
            batch.into_iter().rev().for_each(|id| queue.push_front(id));
        }
        self.line_up(name);
    }

    fn len(&self) -> usize {
        (0..4)
            .filter(|name| self.taken.contains_key(name) || self.queued.get(name).is_some_and(|q| !q.is_empty()))
            .count()
    }
}

fn numbers(messages: &[Message]) -> Vec<u8> {
    messages.iter().map(|message| message.id.as_str().parse().unwrap()).collect()
}

fn pair(batch: Option<Batch>) -> Option<(u8, Vec<u8>)> {
    batch.map(|batch| (batch.thread.as_str().parse().unwrap(), numbers(&batch.messages)))
}

proptest! {
    #[test]
    fn mailboxes_agree_with_the_model_whatever_happens(steps in steps()) {
        let boxes = Mailboxes::new(Arc::new(|| {}), Model::CAPACITY);
        let mut model = Model::default();
        for step in steps {
            let named = |name: u8| thread(&name.to_string());
            match step {
                Step::Put(name, id) => {
                    let put = boxes.put(message(&name.to_string(), &id.to_string()));
                    prop_assert_eq!(put.ok(), model.put(name, id));
                }
                Step::Take => prop_assert_eq!(pair(boxes.take()), model.take(None)),
                Step::TakeThread(name) => prop_assert_eq!(pair(boxes.take_thread(&named(name))), model.take(Some(name))),
                Step::More(name) => prop_assert_eq!(numbers(&boxes.more(&named(name))), model.more(name)),
                Step::Release(name, keep) => {
                    boxes.release(&named(name), keep);
                    model.release(name, keep);
                }
            }
            prop_assert_eq!(boxes.len(), model.len());
        }
    }
}
