//! Everything one slice changes, for one atomic commit (I6). Plain data: the local journal writes it with SQLite,
//! the cloud store with PostgreSQL, from the same fields. Records are opaque, made and read by [`crate::codec`].

use crate::id::{CallId, MessageId, ThreadId};
use crate::message::Message;

/// What a commit changes about one thread.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delta {
    pub thread: String,
    pub root: String,
    pub parent: Option<String>,
    /// Compare-and-swap: the stored version must be this one (0: the thread must not exist yet).
    pub expected_version: i64,
    pub new_version: i64,
    /// `idle`, `waiting`, `stopped`, `closed` (see `history::Status`).
    pub status: String,
    /// It is not closed, and its header has a problem.
    pub troubled: bool,
    /// It rests with a problem that only a person ends.
    pub needs_a_person: bool,
    pub title: String,
    pub created_at: i64,
    pub updated_at: i64,
    /// The encoded thread header.
    pub header: Vec<u8>,
    /// New entries: absolute position → record.
    pub entries: Vec<(i64, Vec<u8>)>,
    /// New and changed calls.
    pub calls: Vec<CallRow>,
    /// Messages that leave the inbox with this commit.
    pub consumed: Vec<Consumed>,
    /// Early events that leave it for now: they wait beside their call, their ids unspent (SUB-9).
    pub kept: Vec<Kept>,
    /// Calls whose kept events go back into the inbox: their subscription is confirmed.
    pub released: Vec<CallId>,
    /// Calls whose kept events are discarded on record: they ended otherwise.
    pub dropped: Vec<CallId>,
    /// Calls that end with this commit, in whatever way. Nothing of them leaves any more: what is staged for them is not in here, what the
    /// store has (outbox rows of the kinds `invoke` and `choice`, whatever their keys) it removes, and what can be told by its id (timers,
    /// prompts) is among the cancelled (I13).
    pub ended: Vec<CallId>,
    /// Threads that come to be with this commit (each with `expected_version` 0).
    pub children: Vec<Delta>,
    pub timers: Vec<TimerRow>,
    pub timers_cancelled: Vec<String>,
    pub outbox: Vec<OutboxRow>,
    /// Keys of outbox rows that must not be sent any more, if they have not been.
    pub outbox_cancelled: Vec<String>,
    /// Messages to other threads; dropped silently if the target has seen the id.
    pub sends: Vec<SendRow>,
    pub prompts: Vec<PromptRow>,
    /// Ids of prompts that are answered, dismissed or void.
    pub prompts_closed: Vec<String>,
    /// The durable event stream of the thread: position → (kind, JSON).
    pub feed: Vec<(i64, String, Vec<u8>)>,
    /// What this thread's turns in this commit have used; children carry their own.
    pub spent: Spent,
    /// The same of turns alone, by model.
    pub used: Vec<Used>,
    /// So many failed attempts are forgotten, because a turn was bought after them.
    pub attempts_cleared: i64,
}

impl Delta {
    /// About how many rows a store changes for it, without children and without what it only names for calls that end.
    pub fn rows(&self) -> usize {
        let once = self.entries.len()
            + self.feed.len()
            + self.timers.len()
            + self.outbox.len()
            + self.prompts.len()
            + self.used.len();
        1 + once + self.calls.len() + 2 * (self.consumed.len() + self.sends.len() + self.kept.len())
    }

    /// Bytes of all records and bodies, children included: what the commit writes, more or less.
    pub fn size(&self) -> usize {
        let entries: usize = self.entries.iter().map(|(_, record)| record.len()).sum();
        let calls: usize = self.calls.iter().map(|row| row.record.len()).sum();
        let timers: usize = self.timers.iter().map(|row| row.body.len()).sum();
        let outbox: usize = self.outbox.iter().map(|row| row.body.len()).sum();
        let sends: usize = self.sends.iter().map(|row| row.body.len()).sum();
        let prompts: usize = self.prompts.iter().map(|row| row.body.len()).sum();
        let feed: usize = self.feed.iter().map(|(_, _, body)| body.len()).sum();
        let kept: usize = self.kept.iter().map(|row| row.message.body.len()).sum();
        let children: usize = self.children.iter().map(Delta::size).sum();
        self.header.len() + entries + calls + timers + outbox + sends + prompts + feed + kept + children
    }
}

/// What completions have used, for the limits of a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Of all kinds: input, output, cache read, cache write.
    pub tokens: i64,
    /// Millionths of a US dollar.
    pub cost: i64,
}

/// What turns of one model have used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    pub model: String,
    pub turns: i64,
    /// Input, output, cache read, cache write.
    pub tokens: [i64; 4],
    /// Millionths of a US dollar.
    pub cost: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct CallRow {
    pub id: CallId,
    /// `planned`, `answered`, `failed`, `cancelled` (the outbox moves `planned` to `sent`).
    pub state: String,
    /// An active subscription of its thread.
    pub subscription: bool,
    pub tool: String,
    pub record: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Consumed {
    pub seq: i64,
    pub id: MessageId,
    /// `applied`, `duplicate` if the thread had consumed it before, or why the message was discarded.
    pub outcome: String,
}

impl Consumed {
    /// Consumed before: nothing of it has to be there any more, and nothing happens if it is not (I3).
    pub fn again(&self) -> bool {
        self.outcome == AGAIN
    }
}

/// The outcome of a message that comes once more.
pub const AGAIN: &str = "duplicate";

/// An event that came before the confirmation of its subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    pub call: CallId,
    /// Whole: where messages come from a queue, the store has never seen it.
    pub message: Message,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TimerRow {
    pub id: String,
    /// Milliseconds since the Unix epoch.
    pub due_at: i64,
    /// Becomes a message of this kind and body, with the timer's id as its id, when due.
    pub kind: String,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Idempotency key, unique for ever.
    pub key: String,
    /// `invoke`, `cancel`, `close`, `choice` (python/infinity/abc/store.py lists them).
    pub kind: String,
    pub target: String,
    pub body: Vec<u8>,
    pub call: Option<CallId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SendRow {
    pub thread: ThreadId,
    pub id: MessageId,
    pub kind: String,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PromptRow {
    pub id: String,
    /// `oauth` or `choice`.
    pub kind: String,
    pub body: Vec<u8>,
}
