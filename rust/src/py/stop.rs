use crate::stop::StopGuard;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::time::Duration;

/// Ends the process if a signal to stop is not heard in time.
#[pyclass(name = "StopGuard", module = "infinity._core", frozen)]
pub struct PyStopGuard(StopGuard);

#[pymethods]
impl PyStopGuard {
    #[new]
    fn new(signals: Vec<i32>, unheard: f64, unfinished: f64) -> PyResult<Self> {
        let seconds =
            |value| Duration::try_from_secs_f64(value).map_err(|error| PyValueError::new_err(error.to_string()));
        Ok(Self(StopGuard::new(&signals, seconds(unheard)?, seconds(unfinished)?)?))
    }

    fn heard(&self) {
        self.0.heard();
    }

    fn finished(&self) {
        self.0.finished();
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyStopGuard>()
}
