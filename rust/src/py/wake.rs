use crate::wake::Wake;
use pyo3::prelude::*;
use std::os::fd::RawFd;
use std::sync::Arc;

/// One pollable file descriptor for everything the core finishes. Readable until ``drain`` is called.
#[pyclass(name = "Wake", module = "infinity._core", frozen)]
pub struct PyWake(pub Arc<Wake>);

#[pymethods]
impl PyWake {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self(Arc::new(Wake::new()?)))
    }

    fn fileno(&self) -> RawFd {
        self.0.fileno()
    }

    /// Make the descriptor readable at this wall-clock time (past: at once); ``None`` disarms. One alarm at a time.
    fn arm(&self, due_at: Option<i64>) -> PyResult<()> {
        Ok(self.0.arm(due_at)?)
    }

    /// Make the descriptor readable now. Any thread may call it.
    fn signal(&self) {
        self.0.signal();
    }

    /// Reset the descriptor; true if the alarm went off or the clock was stepped.
    fn drain(&self) -> PyResult<bool> {
        Ok(self.0.drain()?)
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyWake>()
}
