//! What may be done to a thread: the second half of its class, method by method what `history` decides.

use super::call::PyCall;
use super::message::PyMessage;
use super::thread::{NO_META, PyThread, UsageTuple};
use crate::delta::{OutboxRow, PromptRow, SendRow, TimerRow};
use crate::error::Error;
use crate::history::{Answer, Answered, CallState, Event, Plan, Spending, Thread, Usage};
use crate::id::CallId;
use pyo3::prelude::*;
use std::sync::Arc;

#[pymethods]
impl PyThread {
    /// Take a message out of the inbox with this commit.
    #[pyo3(signature = (message, outcome = "applied"))]
    fn consume(&self, message: &Bound<'_, PyMessage>, outcome: &str) -> PyResult<()> {
        self.with(|thread| thread.consume(&message.get().0, outcome))
    }

    /// Failed attempts on record since the last turn that was bought.
    #[getter]
    fn attempts(&self) -> PyResult<i64> {
        self.read(Thread::attempts)
    }

    /// What ``record_attempt`` of the store returned.
    fn attempted(&self, count: i64) -> PyResult<()> {
        self.with(|thread| {
            thread.attempted(count);
            Ok(())
        })
    }

    /// The next commit forgets the failed attempts.
    fn clear_attempts(&self) -> PyResult<()> {
        self.with(Thread::clear_attempts)
    }

    /// True if an event of this call has to be kept.
    fn early(&self, call_id: &str) -> PyResult<bool> {
        self.read(|thread| thread.early(&call_id.into()))
    }

    /// An early event waits beside its call.
    fn keep(&self, message: &Bound<'_, PyMessage>, call_id: &str) -> PyResult<()> {
        self.with(|thread| thread.keep(&message.get().0, &call_id.into()))
    }

    /// A user entry; returns its position.
    #[pyo3(
        signature = (blocks, *, now, actor = None, meta = NO_META),
        text_signature = "($self, blocks, *, now, actor=None, meta=b'{}')"
    )]
    fn add_user(&self, blocks: &[u8], now: i64, actor: Option<&str>, meta: &[u8]) -> PyResult<i64> {
        self.with(|thread| thread.add_user(blocks, now, actor, meta))
    }

    /// What the model produced.
    #[pyo3(
        signature = (blocks, calls, *, now, usage = (0, 0, 0, 0), cost = 0, meta = NO_META),
        text_signature = "($self, blocks, calls, *, now, usage=(0, 0, 0, 0), cost=0, meta=b'{}')"
    )]
    fn add_turn(
        &self,
        blocks: &[u8],
        calls: Vec<Bound<'_, PyCall>>,
        now: i64,
        usage: UsageTuple,
        cost: i64,
        meta: &[u8],
    ) -> PyResult<i64> {
        let calls = calls.iter().map(|call| (*call.get().0).clone()).collect();
        let spending = Spending { usage: Usage(usage.into()), cost };
        self.with(|thread| thread.add_turn(blocks, calls, now, spending, meta))
    }

    /// A row for ``add_turn``; changes nothing by itself.
    #[pyo3(signature = (id, *, provider_id, tool, toolset, arguments, deadline, user_id))]
    #[expect(clippy::too_many_arguments, reason = "the parameters of the Python method")]
    fn plan_call(
        &self,
        id: &str,
        provider_id: &str,
        tool: &str,
        toolset: &str,
        arguments: &[u8],
        deadline: Option<i64>,
        user_id: Option<&str>,
    ) -> PyResult<PyCall> {
        let plan = Plan { id: id.into(), provider_id, tool, toolset, arguments, deadline, user_id };
        self.with(|thread| thread.plan_call(plan)).map(|call| PyCall(Arc::new(call)))
    }

    /// End an open call: ``"result"`` if it was attached, ``"event"`` if it was detached.
    #[pyo3(
        signature = (call_id, blocks, *, now, event_id, state = "answered", error = false, subscription = false, meta = NO_META),
        text_signature = "($self, call_id, blocks, *, now, event_id, state='answered', error=False, subscription=False, meta=b'{}')"
    )]
    #[expect(clippy::too_many_arguments, reason = "the parameters of the Python method")]
    fn answer(
        &self,
        call_id: &str,
        blocks: &[u8],
        now: i64,
        event_id: &str,
        state: &str,
        error: bool,
        subscription: bool,
        meta: &[u8],
    ) -> PyResult<&'static str> {
        let state = CallState::ending(state)
            .ok_or_else(|| Error::Rule(format!("a call cannot end as {state:?}; use answered, failed or cancelled")))?;
        let answer = Answer { state, blocks, now, event_id, error, subscription, meta };
        let answered = self.with(|thread| thread.answer(&call_id.into(), answer))?;
        Ok(match answered {
            Answered::Result => "result",
            Answered::Event => "event",
        })
    }

    /// Give an attached call a placeholder result and go on without it (L4).
    #[pyo3(signature = (call_id, blocks, *, now))]
    fn detach(&self, call_id: &str, blocks: &[u8], now: i64) -> PyResult<()> {
        self.with(|thread| thread.detach(&call_id.into(), blocks, now))
    }

    /// An open call gets other arguments; its turn stays as it was said.
    fn change_arguments(&self, call_id: &str, arguments: &[u8]) -> PyResult<()> {
        self.with(|thread| thread.change_arguments(&call_id.into(), arguments))
    }

    /// A detached open call becomes ``cancelled``; nothing enters history.
    fn cancel_detached(&self, call_id: &str) -> PyResult<()> {
        self.with(|thread| thread.cancel_detached(&call_id.into()))
    }

    /// A synthetic call of ``receive_event__injected`` and its result (SUB-2).
    #[pyo3(
        signature = (event_id, *, tool, call_id, arguments, blocks, now, meta = NO_META),
        text_signature = "($self, event_id, *, tool, call_id, arguments, blocks, now, meta=b'{}')"
    )]
    #[expect(clippy::too_many_arguments, reason = "the parameters of the Python method")]
    fn add_event(
        &self,
        event_id: &str,
        tool: &str,
        call_id: &str,
        arguments: &[u8],
        blocks: &[u8],
        now: i64,
        meta: &[u8],
    ) -> PyResult<i64> {
        let event = Event { id: event_id, tool, call: &call_id.into(), arguments, blocks, now, meta };
        self.with(|thread| thread.add_event(event))
    }

    /// False if it is not an active subscription.
    fn end_subscription(&self, call_id: &str) -> PyResult<bool> {
        self.with(|thread| thread.end_subscription(&call_id.into()))
    }

    /// The widest ``[start, end)`` that a summary may cover while at least the last ``keep`` entries stay.
    fn summary_range(&self, keep: usize) -> PyResult<Option<(i64, i64)>> {
        self.read(|thread| thread.summary_range(keep))
    }

    /// Replace ``[start, end)`` in what is rendered.
    #[pyo3(
        signature = (start, end, blocks, *, now, meta = NO_META),
        text_signature = "($self, start, end, blocks, *, now, meta=b'{}')"
    )]
    fn add_summary(&self, start: i64, end: i64, blocks: &[u8], now: i64, meta: &[u8]) -> PyResult<()> {
        self.with(|thread| thread.add_summary(start, end, blocks, now, meta))
    }

    fn set_timer(&self, id: &str, due_at: i64, kind: &str, body: &[u8]) -> PyResult<()> {
        let timer = TimerRow { id: id.into(), due_at, kind: kind.into(), body: body.into() };
        self.with(|thread| thread.set_timer(timer))
    }

    fn cancel_timer(&self, id: &str) -> PyResult<()> {
        self.with(|thread| thread.cancel_timer(id))
    }

    #[pyo3(signature = (key, kind, target, body, call_id = None))]
    fn plan_outbox(&self, key: &str, kind: &str, target: &str, body: &[u8], call_id: Option<&str>) -> PyResult<()> {
        let row = OutboxRow {
            key: key.into(),
            kind: kind.into(),
            target: target.into(),
            body: body.into(),
            call: call_id.map(CallId::from),
        };
        self.with(|thread| thread.plan_outbox(row))
    }

    fn cancel_outbox(&self, key: &str) -> PyResult<()> {
        self.with(|thread| thread.cancel_outbox(key))
    }

    /// A message to another thread, durable with this commit.
    fn send(&self, thread: &str, id: &str, kind: &str, body: &[u8]) -> PyResult<()> {
        let row = SendRow { thread: thread.into(), id: id.into(), kind: kind.into(), body: body.into() };
        self.with(|thread| thread.send(row))
    }

    fn open_prompt(&self, id: &str, kind: &str, body: &[u8]) -> PyResult<()> {
        let prompt = PromptRow { id: id.into(), kind: kind.into(), body: body.into() };
        self.with(|thread| thread.open_prompt(prompt))
    }

    fn close_prompt(&self, id: &str) -> PyResult<()> {
        self.with(|thread| thread.close_prompt(id))
    }

    /// Append to the durable event stream (JSON), beside the ``entry`` rows that every new entry adds by itself.
    fn note(&self, kind: &str, body: &[u8]) -> PyResult<()> {
        self.with(|thread| thread.note(kind, body))
    }

    fn set_model(&self, model: &str) -> PyResult<()> {
        self.with(|thread| thread.set_model(model))
    }

    fn set_title(&self, title: &str) -> PyResult<()> {
        self.with(|thread| thread.set_title(title))
    }

    fn set_actor(&self, actor: Option<&str>) -> PyResult<()> {
        self.with(|thread| thread.set_actor(actor))
    }

    fn set_problem(&self, text: Option<&str>) -> PyResult<()> {
        self.with(|thread| thread.set_problem(text))
    }

    fn set_memo(&self, memo: &[u8]) -> PyResult<()> {
        self.with(|thread| thread.set_memo(memo))
    }

    fn set_stopped(&self, stopped: bool) -> PyResult<()> {
        self.with(|thread| thread.set_stopped(stopped))
    }

    /// Force the flag (an interrupt takes the reason to speak away; a retry gives it back).
    fn set_pending(&self, pending: bool) -> PyResult<()> {
        self.with(|thread| thread.set_pending(pending))
    }

    /// ``rule`` if an attached call is open.
    fn close(&self) -> PyResult<()> {
        self.with(Thread::close)
    }

    /// Undo ``close`` of a root.
    fn reopen(&self) -> PyResult<()> {
        self.with(Thread::reopen)
    }
}
