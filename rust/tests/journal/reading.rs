//! Reads: one consistent picture each, never a guess (I8), never in the writer's way.

use crate::desk::{Desk, consumed, created, next, subscription};
use _core::delta::Delta;
use _core::journal::value::{FeedRow, Loaded};
use _core::journal::{Filter, Read, Value, Write};

fn load(thread: &str, known_version: i64, ids: &[&str]) -> Read {
    let message_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    Read::Load { thread: thread.into(), known_version, message_ids }
}

fn entries(from: i64, to: i64) -> Vec<(i64, Vec<u8>)> {
    (from..to).map(|position| (position, format!("entry {position}").into_bytes())).collect()
}

#[test]
fn a_load_reads_the_live_ranges_of_all_ancestors_in_order() {
    let desk = Desk::new();
    desk.commit(Delta { entries: entries(0, 6), ..created("parent") }).unwrap();
    let header = b"parent:1-4 child:4-6".to_vec();
    let calls = vec![subscription("s")];
    desk.commit(Delta { entries: entries(4, 6), header: header.clone(), calls, ..created("child") }).unwrap();
    let queued = desk.queue("child", "m1");
    desk.commit(Delta { consumed: vec![consumed(&queued)], header: header.clone(), ..next("child", 1) }).unwrap();

    let loaded = desk.read(load("child", -1, &["m0", "m1"])).unwrap();
    let expected = Loaded {
        header,
        entries: entries(1, 6),
        calls: vec![b"record of s".to_vec()],
        seen: vec!["m1".into()],
        attempts: 0,
        kept: vec![],
    };
    assert_eq!(loaded, Value::Loaded(Some(expected)));
}

#[test]
fn a_load_of_the_known_version_reads_nothing() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    assert_eq!(desk.read(load("t", 1, &[])).unwrap(), Value::Loaded(None));
    assert!(matches!(desk.read(load("t", 0, &[])).unwrap(), Value::Loaded(Some(_))));
}

#[test]
fn an_unknown_thread_is_an_error_and_not_an_empty_one() {
    let desk = Desk::new();
    assert_eq!(desk.read(load("nobody", -1, &[])).unwrap_err().code(), "not_found");
}

#[test]
fn entries_that_are_missing_are_damage_and_not_a_shorter_history() {
    let desk = Desk::new();
    desk.commit(Delta { entries: entries(0, 3), header: b"t:0-4".to_vec(), ..created("t") }).unwrap();
    let error = desk.read(load("t", -1, &[])).unwrap_err();
    assert_eq!(error.code(), "damaged");
    assert!(error.text().contains("thread t") && error.text().contains("only 3"), "{error}");
    desk.commit(Delta { header: b"gone:0-1".to_vec(), ..created("u") }).unwrap();
    assert_eq!(desk.read(load("u", -1, &[])).unwrap_err().code(), "damaged");
}

#[test]
fn a_header_that_cannot_be_read_is_an_error() {
    let desk = Desk::new();
    desk.commit(Delta { header: b"\xff\xff".to_vec(), ..created("t") }).unwrap();
    assert_eq!(desk.read(load("t", -1, &[])).unwrap_err().code(), "damaged");
}

#[test]
fn entries_of_neighbouring_threads_do_not_mix() {
    let desk = Desk::new();
    let last = (1 << 32) - 1;
    desk.commit(Delta { entries: vec![(last, b"of a".to_vec())], ..created("a") }).unwrap();
    desk.commit(Delta { entries: vec![(0, b"of b".to_vec())], ..created("b") }).unwrap();
    let read = |thread: &str, after| desk.read(Read::Entries { thread: thread.into(), after, limit: 10 }).unwrap();
    assert_eq!(read("a", -1), Value::Entries(vec![(last, b"of a".to_vec())]));
    assert_eq!(read("a", last), Value::Entries(vec![]));
    assert_eq!(read("a", i64::MAX), Value::Entries(vec![]));
    assert_eq!(read("b", -1), Value::Entries(vec![(0, b"of b".to_vec())]));
    for position in [-1, 1 << 32] {
        let delta = Delta { entries: vec![(position, b"nowhere".to_vec())], ..next("a", 1) };
        assert_eq!(desk.commit(delta).unwrap_err().code(), "rule");
    }
}

#[test]
fn the_feed_carries_the_entries_it_speaks_of_and_resumes_after_a_position() {
    let desk = Desk::new();
    let feed = vec![
        (0, "entry".to_owned(), br#"{"position":7}"#.to_vec()),
        (1, "note".to_owned(), br#"{"problem":null}"#.to_vec()),
    ];
    desk.commit(Delta { entries: vec![(7, b"entry 7".to_vec())], feed, ..created("t") }).unwrap();
    let read = |after| desk.read(Read::Feed { thread: "t".into(), after, limit: 10 }).unwrap();
    let entry = FeedRow {
        position: 0,
        kind: "entry".into(),
        body: br#"{"position":7}"#.to_vec(),
        record: Some(b"entry 7".to_vec()),
    };
    let note = FeedRow { position: 1, kind: "note".into(), body: br#"{"problem":null}"#.to_vec(), record: None };
    assert_eq!(read(-1), Value::Feed(vec![entry, note.clone()]));
    assert_eq!(read(0), Value::Feed(vec![note]));
    assert_eq!(read(1), Value::Feed(vec![]));
}

#[test]
fn a_feed_row_whose_entry_is_gone_is_damage() {
    let desk = Desk::new();
    let feed = vec![(0, "entry".to_owned(), br#"{"position":7}"#.to_vec())];
    desk.commit(Delta { feed, ..created("t") }).unwrap();
    let read = Read::Feed { thread: "t".into(), after: -1, limit: 10 };
    assert_eq!(desk.read(read).unwrap_err().code(), "damaged");
}

#[test]
fn threads_are_listed_newest_first_by_pages_and_filters() {
    let desk = Desk::new();
    for number in 0..7 {
        let id = format!("t{number}");
        let status = if number % 2 == 0 { "idle" } else { "closed" };
        let parent = (number > 3).then(|| "t0".to_owned());
        let root = if number > 3 { "t0".into() } else { id.clone() };
        // Two of each time: the id decides between them.
        desk.commit(Delta { updated_at: number / 2, status: status.into(), parent, root, ..created(&id) }).unwrap();
    }
    let list = |filter: Filter| {
        let Value::Threads(rows) = desk.read(Read::Threads(filter)).unwrap() else { panic!() };
        rows
    };
    let names = |filter| list(filter).into_iter().map(|row| row.id).collect::<Vec<_>>();
    let all = Filter { limit: 100, ..Filter::default() };
    assert_eq!(names(all.clone()), ["t6", "t5", "t4", "t3", "t2", "t1", "t0"]);
    assert_eq!(names(Filter { status: Some("closed".into()), ..all.clone() }), ["t5", "t3", "t1"]);
    assert_eq!(names(Filter { root: Some("t0".into()), ..all.clone() }), ["t6", "t5", "t4", "t0"]);
    assert_eq!(names(Filter { parent: Some("t0".into()), status: Some("idle".into()), ..all.clone() }), ["t6", "t4"]);

    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = list(Filter { limit: 2, after, ..Filter::default() });
        let Some(last) = page.last() else { break };
        after = format!("{}:{}", last.updated_at, last.id);
        paged.extend(page.into_iter().map(|row| row.id));
    }
    assert_eq!(paged, names(all));
    let refused = desk.read(Read::Threads(Filter { after: "yesterday".into(), ..Filter::default() }));
    assert_eq!(refused.unwrap_err().code(), "rule");
}

#[test]
fn the_latest_content_of_a_view_is_kept() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    let put = |thread: &str, content: &[u8]| {
        let (thread, view_type) = (thread.into(), "diff".into());
        desk.write(Write::PutView { thread, view_type, content: content.into() }).unwrap()
    };
    assert_eq!(put("t", b"1"), Value::Flag(true));
    assert_eq!(put("t", b"2"), Value::Flag(true));
    assert_eq!(put("nobody", b"3"), Value::Flag(false));
    let views = desk.read(Read::Views { thread: "t".into() }).unwrap();
    assert_eq!(views, Value::Views(vec![("diff".into(), b"2".to_vec())]));
}

#[test]
fn settings_are_kept_as_bytes() {
    let desk = Desk::new();
    desk.write(Write::PutMeta { key: "secret".into(), value: b"\x00\xff".to_vec() }).unwrap();
    let desk = desk.reopened();
    assert_eq!(desk.read(Read::Meta("secret".into())).unwrap(), Value::Bytes(Some(b"\x00\xff".to_vec())));
    assert_eq!(desk.read(Read::Meta("other".into())).unwrap(), Value::Bytes(None));
}
