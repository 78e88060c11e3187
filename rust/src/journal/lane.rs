//! One thread that works off operations in order, parked on its channel while there are none (I9).

use super::ticket::{Finished, Promise, Ticket};
use crate::error::{Error, Result};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// An operation and the promise to answer it.
pub struct Job<O> {
    pub operation: O,
    pub promise: Promise,
}

pub struct Lane<O> {
    finished: Arc<Finished>,
    jobs: Mutex<Option<Jobs<O>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What was submitted and not handed over yet, and the way to the thread, which takes as one what is handed over as one.
struct Jobs<O> {
    gathered: Vec<Job<O>>,
    sender: Sender<Vec<Job<O>>>,
}

impl<O> Jobs<O> {
    fn hand_over(&mut self) {
        if !self.gathered.is_empty() {
            // Jobs that cannot be sent come back in the error, are dropped, and say `closed` by their promises.
            let _ = self.sender.send(std::mem::take(&mut self.gathered));
        }
    }
}

impl<O: Send + 'static> Lane<O> {
    /// `work` ends when the channel does.
    pub fn start(
        name: &str,
        finished: Arc<Finished>,
        work: impl FnOnce(Receiver<Vec<Job<O>>>) + Send + 'static,
    ) -> Result<Self> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(receiver));
        let thread = thread.map_err(|error| Error::Storage(format!("no thread for the journal: {error}")))?;
        let jobs = Jobs { gathered: Vec::new(), sender };
        Ok(Self { finished, jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)) })
    }

    pub fn submit(&self, operation: O) -> Ticket {
        let ticket = self.gather(operation);
        self.hand_over();
        ticket
    }

    /// Submit, to be handed over together with what is submitted until [`Lane::hand_over`] is called.
    pub fn gather(&self, operation: O) -> Ticket {
        let promise = self.finished.promise();
        let ticket = promise.ticket();
        if let Some(jobs) = &mut *self.lock() {
            jobs.gathered.push(Job { operation, promise });
        }
        ticket
    }

    /// How much waits to be handed over.
    pub fn gathered(&self) -> usize {
        self.lock().as_ref().map_or(0, |jobs| jobs.gathered.len())
    }

    pub fn hand_over(&self) {
        if let Some(jobs) = &mut *self.lock() {
            jobs.hand_over();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Jobs<O>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finish what is queued and end the thread. Later submissions are answered with `closed`.
    pub fn close(&self) {
        if let Some(mut jobs) = self.lock().take() {
            jobs.hand_over();
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Its panic, if any, was told to everybody who waited, by their promises.
            let _ = thread.join();
        }
    }
}
