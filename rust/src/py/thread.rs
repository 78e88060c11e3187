use super::call::{self, PyCall};
use super::delta::PyDelta;
use super::snapshot::PySnapshot;
use crate::error::Result;
use crate::history::{Branch, Fork, Shared, Thread, lock};
use crate::id::CallId;
use crate::render::{Place, RenderOptions, Simpler};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Arc, Mutex};

pub(super) type UsageTuple = (i64, i64, i64, i64);

pub(super) const NO_META: &[u8] = b"{}";

/// A thread's state and its rules. Changes gather until ``delta`` and become permanent with ``committed``.
#[pyclass(name = "Thread", module = "infinity._core", frozen)]
pub struct PyThread(Shared);

impl PyThread {
    fn own(thread: Thread) -> Self {
        Self(Arc::new(Mutex::new(thread)))
    }

    /// One operation under the lock. It never touches Python, so it cannot wait for the GIL while it holds the lock.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Thread) -> Result<T>) -> PyResult<T> {
        Ok(lock(&self.0).and_then(|mut thread| work(&mut thread))?)
    }

    pub(super) fn read<T>(&self, work: impl FnOnce(&Thread) -> T) -> PyResult<T> {
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

    /// The thread as it was just before the entry at ``position``, to be looked at only.
    #[staticmethod]
    fn past(py: Python<'_>, header: Vec<u8>, position: i64, entries: Vec<(i64, Vec<u8>)>) -> PyResult<Self> {
        Ok(Self::own(py.detach(|| Thread::past(&header, position, &entries))?))
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

    /// A thread of the same tree that goes on from here by itself; its own delta brings it into being.
    #[pyo3(signature = (id, *, now, origin, seed, title = "", model = None))]
    fn branch(
        &self,
        id: &str,
        now: i64,
        origin: &[u8],
        seed: &[u8],
        title: &str,
        model: Option<&str>,
    ) -> PyResult<Self> {
        let branch = Branch { id: id.into(), now, origin, seed, title, model };
        self.with(|thread| thread.branch(branch)).map(Self::own)
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
        self.read(|thread| PyBytes::new(py, &thread.header().memo))
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

    /// About how much the next commit changes: rows and bytes, children included.
    fn staged(&self) -> PyResult<(usize, usize)> {
        self.with(|thread| thread.staged())
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
