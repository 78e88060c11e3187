//! A message: whatever enters a thread's mailbox.

use crate::id::{MessageId, ThreadId};
use std::sync::Arc;

/// One accepted message. `seq` is its place in the durable inbox (0 when the mailbox has no journal behind it).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub thread: ThreadId,
    pub id: MessageId,
    /// `user`, `result`, `event`, … (python/infinity/message.py lists them).
    pub kind: Arc<str>,
    /// A JSON object in UTF-8; the core never reads it.
    pub body: Arc<[u8]>,
    pub seq: i64,
    /// Milliseconds since the Unix epoch.
    pub accepted_at: i64,
}
