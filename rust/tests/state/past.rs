//! A thread as it was before one of its entries: rendered again, it is what was sent then.

use crate::subject::*;
use _core::error::Error;
use _core::history::{Branch, Thread, covered, ranges};

type Records = Vec<(i64, Vec<u8>)>;

/// What was sent before one turn.
struct Sent {
    position: i64,
    live_start: i64,
    bytes: Vec<u8>,
}

/// Six questions, each answered; what came before is summarised after the second and the fourth.
fn told() -> (Thread, Records, Vec<Sent>) {
    let mut thread = thread("root");
    let (mut records, mut sent) = (Vec::new(), Vec::new());
    for question in 0..6 {
        thread.add_user(&text(&format!("question {question}")), NOW, None, EMPTY).unwrap();
        let header = thread.header();
        let (position, live_start) = (header.position, header.live_start);
        sent.push(Sent { position, live_start, bytes: thread.render(Default::default()).unwrap() });
        turn(&mut thread, &[]).unwrap();
        if question % 2 == 1 && question < 5 {
            let (start, end) = thread.summary_range(1).unwrap();
            thread.add_summary(start, end, &text(&format!("summary {question}")), NOW, EMPTY).unwrap();
        }
        records.extend(thread.delta(NOW).unwrap().entries.iter().cloned());
        thread.committed().unwrap();
    }
    (thread, records, sent)
}

fn between(records: &[(i64, Vec<u8>)], start: i64, end: i64) -> Records {
    records.iter().filter(|(position, _)| (start..end).contains(position)).cloned().collect()
}

#[test]
fn every_request_of_the_past_is_rendered_as_it_was_sent() {
    let (thread, records, sent) = told();
    let starts: Vec<i64> = sent.iter().map(|sent| sent.live_start).collect();
    assert!(starts.first() == Some(&0) && starts.windows(2).filter(|pair| pair[0] < pair[1]).count() == 2);
    for Sent { position, live_start, bytes } in sent {
        let entries = between(&records, live_start, position);
        let past = Thread::past(&thread.header().encode(), position, &entries).unwrap();
        assert_eq!(past.render(Default::default()).unwrap(), bytes, "before entry {position}");
    }
}

#[test]
fn the_past_cannot_be_changed() {
    let (thread, records, sent) = told();
    let Sent { position, live_start, .. } = sent[3];
    let entries = between(&records, live_start, position);
    let mut past = Thread::past(&thread.header().encode(), position, &entries).unwrap();
    assert!(is_rule(past.add_user(&text("more"), NOW, None, EMPTY)));
    assert!(is_rule(past.delta(NOW)));
}

#[test]
fn entries_that_are_missing_are_damage_and_never_a_shorter_past() {
    let (thread, records, sent) = told();
    let header = thread.header().encode();
    let Sent { position, live_start, .. } = sent[3];
    for (start, end) in [(live_start + 1, position), (live_start, position - 1), (0, position), (position, position)] {
        let past = Thread::past(&header, position, &between(&records, start, end));
        assert!(matches!(past, Err(Error::Damaged(_))), "{start} to {end}");
    }
    assert!(is_rule(Thread::past(&header, thread.header().position + 1, &records)));
}

#[test]
fn a_summary_says_what_it_stands_for_and_a_child_where_its_entries_are() {
    let (mut thread, records, _) = told();
    let covers: Vec<(i64, i64)> = records.iter().filter_map(|(_, record)| covered(record).unwrap()).collect();
    assert_eq!(covers.len(), 2);
    assert_eq!(covers[0].1, covers[1].0);
    let end = thread.header().position;
    let child = fork(&mut thread, "child", None, Some("you are the child")).unwrap();
    let header = child.lock().unwrap().header().encode();
    let root = |start, end| ("root".to_owned(), start, end);
    assert_eq!(ranges(&header, 2, 5).unwrap(), [root(2, 5)]);
    assert_eq!(ranges(&header, 2, end + 1).unwrap(), [root(2, end), ("child".to_owned(), end, end + 1)]);
    assert!(is_rule(Thread::past(&header, end - 1, &between(&records, 0, end - 1))));
}

fn branch<'a>(id: &str, model: Option<&'a str>, seed: &'a [u8]) -> Branch<'a> {
    Branch { id: id.into(), now: NOW, origin: br#"{"tool":"fork"}"#, seed, title: "", model }
}

#[test]
fn a_fork_goes_on_from_the_past_by_itself() {
    let (thread, records, sent) = told();
    let Sent { position, live_start, .. } = sent[3];
    let header = thread.header().encode();
    let past = Thread::past(&header, position, &between(&records, live_start, position)).unwrap();
    let seed = text("you are a fork");
    let mut fork = past.branch(branch("fork_1", Some("other"), &seed)).unwrap();
    assert_eq!((fork.header().root().as_str(), fork.header().model.as_str()), ("root", "other"));
    assert!(!fork.pending() && fork.header().usage == Default::default());
    let shown = outline(&past).join(" | ") + " + you are a fork";
    assert_eq!(outline(&fork).join(" | "), shown);
    let delta = fork.delta(NOW).unwrap();
    assert_eq!((delta.expected_version, delta.parent.as_deref(), delta.entries[0].0), (0, Some("root"), position));
    fork.committed().unwrap();
    fork.add_user(&text("another question"), NOW, None, EMPTY).unwrap();
    assert!(fork.pending());
    let ranges = fork.header().live_ranges();
    assert_eq!(
        ranges.iter().map(|range| (range.start, range.end)).collect::<Vec<_>>(),
        [(live_start, position), (position, position + 2)]
    );
    for id in ["root", ""] {
        assert!(is_rule(past.branch(branch(id, None, &seed))));
    }
}

#[test]
fn no_fork_begins_where_a_call_is_open_or_nothing_is_inherited() {
    let mut thread = calling(&["a", "b"]);
    answer(&mut thread, "a", "one").unwrap();
    answer(&mut thread, "b", "two").unwrap();
    let records = thread.delta(NOW).unwrap().entries.clone();
    thread.committed().unwrap();
    let header = thread.header().encode();
    let seed = text("you are a fork");
    let forked = |position| {
        let past = Thread::past(&header, position, &between(&records, 0, position)).unwrap();
        past.branch(branch("fork_1", None, &seed)).map(drop)
    };
    let allowed: Vec<bool> = (0..=4).map(|position| forked(position).is_ok()).collect();
    assert_eq!(allowed, [false, true, false, false, true]);
}
