//! Every interleaving of two senders and a taker, by exhaustive search. Takes seconds; run it with
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test -p infinity-core --test loom_mailbox --target-dir target/loom
//! ```
#![cfg(loom)]

use _core::id::{MessageId, ThreadId};
use _core::mailbox::{Mailboxes, Ring};
use _core::message::Message;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

fn message(id: &str) -> Message {
    Message {
        thread: ThreadId::from("t"),
        id: MessageId::from(id),
        kind: "user".into(),
        body: b"{}".as_slice().into(),
        seq: 0,
        accepted_at: 0,
    }
}

fn boxes() -> (Arc<Mailboxes>, Arc<AtomicUsize>) {
    let rings = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&rings);
    let ring = move || {
        counter.fetch_add(1, Ordering::Release);
    };
    let ring: Ring = std::sync::Arc::new(ring);
    (Arc::new(Mailboxes::new(ring, 100)), rings)
}

/// At most this many forced switches: all bugs of this size need fewer, and the search stays short.
fn check(body: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&runs);
    model.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        body();
    });
    let runs = runs.load(std::sync::atomic::Ordering::Relaxed);
    assert!(runs > 1, "loom saw nothing to interleave");
    println!("{runs} interleavings");
}

fn ids(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.id.as_str().to_owned()).collect()
}

#[test]
fn each_senders_messages_keep_their_order_and_none_is_lost() {
    check(|| {
        let (boxes, _) = boxes();
        let sender = {
            let boxes = Arc::clone(&boxes);
            thread::spawn(move || ["a1", "a2"].into_iter().for_each(|id| assert!(boxes.put(message(id)).unwrap())))
        };
        let mut seen = Vec::new();
        boxes.put(message("b1")).unwrap();
        if let Some(batch) = boxes.take() {
            seen.extend(ids(&batch.messages));
            seen.extend(ids(&boxes.more(&batch.thread)));
            boxes.release(&batch.thread, false);
        }
        sender.join().unwrap();
        if let Some(batch) = boxes.take() {
            seen.extend(ids(&batch.messages));
            boxes.release(&batch.thread, false);
        }
        let place =
            |id: &str| seen.iter().position(|seen| seen == id).unwrap_or_else(|| panic!("{id} was lost: {seen:?}"));
        assert!(place("a1") < place("a2"), "{seen:?}");
        assert_eq!((seen.len(), place("b1") < 3, boxes.len()), (3, true, 0));
    });
}

#[test]
fn no_two_takers_hold_a_thread_at_once() {
    check(|| {
        let (boxes, _) = boxes();
        let holders = Arc::new(AtomicUsize::new(0));
        boxes.put(message("1")).unwrap();
        let work = |boxes: Arc<Mailboxes>, holders: Arc<AtomicUsize>, keep: bool| {
            if let Some(batch) = boxes.take() {
                assert_eq!(holders.fetch_add(1, Ordering::AcqRel), 0, "two takers");
                boxes.more(&batch.thread);
                holders.fetch_sub(1, Ordering::AcqRel);
                boxes.release(&batch.thread, keep);
            }
        };
        let taker = {
            let (boxes, holders) = (Arc::clone(&boxes), Arc::clone(&holders));
            thread::spawn(move || work(boxes, holders, true))
        };
        boxes.put(message("2")).unwrap();
        work(Arc::clone(&boxes), holders, false);
        taker.join().unwrap();
    });
}

#[test]
fn a_thread_that_is_ready_was_rung_for() {
    check(|| {
        let (boxes, rings) = boxes();
        let sender = {
            let boxes = Arc::clone(&boxes);
            thread::spawn(move || assert!(boxes.put(message("1")).unwrap()))
        };
        // The taker sleeps unless it was rung for: whatever is ready after the last ring was seen must ring again.
        let heard = rings.load(Ordering::Acquire);
        while let Some(batch) = boxes.take() {
            boxes.release(&batch.thread, false);
        }
        sender.join().unwrap();
        if boxes.queued(&ThreadId::from("t")) > 0 {
            assert!(rings.load(Ordering::Acquire) > heard, "a ready thread nobody was told about");
        }
    });
}

#[test]
fn a_message_delivered_twice_at_once_is_queued_once() {
    check(|| {
        let (boxes, _) = boxes();
        let other = {
            let boxes = Arc::clone(&boxes);
            thread::spawn(move || boxes.put(message("1")).unwrap())
        };
        let mine = boxes.put(message("1")).unwrap();
        assert!(mine != other.join().unwrap());
        assert_eq!(boxes.take().unwrap().messages.len(), 1);
    });
}
