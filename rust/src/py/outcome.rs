//! What the journal answers, as Python objects.

use super::message::{self, PyMessage};
use super::snapshot::PySnapshot;
use crate::delta::Spent;
use crate::error::Result;
use crate::history::Snapshot;
use crate::journal::value::{
    Accepted, AttentionRow, CallRow, Condemned, DiscardRow, FeedRow, Generation, Imported, Loaded, Log, LogRow,
    OutboxRow, PromptRow, ThreadRow, TimerRow, Tombstone, UsageRow,
};
use crate::journal::{Ticket, Value};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// Ticket, value, error.
pub type Outcome = (Ticket, Py<PyAny>, Option<PyErr>);

pub fn from(py: Python<'_>, ticket: Ticket, result: Result<Value>) -> PyResult<Outcome> {
    match result {
        Ok(value) => Ok((ticket, object(py, value)?, None)),
        Err(error) => Ok((ticket, py.None(), Some(error.into()))),
    }
}

fn object(py: Python<'_>, value: Value) -> PyResult<Py<PyAny>> {
    let bytes = |bytes: &[u8]| PyBytes::new(py, bytes).unbind();
    match value {
        Value::Nothing => Ok(py.None()),
        Value::Flag(flag) => flag.into_py_any(py),
        Value::Accepted(accepted) => acceptance(py, accepted),
        Value::Messages(messages) => message::list(py, messages)?.into_py_any(py),
        Value::Loaded(loaded) => loaded.map(snapshot).into_py_any(py),
        Value::Integer(integer) => integer.into_py_any(py),
        Value::Bytes(value) => value.map(|value| bytes(&value)).into_py_any(py),
        Value::Text(value) => value.into_py_any(py),
        Value::Thread(row) => row.map(|row| thread(py, row)).transpose()?.into_py_any(py),
        Value::Threads(rows) => {
            rows.into_iter().map(|row| thread(py, row)).collect::<PyResult<Vec<_>>>()?.into_py_any(py)
        }
        Value::Outbox(rows) => each(py, rows, |row| {
            let OutboxRow { key, kind, target, body, call, thread, attempts, due_at, trouble } = row;
            (key, kind, target, bytes(&body), call, thread, attempts, due_at, trouble)
        }),
        Value::Entries(rows) => each(py, rows, |(position, record)| (position, bytes(&record))),
        Value::Feed(rows) => each(py, rows, |FeedRow { position, kind, body, record }| {
            (position, kind, bytes(&body), record.map(|record| bytes(&record)))
        }),
        Value::Call(row) => row.map(|(record, state)| (bytes(&record), state)).into_py_any(py),
        Value::Calls(rows) => each(py, rows, |(record, state)| (bytes(&record), state)),
        Value::CallRows(rows) => each(py, rows, |row| {
            let CallRow { number, record, state, sent_at, ended_at, attempts, due_at, trouble } = row;
            (number, bytes(&record), state, sent_at, ended_at, attempts, due_at, trouble)
        }),
        Value::Prompts(rows) => each(py, rows, |PromptRow { id, thread, kind, body }| (id, thread, kind, bytes(&body))),
        Value::Attention(rows) => {
            each(py, rows, |AttentionRow { thread, root, reason, since }| (thread, root, reason, since))
        }
        Value::Usage(rows) => {
            each(py, rows, |UsageRow { day, model, root, thread, sums: [turns, input, output, read, write, cost] }| {
                (day, model, root, thread, turns, input, output, read, write, cost)
            })
        }
        Value::Log(Log { oldest, newest, rows }) => {
            let row = |LogRow { seq, thread, root, first, last, at }| (seq, thread, root, first, last, at);
            (oldest, newest, rows.into_iter().map(row).collect::<Vec<_>>()).into_py_any(py)
        }
        Value::Timers(rows) => {
            each(py, rows, |TimerRow { id, thread, due_at, kind, body }| (id, thread, due_at, kind, bytes(&body)))
        }
        Value::Views(rows) => each(py, rows, |(view_type, content)| (view_type, bytes(&content))),
        Value::Discards(rows) => rows.into_py_any(py),
        Value::AllDiscards(rows) => {
            each(py, rows, |DiscardRow { number, thread, message, reason, at }| (number, thread, message, reason, at))
        }
        Value::Spent(Spent { tokens, cost }) => (tokens, cost).into_py_any(py),
        Value::Imported(Imported { root, messages, outbox, next_timer, replaced, copy }) => {
            let dict = PyDict::new(py);
            dict.set_item("root", root)?;
            dict.set_item("messages", message::list(py, messages)?)?;
            dict.set_item("outbox", outbox)?;
            dict.set_item("next_timer", next_timer)?;
            dict.set_item("replaced", replaced)?;
            dict.set_item("copy", copy)?;
            Ok(dict.into_any().unbind())
        }
        Value::Examined(found) => super::journal::examined(&found).into_py_any(py),
        Value::Generation(Generation { number, .. }, departed) => (number, departed).into_py_any(py),
        Value::Condemned(Condemned { threads, calls }) => (threads, calls).into_py_any(py),
        Value::Tombstone(found) => {
            found.map(|Tombstone { id, root, at, discarded }| (id, root, at, discarded)).into_py_any(py)
        }
        Value::Roots(roots) => roots.into_py_any(py),
        Value::Closed(rows) => rows.into_py_any(py),
        Value::Notes(rows) => rows.into_py_any(py),
        Value::Counts(counts) => {
            let dict = PyDict::new(py);
            for (table, rows) in counts {
                dict.set_item(table, rows)?;
            }
            Ok(dict.into_any().unbind())
        }
    }
}

fn each<'py, R, T: IntoPyObject<'py>>(py: Python<'py>, rows: Vec<R>, tuple: impl FnMut(R) -> T) -> PyResult<Py<PyAny>> {
    rows.into_iter().map(tuple).collect::<Vec<T>>().into_py_any(py)
}

fn acceptance(py: Python<'_>, accepted: Accepted) -> PyResult<Py<PyAny>> {
    let status = accepted.status();
    let message = match accepted {
        Accepted::Yes(message) => Some(Py::new(py, PyMessage(message))?),
        _ => None,
    };
    (status, message).into_py_any(py)
}

fn snapshot(loaded: Loaded) -> PySnapshot {
    let Loaded { header, entries, calls, seen, attempts, kept } = loaded;
    PySnapshot(Snapshot { header, entries, calls, seen, attempts, kept })
}

fn thread(py: Python<'_>, row: ThreadRow) -> PyResult<Py<PyAny>> {
    let ThreadRow { id, root, parent, status, title, version, created_at, updated_at, header } = row;
    let header = PyBytes::new(py, &header);
    (id, root, parent, status, title, version, created_at, updated_at, header).into_py_any(py)
}
