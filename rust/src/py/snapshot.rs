use crate::history::Snapshot;
use pyo3::prelude::*;

/// What a store reads to load a thread: records as they were written.
#[pyclass(name = "Snapshot", module = "infinity._core", frozen)]
pub struct PySnapshot(pub Snapshot);

#[pymethods]
impl PySnapshot {
    #[new]
    #[pyo3(signature = (header, entries, calls, seen, attempts = 0, kept = Vec::new()))]
    #[pyo3(text_signature = "(header, entries, calls, seen, attempts=0, kept=...)")]
    fn new(
        header: Vec<u8>,
        entries: Vec<(i64, Vec<u8>)>,
        calls: Vec<Vec<u8>>,
        seen: Vec<String>,
        attempts: i64,
        kept: Vec<String>,
    ) -> Self {
        Self(Snapshot { header, entries, calls, seen, attempts, kept })
    }

    fn __repr__(&self) -> String {
        let Snapshot { header, entries, calls, seen, attempts, kept } = &self.0;
        format!(
            "Snapshot(header=<{} bytes>, entries=<{}>, calls=<{}>, seen=<{}>, attempts={attempts}, kept=<{}>)",
            header.len(),
            entries.len(),
            calls.len(),
            seen.len(),
            kept.len()
        )
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PySnapshot>()
}
