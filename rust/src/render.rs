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

/// Blocks that go into one message: consecutive parts of one role share it.
struct Part<'a> {
    role: Role,
    blocks: Cow<'a, [u8]>,
}

impl Thread {
    /// The `messages` array: roles alternate, the first is `user`, and every tool_use has its one tool_result first in the next message.
    ///
    /// # Errors
    /// `Rule` if an attached call is open or there is nothing to render.
    pub fn render(&self, options: RenderOptions) -> Result<Vec<u8>> {
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
        join(&parts, options.breakpoints)
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

fn join(parts: &[Part<'_>], breakpoints: usize) -> Result<Vec<u8>> {
    let messages = parts.chunk_by(|one, next| one.role == next.role);
    let users = messages.clone().filter(|message| message[0].role == Role::User).count();
    let plain = users.saturating_sub(breakpoints);
    let size: usize = parts.iter().map(|part| part.blocks.len() + 40).sum();
    let mut out = Vec::with_capacity(size + breakpoints.min(users) * BREAKPOINT.len());
    let mut user = 0;
    for message in messages {
        out.push(if out.is_empty() { b'[' } else { b',' });
        out.extend_from_slice(match message[0].role {
            Role::User => br#"{"role":"user","content":["#,
            Role::Assistant => br#"{"role":"assistant","content":["#,
        });
        for (index, part) in message.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(&part.blocks);
        }
        if message[0].role == Role::User {
            user += 1;
            if user > plain {
                mark(&mut out)?;
            }
        }
        out.extend_from_slice(b"]}");
    }
    out.push(b']');
    Ok(out)
}

/// Put a cache breakpoint into the block that was written last.
fn mark(out: &mut Vec<u8>) -> Result<()> {
    if out.pop() != Some(b'}') {
        return Err(Error::Damaged("a stored content block is no JSON object".into()));
    }
    out.extend_from_slice(BREAKPOINT);
    Ok(())
}
