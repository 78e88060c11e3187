//! Summaries replace a range of entries in what is rendered. The entries stay in the store (DESIGN 5.5).

use crate::error::{Error, Result};
use crate::history::blocks::{Blocks, check_object};
use crate::history::entry::{Entry, EntryKind};
use crate::history::thread::{Content, Thread};

impl Thread {
    /// The widest `[start, end)` that a summary may cover while at least the last `keep` live entries stay. Never separates a turn
    /// from its results.
    pub fn summary_range(&self, keep: usize) -> Option<(i64, i64)> {
        let most = self.live.len().checked_sub(keep)?;
        let end_at = |index: usize| self.live.get(index).map_or(self.header.position, Entry::position);
        // A child that is to summarize the range must be able to inherit it, the summary in force included.
        let reaches = |index: &usize| self.header.summary.is_none_or(|summary| summary < end_at(*index));
        let index = (1..=most).rev().take_while(reaches).find(|index| self.is_border(*index))?;
        Some((self.header.live_start, end_at(index)))
    }

    /// Replace `[start, end)` in what is rendered.
    ///
    /// # Errors
    /// `Conflict` if `start` is not where the live entries begin or `end` is not a valid border: summarize again.
    pub fn add_summary(&mut self, start: i64, end: i64, blocks: &[u8], now: i64, meta: &[u8]) -> Result<()> {
        self.check_not_closed()?;
        check_object(meta, "meta")?;
        let user = Blocks::spoken(blocks)?;
        let index = self.live.partition_point(|entry| entry.position() < end);
        if start != self.header.live_start || end > self.header.position || index == 0 || !self.is_border(index) {
            return Err(Error::Conflict(format!(
                "thread {}: entries {start} to {end} cannot be summarized: the live ones are {} to {}, and a turn stays with its results",
                self.header.id, self.header.live_start, self.header.position
            )));
        }
        self.append(Content {
            kind: EntryKind::Summary,
            at: now,
            assistant: Blocks::default(),
            user,
            calls: Vec::new(),
            covers: Some((start, end)),
            meta,
        })?;
        self.header.summary = self.summary.as_ref().map(Entry::position);
        self.header.live_start = end;
        for covered in self.live.drain(..index) {
            for id in covered.details()?.calls {
                self.used.remove(&id);
            }
        }
        Ok(())
    }

    /// True if no turn before the live entry at `index` has a result there or later.
    pub(super) fn is_border(&self, index: usize) -> bool {
        match self.live.get(index) {
            Some(entry) if entry.kind() == EntryKind::Result => false,
            Some(_) => true,
            None => !self.calls.has_attached(),
        }
    }
}
