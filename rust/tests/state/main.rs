//! Tests of a thread's state: its rules, its records, what it renders, and that any sequence of operations keeps all of it valid (I4).

mod commits;
mod content;
mod dedup;
mod display;
mod forks;
mod machine;
mod mending;
mod past;
mod records;
mod rendering;
mod rules;
mod store;
mod subject;
mod summaries;
mod valid;
