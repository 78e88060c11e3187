use super::message::PyMessage;
use crate::delta::{Delta, Spent, Used};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;

type Bytes<'py> = Bound<'py, PyBytes>;
type Tokens = (i64, i64, i64, i64);
type OutboxTuple<'py> = (String, String, String, Bytes<'py>, Option<String>);

/// One atomic commit as data (I6). Frozen.
#[pyclass(name = "Delta", module = "infinity._core", frozen)]
pub struct PyDelta(pub Arc<Delta>);

#[pymethods]
impl PyDelta {
    #[getter]
    fn thread(&self) -> &str {
        &self.0.thread
    }

    #[getter]
    fn root(&self) -> &str {
        &self.0.root
    }

    #[getter]
    fn parent(&self) -> Option<&str> {
        self.0.parent.as_deref()
    }

    #[getter]
    fn expected_version(&self) -> i64 {
        self.0.expected_version
    }

    #[getter]
    fn new_version(&self) -> i64 {
        self.0.new_version
    }

    #[getter]
    fn status(&self) -> &str {
        &self.0.status
    }

    /// It is not closed, and rests with a problem.
    #[getter]
    fn troubled(&self) -> bool {
        self.0.troubled
    }

    /// It rests with a problem that only a person ends.
    #[getter]
    fn needs_a_person(&self) -> bool {
        self.0.needs_a_person
    }

    #[getter]
    fn title(&self) -> &str {
        &self.0.title
    }

    #[getter]
    fn created_at(&self) -> i64 {
        self.0.created_at
    }

    #[getter]
    fn updated_at(&self) -> i64 {
        self.0.updated_at
    }

    #[getter]
    fn header<'py>(&self, py: Python<'py>) -> Bytes<'py> {
        PyBytes::new(py, &self.0.header)
    }

    #[getter]
    fn entries<'py>(&self, py: Python<'py>) -> Vec<(i64, Bytes<'py>)> {
        let pairs = self.0.entries.iter();
        pairs.map(|(position, record)| (*position, PyBytes::new(py, record))).collect()
    }

    /// id, state, subscription, tool, record.
    #[getter]
    fn calls<'py>(&self, py: Python<'py>) -> Vec<(String, String, bool, String, Bytes<'py>)> {
        let rows = self.0.calls.iter();
        rows.map(|row| {
            let record = PyBytes::new(py, &row.record);
            (row.id.to_string(), row.state.clone(), row.subscription, row.tool.clone(), record)
        })
        .collect()
    }

    /// seq, message id, outcome.
    #[getter]
    fn consumed(&self) -> Vec<(i64, String, String)> {
        let rows = self.0.consumed.iter();
        rows.map(|row| (row.seq, row.id.to_string(), row.outcome.clone())).collect()
    }

    /// Call id, message: early events that wait beside their call.
    #[getter]
    fn kept(&self, py: Python<'_>) -> PyResult<Vec<(String, Py<PyMessage>)>> {
        let rows = self.0.kept.iter();
        rows.map(|row| Ok((row.call.to_string(), Py::new(py, PyMessage(row.message.clone()))?))).collect()
    }

    /// Calls whose kept events are queued again.
    #[getter]
    fn released(&self) -> Vec<String> {
        self.0.released.iter().map(ToString::to_string).collect()
    }

    /// Calls whose kept events are discarded.
    #[getter]
    fn dropped(&self) -> Vec<String> {
        self.0.dropped.iter().map(ToString::to_string).collect()
    }

    /// Calls that end with this commit.
    #[getter]
    fn ended(&self) -> Vec<String> {
        self.0.ended.iter().map(ToString::to_string).collect()
    }

    /// How many failed attempts are forgotten.
    #[getter]
    fn attempts_cleared(&self) -> i64 {
        self.0.attempts_cleared
    }

    #[getter]
    fn children(&self) -> Vec<PyDelta> {
        self.0.children.iter().map(|child| PyDelta(Arc::new(child.clone()))).collect()
    }

    /// id, due_at, kind, body.
    #[getter]
    fn timers<'py>(&self, py: Python<'py>) -> Vec<(String, i64, String, Bytes<'py>)> {
        let rows = self.0.timers.iter();
        rows.map(|row| (row.id.clone(), row.due_at, row.kind.clone(), PyBytes::new(py, &row.body))).collect()
    }

    #[getter]
    fn timers_cancelled(&self) -> Vec<String> {
        self.0.timers_cancelled.clone()
    }

    /// key, kind, target, body, call id.
    #[getter]
    fn outbox<'py>(&self, py: Python<'py>) -> Vec<OutboxTuple<'py>> {
        let rows = self.0.outbox.iter();
        rows.map(|row| {
            let call = row.call.as_ref().map(ToString::to_string);
            (row.key.clone(), row.kind.clone(), row.target.clone(), PyBytes::new(py, &row.body), call)
        })
        .collect()
    }

    #[getter]
    fn outbox_cancelled(&self) -> Vec<String> {
        self.0.outbox_cancelled.clone()
    }

    /// thread, id, kind, body.
    #[getter]
    fn sends<'py>(&self, py: Python<'py>) -> Vec<(String, String, String, Bytes<'py>)> {
        let rows = self.0.sends.iter();
        rows.map(|row| (row.thread.to_string(), row.id.to_string(), row.kind.clone(), PyBytes::new(py, &row.body)))
            .collect()
    }

    /// id, kind, body.
    #[getter]
    fn prompts<'py>(&self, py: Python<'py>) -> Vec<(String, String, Bytes<'py>)> {
        let rows = self.0.prompts.iter();
        rows.map(|row| (row.id.clone(), row.kind.clone(), PyBytes::new(py, &row.body))).collect()
    }

    #[getter]
    fn prompts_closed(&self) -> Vec<String> {
        self.0.prompts_closed.clone()
    }

    /// position, kind, JSON.
    #[getter]
    fn feed<'py>(&self, py: Python<'py>) -> Vec<(i64, String, Bytes<'py>)> {
        let rows = self.0.feed.iter();
        rows.map(|(position, kind, body)| (*position, kind.clone(), PyBytes::new(py, body))).collect()
    }

    /// model, turns, tokens by kind, microdollars of this thread's turns in this delta; children carry their own.
    #[getter]
    fn used(&self) -> Vec<(String, i64, Tokens, i64)> {
        let row = |used: &Used| (used.model.clone(), used.turns, used.tokens.into(), used.cost);
        self.0.used.iter().map(row).collect()
    }

    /// Tokens and microdollars of this thread's turns in this delta; children carry their own.
    #[getter]
    fn spent(&self) -> (i64, i64) {
        let Spent { tokens, cost } = self.0.spent;
        (tokens, cost)
    }

    /// Bytes of all records and bodies, children included.
    fn size(&self) -> usize {
        self.0.size()
    }

    fn __repr__(&self) -> String {
        let delta = &self.0;
        format!(
            "Delta(thread={:?}, version={}→{}, status={:?}, size={})",
            delta.thread,
            delta.expected_version,
            delta.new_version,
            delta.status,
            delta.size()
        )
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyDelta>()
}
