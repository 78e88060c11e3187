//! A journal on a temporary disk, used the way a host does: submit, wait for the wake, collect.

use _core::delta::{CallRow, Consumed, Delta, OutboxRow, SendRow, TimerRow};
use _core::error::{Error, Result};
use _core::id::{CallId, MessageId, ThreadId};
use _core::journal::value::Accepted;
use _core::journal::{Expect, Headers, Histories, Journal, Mended, Read, Ticket, Value, Write};
use _core::message::Message;
use _core::wake::Wake;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// Far more than any operation needs; only a failing test waits that long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// In milliseconds.
pub const EVENTS_KEPT: i64 = 1_000_000;

pub struct Desk {
    pub journal: Journal,
    pub wake: Arc<Wake>,
    outcomes: Mutex<HashMap<Ticket, Result<Value>>>,
    // Last: the directory goes after the journal.
    pub directory: Option<TempDir>,
    pub path: PathBuf,
}

/// Headers of these tests are text: `thread:start-end`, separated by spaces.
pub fn live_ranges(header: &[u8]) -> Result<Vec<(String, i64, i64)>> {
    let damaged = || Error::Damaged("a header of the tests".into());
    let text = std::str::from_utf8(header).map_err(|_| damaged())?;
    let range = |word: &str| {
        let (thread, bounds) = word.split_once(':')?;
        let (start, end) = bounds.split_once('-')?;
        Some((thread.to_owned(), start.parse().ok()?, end.parse().ok()?))
    };
    text.split_whitespace().map(|word| range(word).ok_or_else(damaged)).collect()
}

/// Of the tests' headers: none of them needs a person.
pub const HEADERS: Headers = Headers { live_ranges, needs_a_person: |_| Ok(false) };

/// Nothing is known of records.
pub const NO_HISTORIES: Histories = Histories {
    bounds: |_| Ok(None),
    inherited: |_| Ok(Vec::new()),
    needs_a_person: |_| Ok(false),
    mend: |_| Ok(None),
};

/// Those of real threads.
pub const HISTORIES: Histories = Histories {
    bounds: |header| _core::history::bounds(header).map(Some),
    inherited: _core::history::inherited,
    needs_a_person: _core::history::needs_a_person,
    mend: |wounded| {
        let done = _core::history::mend(&wounded.header, &wounded.before, &wounded.own, &wounded.calls)?;
        Ok(done.map(|done| Mended { header: done.header, entries: done.entries }))
    },
};

pub fn open(path: &Path) -> Result<(Journal, Arc<Wake>)> {
    open_with(path, HEADERS)
}

fn open_with(path: &Path, headers: Headers) -> Result<(Journal, Arc<Wake>)> {
    let wake = Arc::new(Wake::new()?);
    Ok((Journal::open(path, Arc::clone(&wake), headers)?, wake))
}

/// In memory where the system has such a place: for tests that open hundreds of journals.
pub fn scratch() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// The error of an open that must fail.
pub fn refusal(path: &Path) -> Error {
    match open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[allow(unsafe_code, reason = "polls one descriptor of a living object")]
pub fn wait(wake: &Wake) {
    let mut poll = libc::pollfd { fd: wake.fileno(), events: libc::POLLIN, revents: 0 };
    let ready = unsafe { libc::poll(&raw mut poll, 1, PATIENCE.as_millis() as i32) };
    assert_eq!(ready, 1, "the journal did not answer within {PATIENCE:?}");
    wake.drain().unwrap();
}

impl Desk {
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("infinity.db");
        let mut desk = Self::at(&path);
        desk.directory = Some(directory);
        desk
    }

    pub fn at(path: &Path) -> Self {
        Self::with(path, HEADERS)
    }

    /// A journal of real threads.
    pub fn of_threads(path: &Path) -> Self {
        Self::with(path, Headers { live_ranges: _core::history::live_ranges, needs_a_person: HISTORIES.needs_a_person })
    }

    fn with(path: &Path, headers: Headers) -> Self {
        let (journal, wake) = open_with(path, headers).unwrap();
        Self { journal, wake, outcomes: Mutex::default(), directory: None, path: path.into() }
    }

    /// Close and open again: what a restart does.
    pub fn reopened(mut self) -> Self {
        self.journal.close();
        let mut desk = Self::at(&self.path);
        desk.directory = self.directory.take();
        desk
    }

    pub fn outcome(&self, ticket: Ticket) -> Result<Value> {
        loop {
            let mut outcomes = self.outcomes.lock().unwrap();
            outcomes.extend(self.journal.finished());
            if let Some(outcome) = outcomes.remove(&ticket) {
                return outcome;
            }
            drop(outcomes);
            wait(&self.wake);
        }
    }

    pub fn write(&self, operation: Write) -> Result<Value> {
        self.outcome(self.journal.write(operation))
    }

    pub fn read(&self, operation: Read) -> Result<Value> {
        self.outcome(self.journal.read(operation))
    }

    pub fn commit(&self, delta: Delta) -> Result<Vec<Message>> {
        match self.write(Write::Commit { delta: Arc::new(delta), events_kept: EVENTS_KEPT })? {
            Value::Messages(messages) => Ok(messages),
            other => panic!("a commit answered {other:?}"),
        }
    }

    pub fn accept(&self, message: Message, expect: Expect) -> Accepted {
        match self.write(Write::Accept { message, expect }).unwrap() {
            Value::Accepted(accepted) => accepted,
            other => panic!("an accept answered {other:?}"),
        }
    }

    /// Accept a message that must be accepted.
    pub fn queue(&self, thread: &str, id: &str) -> Message {
        match self.accept(message(thread, id), Expect::Any) {
            Accepted::Yes(message) => message,
            other => panic!("{id} was not accepted: {other:?}"),
        }
    }

    pub fn inbox(&self) -> Vec<Message> {
        match self.read(Read::Inbox { after: 0, limit: 100_000 }).unwrap() {
            Value::Messages(messages) => messages,
            other => panic!("an inbox answered {other:?}"),
        }
    }

    pub fn count(&self, table: &str) -> i64 {
        let Value::Counts(counts) = self.read(Read::Counts).unwrap() else { panic!("no counts") };
        counts.iter().find(|(name, _)| name == table).unwrap().1
    }

    pub fn discards(&self, thread: &str) -> Vec<(String, String)> {
        let read = Read::Discards { thread: thread.into(), limit: 100 };
        let Value::Discards(rows) = self.read(read).unwrap() else { panic!("no discards") };
        rows.into_iter().map(|(id, reason, _)| (id, reason)).collect()
    }

    pub fn call_states(&self, thread: &str, open_only: bool) -> Vec<String> {
        let read = Read::Calls { thread: thread.into(), open_only };
        let Value::Calls(rows) = self.read(read).unwrap() else { panic!("no calls") };
        rows.into_iter().map(|(_, state)| state).collect()
    }

    pub fn version(&self, thread: &str) -> Option<i64> {
        let Value::Thread(row) = self.read(Read::Thread(thread.into())).unwrap() else { panic!("no row") };
        row.map(|row| row.version)
    }
}

pub fn ids(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

pub fn message(thread: &str, id: &str) -> Message {
    Message {
        thread: ThreadId::from(thread),
        id: MessageId::from(id),
        kind: "user".into(),
        body: format!(r#"{{"text":"{id}"}}"#).into_bytes().into(),
        seq: 0,
        accepted_at: 1_000,
    }
}

/// The commit that makes a new root thread.
pub fn created(thread: &str) -> Delta {
    Delta { created_at: 1, ..next(thread, 0) }
}

/// A commit on top of version `expected`, so far without contents.
pub fn next(thread: &str, expected: i64) -> Delta {
    Delta {
        thread: thread.into(),
        root: thread.into(),
        expected_version: expected,
        new_version: expected + 1,
        status: "idle".into(),
        title: "A thread".into(),
        updated_at: expected + 1,
        ..Delta::default()
    }
}

pub fn call(id: &str, state: &str) -> CallRow {
    CallRow {
        id: CallId::from(id),
        state: state.into(),
        subscription: false,
        tool: "get_pr".into(),
        record: format!("record of {id}").into_bytes(),
    }
}

pub fn subscription(id: &str) -> CallRow {
    CallRow { subscription: true, ..call(id, "answered") }
}

pub fn consumed(message: &Message) -> Consumed {
    Consumed { seq: message.seq, id: message.id.clone(), outcome: "applied".into() }
}

pub fn timer(id: &str, due_at: i64) -> TimerRow {
    TimerRow { id: id.into(), due_at, kind: "timer".into(), body: b"{}".to_vec() }
}

pub fn outbox(key: &str, call: Option<&str>) -> OutboxRow {
    OutboxRow {
        key: key.into(),
        kind: "invoke".into(),
        target: "http://tool/invoke".into(),
        body: format!(r#"{{"id":"{key}"}}"#).into_bytes(),
        call: call.map(CallId::from),
    }
}

pub fn send(thread: &str, id: &str) -> SendRow {
    SendRow { thread: ThreadId::from(thread), id: MessageId::from(id), kind: "report".into(), body: b"{}".to_vec() }
}
