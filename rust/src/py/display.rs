use pyo3::prelude::*;

/// Evaluate a toolset's ``displayScript`` (Rhai, scope: the map ``args``), bounded; ``None`` on any failure (DISC-8).
#[pyfunction]
fn display(py: Python<'_>, script: &str, arguments: &[u8]) -> Option<String> {
    py.detach(|| crate::display::display(script, arguments))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(display, module)?)
}
