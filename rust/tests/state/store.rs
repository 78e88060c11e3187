//! A store in memory, as strict as a real one.

use _core::delta::{CallRow, Delta};
use _core::history::{Snapshot, Thread, inherited, live_ranges, mend};
use std::collections::{BTreeMap, HashMap, HashSet};

#[derive(Clone, Default)]
pub struct Store {
    headers: HashMap<String, (i64, Vec<u8>)>,
    entries: BTreeMap<(String, i64), Vec<u8>>,
    calls: BTreeMap<(String, String), CallRow>,
    seen: HashSet<(String, String)>,
    feeds: HashMap<String, i64>,
    attempts: HashMap<String, i64>,
    /// Early events: thread and id, call.
    pub kept: BTreeMap<(String, String), String>,
    /// What can leave, wake or ask: thread and key, call.
    pub outbox: BTreeMap<(String, String), Option<String>>,
    pub timers: HashSet<(String, String)>,
    pub prompts: HashSet<(String, String)>,
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
        self.plans(delta);
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

    fn plans(&mut self, delta: &Delta) {
        let own = |id: &str| (delta.thread.clone(), id.to_owned());
        for row in &delta.kept {
            let old = self.kept.insert(own(row.message.id.as_str()), row.call.to_string());
            assert!(old.is_none_or(|call| call == row.call.as_str()));
        }
        let gone: Vec<&str> = delta.released.iter().chain(&delta.dropped).map(|id| id.as_str()).collect();
        self.kept.retain(|(thread, _), call| *thread != delta.thread || !gone.contains(&call.as_str()));
        self.timers.retain(|(thread, id)| *thread != delta.thread || !delta.timers_cancelled.contains(id));
        self.timers.extend(delta.timers.iter().map(|row| own(&row.id)));
        self.prompts.retain(|(thread, id)| *thread != delta.thread || !delta.prompts_closed.contains(id));
        self.prompts.extend(delta.prompts.iter().map(|row| own(&row.id)));
        self.outbox.retain(|(thread, key), _| *thread != delta.thread || !delta.outbox_cancelled.contains(key));
        let ended: Vec<&str> = delta.ended.iter().map(|id| id.as_str()).collect();
        self.outbox.retain(|(thread, key), call| {
            let over = *thread == delta.thread && call.as_deref().is_some_and(|call| ended.contains(&call));
            !over || key.starts_with("cancel.")
        });
        for row in &delta.outbox {
            self.outbox.insert(own(&row.key), row.call.as_ref().map(ToString::to_string));
        }
        let attempts = self.attempts.entry(delta.thread.clone()).or_default();
        *attempts = (*attempts - delta.attempts_cleared).max(0);
    }

    /// A failed attempt beside the commits; how many there are.
    pub fn attempt(&mut self, thread: &str) -> i64 {
        let attempts = self.attempts.entry(thread.to_owned()).or_default();
        *attempts += 1;
        *attempts
    }

    /// Nothing is left of a call that has ended (I13).
    pub fn check_endings(&self) {
        let over = |thread: &str, id: &str| {
            self.calls.get(&(thread.to_owned(), id.to_owned())).is_some_and(|row| row.state != "planned")
        };
        for ((thread, key), call) in &self.outbox {
            let call = call.as_deref().unwrap_or_default();
            assert!(key.starts_with("cancel.") || !over(thread, call), "{key} of {thread} would still leave");
        }
        for (thread, id) in self.timers.iter().chain(&self.prompts) {
            let call = id.split_once('.').map_or("", |(_, call)| call);
            assert!(!over(thread, call), "{id} of {thread} is still there");
        }
        for ((thread, id), call) in &self.kept {
            assert!(!over(thread, call), "event {id} of {thread} waits for call {call}, which has ended");
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
        let attempts = self.attempts.get(thread).copied().unwrap_or(0);
        let kept = self.kept.iter().filter(|((owner, _), _)| owner == thread).map(|(_, call)| call.clone()).collect();
        Snapshot { header, entries, calls, seen, attempts, kept }
    }

    pub fn load(&self, thread: &str) -> Thread {
        Thread::load(&self.snapshot(thread)).unwrap()
    }

    pub fn lose(&mut self, thread: &str, position: i64) {
        self.entries.remove(&(thread.to_owned(), position)).unwrap();
    }

    pub fn lose_calls(&mut self, thread: &str) {
        self.calls.retain(|(owner, _), _| owner != thread);
    }

    /// Whether there was anything to mend.
    pub fn mend(&mut self, thread: &str) -> bool {
        let header = &self.headers[thread].1;
        let own = |owner: &str| {
            let mine = self.entries.iter().filter(move |((of, _), _)| of == owner);
            mine.map(|((_, position), record)| (*position, record.clone())).collect::<Vec<_>>()
        };
        let before = inherited(header).unwrap().into_iter().flat_map(|(owner, start, end)| {
            own(&owner).into_iter().filter(move |(at, _)| (start..end).contains(at)).map(|(_, record)| record)
        });
        let calls: Vec<_> =
            self.calls.iter().filter(|((of, _), _)| of == thread).map(|(_, row)| row.record.clone()).collect();
        let Some(mended) = mend(header, &before.collect::<Vec<_>>(), &own(thread), &calls).unwrap() else {
            return false;
        };
        self.headers.get_mut(thread).unwrap().1 = mended.header;
        for (position, record) in mended.entries {
            assert!(self.entries.insert((thread.to_owned(), position), record).is_none(), "a whole entry was replaced");
        }
        true
    }

    /// Every entry of the other one is here as it was.
    pub fn check_kept(&self, before: &Store) {
        assert!(before.entries.iter().all(|(at, record)| self.entries.get(at) == Some(record)));
    }
}
