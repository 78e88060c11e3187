//! What an operation answers with.

use super::examine::Examination;
use crate::delta::Spent;
use crate::message::Message;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Nothing,
    Flag(bool),
    Accepted(Accepted),
    Messages(Vec<Message>),
    /// `None`: the caller's copy is of the stored version.
    Loaded(Option<Loaded>),
    Integer(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Text(Option<String>),
    Thread(Option<ThreadRow>),
    Threads(Vec<ThreadRow>),
    Outbox(Vec<OutboxRow>),
    /// Position and record.
    Entries(Vec<(i64, Vec<u8>)>),
    Feed(Vec<FeedRow>),
    Call(Option<(Vec<u8>, String)>),
    /// Record and state.
    Calls(Vec<(Vec<u8>, String)>),
    CallRows(Vec<CallRow>),
    Prompts(Vec<PromptRow>),
    Timers(Vec<TimerRow>),
    Attention(Vec<AttentionRow>),
    Log(Log),
    Usage(Vec<UsageRow>),
    /// View type and content.
    Views(Vec<(String, Vec<u8>)>),
    /// Message id, reason, time.
    Discards(Vec<(String, String, i64)>),
    AllDiscards(Vec<DiscardRow>),
    Spent(Spent),
    Imported(Imported),
    Examined(Examination),
    Condemned(Condemned),
    Tombstone(Option<Tombstone>),
    /// And whether what rests here is what left.
    Generation(Generation, bool),
    Roots(Vec<String>),
    /// Id and time of the last change.
    Closed(Vec<(String, i64)>),
    Notes(Vec<(String, String)>),
    /// Table and number of rows.
    Counts(Vec<(String, i64)>),
}

/// What became of a message that was offered (I2).
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// Durable in the inbox, with its place.
    Yes(Message),
    /// Queued or consumed before: nothing to do (I3).
    Duplicate,
    /// Recorded as discarded: the thread is closed or the call was cancelled.
    Discarded,
    UnknownThread,
    UnknownCall,
    NotPending,
    NotSubscribed,
    /// As many early events of the call wait as may: it is to be sent again later (SUB-9).
    Full,
    /// Its tree was retired here: nothing was written.
    Moved,
    /// Discarded: the thread was deleted, and its tombstone has counted it.
    Deleted,
}

impl Accepted {
    pub fn status(&self) -> &'static str {
        match self {
            Accepted::Yes(_) => "accepted",
            Accepted::Duplicate => "duplicate",
            Accepted::Discarded => "discarded",
            Accepted::UnknownThread => "unknown_thread",
            Accepted::UnknownCall => "unknown_call",
            Accepted::NotPending => "not_pending",
            Accepted::NotSubscribed => "not_subscribed",
            Accepted::Full => "full",
            Accepted::Moved => "moved",
            Accepted::Deleted => "deleted",
        }
    }
}

/// How a tree comes to live here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Refuse a file that holds another one.
    pub expected: Option<String>,
    /// Why it is out of service from its first moment here; `None`: it goes on at once.
    pub resting: Option<String>,
}

/// A tree that came to live here, and what its host has to take up.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    pub root: String,
    /// Queued, with their places here. Nothing of this and of what follows for a tree that rests.
    pub messages: Vec<Message>,
    /// How many rows have not left yet.
    pub outbox: i64,
    /// Milliseconds since the Unix epoch.
    pub next_timer: Option<i64>,
    /// It is in the place of an older copy, which had left.
    pub replaced: bool,
    /// The file is a copy of a tree that went on where it was.
    pub copy: bool,
}

/// How often a tree has left, by what is known here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Generation {
    pub number: i64,
    /// Of each departure, one after the other.
    pub marks: Vec<u8>,
}

/// A tree that is being deleted, and whom its host has to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Condemned {
    /// Id, and whether it was open.
    pub threads: Vec<(String, bool)>,
    /// Thread and call, of open calls and active subscriptions.
    pub calls: Vec<(String, String)>,
}

/// What stays of a thread that was deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct Tombstone {
    pub id: String,
    pub root: String,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// Messages that were discarded since, and at the root those that were queued then.
    pub discarded: i64,
}

/// A thread's records as they were written.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub header: Vec<u8>,
    /// Of all live ranges, ascending.
    pub entries: Vec<(i64, Vec<u8>)>,
    /// Open calls and active subscriptions, oldest first.
    pub calls: Vec<Vec<u8>>,
    /// Those of the ids asked about that the thread has consumed.
    pub seen: Vec<String>,
    /// Failed attempts on record.
    pub attempts: i64,
    /// Calls for which early events are kept.
    pub kept: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ThreadRow {
    pub id: String,
    pub root: String,
    pub parent: Option<String>,
    pub status: String,
    pub title: String,
    pub version: i64,
    pub created_at: i64,
    pub updated_at: i64,
    pub header: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    pub key: String,
    pub kind: String,
    pub target: String,
    pub body: Vec<u8>,
    pub call: Option<String>,
    pub thread: String,
    pub attempts: i64,
    pub due_at: i64,
    /// Why the last try failed.
    pub trouble: String,
}

/// What a call has been doing.
#[derive(Debug, Clone, PartialEq)]
pub struct CallRow {
    /// Its place among the calls of its thread.
    pub number: i64,
    pub record: Vec<u8>,
    pub state: String,
    /// Milliseconds since the Unix epoch; 0 where it was not, or an earlier version wrote it.
    pub sent_at: i64,
    pub ended_at: i64,
    /// Tries to send it: all that there were, or those that failed, while it is on its way.
    pub attempts: i64,
    /// While it is on its way: when the next try is due, and why the last one failed.
    pub due_at: Option<i64>,
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DiscardRow {
    pub number: i64,
    pub thread: String,
    pub message: String,
    pub reason: String,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FeedRow {
    pub position: i64,
    pub kind: String,
    pub body: Vec<u8>,
    /// Of the entry that a row of kind `entry` refers to.
    pub record: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PromptRow {
    pub id: String,
    pub thread: String,
    pub kind: String,
    pub body: Vec<u8>,
}

/// The order of commits, behind one of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Log {
    /// The oldest and the newest number that there is; 0 if there is none.
    pub oldest: i64,
    pub newest: i64,
    pub rows: Vec<LogRow>,
}

/// What one commit has added to the stream of one thread.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    pub seq: i64,
    pub thread: String,
    pub root: String,
    /// Positions, both included.
    pub first: i64,
    pub last: i64,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
}

/// What was used, summed by what is not `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UsageRow {
    /// Since the Unix epoch.
    pub day: Option<i64>,
    pub model: Option<String>,
    pub root: Option<String>,
    pub thread: Option<String>,
    /// Turns; tokens of input, output, cache read, cache write; microdollars.
    pub sums: [i64; 6],
}

/// A thread that needs a person.
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionRow {
    pub thread: String,
    pub root: String,
    /// `prompt`, `problem`.
    pub reason: String,
    /// Milliseconds since the Unix epoch.
    pub since: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TimerRow {
    pub id: String,
    pub thread: String,
    pub due_at: i64,
    pub kind: String,
    pub body: Vec<u8>,
}
