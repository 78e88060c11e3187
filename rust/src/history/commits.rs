//! State → delta: what one slice changed, as the data of one atomic commit (I6).

use crate::delta::{CallRow, Delta};
use crate::error::Result;
use crate::history::thread::{Standing, Thread, lock};
use std::sync::Arc;

/// Timers, prompts and deliveries that a store removes for a call that ends.
const ENDING: usize = 5;

impl Thread {
    /// True if a delta would carry anything.
    pub fn changed(&self) -> bool {
        self.revision != self.clean || !self.children.is_empty()
    }

    /// Everything since the last commit, children included. Without changes in between it is the same again.
    ///
    /// # Errors
    /// `Rule` for a child whose parent's delta carries it.
    pub fn delta(&mut self, now: i64) -> Result<Arc<Delta>> {
        self.check_usable()?;
        if self.standing == Standing::Riding {
            return Err(self.rule("it is committed with its parent; ask the parent for the delta"));
        }
        let revision = self.family_revision()?;
        if let Some((last, delta)) = &self.last_delta
            && *last == revision
        {
            return Ok(delta.clone());
        }
        let delta = Arc::new(self.assemble(now)?);
        self.last_delta = Some((revision, delta.clone()));
        Ok(delta)
    }

    /// The last delta is durable: take its version and start afresh.
    ///
    /// # Errors
    /// `Rule` if there is no delta, or something changed after it: the object is then ahead of the store and must go.
    pub fn committed(&mut self) -> Result<()> {
        self.check_usable()?;
        let revision = self.family_revision()?;
        match &self.last_delta {
            Some((last, _)) if *last == revision => {}
            _ => return Err(self.rule("it changed after its delta was taken; throw the object away and load it again")),
        }
        for child in std::mem::take(&mut self.children) {
            lock(&child)?.spend()?;
        }
        self.header.version += 1;
        self.staged = Delta::default();
        self.forget_kept();
        self.calls.committed();
        self.clean = self.revision;
        self.last_delta = None;
        Ok(())
    }

    /// About how much the next delta changes: rows and bytes, children included. For anyone who must end before a store's transaction is full.
    ///
    /// # Errors
    /// `Rule` if an operation on a child broke off midway.
    pub fn staged(&self) -> Result<(usize, usize)> {
        let staged = &self.staged;
        let calls = self.calls.changed().count();
        let (mut rows, mut bytes) = (staged.rows() + calls + ENDING * self.calls.ended().len(), staged.size());
        for child in &self.children {
            let (more, larger) = lock(child)?.staged()?;
            rows += more;
            bytes += larger;
        }
        Ok((rows, bytes))
    }

    fn assemble(&self, now: i64) -> Result<Delta> {
        let mut header = self.header.clone();
        header.version += 1;
        let mut delta = Delta {
            thread: header.id.to_string(),
            root: header.root().to_string(),
            parent: header.parent().map(ToString::to_string),
            expected_version: self.header.version,
            new_version: header.version,
            status: self.status().name().into(),
            troubled: header.problem.is_some() && !header.closed,
            needs_a_person: header.needs_a_person(),
            title: header.title.clone(),
            created_at: header.created_at,
            updated_at: now,
            header: header.encode(),
            calls: self
                .calls
                .changed()
                .map(|call| CallRow {
                    id: call.id.clone(),
                    state: call.state.name().into(),
                    subscription: call.subscription,
                    tool: call.tool.clone(),
                    record: call.encode(),
                })
                .collect(),
            ..self.staged.clone()
        };
        self.end_completely(&mut delta);
        for child in &self.children {
            let mut child = lock(child)?.assemble(now)?;
            // One flat list, parents first: a store creates the threads in this order.
            let grandchildren = std::mem::take(&mut child.children);
            delta.children.push(child);
            delta.children.extend(grandchildren);
        }
        Ok(delta)
    }

    /// Grows with every change to this thread and the children that ride with it.
    fn family_revision(&self) -> Result<u64> {
        let mut sum = self.revision;
        for child in &self.children {
            sum += lock(child)?.family_revision()?;
        }
        Ok(sum)
    }

    fn spend(&mut self) -> Result<()> {
        for child in std::mem::take(&mut self.children) {
            lock(&child)?.spend()?;
        }
        self.standing = Standing::Spent;
        self.header.version += 1;
        Ok(())
    }
}
