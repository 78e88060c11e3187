//! Whose entries a thread reads: its ancestors' up to each fork, then its own. Inherited by reference, never by copy (DESIGN 5.4).

use crate::codec::{Reader, Writer};
use crate::error::Result;
use crate::id::ThreadId;

/// Entries `[start, end)` that one ancestor wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub thread: ThreadId,
    pub start: i64,
    pub end: i64,
}

/// The inherited segments, ascending and without gaps, and where the thread's own entries begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    segments: Vec<Segment>,
}

impl Lineage {
    /// Position of the first entry that the thread itself writes.
    pub fn own_start(&self) -> i64 {
        self.segments.last().map_or(0, |segment| segment.end)
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The lineage of a child that forks from `thread` at `position`.
    pub fn fork(&self, thread: &ThreadId, position: i64) -> Self {
        let mut segments: Vec<_> = self.segments.iter().filter(|each| each.start < position).cloned().collect();
        if let Some(last) = segments.last_mut() {
            last.end = last.end.min(position);
        }
        if position > self.own_start() {
            segments.push(Segment { thread: thread.clone(), start: self.own_start(), end: position });
        }
        Self { segments }
    }

    /// Ranges that cover `[from, position)`, ascending; `thread` is the lineage's owner.
    pub fn ranges(&self, thread: &ThreadId, from: i64, position: i64) -> Vec<Segment> {
        let own = Segment { thread: thread.clone(), start: self.own_start(), end: position };
        let clip = |segment: &Segment| Segment { start: segment.start.max(from), ..segment.clone() };
        self.segments.iter().chain([&own]).map(clip).filter(|segment| segment.start < segment.end).collect()
    }

    pub fn encode(&self, out: &mut Writer) {
        out.list(&self.segments, |out, segment| {
            out.text(segment.thread.as_str());
            out.unsigned((segment.end - segment.start) as u64);
        });
    }

    pub fn decode(from: &mut Reader<'_>) -> Result<Self> {
        let mut start = 0i64;
        let segments = from.list(|from| {
            let thread = from.text()?.into();
            let length = from.natural()?;
            let end = start
                .checked_add(length)
                .filter(|end| *end > start)
                .ok_or_else(|| from.damaged("a lineage segment has no valid length"))?;
            let segment = Segment { thread, start, end };
            start = end;
            Ok(segment)
        })?;
        Ok(Self { segments })
    }
}
