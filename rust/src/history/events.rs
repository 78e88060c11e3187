//! Events: a synthetic call of the reserved tool and its result, in one entry (SUB-2).

use crate::error::Result;
use crate::history::blocks::{Blocks, check_json, check_object};
use crate::history::entry::EntryKind;
use crate::history::thread::{Content, Thread};
use crate::history::turns::is_wire_id;
use crate::id::CallId;
use sha2::{Digest, Sha256};

/// A message about an earlier call.
pub struct Event<'a> {
    /// Identifies the event; becomes its tool_use id where the model's API allows.
    pub id: &'a str,
    /// The tool, id and arguments of the call that it is about.
    pub tool: &'a str,
    pub call: &'a CallId,
    pub arguments: &'a [u8],
    pub blocks: &'a [u8],
    pub now: i64,
    pub meta: &'a [u8],
}

impl Thread {
    /// Returns the entry's position. Sets `pending`.
    ///
    /// # Errors
    /// `Rule` if an attached call is open, or nothing came before it.
    pub fn add_event(&mut self, event: Event<'_>) -> Result<i64> {
        let position = self.append_event(event, false)?;
        self.header.pending = true;
        Ok(position)
    }

    pub(super) fn append_event(&mut self, event: Event<'_>, error: bool) -> Result<i64> {
        self.check_free("an event")?;
        if !self.has_history() {
            return Err(self.rule("an event cannot be the first entry"));
        }
        check_json(event.arguments, "the arguments of an event's call")?;
        check_object(event.meta, "meta")?;
        let content = Blocks::returned(event.blocks)?;
        let id = self.event_use_id(event.id);
        let uses = vec![CallId::from(id.as_str())];
        self.append(Content {
            kind: EntryKind::Event,
            at: event.now,
            assistant: Blocks::event_use(&id, event.tool, event.call, event.arguments),
            user: Blocks::tool_results(&uses, &content, error),
            calls: uses,
            covers: None,
            meta: event.meta,
        })
    }

    /// Event ids may come from a stranger: one that the model's API would refuse, or that is taken, is replaced by a digest (I4).
    fn event_use_id(&self, id: &str) -> String {
        if is_wire_id(id) && !self.used.contains(&CallId::from(id)) {
            return id.to_owned();
        }
        let digest = Sha256::new()
            .chain_update(self.header.id.as_str())
            .chain_update(self.header.position.to_be_bytes())
            .chain_update(id)
            .finalize();
        let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("event_{hex}")
    }
}
