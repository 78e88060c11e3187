//! A store in memory, as strict as a real one.

use _core::delta::{CallRow, Delta};
use _core::history::{Snapshot, Thread, live_ranges};
use std::collections::{BTreeMap, HashMap, HashSet};

#[derive(Clone, Default)]
pub struct Store {
    headers: HashMap<String, (i64, Vec<u8>)>,
    entries: BTreeMap<(String, i64), Vec<u8>>,
    calls: BTreeMap<(String, String), CallRow>,
    seen: HashSet<(String, String)>,
    feeds: HashMap<String, i64>,
}

impl Store {
    pub fn commit(&mut self, delta: &Delta) {
        let version = self.headers.get(&delta.thread).map_or(0, |(version, _)| *version);
        assert_eq!(version, delta.expected_version, "version of {}", delta.thread);
        assert_eq!(delta.new_version, version + 1);
        self.headers.insert(delta.thread.clone(), (delta.new_version, delta.header.clone()));
        for (position, record) in &delta.entries {
            let old = self.entries.insert((delta.thread.clone(), *position), record.clone());
            assert!(old.is_none(), "entry {position} of {} is written twice", delta.thread);
        }
        for row in &delta.calls {
            self.calls.insert((delta.thread.clone(), row.id.to_string()), row.clone());
        }
        for row in &delta.consumed {
            self.seen.insert((delta.thread.clone(), row.id.to_string()));
        }
        let feed = self.feeds.entry(delta.thread.clone()).or_default();
        for (position, _, _) in &delta.feed {
            assert_eq!(position, feed, "the event stream has a gap");
            *feed += 1;
        }
        for child in &delta.children {
            assert_eq!(child.expected_version, 0);
            assert!(child.children.is_empty(), "children come in one flat list");
            self.commit(child);
        }
    }

    pub fn snapshot(&self, thread: &str) -> Snapshot {
        let header = self.headers[thread].1.clone();
        let mut entries = Vec::new();
        for (owner, start, end) in live_ranges(&header).unwrap() {
            let range = (owner.clone(), start)..(owner, end);
            entries.extend(self.entries.range(range).map(|((_, position), record)| (*position, record.clone())));
        }
        let open = |row: &&CallRow| row.state == "planned" || row.subscription;
        let own = self.calls.iter().filter(|((owner, _), _)| owner == thread).map(|(_, row)| row);
        let calls = own.filter(open).map(|row| row.record.clone()).collect();
        let seen = self.seen.iter().filter(|(owner, _)| owner == thread).map(|(_, id)| id.clone()).collect();
        Snapshot { header, entries, calls, seen }
    }

    pub fn load(&self, thread: &str) -> Thread {
        Thread::load(&self.snapshot(thread)).unwrap()
    }
}
