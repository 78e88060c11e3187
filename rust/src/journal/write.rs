//! Everything that changes the journal. Each operation runs inside a group's transaction.

pub mod attempts;
pub mod attention;
pub mod commit;
pub mod deletion;
pub mod generations;
pub mod import;
pub mod inbox;
pub mod log;
pub mod outbox;
pub mod timers;
pub mod trees;
pub mod usage;

use super::Headers;
use super::checksum;
use super::failure::Failure;
use super::group::Group;
use super::value::{Arrival, Value};
use crate::delta::Delta;
use crate::message::Message;
use inbox::{Expect, Target};
use rusqlite::params;
use std::path::PathBuf;
use std::sync::Arc;

pub enum Write {
    Accept {
        message: Message,
        expect: Expect,
    },
    Commit {
        delta: Arc<Delta>,
        /// For how many milliseconds the log keeps its rows.
        events_kept: i64,
    },
    RecordAttempt(attempts::Attempt),
    Begin {
        now: i64,
    },
    FireTimers {
        now: i64,
        limit: i64,
    },
    OutboxDone {
        key: String,
        sent_call: Option<String>,
        failure: Option<Message>,
        /// When the try was made that ended it; 0 without one.
        at: i64,
    },
    OutboxRetry {
        key: String,
        due_at: i64,
        trouble: String,
    },
    PutView {
        thread: String,
        view_type: String,
        content: Vec<u8>,
    },
    PutMeta {
        key: String,
        value: Vec<u8>,
    },
    RetireTree {
        root: String,
        note: String,
        /// Of its departure, if it goes to live elsewhere.
        mark: Option<Vec<u8>>,
    },
    UnretireTree {
        root: String,
        mark: Option<Vec<u8>>,
    },
    DeleteTree(String),
    /// Delete a tree for good, from now on.
    MarkDeleted {
        root: String,
        at: i64,
    },
    Erase {
        root: String,
        limit: i64,
    },
    /// Not in a group: the writer does it by itself.
    Compact {
        sparse_only: bool,
    },
    ImportTree {
        path: PathBuf,
        arrival: Arrival,
        headers: Headers,
    },
    /// Faults that a test injects.
    #[cfg(test)]
    Inject(Fault),
}

#[cfg(test)]
pub type Fault = Box<dyn Fn(&Group<'_>) -> Result<Value, Failure> + Send>;

impl Write {
    pub fn apply(&self, group: &Group<'_>) -> Result<Value, Failure> {
        Ok(match self {
            Write::Accept { message, expect } => Value::Accepted(inbox::accept(group, message, expect)?),
            Write::Commit { delta, events_kept } => Value::Messages(commit::commit(group, delta, *events_kept)?),
            Write::RecordAttempt(attempt) => Value::Integer(Some(attempts::record(group, attempt)?)),
            Write::Begin { now } => Value::Integer(Some(attempts::begin(group, *now)?)),
            Write::FireTimers { now, limit } => Value::Messages(timers::fire(group, *now, *limit)?),
            Write::OutboxDone { key, sent_call, failure, at } => {
                match outbox::done(group, key, sent_call.as_deref(), failure.as_ref(), *at)? {
                    Some(accepted) => Value::Accepted(accepted),
                    None => Value::Nothing,
                }
            }
            Write::OutboxRetry { key, due_at, trouble } => {
                outbox::retry(group, key, *due_at, trouble)?;
                Value::Nothing
            }
            Write::PutView { thread, view_type, content } => Value::Flag(put_view(group, thread, view_type, content)?),
            Write::PutMeta { key, value } => {
                let sql = "REPLACE INTO meta (key, value, crc) VALUES (?1, ?2, ?3)";
                group.execute(sql, params![key, value, checksum::of(value)])?;
                Value::Nothing
            }
            Write::RetireTree { root, note, mark } => {
                trees::retire(group, root, note, mark.as_deref())?;
                Value::Nothing
            }
            Write::UnretireTree { root, mark } => {
                trees::unretire(group, root, mark.as_deref())?;
                Value::Nothing
            }
            Write::DeleteTree(root) => Value::Integer(Some(trees::delete(group, root)?)),
            Write::MarkDeleted { root, at } => Value::Condemned(deletion::mark(group, root, *at)?),
            Write::Erase { root, limit } => Value::Flag(deletion::erase(group, root, *limit)?),
            Write::Compact { .. } => Value::Nothing,
            Write::ImportTree { path, arrival, headers } => {
                Value::Imported(import::import(group, path, arrival, *headers)?)
            }
            #[cfg(test)]
            Write::Inject(fault) => fault(group)?,
        })
    }
}

/// The latest content of a view (VIEW-1). False if there is no such thread, or it has moved.
fn put_view(group: &Group<'_>, thread: &str, view_type: &str, content: &[u8]) -> Result<bool, Failure> {
    let target = match Target::find(group, thread)? {
        Some(target) if !target.retired => target,
        _ => return Ok(false),
    };
    let sql = "REPLACE INTO views (thread, view_type, content, crc) VALUES (?1, ?2, ?3, ?4)";
    let crc = checksum::of_row(&[thread.into(), view_type.into(), content.into()]);
    group.execute(sql, params![target.key, view_type, content, crc])?;
    Ok(true)
}
