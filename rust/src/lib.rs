//! The hot core of Infinity. A map of the crate:
//!
//! | file | noun | what it decides |
//! |---|---|---|
//! | [`id`], [`error`], [`message`] | ids, errors, messages | what travels and what can go wrong |
//! | [`mailbox`] | mailboxes | per-thread FIFO, one taker per thread |
//! | [`wake`] | wake | one file descriptor: ready threads, finished commits, due timers |
//! | [`dedup`] | dedup set | which message ids were seen |
//! | [`history`] | thread | entries, calls, lineage and their rules (I3, I4) |
//! | [`content`] | door | what content blocks must be before they enter history (I11) |
//! | [`render`] | request | history → the `messages` array, from stored bytes |
//! | [`codec`] | records | state ⇄ bytes, version first, checksummed |
//! | [`delta`] | delta | everything one slice changes, for one atomic commit (I6) |
//! | [`journal`] | journal | the local durable store: one writer, group commit, fsync |
//! | [`held`] | held loop | which thread's slice holds the event loop, for the next start |
//! | [`stop`] | stop guard | the end of a process that cannot hear that it is to stop |
//! | [`display`] | display script | bounded evaluation of a toolset's `displayScript` |
//!
//! Only `py/` names `pyo3`. Nothing in this crate is async and nothing calls back into Python.

pub mod codec;
pub mod content;
pub mod dedup;
pub mod delta;
pub mod display;
pub mod error;
pub mod held;
pub mod history;
pub mod id;
pub mod journal;
pub mod mailbox;
pub mod message;
pub mod render;
pub mod stop;
pub mod wake;

#[cfg(feature = "python")]
mod py;
