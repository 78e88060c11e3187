use crate::id::{MessageId, ThreadId};
use crate::message::Message;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// One message for one thread. Frozen, hashable by identity.
#[pyclass(name = "Message", module = "infinity._core", frozen)]
pub struct PyMessage(pub Message);

#[pymethods]
impl PyMessage {
    #[new]
    #[pyo3(signature = (thread, id, kind, body, *, seq = 0, accepted_at = 0))]
    fn new(thread: &str, id: &str, kind: &str, body: &[u8], seq: i64, accepted_at: i64) -> Self {
        Self(Message {
            thread: ThreadId::from(thread),
            id: MessageId::from(id),
            kind: kind.into(),
            body: body.into(),
            seq,
            accepted_at,
        })
    }

    #[getter]
    fn thread(&self) -> &str {
        self.0.thread.as_str()
    }

    #[getter]
    fn id(&self) -> &str {
        self.0.id.as_str()
    }

    #[getter]
    fn kind(&self) -> &str {
        &self.0.kind
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.body)
    }

    #[getter]
    fn seq(&self) -> i64 {
        self.0.seq
    }

    #[getter]
    fn accepted_at(&self) -> i64 {
        self.0.accepted_at
    }

    fn __repr__(&self) -> String {
        let Message { thread, id, kind, body, seq, .. } = &self.0;
        // Never the body: it may hold what must not be logged (trap S9).
        format!("Message(thread={thread:?}, id={id:?}, kind={kind:?}, body=<{} bytes>, seq={seq})", body.len())
    }
}

pub fn list(py: Python<'_>, messages: Vec<Message>) -> PyResult<Vec<Py<PyMessage>>> {
    messages.into_iter().map(|message| Py::new(py, PyMessage(message))).collect()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyMessage>()
}
