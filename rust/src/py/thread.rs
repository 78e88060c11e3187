use super::call::{self, PyCall};
use super::delta::PyDelta;
use super::message::PyMessage;
use super::snapshot::PySnapshot;
use crate::delta::{OutboxRow, PromptRow, SendRow, TimerRow};
use crate::error::{Error, Result};
use crate::history::{Answer, Answered, CallState, Event, Fork, Plan, Shared, Spending, Thread, Usage, lock};
use crate::id::CallId;
use crate::render::{Place, RenderOptions, Simpler};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Arc, Mutex};

type UsageTuple = (i64, i64, i64, i64);

const NO_META: &[u8] = b"{}";

/// A thread's state and its rules. Changes gather until ``delta`` and become permanent with ``committed``.
#[pyclass(name = "Thread", module = "infinity._core", frozen)]
pub struct PyThread(Shared);

impl PyThread {
    fn own(thread: Thread) -> Self {
        Self(Arc::new(Mutex::new(thread)))
    }

    /// One operation under the lock. It never touches Python, so it cannot wait for the GIL while it holds the lock.
    fn with<T>(&self, work: impl FnOnce(&mut Thread) -> Result<T>) -> PyResult<T> {
        Ok(lock(&self.0).and_then(|mut thread| work(&mut thread))?)
    }

    fn read<T>(&self, work: impl FnOnce(&Thread) -> T) -> PyResult<T> {
        self.with(|thread| Ok(work(thread)))
    }
}

#[pymethods]
impl PyThread {
    /// A new root thread, version 0. ``seed``: blocks of a first user entry that tells the thread its identity.
    #[staticmethod]
    #[pyo3(signature = (id, *, now, model, title = "", seed = None))]
    fn create(id: &str, now: i64, model: &str, title: &str, seed: Option<&[u8]>) -> PyResult<Self> {
        Ok(Self::own(Thread::create(id.into(), now, model, title, seed)?))
    }

    #[staticmethod]
    fn load(py: Python<'_>, snapshot: &Bound<'_, PySnapshot>) -> PyResult<Self> {
        let snapshot = &snapshot.get().0;
        Ok(Self::own(py.detach(|| Thread::load(snapshot))?))
    }

    /// A child that inherits this thread's entries up to now by reference, never by copy.
    #[pyo3(signature = (id, *, now, origin, placeholder, seed_call = None, seed = None, model = None, upto = None))]
    #[expect(clippy::too_many_arguments, reason = "the parameters of the Python method")]
    fn fork(
        &self,
        id: &str,
        now: i64,
        origin: &[u8],
        placeholder: &[u8],
        seed_call: Option<&str>,
        seed: Option<&[u8]>,
        model: Option<&str>,
        upto: Option<i64>,
    ) -> PyResult<Self> {
        let seed_call = seed_call.map(CallId::from);
        let fork = Fork { id: id.into(), now, origin, placeholder, seed_call: seed_call.as_ref(), seed, model, upto };
        self.with(|thread| thread.fork(fork)).map(Self)
    }

    #[getter]
    fn id(&self) -> PyResult<String> {
        self.read(|thread| thread.header().id.to_string())
    }

    #[getter]
    fn root(&self) -> PyResult<String> {
        self.read(|thread| thread.header().root().to_string())
    }

    #[getter]
    fn parent(&self) -> PyResult<Option<String>> {
        self.read(|thread| thread.header().parent().map(ToString::to_string))
    }

    #[getter]
    fn memo<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let memo = self.read(|thread| thread.header().memo.clone())?;
        Ok(PyBytes::new(py, &memo))
    }

    /// Root → parent; empty for a root.
    #[getter]
    fn ancestors(&self) -> PyResult<Vec<String>> {
        self.read(|thread| thread.header().ancestors.iter().map(ToString::to_string).collect())
    }

    #[getter]
    fn origin<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let origin = self.read(|thread| thread.header().origin.clone())?;
        Ok(origin.map(|json| PyBytes::new(py, &json)))
    }

    /// Of the last commit; 0 before the first.
    #[getter]
    fn version(&self) -> PyResult<i64> {
        self.read(|thread| thread.header().version)
    }

    #[getter]
    fn model(&self) -> PyResult<String> {
        self.read(|thread| thread.header().model.clone())
    }

    #[getter]
    fn title(&self) -> PyResult<String> {
        self.read(|thread| thread.header().title.clone())
    }

    #[getter]
    fn created_at(&self) -> PyResult<i64> {
        self.read(|thread| thread.header().created_at)
    }

    /// ``idle`` | ``waiting`` | ``stopped`` | ``closed``.
    #[getter]
    fn status(&self) -> PyResult<&'static str> {
        self.read(|thread| thread.status().name())
    }

    /// Something was added for the model that no turn has followed yet, and no attached call is open.
    #[getter]
    fn pending(&self) -> PyResult<bool> {
        self.read(Thread::pending)
    }

    /// The absolute position that the next entry gets.
    #[getter]
    fn position(&self) -> PyResult<i64> {
        self.read(|thread| thread.header().position)
    }

    /// The last error that the user should know of.
    #[getter]
    fn problem(&self) -> PyResult<Option<String>> {
        self.read(|thread| thread.header().problem.clone())
    }

    /// How many children this thread has created so far.
    #[getter]
    fn children(&self) -> PyResult<i64> {
        self.read(|thread| thread.header().children)
    }

    /// Tokens so far: input, output, cache read, cache write.
    #[getter]
    fn usage(&self) -> PyResult<UsageTuple> {
        self.read(|thread| thread.header().usage.0.into())
    }

    /// Microdollars so far.
    #[getter]
    fn cost(&self) -> PyResult<i64> {
        self.read(|thread| thread.header().cost)
    }

    /// Tokens of the last completion, cached input included: the size of the context now.
    #[getter]
    fn context_tokens(&self) -> PyResult<i64> {
        self.read(|thread| thread.header().context_tokens)
    }

    /// The user whose message was folded in last.
    #[getter]
    fn answered(&self) -> PyResult<bool> {
        self.read(Thread::answered)
    }

    #[getter]
    fn actor(&self) -> PyResult<Option<String>> {
        self.read(|thread| thread.header().actor.clone())
    }

    /// How many entries the next request renders.
    fn live_entries(&self) -> PyResult<usize> {
        self.read(Thread::live_entries)
    }

    /// Bytes of the records of these entries.
    fn live_bytes(&self) -> PyResult<usize> {
        self.read(Thread::live_bytes)
    }

    /// Open calls (planned or sent, attached or detached), oldest first.
    fn calls(&self) -> PyResult<Vec<PyCall>> {
        self.read(|thread| call::list(thread.calls()))
    }

    /// Open calls of the last turn that have no result or placeholder yet.
    fn attached(&self) -> PyResult<Vec<PyCall>> {
        self.read(|thread| call::list(thread.attached()))
    }

    fn subscriptions(&self) -> PyResult<Vec<PyCall>> {
        self.read(|thread| call::list(thread.subscriptions()))
    }

    /// A call of this thread that is open, subscribed, or changed since the load.
    fn call(&self, id: &str) -> PyResult<Option<PyCall>> {
        self.read(|thread| thread.call(&id.into()).map(|call| PyCall(call.clone())))
    }

    fn seen(&self, message_id: &str) -> PyResult<bool> {
        self.read(|thread| thread.seen(message_id))
    }

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

    /// The request's ``messages`` array from stored bytes.
    #[pyo3(
        signature = (*, images = true, documents = true, breakpoints = 2, simpler = NO_META),
        text_signature = "($self, *, images=True, documents=True, breakpoints=2, simpler=b'{}')"
    )]
    fn render<'py>(
        &self,
        py: Python<'py>,
        images: bool,
        documents: bool,
        breakpoints: usize,
        simpler: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let options = RenderOptions { images, documents, breakpoints, simpler: Simpler::read(simpler)? };
        let thread = lock(&self.0)?;
        let request = thread.request(&options)?;
        // Written in place, because a copy of a long history costs more than all else here. Making bytes runs no Python code, so the
        // lock is held for no longer than the writing takes.
        PyBytes::new_with(py, request.size(), |buffer| {
            request.write(buffer);
            Ok(())
        })
    }

    /// The block that a refusal names by message and block: position of its entry, whether it is the user's, its number there.
    #[pyo3(
        signature = (message, block, *, images = true, documents = true, simpler = NO_META),
        text_signature = "($self, message, block, *, images=True, documents=True, simpler=b'{}')"
    )]
    fn place(
        &self,
        message: usize,
        block: usize,
        images: bool,
        documents: bool,
        simpler: &[u8],
    ) -> PyResult<Option<(i64, bool, usize)>> {
        let options = RenderOptions { images, documents, breakpoints: 0, simpler: Simpler::read(simpler)? };
        let place = self.with(|thread| Ok(thread.request(&options)?.place(message, block)))?;
        Ok(place.map(|Place(position, user, index)| (position, user, index)))
    }

    /// How much the next request tells the model for the first time, in characters; an image counts as what it shows.
    fn unanswered_weight(&self) -> PyResult<usize> {
        self.read(Thread::unanswered_weight)
    }

    /// To how many characters each text must be shortened so that the history has at most ``most``; ``None`` if it has.
    fn longest_text(&self, most: usize) -> PyResult<Option<usize>> {
        self.with(|thread| thread.longest_text(most))
    }

    /// True if ``delta`` would carry anything.
    fn changed(&self) -> PyResult<bool> {
        self.read(Thread::changed)
    }

    /// Everything since the last commit. Calling it again without changes gives the same.
    fn delta(&self, now: i64) -> PyResult<PyDelta> {
        self.with(|thread| thread.delta(now)).map(PyDelta)
    }

    /// The last delta is durable: take its version and start afresh.
    fn committed(&self) -> PyResult<()> {
        self.with(Thread::committed)
    }

    fn __repr__(&self) -> PyResult<String> {
        self.read(|thread| {
            let header = thread.header();
            let status = thread.status().name();
            format!(
                "Thread(id={:?}, version={}, status={status:?}, position={})",
                header.id, header.version, header.position
            )
        })
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyThread>()
}
