//! Snapshot → state. Whatever is missing or contradicts itself is an error, never a shorter history (I8).

use crate::error::{Error, Result};
use crate::history::call::Call;
use crate::history::entry::{Entry, EntryKind};
use crate::history::header::Header;
use crate::history::registry::Registry;
use crate::history::sharing;
use crate::history::thread::Thread;
use crate::id::CallId;

/// What a store reads to load a thread: records as they were written.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub header: Vec<u8>,
    /// Of all live ranges of the header, ascending by position.
    pub entries: Vec<(i64, Vec<u8>)>,
    /// Open calls and active subscriptions of the thread.
    pub calls: Vec<Vec<u8>>,
    /// Those of the message ids asked about that the thread has consumed.
    pub seen: Vec<String>,
    /// Failed attempts on record.
    pub attempts: i64,
    /// Calls of the thread for which early events are kept.
    pub kept: Vec<String>,
}

impl Thread {
    /// # Errors
    /// `Damaged` if a record cannot be read, an entry or call is missing, or one does not belong; `TooNew`.
    pub fn load(snapshot: &Snapshot) -> Result<Self> {
        let mut thread = Self::from_header(Header::decode(&snapshot.header)?);
        thread.load_entries(&snapshot.entries)?;
        if thread.summary.as_ref().map(Entry::position) != thread.header.summary {
            return Err(thread.damaged("its summary is missing"));
        }
        thread.load_calls(&snapshot.calls)?;
        for id in &snapshot.seen {
            thread.seen.add(id);
        }
        thread.attempts = snapshot.attempts;
        thread.kept = snapshot.kept.iter().map(|id| CallId::from(id.as_str())).collect();
        Ok(thread)
    }

    pub(super) fn load_entries(&mut self, entries: &[(i64, Vec<u8>)]) -> Result<()> {
        let mut expected = self.header.live_start;
        for (position, record) in entries {
            if *position != expected {
                return Err(self.damaged(&format!("entry {expected} is missing (the next is {position})")));
            }
            let entry = Entry::read(sharing::share(record))
                .map_err(|error| at(error, &format!("thread {}, entry {position}: ", self.header.id)))?;
            if entry.position() != *position {
                return Err(self.damaged(&format!("entry {position} was written as {}", entry.position())));
            }
            self.restore(entry)?;
            expected += 1;
        }
        if expected != self.header.position {
            return Err(self.damaged(&format!("entries from {expected} to {} are missing", self.header.position)));
        }
        Ok(())
    }

    fn restore(&mut self, entry: Entry) -> Result<()> {
        match entry.kind() {
            // The last one counts; earlier ones stay in the store but are no longer rendered.
            EntryKind::Summary => {
                self.summary = Some(entry);
                return Ok(());
            }
            EntryKind::Turn | EntryKind::Event => self.used.extend(entry.details()?.calls),
            EntryKind::User | EntryKind::Result => {}
        }
        self.live.push(entry);
        Ok(())
    }

    fn load_calls(&mut self, records: &[Vec<u8>]) -> Result<()> {
        let mut calls = Vec::with_capacity(records.len());
        for record in records {
            let call = Call::decode(record).map_err(|error| at(error, &format!("thread {}: ", self.header.id)))?;
            if call.thread != self.header.id {
                return Err(self.damaged(&format!("call {} belongs to thread {}", call.id, call.thread)));
            }
            if call.is_open() || call.subscription {
                calls.push(call);
            }
        }
        self.calls = Registry::restore(calls).ok_or_else(|| self.damaged("two calls are the same"))?;
        self.check_attached()
    }

    /// The calls without a result in the last turn are exactly the attached ones of the registry.
    fn check_attached(&self) -> Result<()> {
        let unanswered = self.unanswered_calls()?;
        let attached: Vec<CallId> = self.calls.attached().map(|call| call.id.clone()).collect();
        if attached != unanswered {
            return Err(self.damaged(&format!(
                "its last turn waits for the calls {unanswered:?}, but the open ones are {attached:?}"
            )));
        }
        Ok(())
    }

    /// The calls of the last turn that have no result in history yet.
    pub(super) fn unanswered_calls(&self) -> Result<Vec<CallId>> {
        let last = self.live.iter().rposition(|entry| entry.kind() == EntryKind::Turn);
        let mut unanswered = match last {
            Some(at) => self.live[at].details()?.calls,
            None => Vec::new(),
        };
        for entry in &self.live[last.map_or(0, |at| at + 1)..] {
            if entry.kind() == EntryKind::Result {
                let answered = entry.details()?.calls;
                unanswered.retain(|id| !answered.contains(id));
            }
        }
        Ok(unanswered)
    }

    pub(super) fn damaged(&self, what: &str) -> Error {
        Error::Damaged(format!(
            "thread {}: {what}; nothing was loaded; `infinity doctor` tells what can be repaired",
            self.header.id
        ))
    }
}

/// The same error, saying where.
fn at(error: Error, place: &str) -> Error {
    match error {
        Error::Damaged(text) => Error::Damaged(format!("{place}{text}")),
        Error::TooNew(text) => Error::TooNew(format!("{place}{text}")),
        other => other,
    }
}
