//! One tool call and its life (DESIGN 5.2).

use crate::codec::{self, Kind};
use crate::error::Result;
use crate::id::{CallId, ThreadId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CallState {
    /// Recorded, and perhaps sent: only the store knows (`sent`).
    Planned = 1,
    Answered = 2,
    Failed = 3,
    Cancelled = 4,
}

impl CallState {
    pub fn name(self) -> &'static str {
        match self {
            CallState::Planned => "planned",
            CallState::Answered => "answered",
            CallState::Failed => "failed",
            CallState::Cancelled => "cancelled",
        }
    }

    /// A state in which a call ends, by name.
    pub fn ending(name: &str) -> Option<Self> {
        [Self::Answered, Self::Failed, Self::Cancelled].into_iter().find(|state| state.name() == name)
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Planned, Self::Answered, Self::Failed, Self::Cancelled].into_iter().find(|state| *state as u8 == byte)
    }
}

/// A picture of the registry's row.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub id: CallId,
    pub thread: ThreadId,
    /// The id that the model's provider gave it.
    pub provider_id: String,
    pub tool: String,
    /// Name of the toolset it goes to; empty for a built-in.
    pub toolset: String,
    /// A JSON object.
    pub arguments: Vec<u8>,
    pub state: CallState,
    /// Its turn has a placeholder result; the real one enters as an event (L4).
    pub detached: bool,
    pub subscription: bool,
    /// Milliseconds since the Unix epoch.
    pub deadline: Option<i64>,
    /// Whose message caused the call (S11).
    pub user_id: Option<String>,
    /// Absolute position of its turn.
    pub position: i64,
    /// Its place among the calls of its turn.
    pub ordinal: u32,
}

impl Call {
    pub fn is_open(&self) -> bool {
        self.state == CallState::Planned
    }

    /// Open, and its tool_use block still lacks a result.
    pub fn is_attached(&self) -> bool {
        self.is_open() && !self.detached
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = codec::begin(Kind::Call);
        out.text(self.id.as_str());
        out.text(self.thread.as_str());
        out.text(&self.provider_id);
        out.text(&self.tool);
        out.text(&self.toolset);
        out.bytes(&self.arguments);
        out.byte(self.state as u8);
        out.flag(self.detached);
        out.flag(self.subscription);
        out.optional(self.deadline, |out, at| out.signed(at));
        out.optional(self.user_id.as_deref(), |out, id| out.text(id));
        out.unsigned(self.position as u64);
        out.unsigned(u64::from(self.ordinal));
        out.seal()
    }

    /// # Errors
    /// `Damaged` or `TooNew` (I8).
    pub fn decode(record: &[u8]) -> Result<Self> {
        let mut from = codec::open(Kind::Call, record)?;
        let call = Self {
            id: from.text()?.into(),
            thread: from.text()?.into(),
            provider_id: from.text()?.into(),
            tool: from.text()?.into(),
            toolset: from.text()?.into(),
            arguments: from.bytes()?.into(),
            state: {
                let byte = from.byte()?;
                CallState::from_byte(byte).ok_or_else(|| from.damaged(&format!("there is no call state {byte}")))?
            },
            detached: from.flag()?,
            subscription: from.flag()?,
            deadline: from.optional(|from| from.signed())?,
            user_id: from.optional(|from| from.text().map(String::from))?,
            position: from.natural()?,
            ordinal: {
                let ordinal = from.unsigned()?;
                u32::try_from(ordinal).map_err(|_| from.damaged("a number is too large"))?
            },
        };
        from.finish()?;
        Ok(call)
    }
}
