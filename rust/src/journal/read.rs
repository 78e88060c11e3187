//! Everything that only looks. Each operation sees one consistent picture of the journal, and never waits for the writer.

pub mod deleted;
pub mod facts;
pub mod queues;
pub mod records;
pub mod state;
pub mod threads;

use super::LiveRanges;
use super::failure::Failure;
use super::value::Value;
use facts::Usage;
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction};
use std::path::Path;
use threads::Filter;

pub enum Read {
    Load {
        thread: String,
        known_version: i64,
        message_ids: Vec<String>,
    },
    Inbox {
        after: i64,
        limit: i64,
    },
    Outbox {
        after: String,
        limit: i64,
    },
    NextTimer,
    Thread(String),
    Threads(Filter),
    OpenChildren(String),
    /// Threads below a root that are not closed.
    Living(String),
    Entries {
        thread: String,
        after: i64,
        limit: i64,
    },
    Feed {
        thread: String,
        after: i64,
        limit: i64,
    },
    Usage(Usage),
    Log {
        after: i64,
        limit: i64,
    },
    Calls {
        thread: String,
        open_only: bool,
    },
    FindCall(String),
    /// What a thread's calls have been doing, oldest first; or one of them.
    CallRows {
        thread: String,
        call: Option<String>,
        after: i64,
        limit: i64,
    },
    Prompts {
        thread: Option<String>,
        root: Option<String>,
    },
    /// Threads that need a person, those that have for longest first.
    Attention {
        root: Option<String>,
        after: Option<(i64, String, String)>,
        limit: i64,
    },
    Timers {
        thread: Option<String>,
    },
    /// Of all threads, the earliest first, behind one of them (due, thread, id).
    DueTimers {
        after: Option<(i64, String, String)>,
        limit: i64,
    },
    /// What has not left, by its next try, behind one row of it (due, key).
    Deliveries {
        after: Option<(i64, String)>,
        limit: i64,
    },
    /// Of all threads, newest first, before one of them.
    AllDiscards {
        before: i64,
        limit: i64,
    },
    Views {
        thread: String,
    },
    Discards {
        thread: String,
        limit: i64,
    },
    Meta(String),
    Retired(String),
    Generation(String),
    /// Of several roots: the notes of those that were retired.
    OutOfService(Vec<String>),
    Tombstone(String),
    /// Deletions that are under way.
    Deletions,
    /// Closed root threads, those that changed longest ago first.
    ClosedRoots {
        limit: i64,
    },
    Spent(String),
    Counts,
}

impl Read {
    pub fn answer(&self, on: &Picture<'_>) -> Result<Value, Failure> {
        Ok(match self {
            Read::Load { thread, known_version, message_ids } => {
                Value::Loaded(state::load(on, thread, *known_version, message_ids)?)
            }
            Read::Inbox { after, limit } => Value::Messages(queues::inbox(on, *after, *limit)?),
            Read::Outbox { after, limit } => Value::Outbox(queues::outbox(on, after, *limit)?),
            Read::NextTimer => Value::Integer(queues::next_timer(on)?),
            Read::Thread(id) => Value::Thread(threads::one(on, id)?),
            Read::Threads(filter) => Value::Threads(threads::list(on, filter)?),
            Read::OpenChildren(parent) => Value::Integer(Some(threads::open_children(on, parent)?)),
            Read::Living(root) => Value::Integer(Some(threads::living(on, root)?)),
            Read::Entries { thread, after, limit } => Value::Entries(records::entries(on, thread, *after, *limit)?),
            Read::Feed { thread, after, limit } => Value::Feed(records::feed(on, thread, *after, *limit)?),
            Read::Usage(asked) => Value::Usage(facts::usage(on, asked)?),
            Read::Log { after, limit } => Value::Log(records::log(on, *after, *limit)?),
            Read::Calls { thread, open_only } => Value::Calls(records::calls(on, thread, *open_only)?),
            Read::FindCall(id) => Value::Call(records::find_call(on, id)?),
            Read::CallRows { thread, call, after, limit } => {
                Value::CallRows(records::call_rows(on, thread, call.as_deref(), *after, *limit)?)
            }
            Read::Prompts { thread, root } => Value::Prompts(queues::prompts(on, thread.as_deref(), root.as_deref())?),
            Read::Attention { root, after, limit } => {
                let after = after.as_ref().map(|(since, thread, reason)| (*since, &**thread, &**reason));
                Value::Attention(queues::attention(on, root.as_deref(), after, *limit)?)
            }
            Read::Timers { thread } => Value::Timers(queues::timers(on, thread.as_deref())?),
            Read::DueTimers { after, limit } => {
                let after = after.as_ref().map(|(due_at, thread, id)| (*due_at, &**thread, &**id));
                Value::Timers(queues::due_timers(on, after, *limit)?)
            }
            Read::Deliveries { after, limit } => {
                let after = after.as_ref().map(|(due_at, key)| (*due_at, &**key));
                Value::Outbox(queues::deliveries(on, after, *limit)?)
            }
            Read::AllDiscards { before, limit } => Value::AllDiscards(facts::all_discards(on, *before, *limit)?),
            Read::Views { thread } => Value::Views(facts::views(on, thread)?),
            Read::Discards { thread, limit } => Value::Discards(facts::discards(on, thread, *limit)?),
            Read::Meta(key) => Value::Bytes(facts::meta(on, key)?),
            Read::Retired(root) => Value::Text(facts::retired(on, root)?),
            Read::Generation(root) => {
                let (generation, departed) = facts::generation(on, root)?;
                Value::Generation(generation, departed)
            }
            Read::OutOfService(roots) => Value::Notes(facts::out_of_service(on, roots)?),
            Read::Tombstone(id) => Value::Tombstone(deleted::tombstone(on, id)?),
            Read::Deletions => Value::Roots(deleted::under_way(on)?),
            Read::ClosedRoots { limit } => Value::Closed(threads::closed_roots(on, *limit)?),
            Read::Spent(root) => Value::Spent(facts::spent(on, root)?),
            Read::Counts => Value::Counts(facts::counts(on)?),
        })
    }
}

/// Of threads: those that are not being deleted.
pub const LIVING: &str = "NOT EXISTS (SELECT 1 FROM tombstones WHERE tombstones.id = threads.root)";

/// The journal as it was at one moment.
pub struct Picture<'c> {
    transaction: Transaction<'c>,
    pub path: &'c Path,
    pub live_ranges: LiveRanges,
}

impl<'c> Picture<'c> {
    pub fn take(connection: &'c mut Connection, path: &'c Path, live_ranges: LiveRanges) -> rusqlite::Result<Self> {
        Ok(Self { transaction: connection.transaction()?, path, live_ranges })
    }

    pub fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.transaction.prepare_cached(sql)?.query_row(params, read)
    }

    /// The first row, if there is one.
    pub fn find<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.one(sql, params, read).optional()
    }

    pub fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.transaction.prepare_cached(sql)?.query_map(params, read)?.collect()
    }

    /// The key of a thread inside the journal, unless it is being deleted.
    pub fn key(&self, thread: &str) -> rusqlite::Result<Option<i64>> {
        let sql = format!("SELECT key FROM threads WHERE id = ?1 AND {LIVING}");
        self.find(&sql, [thread], |row| row.get(0))
    }
}
