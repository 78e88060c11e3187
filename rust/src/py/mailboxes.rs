use super::message::{self, PyMessage};
use super::wake::PyWake;
use crate::id::ThreadId;
use crate::mailbox::{Batch, Mailboxes, Ring};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::Arc;

/// A thread's whole queue at the moment it was taken, in arrival order. Frozen.
#[pyclass(name = "Batch", module = "infinity._core", frozen)]
pub struct PyBatch {
    thread: ThreadId,
    messages: Vec<Py<PyMessage>>,
}

impl PyBatch {
    fn from(py: Python<'_>, batch: Batch) -> PyResult<Self> {
        Ok(Self { thread: batch.thread, messages: message::list(py, batch.messages)? })
    }
}

#[pymethods]
impl PyBatch {
    #[getter]
    fn thread(&self) -> &str {
        self.thread.as_str()
    }

    #[getter]
    fn messages<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.messages.iter().map(|message| message.clone_ref(py)))
    }

    fn __repr__(&self) -> String {
        format!("Batch(thread={:?}, messages=<{}>)", self.thread, self.messages.len())
    }
}

/// Per-thread FIFO channels. Many senders on any OS thread; one taker per thread at a time.
#[pyclass(name = "Mailboxes", module = "infinity._core", frozen)]
pub struct PyMailboxes(Mailboxes);

#[pymethods]
impl PyMailboxes {
    #[new]
    #[pyo3(signature = (wake = None, *, capacity = 10_000))]
    fn new(wake: Option<&Bound<'_, PyWake>>, capacity: usize) -> Self {
        let ring: Ring = match wake {
            None => Arc::new(|| {}),
            Some(wake) => {
                let wake = Arc::clone(&wake.get().0);
                Arc::new(move || wake.signal())
            }
        };
        Self(Mailboxes::new(ring, capacity))
    }

    /// Append; false if a message with this thread and id is queued or taken already.
    fn put(&self, message: &Bound<'_, PyMessage>) -> PyResult<bool> {
        Ok(self.0.put(message.get().0.clone())?)
    }

    /// Messages that were put aside: to the front, in order, even if the taken batch holds them.
    fn give_back(&self, thread: &str, messages: Vec<Bound<'_, PyMessage>>) {
        let messages = messages.iter().map(|message| message.get().0.clone()).collect();
        self.0.give_back(&ThreadId::from(thread), messages);
    }

    /// The longest-ready thread with its whole queue, exclusively, until ``release``; ``None`` if none is ready.
    fn take(&self, py: Python<'_>) -> PyResult<Option<PyBatch>> {
        self.0.take().map(|batch| PyBatch::from(py, batch)).transpose()
    }

    /// The same for one thread; ``None`` if it has nothing queued or is taken.
    fn take_thread(&self, py: Python<'_>, thread: &str) -> PyResult<Option<PyBatch>> {
        self.0.take_thread(&ThreadId::from(thread)).map(|batch| PyBatch::from(py, batch)).transpose()
    }

    /// What has arrived for a taken thread since; appended to its batch.
    fn more(&self, py: Python<'_>, thread: &str) -> PyResult<Vec<Py<PyMessage>>> {
        message::list(py, self.0.more(&ThreadId::from(thread)))
    }

    /// End the taking. ``keep``: the batch goes back to the front, in order.
    #[pyo3(signature = (thread, *, keep = false))]
    fn release(&self, thread: &str, keep: bool) {
        self.0.release(&ThreadId::from(thread), keep);
    }

    /// How many messages wait (not counting a taken batch).
    fn queued(&self, thread: &str) -> usize {
        self.0.queued(&ThreadId::from(thread))
    }

    fn taken(&self, thread: &str) -> bool {
        self.0.taken(&ThreadId::from(thread))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyBatch>()?;
    module.add_class::<PyMailboxes>()
}
