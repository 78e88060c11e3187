//! The journal, through its public face: submit, wait, collect.

mod accepting;
mod committing;
mod crashing;
mod desk;
mod failing;
mod opening;
mod reading;
mod repairing;
mod spending;
mod waiting;
