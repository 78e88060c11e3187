//! History → the request's `messages` array, by joining stored bytes (G1, I10). Nothing is parsed, except where something of an entry is
//! shown otherwise: images that a model or a request does not take, and what a refusal has taught (DESIGN 5.7).

mod attachments;
mod simpler;
mod weight;

pub use simpler::{Place, Simpler};
pub use weight::weight;

use crate::error::{Error, Result};
use crate::history::{Entry, Thread};
use attachments::Attachments;
use std::borrow::Cow;

const BREAKPOINT: &[u8] = br#","cache_control":{"type":"ephemeral"}}"#;

#[derive(Debug, Clone)]
pub struct RenderOptions {
    /// The model takes images; else each becomes a text placeholder (RES-2).
    pub images: bool,
    /// The same for documents.
    pub documents: bool,
    /// How many of the last user messages end in a cache breakpoint.
    pub breakpoints: usize,
    /// What is shown in a simpler form than it was stored in.
    pub simpler: Simpler,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self { images: true, documents: true, breakpoints: 2, simpler: Simpler::default() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    Assistant,
}

impl Role {
    fn opening(self) -> &'static [u8] {
        match self {
            Role::User => br#"{"role":"user","content":["#,
            Role::Assistant => br#"{"role":"assistant","content":["#,
        }
    }
}

/// Blocks that go into one message: consecutive parts of one role share it.
struct Part<'a> {
    role: Role,
    /// Of the entry that they are of.
    position: i64,
    blocks: Cow<'a, [u8]>,
}

/// A `messages` array that is not written yet: stored bytes by reference.
pub struct Request<'a> {
    parts: Vec<Part<'a>>,
    breakpoints: usize,
}

impl Request<'_> {
    /// How many bytes [`Request::write`] fills.
    pub fn size(&self) -> usize {
        let mut length = 0;
        self.pieces(|piece| length += piece.len());
        length
    }

    /// Fill a buffer of exactly [`Request::size`] bytes.
    pub fn write(&self, mut into: &mut [u8]) {
        self.pieces(|piece| {
            let (place, rest) = std::mem::take(&mut into).split_at_mut(piece.len());
            place.copy_from_slice(piece);
            into = rest;
        });
    }

    /// Where the block of a refusal is (`messages.N.content.M`); `None` if there is none.
    pub fn place(&self, message: usize, block: usize) -> Option<Place> {
        let parts = self.parts.chunk_by(|one, next| one.role == next.role).nth(message)?;
        let mut left = block;
        for part in parts {
            let count = simpler::count(&part.blocks);
            if left < count {
                return Some(Place(part.position, part.role == Role::User, left));
            }
            left -= count;
        }
        None
    }

    /// What the array is made of, in order.
    fn pieces(&self, mut emit: impl FnMut(&[u8])) {
        let messages = self.parts.chunk_by(|one, next| one.role == next.role);
        let users = messages.clone().filter(|message| message[0].role == Role::User).count();
        let mut unmarked = users.saturating_sub(self.breakpoints);
        for (index, message) in messages.enumerate() {
            emit(if index == 0 { b"[" } else { b"," });
            let Some((last, others)) = message.split_last() else { continue };
            emit(last.role.opening());
            for part in others {
                emit(&part.blocks);
                emit(b",");
            }
            match last.role {
                Role::User if unmarked == 0 => mark(&last.blocks, &mut emit),
                Role::User => {
                    unmarked -= 1;
                    emit(&last.blocks);
                }
                Role::Assistant => emit(&last.blocks),
            }
            emit(b"]}");
        }
        emit(b"]");
    }
}

/// Blocks with a cache breakpoint in the last one. Reading an entry has checked that they end in `}`.
fn mark(blocks: &[u8], emit: &mut impl FnMut(&[u8])) {
    emit(&blocks[..blocks.len() - 1]);
    emit(BREAKPOINT);
}

impl Thread {
    /// The `messages` array: roles alternate, the first is `user`, and every tool_use has its one tool_result first in the next message.
    ///
    /// # Errors
    /// `Rule` if an attached call is open or there is nothing to render.
    pub fn request(&self, options: &RenderOptions) -> Result<Request<'_>> {
        let id = &self.header().id;
        if let Some(call) = self.attached().next() {
            return Err(Error::Rule(format!(
                "thread {id}: call {} has no result yet; answer or detach it before rendering",
                call.id
            )));
        }
        let parts = parts(self.rendered(), options)?;
        if parts.is_empty() {
            return Err(Error::Rule(format!("thread {id}: it has no entries to render")));
        }
        Ok(Request { parts, breakpoints: options.breakpoints })
    }

    /// [`Thread::request`] as bytes.
    ///
    /// # Errors
    /// As there.
    pub fn render(&self, options: RenderOptions) -> Result<Vec<u8>> {
        let request = self.request(&options)?;
        let mut out = Vec::with_capacity(request.size());
        request.pieces(|piece| out.extend_from_slice(piece));
        Ok(out)
    }
}

fn parts<'a>(entries: impl Iterator<Item = &'a Entry>, options: &RenderOptions) -> Result<Vec<Part<'a>>> {
    let entries: Vec<&Entry> = entries.collect();
    let mut attachments = Attachments::of(&entries, options)?;
    let mut parts = Vec::new();
    // The blocks without the reasoning at their end, if the last part has any there: no message may end in it.
    let mut settled: Option<&[u8]> = None;
    for entry in entries {
        let position = entry.position();
        if !entry.assistant().is_empty() {
            let changed = options.simpler.assistant(entry)?;
            settled = (changed.is_none() && entry.settled().len() < entry.assistant().len()).then(|| entry.settled());
            let blocks = changed.map_or_else(|| Cow::from(entry.assistant()), Cow::from);
            if !blocks.is_empty() {
                parts.push(Part { role: Role::Assistant, position, blocks });
            }
        }
        if !entry.user().is_empty() {
            settle(&mut parts, settled.take());
            let changed = options.simpler.user(entry, &mut attachments)?;
            let blocks = changed.map_or_else(|| Cow::from(entry.user()), Cow::from);
            parts.push(Part { role: Role::User, position, blocks });
        }
    }
    settle(&mut parts, settled);
    Ok(parts)
}

fn settle<'a>(parts: &mut Vec<Part<'a>>, settled: Option<&'a [u8]>) {
    match (settled, parts.last_mut()) {
        (Some([]), _) => {
            parts.pop();
        }
        (Some(blocks), Some(last)) => last.blocks = blocks.into(),
        _ => {}
    }
}

impl Thread {
    /// How much the model is told for the first time with the next request, in characters: what came since the last turn.
    pub fn unanswered_weight(&self) -> usize {
        self.unanswered().map(|entry| weight(entry.user())).sum()
    }

    /// To how many characters each text must be shortened so that the history has at most `most`; `None` if it has as it is.
    ///
    /// # Errors
    /// `Damaged` if stored blocks are not JSON.
    pub fn longest_text(&self, most: usize) -> Result<Option<usize>> {
        simpler::longest_text(self.rendered(), most)
    }
}
