//! One item of a thread's history. An entry *is* its record: bytes written once, shared by reference, never rewritten (G1, I10).

use crate::codec::{self, Kind as RecordKind};
use crate::error::{Error, Result};
use crate::history::blocks::Blocks;
use crate::id::CallId;
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    User = 1,
    Turn = 2,
    Result = 3,
    Event = 4,
    Summary = 5,
}

impl EntryKind {
    pub fn name(self) -> &'static str {
        match self {
            EntryKind::User => "user",
            EntryKind::Turn => "turn",
            EntryKind::Result => "result",
            EntryKind::Event => "event",
            EntryKind::Summary => "summary",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::User, Self::Turn, Self::Result, Self::Event, Self::Summary].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What an entry is made of.
pub struct Draft<'a> {
    pub kind: EntryKind,
    pub position: i64,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    pub assistant: Blocks,
    pub user: Blocks,
    /// Ids of the tool_use blocks it opens (turn, event) or whose result it is (result).
    pub calls: Vec<CallId>,
    /// The positions that a summary stands for.
    pub covers: Option<(i64, i64)>,
    /// A JSON object for clients; never shown to the model.
    pub meta: &'a [u8],
}

/// A written entry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Entry {
    record: Arc<[u8]>,
    kind: EntryKind,
    position: i64,
    image: bool,
    /// Length of the assistant blocks without reasoning at their end, which may not end a message.
    settled: usize,
    assistant: Range<usize>,
    user: Range<usize>,
}

/// Everything of an entry that rendering does not need.
pub struct Details<'a> {
    pub at: i64,
    pub calls: Vec<CallId>,
    pub covers: Option<(i64, i64)>,
    pub meta: &'a [u8],
}

impl Entry {
    pub fn write(draft: Draft<'_>) -> Result<Self> {
        let mut out = codec::begin(RecordKind::Entry);
        out.byte(draft.kind as u8);
        out.unsigned(draft.position as u64);
        out.signed(draft.at);
        out.flag(draft.assistant.image || draft.user.image);
        out.unsigned(draft.assistant.settled as u64);
        out.list(&draft.calls, |out, id| out.text(id.as_str()));
        out.optional(draft.covers, |out, (start, end)| {
            out.unsigned(start as u64);
            out.unsigned(end as u64);
        });
        out.bytes(&draft.assistant.bytes);
        out.bytes(&draft.user.bytes);
        out.bytes(draft.meta);
        Self::read(out.seal().into())
    }

    /// # Errors
    /// `Damaged` or `TooNew` (I8).
    pub fn read(record: Arc<[u8]>) -> Result<Self> {
        let mut image = false;
        let mut settled = 0;
        let (kind, position, assistant, user) = {
            let mut from = codec::open(RecordKind::Entry, &record)?;
            let kind = from.byte()?;
            let kind =
                EntryKind::from_byte(kind).ok_or_else(|| from.damaged(&format!("there is no entry kind {kind}")))?;
            let position = from.natural()?;
            from.signed()?;
            image |= from.flag()?;
            settled += from.natural()? as usize;
            from.list(|from| from.text().map(drop))?;
            from.optional(|from| from.natural().and(from.natural()))?;
            let assistant = span(&mut from)?;
            let user = span(&mut from)?;
            from.bytes()?;
            if settled > assistant.len() {
                return Err(from.damaged("reasoning at its end is longer than the turn"));
            }
            let object = |span: &Range<usize>| matches!(&record[span.clone()], [] | [b'{', .., b'}']);
            if !object(&assistant) || !object(&user) {
                return Err(from.damaged("its content blocks are no JSON objects"));
            }
            from.finish()?;
            (kind, position, assistant, user)
        };
        Ok(Self { record, kind, position, image, settled, assistant, user })
    }

    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    pub fn position(&self) -> i64 {
        self.position
    }

    pub fn record(&self) -> &Arc<[u8]> {
        &self.record
    }

    pub fn has_image(&self) -> bool {
        self.image
    }

    /// The assistant's blocks, comma-separated, without brackets.
    pub fn assistant(&self) -> &[u8] {
        &self.record[self.assistant.clone()]
    }

    /// The assistant's blocks up to the reasoning at their end.
    pub fn settled(&self) -> &[u8] {
        &self.assistant()[..self.settled]
    }

    /// The user's blocks, comma-separated, without brackets.
    pub fn user(&self) -> &[u8] {
        &self.record[self.user.clone()]
    }

    pub fn details(&self) -> Result<Details<'_>> {
        let mut from = codec::open(RecordKind::Entry, &self.record)?;
        from.byte()?;
        from.natural()?;
        let at = from.signed()?;
        from.flag()?;
        from.natural()?;
        let calls = from.list(|from| from.text().map(CallId::from))?;
        let covers = from.optional(|from| Ok((from.natural()?, from.natural()?)))?;
        from.bytes()?;
        from.bytes()?;
        let meta = from.bytes()?;
        Ok(Details { at, calls, covers, meta })
    }

    /// The entry as JSON for clients: `kind`, `at`, `assistant`, `user`, `meta`, and `covers` of a summary.
    pub fn json(&self) -> Result<Vec<u8>> {
        let details = self.details()?;
        let mut out = Vec::with_capacity(self.record.len() + 96);
        out.extend_from_slice(format!(r#"{{"kind":"{}","at":{}"#, self.kind.name(), details.at).as_bytes());
        if let Some((start, end)) = details.covers {
            out.extend_from_slice(format!(r#","covers":[{start},{end}]"#).as_bytes());
        }
        for (name, part) in [("assistant", self.assistant()), ("user", self.user())] {
            out.extend_from_slice(format!(r#","{name}":["#).as_bytes());
            out.extend_from_slice(part);
            out.push(b']');
        }
        out.extend_from_slice(br#","meta":"#);
        out.extend_from_slice(details.meta);
        out.push(b'}');
        Ok(out)
    }
}

/// A record's JSON for clients.
///
/// # Errors
/// `Damaged` or `TooNew`.
pub fn entry_json(record: &[u8]) -> Result<Vec<u8>> {
    Entry::read(record.into())?.json()
}

fn span(from: &mut codec::Reader<'_>) -> Result<Range<usize>, Error> {
    let length = from.bytes()?.len();
    Ok(from.offset() - length..from.offset())
}
