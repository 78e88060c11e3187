//! One thread that works off operations in order, parked on its channel while there are none (I9).

use super::ticket::{Finished, Promise, Ticket};
use crate::error::{Error, Result};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// An operation and the promise to answer it.
pub struct Job<O> {
    pub operation: O,
    pub promise: Promise,
}

pub struct Lane<O> {
    finished: Arc<Finished>,
    jobs: Mutex<Option<Sender<Job<O>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<O: Send + 'static> Lane<O> {
    /// `work` ends when the channel does.
    pub fn start(
        name: &str,
        finished: Arc<Finished>,
        work: impl FnOnce(Receiver<Job<O>>) + Send + 'static,
    ) -> Result<Self> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(receiver));
        let thread = thread.map_err(|error| Error::Storage(format!("no thread for the journal: {error}")))?;
        Ok(Self { finished, jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    pub fn submit(&self, operation: O) -> Ticket {
        let promise = self.finished.promise();
        let ticket = promise.ticket();
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(jobs) = &*jobs {
            // A job that cannot be sent comes back in the error, is dropped, and says `closed` by its promise.
            let _ = jobs.send(Job { operation, promise });
        }
        ticket
    }

    /// Finish what is queued and end the thread. Later submissions are answered with `closed`.
    pub fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Its panic, if any, was told to everybody who waited, by their promises.
            let _ = thread.join();
        }
    }
}
