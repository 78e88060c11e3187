//! Mailboxes: one FIFO channel per thread, one taker per thread, a queue of threads that are ready (I1).
//!
//! Pure data behind one short lock. Nothing under the lock can fail or call out (trap B6): the ring is rung after it.
//! A thread with nothing queued and no taker is not in here at all.

use crate::error::{Error, Result};
use crate::id::{MessageId, ThreadId};
use crate::message::Message;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

#[cfg(loom)]
use loom::sync::{Mutex, MutexGuard};
use std::sync::{Arc, PoisonError};
#[cfg(not(loom))]
use std::sync::{Mutex, MutexGuard};

/// Called when a thread became ready; must be cheap, must not come back into the mailboxes.
pub type Ring = Arc<dyn Fn() + Send + Sync>;

/// A thread's whole queue at the moment it was taken, in arrival order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub thread: ThreadId,
    pub messages: Vec<Message>,
}

pub struct Mailboxes {
    state: Mutex<State>,
    ring: Ring,
    capacity: usize,
}

#[derive(Default)]
struct State {
    boxes: HashMap<ThreadId, Mailbox>,
    /// Threads that wait to be taken, by the turn they drew.
    ready: BTreeMap<u64, ThreadId>,
    next_turn: u64,
}

#[derive(Default)]
struct Mailbox {
    queued: VecDeque<Message>,
    /// The batch that somebody holds; while there is one, the thread is not ready.
    taken: Option<Vec<Message>>,
    /// Ids queued or taken: a message that is delivered again meanwhile is dropped (I3).
    ids: HashSet<MessageId>,
    /// Ids of the taken batch that are queued again already: releasing the batch does not end them.
    returned: HashSet<MessageId>,
    /// Key of this thread in `ready`.
    turn: Option<u64>,
}

impl Mailboxes {
    /// `capacity`: how many messages one thread may have queued.
    pub fn new(ring: Ring, capacity: usize) -> Self {
        Self { state: Mutex::new(State::default()), ring, capacity }
    }

    /// Append; behind whatever the store accepted before it, should the news of that have come later. `Ok(false)`: a message with this thread and id is queued or taken already.
    pub fn put(&self, message: Message) -> Result<bool> {
        let ready = {
            let mut state = self.lock();
            let mailbox = state.boxes.entry(message.thread.clone()).or_default();
            if mailbox.ids.contains(&message.id) {
                return Ok(false);
            }
            if mailbox.queued.len() >= self.capacity {
                let thread = message.thread.clone();
                state.forget_if_empty(&thread);
                return Err(self.full(&thread));
            }
            mailbox.ids.insert(message.id.clone());
            let thread = message.thread.clone();
            mailbox.append(message);
            state.line_up(thread)
        };
        if ready {
            (self.ring)();
        }
        Ok(true)
    }

    /// Messages that were put aside before anything that is queued now came: to the front, in order, whether or not the taken batch holds
    /// them. They were accepted, so there is room. One that is queued already stays where it is.
    pub fn give_back(&self, thread: &ThreadId, messages: Vec<Message>) {
        let ready = {
            let mut state = self.lock();
            let mailbox = state.boxes.entry(thread.clone()).or_default();
            for message in messages.into_iter().rev() {
                let taken = mailbox.taken.as_ref().is_some_and(|batch| batch.iter().any(|one| one.id == message.id));
                let queued = mailbox.ids.contains(&message.id) && !taken;
                if !queued && (!taken || mailbox.returned.insert(message.id.clone())) {
                    mailbox.ids.insert(message.id.clone());
                    mailbox.queued.push_front(message);
                }
            }
            let ready = state.line_up(thread.clone());
            state.forget_if_empty(thread);
            ready
        };
        if ready {
            (self.ring)();
        }
    }

    /// The thread that has been ready longest, with its whole queue, exclusively until [`Mailboxes::release`].
    pub fn take(&self) -> Option<Batch> {
        let mut state = self.lock();
        let (_, thread) = state.ready.pop_first()?;
        state.take(thread)
    }

    /// The same for one thread; `None` if it has nothing queued or is taken.
    pub fn take_thread(&self, thread: &ThreadId) -> Option<Batch> {
        let mut state = self.lock();
        let turn = state.boxes.get(thread)?.turn?;
        let thread = state.ready.remove(&turn)?;
        state.take(thread)
    }

    /// What has arrived for a taken thread since; it belongs to the taken batch from now on. Empty if nobody holds the thread.
    pub fn more(&self, thread: &ThreadId) -> Vec<Message> {
        let mut state = self.lock();
        let Some(mailbox) = state.boxes.get_mut(thread) else { return Vec::new() };
        let Some(taken) = &mut mailbox.taken else { return Vec::new() };
        let arrived: Vec<Message> = mailbox.queued.drain(..).collect();
        taken.extend_from_slice(&arrived);
        arrived
    }

    /// End the taking. `keep`: the batch goes back to the front, in order. Releasing a thread that nobody holds changes nothing.
    pub fn release(&self, thread: &ThreadId, keep: bool) {
        let (ready, _dropped_after_the_lock) = {
            let mut state = self.lock();
            let Some(mailbox) = state.boxes.get_mut(thread) else { return };
            let Some(mut batch) = mailbox.taken.take() else { return };
            let returned = std::mem::take(&mut mailbox.returned);
            batch.retain(|message| !returned.contains(&message.id));
            if keep {
                for message in batch.drain(..).rev() {
                    mailbox.queued.push_front(message);
                }
                mailbox.sort();
            } else {
                for message in &batch {
                    mailbox.ids.remove(&message.id);
                }
            }
            let ready = state.line_up(thread.clone());
            state.forget_if_empty(thread);
            (ready, batch)
        };
        if ready {
            (self.ring)();
        }
    }

    /// How many messages wait, a taken batch not counted.
    pub fn queued(&self, thread: &ThreadId) -> usize {
        self.lock().boxes.get(thread).map_or(0, |mailbox| mailbox.queued.len())
    }

    pub fn taken(&self, thread: &ThreadId) -> bool {
        self.lock().boxes.get(thread).is_some_and(|mailbox| mailbox.taken.is_some())
    }

    /// Threads with anything queued or taken.
    pub fn len(&self) -> usize {
        self.lock().boxes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half way through a change, so a poisoned lock guards nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self, thread: &ThreadId) -> Error {
        let capacity = self.capacity;
        Error::Limit(format!("thread {thread} has {capacity} messages queued already; wait until it has read some"))
    }
}

impl Mailbox {
    /// A store may answer two who ask at once in another order than it has numbered what they brought.
    fn append(&mut self, message: Message) {
        let before = self.queued.iter().rposition(|one| one.seq <= message.seq);
        self.queued.insert(before.map_or(0, |last| last + 1), message);
    }

    /// A batch that came back may be younger than what arrived meanwhile.
    fn sort(&mut self) {
        if !self.queued.iter().is_sorted_by_key(|one| one.seq) {
            self.queued.make_contiguous().sort_by_key(|one| one.seq);
        }
    }
}

impl State {
    /// Give the thread a turn if it has something queued, no taker and no turn yet. True if it became ready by that.
    fn line_up(&mut self, thread: ThreadId) -> bool {
        let Some(mailbox) = self.boxes.get_mut(&thread) else { return false };
        if mailbox.queued.is_empty() || mailbox.taken.is_some() || mailbox.turn.is_some() {
            return false;
        }
        mailbox.turn = Some(self.next_turn);
        self.ready.insert(self.next_turn, thread);
        self.next_turn += 1;
        true
    }

    /// Hand out the queue of a thread that was just removed from `ready`.
    fn take(&mut self, thread: ThreadId) -> Option<Batch> {
        let mailbox = self.boxes.get_mut(&thread)?;
        mailbox.turn = None;
        let messages = Vec::from(std::mem::take(&mut mailbox.queued));
        mailbox.taken = Some(messages.clone());
        Some(Batch { thread, messages })
    }

    fn forget_if_empty(&mut self, thread: &ThreadId) {
        if self.boxes.get(thread).is_some_and(|mailbox| mailbox.queued.is_empty() && mailbox.taken.is_none()) {
            self.boxes.remove(thread);
        }
    }
}
