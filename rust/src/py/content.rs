use crate::content::{self, Sender};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::borrow::Cow;

/// Content blocks as history takes them, and what was changed in words (I11). ``bad_request`` for what a person cannot send.
#[pyfunction]
#[pyo3(signature = (content, *, strict))]
fn admit<'py>(py: Python<'py>, content: &[u8], strict: bool) -> PyResult<(Bound<'py, PyBytes>, Vec<String>)> {
    let sender = if strict { Sender::Person } else { Sender::Tool };
    let admitted = py.detach(|| content::admit(content, sender))?;
    Ok((PyBytes::new(py, &admitted.blocks), admitted.notes))
}

/// The same JSON without halves of characters, which no decoder takes.
#[pyfunction]
fn repaired<'py>(py: Python<'py>, json: &Bound<'py, PyBytes>) -> Bound<'py, PyBytes> {
    let bytes = json.as_bytes();
    match py.detach(|| content::repaired(bytes)) {
        Cow::Borrowed(_) => json.clone(),
        Cow::Owned(json) => PyBytes::new(py, &json),
    }
}

/// Characters of rendered JSON that the model is to read; base64 counts as what it shows.
#[pyfunction]
fn weight(json: &[u8]) -> usize {
    crate::render::weight(json)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(admit, module)?)?;
    module.add_function(wrap_pyfunction!(repaired, module)?)?;
    module.add_function(wrap_pyfunction!(weight, module)?)
}
