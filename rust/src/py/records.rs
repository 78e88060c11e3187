//! What stores and clients may learn from a record without loading its thread.

use crate::history;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Whether a header says that its thread rests with a problem that only a person ends.
#[pyfunction]
fn needs_a_person(header: &[u8]) -> PyResult<bool> {
    Ok(history::needs_a_person(header)?)
}

/// ``(thread, start, end)`` of every range of entries that loading this thread must read, ascending.
#[pyfunction]
fn live_ranges(header: &[u8]) -> PyResult<Vec<(String, i64, i64)>> {
    Ok(history::live_ranges(header)?)
}

/// ``(thread, start, end)`` of every range in which the thread's entries from ``start`` to ``end`` are, ascending.
#[pyfunction]
fn ranges(header: &[u8], start: i64, end: i64) -> PyResult<Vec<(String, i64, i64)>> {
    Ok(history::ranges(header, start, end)?)
}

/// The positions that a summary stands for; ``None`` for an entry of another kind.
#[pyfunction]
fn covered(record: &[u8]) -> PyResult<Option<(i64, i64)>> {
    Ok(history::covered(record)?)
}

/// ``{"kind", "at", "assistant": blocks, "user": blocks, "meta": {…}}`` of an entry record, for clients.
#[pyfunction]
fn entry_json<'py>(py: Python<'py>, record: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &history::entry_json(record)?))
}

/// The header as JSON, for clients and diagnosis.
#[pyfunction]
fn header_json<'py>(py: Python<'py>, header: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &history::header_json(header)?))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(live_ranges, module)?)?;
    module.add_function(wrap_pyfunction!(ranges, module)?)?;
    module.add_function(wrap_pyfunction!(covered, module)?)?;
    module.add_function(wrap_pyfunction!(needs_a_person, module)?)?;
    module.add_function(wrap_pyfunction!(entry_json, module)?)?;
    module.add_function(wrap_pyfunction!(header_json, module)?)
}
