//! The errors table: a core error becomes `CoreError(code, text)`, which `infinity.errors.from_core` turns into the public tree.

use crate::error::Error;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(
    infinity._core,
    CoreError,
    PyException,
    "``args == (code, text)``; the codes are those of ``rust/src/error.rs``."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        CoreError::new_err((error.code(), error.text().to_owned()))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("CoreError", module.py().get_type::<CoreError>())
}
