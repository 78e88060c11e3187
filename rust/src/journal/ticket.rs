//! Tickets: every operation is answered exactly once, whatever happens to the thread that was to do it (trap B6).

use super::value::Value;
use crate::error::{Error, Result};
use crate::wake::Wake;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub type Ticket = i64;

/// Outcomes that nobody has collected yet.
pub struct Finished {
    outcomes: Mutex<Vec<(Ticket, Result<Value>)>>,
    next: AtomicI64,
    wake: Arc<Wake>,
}

impl Finished {
    pub fn new(wake: Arc<Wake>) -> Self {
        Self { outcomes: Mutex::new(Vec::new()), next: AtomicI64::new(1), wake }
    }

    /// A promise of one more outcome.
    pub fn promise(self: &Arc<Self>) -> Promise {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        Promise { ticket, finished: Some(Arc::clone(self)) }
    }

    pub fn collect(&self) -> Vec<(Ticket, Result<Value>)> {
        std::mem::take(&mut *self.lock())
    }

    /// Publish the outcomes of a whole group with one signal.
    pub fn publish(&self, outcomes: impl IntoIterator<Item = (Promise, Result<Value>)>) {
        let outcomes = outcomes.into_iter().map(|(promise, outcome)| (promise.keep(), outcome));
        let outcomes: Vec<_> = outcomes.collect();
        self.lock().extend(outcomes);
        self.wake.signal();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Ticket, Result<Value>)>> {
        // Only whole vectors are moved under the lock: a poisoned one guards nothing half done.
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An operation that is owed an outcome. Dropped without one (the journal was closed, or its thread panicked), it says so itself.
pub struct Promise {
    ticket: Ticket,
    finished: Option<Arc<Finished>>,
}

impl Promise {
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    fn keep(mut self) -> Ticket {
        self.finished = None;
        self.ticket
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let Some(finished) = self.finished.take() else { return };
        let error = if std::thread::panicking() {
            Error::Storage("the journal failed inside; nothing of this operation was written, try again".into())
        } else {
            Error::Closed("the journal is closed; open it again".into())
        };
        finished.lock().push((self.ticket, Err(error)));
        finished.wake.signal();
    }
}
