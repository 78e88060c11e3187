use crate::held::HeldLoop;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

/// Writes down which thread's slice holds the event loop.
#[pyclass(name = "HeldLoop", module = "infinity._core", frozen)]
pub struct PyHeldLoop(HeldLoop);

#[pymethods]
impl PyHeldLoop {
    #[new]
    fn new(note: PathBuf, after: f64) -> PyResult<Self> {
        let after = Duration::try_from_secs_f64(after).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self(HeldLoop::new(note, after)?))
    }

    fn enter(&self, thread: &str) {
        self.0.enter(thread);
    }

    fn leave(&self) {
        self.0.leave();
    }

    fn rest(&self) {
        self.0.rest();
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyHeldLoop>()
}
