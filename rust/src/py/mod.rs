//! The Python bindings: the only folder that names pyo3.
