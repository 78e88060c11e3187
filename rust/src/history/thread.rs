//! A thread's state in memory. Changes gather until `delta` and become permanent with `committed`.

use crate::dedup::DedupSet;
use crate::delta::Delta;
use crate::error::{Error, Result};
use crate::history::blocks::Blocks;
use crate::history::call::Call;
use crate::history::entry::{Draft, Entry, EntryKind};
use crate::history::header::{Header, Usage};
use crate::history::lineage::Lineage;
use crate::history::registry::Registry;
use crate::history::sharing;
use crate::id::{CallId, ThreadId};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};

/// A thread that its parent and its creator both hold. Locks are taken parent first.
pub type Shared = Arc<Mutex<Thread>>;

/// Why a thread will wake, or that it will not (I7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Idle,
    Waiting,
    Stopped,
    Closed,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Status::Idle => "idle",
            Status::Waiting => "waiting",
            Status::Stopped => "stopped",
            Status::Closed => "closed",
        }
    }
}

/// How a thread's changes reach the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// By its own delta.
    Own,
    /// In the next delta of its parent.
    Riding,
    /// They did, with its parent's: load the thread to go on.
    Spent,
}

#[derive(Debug)]
pub struct Thread {
    pub(super) header: Header,
    pub(super) summary: Option<Entry>,
    /// What is rendered after the summary, in order.
    pub(super) live: Vec<Entry>,
    /// Ids of every tool_use block in `live`: none may come twice.
    pub(super) used: HashSet<CallId>,
    pub(super) calls: Registry,
    pub(super) seen: DedupSet,
    /// What the next delta carries, except for what is computed then.
    pub(super) staged: Delta,
    /// Calls for which early events are kept.
    pub(super) kept: HashSet<CallId>,
    /// Failed attempts on record, without those that `staged` clears.
    pub(super) attempts: i64,
    pub(super) children: Vec<Shared>,
    pub(super) standing: Standing,
    /// Counts changes; `clean` is its value at the last commit or load.
    pub(super) revision: u64,
    pub(super) clean: u64,
    pub(super) last_delta: Option<(u64, Arc<Delta>)>,
}

/// What an entry consists of, before it gets its position.
pub(super) struct Content<'a> {
    pub kind: EntryKind,
    pub at: i64,
    pub assistant: Blocks,
    pub user: Blocks,
    pub calls: Vec<CallId>,
    pub covers: Option<(i64, i64)>,
    pub meta: &'a [u8],
}

pub(super) const NO_META: &[u8] = b"{}";

impl Thread {
    /// A new root thread, version 0. `seed`: blocks of a first user entry.
    ///
    /// # Errors
    /// `Rule` for an empty id or bad blocks.
    pub fn create(id: ThreadId, now: i64, model: &str, title: &str, seed: Option<&[u8]>) -> Result<Self> {
        if id.as_str().is_empty() {
            return Err(Error::Rule("a thread needs an id".into()));
        }
        let seed = seed.map(Blocks::spoken).transpose()?;
        let mut thread = Self::from_header(Header {
            id,
            ancestors: Vec::new(),
            lineage: Lineage::default(),
            live_start: 0,
            summary: None,
            position: 0,
            feed: 0,
            version: 0,
            model: model.into(),
            title: title.into(),
            created_at: now,
            stopped: false,
            closed: false,
            pending: false,
            problem: None,
            children: 0,
            usage: Usage::default(),
            cost: 0,
            context_tokens: 0,
            actor: None,
            origin: None,
            memo: NO_META.into(),
        });
        thread.touch();
        if let Some(seed) = seed {
            thread.append_user(seed, now, NO_META)?;
        }
        Ok(thread)
    }

    pub(super) fn from_header(header: Header) -> Self {
        Self {
            header,
            summary: None,
            live: Vec::new(),
            used: HashSet::new(),
            calls: Registry::default(),
            seen: DedupSet::default(),
            staged: Delta::default(),
            kept: HashSet::new(),
            attempts: 0,
            children: Vec::new(),
            standing: Standing::Own,
            revision: 0,
            clean: 0,
            last_delta: None,
        }
    }

    /// True if the last entry is a turn: nothing was said since.
    pub fn answered(&self) -> bool {
        self.live.last().is_some_and(|last| last.kind() == EntryKind::Turn)
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    pub fn status(&self) -> Status {
        if self.header.closed {
            Status::Closed
        } else if self.header.stopped {
            Status::Stopped
        } else if self.header.pending
            || self.calls.open().next().is_some()
            || self.calls.subscriptions().next().is_some()
        {
            Status::Waiting
        } else {
            Status::Idle
        }
    }

    /// Something was added for the model that no turn has followed yet, and no attached call is open.
    pub fn pending(&self) -> bool {
        self.header.pending && !self.header.closed && !self.calls.has_attached()
    }

    /// How many entries the next request renders.
    pub fn live_entries(&self) -> usize {
        self.live.len() + usize::from(self.summary.is_some())
    }

    /// Bytes of the records of these entries.
    pub fn live_bytes(&self) -> usize {
        self.rendered().map(|entry| entry.record().len()).sum()
    }

    /// Open calls, attached or detached, oldest first.
    pub fn calls(&self) -> impl Iterator<Item = &Arc<Call>> {
        self.calls.open()
    }

    /// Open calls of the last turn that have no result or placeholder yet.
    pub fn attached(&self) -> impl Iterator<Item = &Arc<Call>> {
        self.calls.attached()
    }

    pub fn subscriptions(&self) -> impl Iterator<Item = &Arc<Call>> {
        self.calls.subscriptions()
    }

    /// A call of this thread that is open, subscribed, or changed since the load.
    pub fn call(&self, id: &CallId) -> Option<&Arc<Call>> {
        self.calls.get(id)
    }

    /// What is rendered, in order: the summary first, if there is one.
    pub fn rendered(&self) -> impl Iterator<Item = &Entry> {
        self.summary.iter().chain(&self.live)
    }

    /// What came since the last turn, latest first.
    pub fn unanswered(&self) -> impl Iterator<Item = &Entry> {
        self.live.iter().rev().take_while(|entry| entry.kind() != EntryKind::Turn)
    }

    /// A user entry; returns its position.
    ///
    /// # Errors
    /// `Rule` if the thread is closed, an attached call is open, or the blocks are not what a user can say.
    pub fn add_user(&mut self, blocks: &[u8], now: i64, actor: Option<&str>, meta: &[u8]) -> Result<i64> {
        self.check_free("a user entry")?;
        super::blocks::check_object(meta, "meta")?;
        let position = self.append_user(Blocks::spoken(blocks)?, now, meta)?;
        self.header.pending = true;
        self.header.actor = actor.map(String::from);
        Ok(position)
    }

    pub(super) fn append_user(&mut self, user: Blocks, at: i64, meta: &[u8]) -> Result<i64> {
        self.append(Content {
            kind: EntryKind::User,
            at,
            assistant: Blocks::default(),
            user,
            calls: Vec::new(),
            covers: None,
            meta,
        })
    }

    /// Write an entry at the next position, with its row of the event stream.
    pub(super) fn append(&mut self, content: Content<'_>) -> Result<i64> {
        let position = self.header.position;
        let kind = content.kind;
        if matches!(kind, EntryKind::Turn | EntryKind::Event) {
            self.used.extend(content.calls.iter().cloned());
        }
        let entry = Entry::write(Draft {
            kind,
            position,
            at: content.at,
            assistant: content.assistant,
            user: content.user,
            calls: content.calls,
            covers: content.covers,
            meta: content.meta,
        })?;
        self.header.position += 1;
        sharing::remember(entry.record());
        self.staged.entries.push((position, entry.record().to_vec()));
        self.stage_feed("entry", format!(r#"{{"position":{position}}}"#).into_bytes());
        match kind {
            EntryKind::Summary => self.summary = Some(entry),
            _ => self.live.push(entry),
        }
        self.touch();
        Ok(position)
    }

    pub(super) fn stage_feed(&mut self, kind: &str, body: Vec<u8>) {
        self.staged.feed.push((self.header.feed, kind.into(), body));
        self.header.feed += 1;
    }

    pub(super) fn touch(&mut self) {
        self.revision += 1;
    }

    pub(super) fn has_history(&self) -> bool {
        self.live_entries() > 0
    }

    /// The object may still be changed.
    pub(super) fn check_usable(&self) -> Result<()> {
        if self.standing == Standing::Spent {
            return Err(self.rule("it went into the store with its parent's commit; load it to go on"));
        }
        Ok(())
    }

    /// History may grow.
    pub(super) fn check_not_closed(&self) -> Result<()> {
        self.check_usable()?;
        if self.header.closed {
            return Err(self.rule("it is closed; its history does not change any more"));
        }
        Ok(())
    }

    /// An entry that is not a result may follow.
    pub(super) fn check_free(&self, what: &str) -> Result<()> {
        self.check_not_closed()?;
        match self.calls.attached().next() {
            None => Ok(()),
            Some(call) => Err(self
                .rule(&format!("{what} cannot come before the result of call {}; answer or detach it first", call.id))),
        }
    }

    pub(super) fn rule(&self, what: &str) -> Error {
        Error::Rule(format!("thread {}: {what}", self.header.id))
    }
}

/// Take a shared thread for one operation.
///
/// # Errors
/// `Rule` if an earlier operation on the thread panicked: its state is not to be trusted (B6).
pub fn lock(thread: &Shared) -> Result<MutexGuard<'_, Thread>> {
    thread.lock().map_err(|_| {
        Error::Rule("an operation on this thread broke off midway; throw the object away and load it again".into())
    })
}
