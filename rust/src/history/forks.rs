//! Children: they inherit every entry up to now by reference (DESIGN 5.4), and ride in the commit that creates them (L13).

use crate::error::Result;
use crate::history::blocks::{Blocks, check_json};
use crate::history::header::{Header, Usage};
use crate::history::thread::{NO_META, Shared, Standing, Thread, lock};
use crate::id::{CallId, ThreadId};
use std::sync::{Arc, Mutex};

/// A child to be.
pub struct Fork<'a> {
    pub id: ThreadId,
    pub now: i64,
    /// Why it exists: JSON.
    pub origin: &'a [u8],
    /// The result, in the child, of every unanswered call of the inherited last turn but `seed_call`: one entry for all of them.
    pub placeholder: &'a [u8],
    /// The spawning call, whose result in the child is `seed`.
    pub seed_call: Option<&'a CallId>,
    /// Without `seed_call`: a user entry that tells the child its identity.
    pub seed: Option<&'a [u8]>,
    pub model: Option<&'a str>,
    /// Inherit the entries before this position only; it must be a border (see `summary_range`). No call is open there.
    pub upto: Option<i64>,
}

impl Thread {
    /// A child of this thread. With `seed_call` it is pending; else its creator adds what wakes it.
    ///
    /// # Errors
    /// `Rule` for a used id, a `seed_call` that is not attached, or bad blocks.
    pub fn fork(&mut self, fork: Fork<'_>) -> Result<Shared> {
        self.check_not_closed()?;
        self.check_child_id(&fork.id)?;
        check_json(fork.origin, "the origin of a child")?;
        let child = Arc::new(Mutex::new(self.child(&fork)?));
        self.children.push(child.clone());
        self.header.children += 1;
        self.touch();
        Ok(child)
    }

    fn child(&self, fork: &Fork<'_>) -> Result<Thread> {
        let parent = &self.header;
        let position = fork.upto.unwrap_or(parent.position);
        let inherited = self.inherited(position)?;
        let spawning = fork.seed_call.and_then(|id| self.calls.get(id));
        let actor = spawning.and_then(|call| call.user_id.clone());
        let mut child = Thread::from_header(Header {
            id: fork.id.clone(),
            ancestors: parent.ancestors.iter().chain([&parent.id]).cloned().collect(),
            lineage: parent.lineage.fork(&parent.id, position),
            position,
            feed: 0,
            version: 0,
            model: fork.model.unwrap_or(&parent.model).into(),
            title: String::new(),
            created_at: fork.now,
            stopped: false,
            pending: fork.seed_call.is_some(),
            problem: None,
            children: 0,
            usage: Usage::default(),
            cost: 0,
            actor,
            origin: Some(fork.origin.into()),
            memo: NO_META.into(),
            ..parent.clone()
        });
        child.standing = Standing::Riding;
        child.summary = self.summary.clone();
        child.live = self.live[..inherited].to_vec();
        child.used = self.used.clone();
        child.touch();
        let whole = position == parent.position;
        self.seed(&mut child, fork, whole)?;
        Ok(child)
    }

    /// How many live entries lie before `position`, which must be a border behind the summary in force.
    fn inherited(&self, position: i64) -> Result<usize> {
        let index = self.live.partition_point(|entry| entry.position() < position);
        let last = self.header.position;
        let behind_summary = self.header.summary.is_none_or(|summary| summary < position);
        if position != last && (position > last || index == 0 || !behind_summary || !self.is_border(index)) {
            return Err(self.rule(&format!("a child cannot inherit the history up to {position}: no border is there")));
        }
        Ok(index)
    }

    /// Close the inherited turn in the child, so that its history is valid from the start (I4). `whole`: it inherits the last turn too.
    fn seed(&self, child: &mut Thread, fork: &Fork<'_>, whole: bool) -> Result<()> {
        if let Some(id) = fork.seed_call
            && !(whole && self.calls.attached().any(|call| call.id == *id))
        {
            return Err(self.rule(&format!(
                "call {id} cannot seed a child: it is not an unanswered call of the last turn that the child inherits"
            )));
        }
        let seed_call = fork.seed_call.zip(fork.seed);
        if fork.seed_call.is_some() && seed_call.is_none() {
            return Err(self.rule("a child with a seed_call needs a seed"));
        }
        let others = self.calls.attached().filter(|call| whole && fork.seed_call != Some(&call.id));
        let others = others.map(|call| call.id.clone()).collect();
        // One entry, however many: a turn of n calls may make n children.
        child.append_results(others, fork.placeholder, false, fork.now, NO_META)?;
        if let Some((id, seed)) = seed_call {
            child.append_results(vec![id.clone()], seed, false, fork.now, NO_META)?;
        }
        if let (None, Some(seed)) = (fork.seed_call, fork.seed) {
            child.append_user(Blocks::spoken(seed)?, fork.now, NO_META)?;
        }
        Ok(())
    }

    pub(super) fn check_child_id(&self, id: &ThreadId) -> Result<()> {
        let kin = self.header.ancestors.contains(id) || self.header.id == *id;
        let mut used = kin || id.as_str().is_empty();
        for child in &self.children {
            used |= lock(child)?.header.id == *id;
        }
        if used {
            return Err(self.rule(&format!("a child cannot have the id {id:?}")));
        }
        Ok(())
    }
}
