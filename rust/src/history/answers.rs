//! How calls end or are let go: results, placeholders, late results (DESIGN 5.2).

use crate::error::Result;
use crate::history::blocks::{Blocks, check_object};
use crate::history::call::{Call, CallState};
use crate::history::entry::EntryKind;
use crate::history::events::Event;
use crate::history::thread::{Content, NO_META, Thread};
use crate::id::CallId;
use std::sync::Arc;

/// The end of a call.
pub struct Answer<'a> {
    /// Anything but `Planned`.
    pub state: CallState,
    pub blocks: &'a [u8],
    pub now: i64,
    /// The id of the event if the call is detached.
    pub event_id: &'a str,
    /// Sets `is_error` on the tool_result.
    pub error: bool,
    /// The call goes on as a subscription (RES-4).
    pub subscription: bool,
    pub meta: &'a [u8],
}

/// What an answer became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    Result,
    Event,
}

impl Thread {
    /// End an open call. The thread is pending once the last attached call of a turn is answered, unless all were cancelled.
    ///
    /// # Errors
    /// `Rule` if the call is not open, or it is detached and an attached call is open.
    pub fn answer(&mut self, id: &CallId, answer: Answer<'_>) -> Result<Answered> {
        let call = self.open_call(id)?;
        if answer.state == CallState::Planned {
            return Err(self.rule("an answer ends a call; it cannot leave it planned"));
        }
        if answer.subscription && answer.state != CallState::Answered {
            return Err(
                self.rule(&format!("call {id} cannot become a subscription by a {} answer", answer.state.name()))
            );
        }
        let became = if call.detached {
            self.answer_by_event(&call, &answer)?;
            Answered::Event
        } else {
            self.append_results(vec![id.clone()], answer.blocks, answer.error, answer.now, answer.meta)?;
            Answered::Result
        };
        self.calls.update(id, |call| {
            call.state = answer.state;
            call.subscription = answer.subscription;
        });
        self.header.pending |= answer.state != CallState::Cancelled;
        Ok(became)
    }

    /// Give an attached call a placeholder result and go on without it (L4).
    ///
    /// # Errors
    /// `Rule` if the call is not attached.
    pub fn detach(&mut self, id: &CallId, blocks: &[u8], now: i64) -> Result<()> {
        if self.open_call(id)?.detached {
            return Err(self.rule(&format!("call {id} is detached already")));
        }
        self.append_results(vec![id.clone()], blocks, false, now, NO_META)?;
        self.calls.update(id, |call| call.detached = true);
        Ok(())
    }

    /// An open call gets other arguments before it leaves. Its turn stays as the model said it.
    ///
    /// # Errors
    /// `Rule` if the call is not open; `Content` if the arguments are no JSON object.
    pub fn change_arguments(&mut self, id: &CallId, arguments: &[u8]) -> Result<()> {
        self.open_call(id)?;
        check_object(arguments, "the arguments of a call")?;
        self.calls.update(id, |call| call.arguments = arguments.into());
        self.touch();
        Ok(())
    }

    /// A detached open call is over; nothing enters history.
    ///
    /// # Errors
    /// `Rule` if the call is not open or not detached.
    pub fn cancel_detached(&mut self, id: &CallId) -> Result<()> {
        self.check_usable()?;
        match self.calls.get(id) {
            Some(call) if call.is_open() && call.detached => {}
            _ => return Err(self.rule(&format!("call {id} is not an open detached call"))),
        }
        self.calls.update(id, |call| call.state = CallState::Cancelled);
        self.touch();
        Ok(())
    }

    /// False if the call is not an active subscription (SUB-6, SUB-7).
    pub fn end_subscription(&mut self, id: &CallId) -> Result<bool> {
        self.check_usable()?;
        if !self.calls.get(id).is_some_and(|call| call.subscription) {
            return Ok(false);
        }
        self.calls.update(id, |call| call.subscription = false);
        self.touch();
        Ok(true)
    }

    fn open_call(&self, id: &CallId) -> Result<Arc<Call>> {
        self.check_not_closed()?;
        match self.calls.get(id) {
            Some(call) if call.is_open() => Ok(call.clone()),
            _ => Err(self.rule(&format!("call {id} is not open here; it has its answer, or never was"))),
        }
    }

    fn answer_by_event(&mut self, call: &Call, answer: &Answer<'_>) -> Result<()> {
        let event = Event {
            id: answer.event_id,
            tool: &call.tool,
            call: &call.id,
            arguments: &call.arguments,
            blocks: answer.blocks,
            now: answer.now,
            meta: answer.meta,
        };
        self.append_event(event, answer.error).map(drop)
    }

    /// The one result that each of these tool_use blocks gets, the same for all, in one entry. The caller has checked that they have none.
    pub(super) fn append_results(
        &mut self,
        calls: Vec<CallId>,
        blocks: &[u8],
        error: bool,
        now: i64,
        meta: &[u8],
    ) -> Result<()> {
        check_object(meta, "meta")?;
        let content = Blocks::returned(blocks)?;
        if calls.is_empty() {
            return Ok(());
        }
        self.append(Content {
            kind: EntryKind::Result,
            at: now,
            assistant: Blocks::default(),
            user: Blocks::tool_results(&calls, &content, error),
            calls,
            covers: None,
            meta,
        })
        .map(drop)
    }
}
