use crate::history::Call;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::Arc;

/// One tool call and its life. Frozen: a picture of the registry's row.
#[pyclass(name = "Call", module = "infinity._core", frozen)]
pub struct PyCall(pub Arc<Call>);

#[pymethods]
impl PyCall {
    #[getter]
    fn id(&self) -> &str {
        self.0.id.as_str()
    }

    #[getter]
    fn thread(&self) -> &str {
        self.0.thread.as_str()
    }

    #[getter]
    fn provider_id(&self) -> &str {
        &self.0.provider_id
    }

    #[getter]
    fn tool(&self) -> &str {
        &self.0.tool
    }

    #[getter]
    fn toolset(&self) -> &str {
        &self.0.toolset
    }

    #[getter]
    fn arguments<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.arguments)
    }

    #[getter]
    fn state(&self) -> &str {
        self.0.state.name()
    }

    #[getter]
    fn detached(&self) -> bool {
        self.0.detached
    }

    #[getter]
    fn subscription(&self) -> bool {
        self.0.subscription
    }

    #[getter]
    fn deadline(&self) -> Option<i64> {
        self.0.deadline
    }

    #[getter]
    fn user_id(&self) -> Option<&str> {
        self.0.user_id.as_deref()
    }

    #[getter]
    fn position(&self) -> i64 {
        self.0.position
    }

    #[staticmethod]
    fn decode(record: &[u8]) -> PyResult<Self> {
        Ok(Self(Arc::new(Call::decode(record)?)))
    }

    fn __repr__(&self) -> String {
        let call = &self.0;
        // Never the arguments: they may hold what must not be logged (trap S9).
        format!(
            "Call(id={:?}, tool={:?}, state={:?}, detached={}, subscription={})",
            call.id,
            call.tool,
            call.state.name(),
            python_bool(call.detached),
            python_bool(call.subscription)
        )
    }
}

fn python_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

pub fn list<'a>(calls: impl Iterator<Item = &'a Arc<Call>>) -> Vec<PyCall> {
    calls.map(|call| PyCall(call.clone())).collect()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyCall>()
}
