//! What the model produced: one entry and a row for each call.

use crate::delta::Used;
use crate::error::{Error, Result};
use crate::history::blocks::{Blocks, check_object};
use crate::history::call::{Call, CallState};
use crate::history::entry::EntryKind;
use crate::history::header::{Spending, Usage};
use crate::history::thread::{Content, Thread};
use crate::id::CallId;

/// A call that is about to be made.
pub struct Plan<'a> {
    /// Minted by the runtime; new for ever (L9).
    pub id: CallId,
    pub provider_id: &'a str,
    pub tool: &'a str,
    pub toolset: &'a str,
    pub arguments: &'a [u8],
    pub deadline: Option<i64>,
    pub user_id: Option<&'a str>,
}

/// What the model's API accepts as the id of a tool call.
pub(super) fn is_wire_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=128).contains(&id.len()) && id.bytes().all(plain)
}

impl Thread {
    /// A row for [`Thread::add_turn`]; changes nothing by itself.
    ///
    /// # Errors
    /// `Rule` if the id has characters other than `A–Z a–z 0–9 _ -`, or the arguments are no JSON object.
    pub fn plan_call(&self, plan: Plan<'_>) -> Result<Call> {
        if !is_wire_id(plan.id.as_str()) {
            return Err(self.rule(&format!("call id {:?} is not 1 to 128 letters, digits, - and _", plan.id)));
        }
        check_object(plan.arguments, "the arguments of a call")?;
        Ok(Call {
            id: plan.id,
            thread: self.header.id.clone(),
            provider_id: plan.provider_id.into(),
            tool: plan.tool.into(),
            toolset: plan.toolset.into(),
            arguments: plan.arguments.into(),
            state: CallState::Planned,
            detached: false,
            subscription: false,
            deadline: plan.deadline,
            user_id: plan.user_id.map(String::from),
            position: self.header.position,
            ordinal: 0,
        })
    }

    /// A turn and its calls; returns its position. Clears `pending`.
    ///
    /// # Errors
    /// `Rule` if an attached call is open, nothing was said since the last turn, calls and `tool_use` blocks do not match, or the cost
    /// is negative.
    pub fn add_turn(
        &mut self,
        blocks: &[u8],
        mut calls: Vec<Call>,
        now: i64,
        spending: impl Into<Spending>,
        meta: &[u8],
    ) -> Result<i64> {
        self.check_free("a turn")?;
        if !self.has_history() {
            return Err(self.rule("a turn cannot be the first entry"));
        }
        if self.live.last().is_some_and(|last| last.kind() == EntryKind::Turn) {
            return Err(self.rule("nothing was said since the last turn"));
        }
        check_object(meta, "meta")?;
        let Spending { usage, cost } = spending.into();
        if cost < 0 {
            return Err(self.rule(&format!("a turn cannot cost {cost} microdollars")));
        }
        let assistant = Blocks::produced(blocks)?;
        self.check_calls(&assistant, &calls)?;
        for (ordinal, call) in calls.iter_mut().enumerate() {
            call.position = self.header.position;
            call.ordinal = ordinal as u32;
        }
        let position = self.append(Content {
            kind: EntryKind::Turn,
            at: now,
            assistant,
            user: Blocks::default(),
            calls: calls.iter().map(|call| call.id.clone()).collect(),
            covers: None,
            meta,
        })?;
        self.calls.open_turn(calls);
        self.clear_attempts()?;
        self.header.pending = false;
        self.header.usage = self.header.usage.plus(usage);
        self.header.cost = self.header.cost.saturating_add(cost);
        self.stage_used(meta, usage, cost);
        let spent = &mut self.staged.spent;
        spent.tokens = spent.tokens.saturating_add(usage.total());
        spent.cost = spent.cost.saturating_add(cost);
        // A turn that was broken off may come without figures: the last ones still hold then.
        if usage != Usage::default() {
            self.header.context_tokens = usage.total();
        }
        Ok(position)
    }

    /// For what is summed by model: the one that the turn's `meta` names, else the thread's.
    fn stage_used(&mut self, meta: &[u8], usage: Usage, cost: i64) {
        #[derive(serde::Deserialize)]
        struct Named {
            model: Option<String>,
        }
        let named = serde_json::from_slice(meta).ok().and_then(|Named { model }| model);
        let model = named.filter(|model| !model.is_empty()).unwrap_or_else(|| self.header.model.clone());
        let all = &mut self.staged.used;
        let at = all.iter().position(|used| used.model == model).unwrap_or_else(|| {
            all.push(Used { model, ..Used::default() });
            all.len() - 1
        });
        let used = &mut all[at];
        used.turns += 1;
        used.cost = used.cost.saturating_add(cost);
        used.tokens = std::array::from_fn(|kind| used.tokens[kind].saturating_add(usage.0[kind]));
    }

    fn check_calls(&self, assistant: &Blocks, calls: &[Call]) -> Result<(), Error> {
        if !assistant.tool_uses.iter().map(String::as_str).eq(calls.iter().map(|call| call.id.as_str())) {
            return Err(self.rule("the tool_use blocks and the calls of a turn do not match one to one"));
        }
        for (at, call) in calls.iter().enumerate() {
            let id = &call.id;
            if call.thread != self.header.id || !call.is_attached() || call.subscription {
                return Err(self.rule(&format!("call {id} was not planned for this turn")));
            }
            if self.used.contains(id)
                || self.calls.get(id).is_some()
                || calls[..at].iter().any(|earlier| earlier.id == *id)
            {
                return Err(self.rule(&format!("call id {id} was used before; mint a new one")));
            }
        }
        Ok(())
    }
}
