use crate::dedup::DedupSet;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An exact set of ids; at most ~32 bytes an id whatever its length (128-bit digests).
#[pyclass(name = "DedupSet", module = "infinity._core", frozen)]
pub struct PyDedupSet(Mutex<DedupSet>);

impl PyDedupSet {
    fn set(&self) -> MutexGuard<'_, DedupSet> {
        // No operation on the set can stop halfway, so a poisoned lock still guards a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl PyDedupSet {
    #[new]
    fn new() -> Self {
        Self(Mutex::default())
    }

    /// True if it was not there.
    fn add(&self, id: &str) -> bool {
        self.set().add(id)
    }

    fn __contains__(&self, id: &str) -> bool {
        self.set().contains(id)
    }

    fn __len__(&self) -> usize {
        self.set().len()
    }

    /// Bytes held.
    fn memory(&self) -> usize {
        self.set().memory()
    }

    fn encode<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let record = self.set().encode();
        PyBytes::new(py, &record)
    }

    #[staticmethod]
    fn decode(data: &[u8]) -> PyResult<Self> {
        Ok(Self(Mutex::new(DedupSet::decode(data)?)))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyDedupSet>()
}
