//! The writer: one thread, group commit. Whatever queued up while the last group was being flushed shares the next fsync.

use super::compact::compact;
use super::failure::{Failure, describe};
use super::group::Group;
use super::lane::Job;
use super::open::settle;
use super::ticket::Finished;
use super::value::Value;
use super::write::{Write, attempts};
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// Enough to make the flush cheap for each; few enough that the first does not wait long for the last.
const LARGEST_GROUP: usize = 512;

pub struct Writer {
    pub connection: Connection,
    pub path: PathBuf,
    pub finished: Arc<Finished>,
    /// `Begin` is durable: the end of this process is to be recorded too.
    pub begun: bool,
}

/// Why a whole group did not happen.
enum Abort {
    /// An operation broke; the others may do without it.
    Operation(Error),
    /// The transaction could not begin or become durable.
    Transaction(Error),
}

/// In the same order, with what cannot be part of a transaction by itself.
fn runs(mut group: Vec<Job<Write>>) -> Vec<Vec<Job<Write>>> {
    let alone = |job: &Job<Write>| matches!(job.operation, Write::Compact { .. });
    let mut runs = Vec::new();
    while let Some(first) = group.iter().position(alone) {
        let rest = group.split_off(first + 1);
        let compaction = group.split_off(first);
        runs.extend([group, compaction]);
        group = rest;
    }
    runs.push(group);
    runs.retain(|run| !run.is_empty());
    runs
}

impl Writer {
    /// Until the channel ends; then bring everything into the main file.
    pub fn run(mut self, jobs: Receiver<Vec<Job<Write>>>) {
        while let Ok(mut waiting) = jobs.recv() {
            // What has come meanwhile shares the flush.
            waiting.extend(jobs.try_iter().flatten());
            while !waiting.is_empty() {
                let rest = waiting.split_off(waiting.len().min(LARGEST_GROUP));
                for group in runs(waiting) {
                    // A panic drops the group, whose promises then report it, and its transaction, which rolls back (trap B6).
                    let _ = catch_unwind(AssertUnwindSafe(|| self.work(group)));
                }
                waiting = rest;
            }
        }
        if self.begun {
            // What cannot be recorded counts as a crash, which costs an attempt and loses nothing.
            let _ = self.end();
        }
        // What cannot be checkpointed stays in the write-ahead log, and is found there by the next start.
        let _ = settle(&self.path, &self.connection);
    }

    fn end(&mut self) -> Result<(), Failure> {
        let group = Group::begin(&mut self.connection)?;
        attempts::end(&group)?;
        Ok(group.commit()?)
    }

    fn work(&mut self, group: Vec<Job<Write>>) {
        if let [Job { operation: Write::Compact { sparse_only }, .. }] = group.as_slice() {
            let outcome = compact(&mut self.connection, &self.path, *sparse_only).map(|()| Value::Nothing);
            return self.finished.publish(group.into_iter().map(|job| (job.promise, outcome.clone())));
        }
        let outcomes = match self.transact(&group) {
            Ok(outcomes) => outcomes,
            Err(Abort::Operation(_)) if group.len() > 1 => self.one_by_one(&group),
            Err(Abort::Operation(error) | Abort::Transaction(error)) => vec![Err(error); group.len()],
        };
        let begins = |(job, outcome): (&Job<Write>, &Result<Value>)| {
            matches!(job.operation, Write::Begin { .. }) && outcome.is_ok()
        };
        self.begun |= group.iter().zip(&outcomes).any(begins);
        let promises = group.into_iter().map(|job| job.promise);
        self.finished.publish(promises.zip(outcomes));
    }

    /// All of them in one transaction; their outcomes are true when it returns.
    fn transact(&mut self, jobs: &[Job<Write>]) -> Result<Vec<Result<Value>>, Abort> {
        let path = &self.path;
        let abort = |error| Abort::Transaction(describe(path, &error));
        let group = Group::begin(&mut self.connection).map_err(abort)?;
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            match job.operation.apply(&group) {
                Ok(value) => outcomes.push(Ok(value)),
                Err(Failure::Refused(error)) => outcomes.push(Err(error)),
                Err(broken) => return Err(Abort::Operation(broken.into_error(path))),
            }
        }
        group.commit().map_err(abort)?;
        Ok(outcomes)
    }

    /// So that an operation that breaks takes no other down with it.
    fn one_by_one(&mut self, jobs: &[Job<Write>]) -> Vec<Result<Value>> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            match self.transact(std::slice::from_ref(job)) {
                Ok(outcome) => outcomes.extend(outcome),
                Err(Abort::Operation(error)) => outcomes.push(Err(error)),
                Err(Abort::Transaction(error)) => {
                    // The disk, not the operation: trying the rest would only keep everybody waiting.
                    outcomes.resize(jobs.len(), Err(error));
                    break;
                }
            }
        }
        outcomes
    }
}
