//! What a commit writes is what is new, however old its thread is (I10).

use crate::desk::{Desk, scratch};
use crate::family::{NOW, loaded, text};
use _core::history::{Spending, Thread, Usage};
use std::fs;
use std::path::Path;

const PAGE: u64 = 24 + 4096;

/// A journal whose thread has this many entries, and whose log is empty: it only grows for as many pages as are written here.
fn grown(home: &Path, id: &str, entries: usize) -> Desk {
    let path = home.join(format!("{id}.db"));
    let mut thread = Thread::create(id.into(), NOW, "model", "a title", None).unwrap();
    for _ in 0..entries {
        thread.add_user(&text("some words of a user"), NOW, None, b"{}").unwrap();
    }
    Desk::of_threads(&path).commit((*thread.delta(NOW).unwrap()).clone()).unwrap();
    Desk::of_threads(&path)
}

/// The pages that one slice writes: a message comes in, a turn follows.
fn pages_of_a_slice(desk: &Desk, id: &str, number: usize) -> u64 {
    let log = desk.path.with_extension("db-wal");
    let mut thread = loaded(desk, id);
    let queued = desk.queue(id, &format!("message {number}"));
    let before = fs::metadata(&log).unwrap().len();
    thread.consume(&queued, "applied").unwrap();
    thread.add_user(&text("one more word"), NOW, None, b"{}").unwrap();
    let spending = Spending { usage: Usage([9, 9, 9, 9]), cost: 9 };
    thread.add_turn(&text("and the answer"), vec![], NOW, spending, b"{}").unwrap();
    desk.commit((*thread.delta(NOW).unwrap()).clone()).unwrap();
    (fs::metadata(&log).unwrap().len() - before) / PAGE
}

#[test]
fn a_slice_of_an_old_thread_writes_no_more_than_one_of_a_young_thread() {
    let home = scratch();
    let [young, old] = [("young", 10), ("old", 10_000)].map(|(id, entries)| {
        let desk = grown(home.path(), id, entries);
        let mut pages: Vec<_> = (0..15).map(|number| pages_of_a_slice(&desk, id, number)).collect();
        // The median, because now and then a page is full and becomes two.
        pages.sort_unstable();
        assert!(pages[0] > 3 && pages[14] < 30, "{id}: {pages:?}");
        pages[7]
    });
    assert!(young.abs_diff(old) <= 1, "{young} pages, and {old} after 10,000 entries");
}
