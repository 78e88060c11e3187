//! A thread as it was before one of its entries: what its model was shown then, and what may go on
//! from there another way. Entries never change, so nothing is kept for it beside them.

use crate::error::{Error, Result};
use crate::history::blocks::{Blocks, check_json};
use crate::history::entry::Entry;
use crate::history::header::{Header, Usage};
use crate::history::thread::{NO_META, Standing, Thread};
use crate::id::ThreadId;

impl Thread {
    /// As it was just before the entry at `position`; to be looked at, never to be changed. `entries`: all before it, from where the live
    /// ones began then. That is 0, or the end of what the summary covers that was in force (see [`covered`]).
    ///
    /// # Errors
    /// `Rule` if the position is not one of the thread's own; `Damaged` if entries are missing, or the summary that they begin behind;
    /// `TooNew`.
    pub fn past(header: &[u8], position: i64, entries: &[(i64, Vec<u8>)]) -> Result<Self> {
        let mut header = Header::decode(header)?;
        if position < header.lineage.own_start() || position > header.position {
            return Err(Error::Rule(format!("thread {}: entry {position} is not one of its own", header.id)));
        }
        header.live_start = entries.first().map_or(position, |(first, _)| *first);
        header.position = position;
        let mut thread = Self::from_header(header);
        thread.standing = Standing::Spent;
        thread.load_entries(entries)?;
        thread.header.summary = thread.summary.as_ref().map(Entry::position);
        let covers = thread.summary.as_ref().map(Entry::details).transpose()?.and_then(|details| details.covers);
        if covers.map_or(0, |(_, end)| end) != thread.header.live_start {
            let start = thread.header.live_start;
            return Err(thread.damaged(&format!("the summary of what was said before entry {start} is missing")));
        }
        Ok(thread)
    }

    /// A thread of the same tree that goes on from here by itself: it inherits what is before by reference, and its own delta brings it into
    /// being. `seed`: a user entry that tells it its identity.
    ///
    /// # Errors
    /// `Rule` for an id of its kin, where nothing is inherited, where a call has no result yet, or for bad blocks.
    pub fn branch(&self, branch: Branch<'_>) -> Result<Self> {
        self.check_child_id(&branch.id)?;
        check_json(branch.origin, "the origin of a fork")?;
        let (past, position) = (&self.header, self.header.position);
        if !self.has_history() {
            return Err(self.rule("a fork at its beginning would inherit nothing; begin a conversation"));
        }
        if let Some(call) = self.unanswered_calls()?.first() {
            return Err(
                self.rule(&format!("call {call} has no result yet before entry {position}; fork at a later entry"))
            );
        }
        let mut made = Self::from_header(Header {
            id: branch.id,
            ancestors: past.ancestors.iter().chain([&past.id]).cloned().collect(),
            lineage: past.lineage.fork(&past.id, position),
            feed: 0,
            version: 0,
            model: branch.model.unwrap_or(&past.model).into(),
            title: branch.title.into(),
            created_at: branch.now,
            stopped: false,
            closed: false,
            pending: false,
            problem: None,
            children: 0,
            usage: Usage::default(),
            cost: 0,
            context_tokens: 0,
            actor: None,
            origin: Some(branch.origin.into()),
            memo: NO_META.into(),
            ..past.clone()
        });
        made.summary = self.summary.clone();
        made.live = self.live.clone();
        made.used = self.used.clone();
        made.touch();
        made.append_user(Blocks::spoken(branch.seed)?, branch.now, NO_META)?;
        Ok(made)
    }
}

/// A fork to be.
pub struct Branch<'a> {
    pub id: ThreadId,
    pub now: i64,
    /// Why it exists: JSON.
    pub origin: &'a [u8],
    pub seed: &'a [u8],
    pub title: &'a str,
    pub model: Option<&'a str>,
}

/// The positions that a summary stands for; `None` for an entry of another kind.
///
/// # Errors
/// `Damaged` or `TooNew`.
pub fn covered(record: &[u8]) -> Result<Option<(i64, i64)>> {
    Ok(Entry::read(record.into())?.details()?.covers)
}

/// Where the entries from `start` to `end` of the header's thread are: `(thread, start, end)`, ascending.
///
/// # Errors
/// `Damaged` or `TooNew`.
pub fn ranges(header: &[u8], start: i64, end: i64) -> Result<Vec<(String, i64, i64)>> {
    let header = Header::decode(header)?;
    let found = header.lineage.ranges(&header.id, start, end.min(header.position));
    Ok(found
        .into_iter()
        .map(|range| (range.thread.to_string(), range.start, range.end.min(end)))
        .filter(|(_, start, end)| start < end)
        .collect())
}
