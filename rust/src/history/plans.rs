//! What rides in the commit beside history: consumed messages, timers, the outbox, messages to other threads, prompts, properties.
//! Later plans for an id replace earlier ones, so that a delta never says two things about one row.

use crate::delta::{AGAIN, Consumed, OutboxRow, PromptRow, SendRow, TimerRow};
use crate::error::Result;
use crate::history::blocks::{check_json, check_object};
use crate::history::call::CallState;
use crate::history::thread::Thread;
use crate::id::CallId;
use crate::message::Message;

impl Thread {
    /// True if the thread has consumed the message, as far as the snapshot and the changes since tell.
    pub fn seen(&self, message_id: &str) -> bool {
        self.seen.contains(message_id)
    }

    /// Take a message out of the inbox with this commit. `outcome`: `applied`, `duplicate`, or why it is discarded. What was consumed before may
    /// come again any number of times as a `duplicate`.
    ///
    /// # Errors
    /// `Rule` if it is another thread's, or was consumed before and is applied again (I3).
    pub fn consume(&mut self, message: &Message, outcome: &str) -> Result<()> {
        self.check_usable()?;
        let id = &message.id;
        if message.thread != self.header.id {
            return Err(self.rule(&format!("message {id} belongs to thread {}", message.thread)));
        }
        let staged = &self.staged.consumed;
        let twice = message.seq != 0 && staged.iter().any(|row| row.seq == message.seq);
        if twice && outcome == AGAIN && self.seen(id.as_str()) {
            return Ok(());
        }
        if twice || (outcome == "applied" && self.seen(id.as_str())) {
            return Err(self.rule(&format!("message {id} was consumed before")));
        }
        self.seen.add(id.as_str());
        self.staged.consumed.push(Consumed { seq: message.seq, id: id.clone(), outcome: outcome.into() });
        self.touch();
        Ok(())
    }

    pub fn set_timer(&mut self, timer: TimerRow) -> Result<()> {
        self.check_usable()?;
        self.staged.timers_cancelled.retain(|id| *id != timer.id);
        self.staged.timers.retain(|row| row.id != timer.id);
        self.staged.timers.push(timer);
        self.touch();
        Ok(())
    }

    pub fn cancel_timer(&mut self, id: &str) -> Result<()> {
        self.check_usable()?;
        self.staged.timers.retain(|row| row.id != id);
        once(&mut self.staged.timers_cancelled, id);
        self.touch();
        Ok(())
    }

    /// Planning the same row twice is planning it once.
    ///
    /// # Errors
    /// `Rule` if the key stands for another row already: keys are unique for ever (I5).
    pub fn plan_outbox(&mut self, row: OutboxRow) -> Result<()> {
        self.check_usable()?;
        let planned = self.staged.outbox.iter().find(|planned| planned.key == row.key);
        if planned == Some(&row) {
            return Ok(());
        }
        if planned.is_some() || self.staged.outbox_cancelled.contains(&row.key) {
            return Err(self.rule(&format!("outbox key {} was used before; take a new one", row.key)));
        }
        self.staged.outbox.push(row);
        self.touch();
        Ok(())
    }

    /// The row is not sent any more, if it has not been.
    pub fn cancel_outbox(&mut self, key: &str) -> Result<()> {
        self.check_usable()?;
        self.staged.outbox.retain(|row| row.key != key);
        once(&mut self.staged.outbox_cancelled, key);
        self.touch();
        Ok(())
    }

    /// A message to another thread, durable with this commit. A second one with its id is dropped, as its receiver would do.
    pub fn send(&mut self, row: SendRow) -> Result<()> {
        self.check_usable()?;
        let same = |sent: &SendRow| sent.thread == row.thread && sent.id == row.id;
        if !self.staged.sends.iter().any(same) {
            self.staged.sends.push(row);
            self.touch();
        }
        Ok(())
    }

    pub fn open_prompt(&mut self, prompt: PromptRow) -> Result<()> {
        self.check_usable()?;
        self.staged.prompts_closed.retain(|id| *id != prompt.id);
        self.staged.prompts.retain(|row| row.id != prompt.id);
        self.staged.prompts.push(prompt);
        self.touch();
        Ok(())
    }

    pub fn close_prompt(&mut self, id: &str) -> Result<()> {
        self.check_usable()?;
        self.staged.prompts.retain(|row| row.id != id);
        once(&mut self.staged.prompts_closed, id);
        self.touch();
        Ok(())
    }

    /// A row of the durable event stream.
    ///
    /// # Errors
    /// `Rule` if the body is not JSON, or the kind is `entry`, which entries add by themselves.
    pub fn note(&mut self, kind: &str, body: &[u8]) -> Result<()> {
        self.check_usable()?;
        check_json(body, "a note")?;
        if kind == "entry" {
            return Err(self.rule("only entries add rows of the kind `entry`"));
        }
        self.stage_feed(kind, body.into());
        self.touch();
        Ok(())
    }

    pub fn set_model(&mut self, model: &str) -> Result<()> {
        self.set(|thread| &mut thread.header.model, model.into())
    }

    pub fn set_title(&mut self, title: &str) -> Result<()> {
        self.set(|thread| &mut thread.header.title, title.into())
    }

    /// On whose behalf the next calls are made (trap S11).
    pub fn set_actor(&mut self, actor: Option<&str>) -> Result<()> {
        self.set(|thread| &mut thread.header.actor, actor.map(String::from))
    }

    pub fn set_problem(&mut self, text: Option<&str>) -> Result<()> {
        self.set(|thread| &mut thread.header.problem, text.map(String::from))
    }

    /// # Errors
    /// `Rule` if it is not a JSON object.
    pub fn set_memo(&mut self, memo: &[u8]) -> Result<()> {
        check_object(memo, "memo")?;
        self.set(|thread| &mut thread.header.memo, memo.into())
    }

    pub fn set_stopped(&mut self, stopped: bool) -> Result<()> {
        self.set(|thread| &mut thread.header.stopped, stopped)
    }

    /// Force the flag: an interrupt takes the reason to speak away, a retry gives it back.
    pub fn set_pending(&mut self, pending: bool) -> Result<()> {
        self.set(|thread| &mut thread.header.pending, pending)
    }

    /// For good: history does not grow any more.
    ///
    /// # Errors
    /// `Rule` if an attached call is open.
    pub fn close(&mut self) -> Result<()> {
        self.check_usable()?;
        if self.header.closed {
            return Ok(());
        }
        self.check_free("closing")?;
        // Nothing of it is awaited any more: no call, no event.
        let over: Vec<CallId> =
            self.calls.open().chain(self.calls.subscriptions()).map(|call| call.id.clone()).collect();
        for id in over {
            self.calls.update(&id, |call| {
                call.subscription = false;
                if call.is_open() {
                    call.state = CallState::Cancelled;
                }
            });
        }
        self.header.pending = false;
        self.set(|thread| &mut thread.header.closed, true)
    }

    /// Undo `close`, for a root that was closed by mistake. Its history goes on; what was cancelled stays cancelled.
    ///
    /// # Errors
    /// `Rule` for a child: its parent was told that it has ended.
    pub fn reopen(&mut self) -> Result<()> {
        self.check_usable()?;
        if self.header.parent().is_some() {
            return Err(self.rule("a child thread that has closed stays closed"));
        }
        self.set(|thread| &mut thread.header.closed, false)
    }

    fn set<T: PartialEq>(&mut self, field: impl Fn(&mut Self) -> &mut T, value: T) -> Result<()> {
        self.check_usable()?;
        if *field(self) != value {
            *field(self) = value;
            self.touch();
        }
        Ok(())
    }
}

fn once(ids: &mut Vec<String>, id: &str) {
    if !ids.iter().any(|present| present == id) {
        ids.push(id.into());
    }
}
