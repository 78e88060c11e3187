//! What goes when a call ends, and what waits for it until then: complete endings (I13), early events (SUB-9).

use crate::delta::{Delta, Kept};
use crate::error::Result;
use crate::history::thread::Thread;
use crate::id::CallId;
use crate::message::Message;
use std::collections::HashSet;

/// Timers of a call: `<purpose>.<call id>`.
const TIMERS: [&str; 3] = ["deadline", "sleep", "prompt"];
/// Prompts of a call: `<kind>.<call id>`.
const PROMPTS: [&str; 3] = ["choice", "oauth", "consent"];
/// Outbox rows that are of no use once their call is over. Notices of its end (`cancel`) are.
const DELIVERIES: [&str; 2] = ["invoke", "choice"];

impl Thread {
    /// True if an event of this call cannot be folded in yet: its subscription may still be confirmed, or is with the next commit, and events
    /// that came before it wait for that commit.
    pub fn early(&self, call: &CallId) -> bool {
        match self.calls.get(call) {
            Some(found) if found.is_open() => true,
            Some(found) => found.subscription && self.kept.contains(call) && self.ends(call),
            None => false,
        }
    }

    /// The call ends with the next commit.
    pub fn ends(&self, call: &CallId) -> bool {
        self.calls.ended().contains(call)
    }

    /// An event leaves the inbox with this commit and waits beside its call; its id is not spent.
    ///
    /// # Errors
    /// `Rule` if it is another thread's, was consumed before, or is not early.
    pub fn keep(&mut self, message: &Message, call: &CallId) -> Result<()> {
        self.check_usable()?;
        let id = &message.id;
        if message.thread != self.header.id {
            return Err(self.rule(&format!("message {id} belongs to thread {}", message.thread)));
        }
        if self.seen(id.as_str()) {
            return Err(self.rule(&format!("message {id} was consumed before")));
        }
        if !self.early(call) {
            return Err(self.rule(&format!("message {id} cannot be kept for call {call}: the call is not open")));
        }
        if self.staged.kept.iter().any(|kept| kept.message.id == *id) {
            return Ok(());
        }
        self.kept.insert(call.clone());
        self.staged.kept.push(Kept { call: call.clone(), message: message.clone() });
        self.touch();
        Ok(())
    }

    /// Failed attempts on record since the last turn that was bought.
    pub fn attempts(&self) -> i64 {
        self.attempts
    }

    /// The store has recorded one more, and counts so many; those that the next commit forgets are among them.
    pub fn attempted(&mut self, recorded: i64) {
        self.attempts = (recorded - self.staged.attempts_cleared).max(0);
    }

    /// The next commit forgets the attempts.
    pub fn clear_attempts(&mut self) -> Result<()> {
        self.check_usable()?;
        if self.attempts > 0 {
            self.staged.attempts_cleared += self.attempts;
            self.attempts = 0;
            self.touch();
        }
        Ok(())
    }

    /// Everything of the calls that ended goes with this delta, no matter what ended them and what was planned for them since.
    pub(super) fn end_completely(&self, delta: &mut Delta) {
        let ended = self.calls.ended();
        if ended.is_empty() {
            return;
        }
        delta.outbox.retain(|row| {
            !(DELIVERIES.contains(&row.kind.as_str()) && row.call.as_ref().is_some_and(|id| ended.contains(id)))
        });
        delta.timers.retain(|row| !of_a_call(&row.id, &TIMERS, ended));
        delta.prompts.retain(|row| !of_a_call(&row.id, &PROMPTS, ended));
        let timers = ended.iter().flat_map(|id| TIMERS.iter().map(move |purpose| format!("{purpose}.{id}")));
        cancel(&mut delta.timers_cancelled, timers);
        let prompts = ended.iter().flat_map(|id| PROMPTS.iter().map(move |kind| format!("{kind}.{id}")));
        cancel(&mut delta.prompts_closed, prompts);
        for id in ended.iter().filter(|id| self.kept.contains(*id)) {
            let confirmed = self.calls.get(id).is_some_and(|call| call.subscription);
            let rows = if confirmed { &mut delta.released } else { &mut delta.dropped };
            rows.push(id.clone());
        }
        delta.ended = ended.to_vec();
    }

    /// What waited for calls that have ended has gone with the commit.
    pub(super) fn forget_kept(&mut self) {
        for id in self.calls.ended() {
            self.kept.remove(id);
        }
    }
}

fn of_a_call(id: &str, prefixes: &[&str], calls: &[CallId]) -> bool {
    let of = |call: &str| calls.iter().any(|each| each.as_str() == call);
    id.split_once('.').is_some_and(|(prefix, call)| prefixes.contains(&prefix) && of(call))
}

fn cancel(cancelled: &mut Vec<String>, more: impl Iterator<Item = String>) {
    if cancelled.is_empty() {
        cancelled.extend(more);
        return;
    }
    let present: HashSet<String> = cancelled.iter().cloned().collect();
    cancelled.extend(more.filter(|id| !present.contains(id)));
}
