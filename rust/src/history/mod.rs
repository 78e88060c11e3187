//! A thread's state and its rules (I3, I4). A map:
//!
//! | file | noun | what it decides |
//! |---|---|---|
//! | [`thread`] | thread | what is in memory, its properties, status |
//! | [`turns`], [`answers`], [`events`] | entries | what may enter history, when, and what it changes |
//! | [`forks`], [`summaries`] | children, compaction | inheriting by reference, replacing what is rendered |
//! | [`plans`] | timers, outbox, sends, prompts | what rides in the same commit |
//! | [`loading`], [`commits`] | snapshot, delta | state ⇄ store |
//! | [`header`], [`entry`], [`call`] | records | what is stored |
//! | [`blocks`], [`lineage`], [`registry`] | parts | content blocks, whose entries, which calls |
//! | [`mending`] | entries that were lost | what stands in their place |
//! | [`past`] | a thread as it was | what its model was shown then |
//! | [`sharing`] | records | one copy in memory of what several threads hold |
//!
//! | [`endings`] | early events, complete endings | what waits for a call, what goes with it |
//!
//! Every method that could break a rule checks first and changes nothing when it fails.

mod answers;
pub mod blocks;
pub mod call;
mod commits;
mod endings;
pub mod entry;
mod events;
mod forks;
pub mod header;
pub mod lineage;
mod loading;
mod mending;
mod past;
mod plans;
pub mod registry;
mod sharing;
mod summaries;
pub mod thread;
mod turns;

pub use answers::{Answer, Answered};
pub use call::{Call, CallState};
pub use entry::{Entry, EntryKind, entry_json};
pub use events::Event;
pub use forks::Fork;
pub use header::{Header, Spending, Usage, header_json, live_ranges, needs_a_person};
pub use lineage::Segment;
pub use loading::Snapshot;
pub use mending::{Mended, bounds, inherited, mend};
pub use past::{Branch, covered, ranges};
pub use thread::{Shared, Status, Thread, lock};
pub use turns::Plan;
