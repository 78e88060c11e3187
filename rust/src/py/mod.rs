//! The Python bindings: the only folder that names pyo3. One file per class; `_core.pyi` documents them all.

mod call;
mod changes;
mod content;
mod dedup;
mod delta;
mod display;
mod errors;
mod held;
mod journal;
mod mailboxes;
mod message;
mod outcome;
mod records;
mod snapshot;
mod stop;
mod thread;
mod wake;

use pyo3::prelude::*;

/// The Rust core. See `_core.pyi`.
#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    errors::register(module)?;
    message::register(module)?;
    wake::register(module)?;
    stop::register(module)?;
    held::register(module)?;
    mailboxes::register(module)?;
    dedup::register(module)?;
    call::register(module)?;
    snapshot::register(module)?;
    thread::register(module)?;
    delta::register(module)?;
    records::register(module)?;
    display::register(module)?;
    content::register(module)?;
    journal::register(module)
}
