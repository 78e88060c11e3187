//! The reader: one thread with a connection of its own. In write-ahead mode it neither waits for the writer nor holds it up.

use super::LiveRanges;
use super::failure::describe;
use super::lane::Job;
use super::read::{Picture, Read};
use super::ticket::Finished;
use super::value::Value;
use crate::error::Result;
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

pub struct Reader {
    pub connection: Connection,
    pub path: PathBuf,
    pub live_ranges: LiveRanges,
    pub finished: Arc<Finished>,
}

impl Reader {
    /// Until the channel ends.
    pub fn run(mut self, jobs: Receiver<Vec<Job<Read>>>) {
        for Job { operation, promise } in jobs.into_iter().flatten() {
            // A panic drops the promise, which then reports it (trap B6).
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let promise = promise;
                let outcome = self.answer(&operation);
                self.finished.publish([(promise, outcome)]);
            }));
        }
    }

    fn answer(&mut self, operation: &Read) -> Result<Value> {
        let picture = Picture::take(&mut self.connection, &self.path, self.live_ranges)
            .map_err(|error| describe(&self.path, &error))?;
        operation.answer(&picture).map_err(|failure| failure.into_error(&self.path))
    }
}
