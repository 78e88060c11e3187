//! A thread as it was before one of its entries: what its model was shown then. Entries never change, so nothing is kept for it beside them.

use crate::error::{Error, Result};
use crate::history::entry::Entry;
use crate::history::header::Header;
use crate::history::thread::{Standing, Thread};

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
