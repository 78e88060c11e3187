//! History → the request's `messages` array, by joining stored bytes (G1, I10). Nothing is parsed, except where images are left out.

use crate::error::{Error, Result};
use crate::history::blocks::without_images;
use crate::history::{Entry, Thread};
use std::borrow::Cow;

const BREAKPOINT: &[u8] = br#","cache_control":{"type":"ephemeral"}}"#;

#[derive(Debug, Clone, Copy)]
pub struct RenderOptions {
    /// The model takes images; else each becomes a text placeholder (RES-2).
    pub images: bool,
    /// How many of the last user messages end in a cache breakpoint.
    pub breakpoints: usize,
}

impl Default for RenderOptions {
    fn default() -> Self {
        Self { images: true, breakpoints: 2 }
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
    pub fn request(&self, options: RenderOptions) -> Result<Request<'_>> {
        let id = &self.header().id;
        if let Some(call) = self.attached().next() {
            return Err(Error::Rule(format!(
                "thread {id}: call {} has no result yet; answer or detach it before rendering",
                call.id
            )));
        }
        let parts = parts(self.rendered(), options.images)?;
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
        let request = self.request(options)?;
        let mut out = Vec::with_capacity(request.size());
        request.pieces(|piece| out.extend_from_slice(piece));
        Ok(out)
    }
}

fn parts<'a>(entries: impl Iterator<Item = &'a Entry>, images: bool) -> Result<Vec<Part<'a>>> {
    let mut parts = Vec::new();
    // The blocks without the reasoning at their end, if the last part has any there: no message may end in it.
    let mut settled: Option<&[u8]> = None;
    for entry in entries {
        let rewrite = !images && entry.has_image();
        if !entry.assistant().is_empty() {
            settled = (entry.settled().len() < entry.assistant().len()).then(|| entry.settled());
            parts.push(Part { role: Role::Assistant, blocks: entry.assistant().into() });
        }
        if !entry.user().is_empty() {
            settle(&mut parts, settled.take());
            let blocks = if rewrite { without_images(entry.user())?.into() } else { entry.user().into() };
            parts.push(Part { role: Role::User, blocks });
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
