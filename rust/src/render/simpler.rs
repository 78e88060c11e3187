//! Entries in a simpler form than the one they are stored in. Entries are never rewritten: what a refusal has taught is kept beside the
//! history, by the entries' positions, and holds for every later request and for children (DESIGN 5.7).

use crate::error::{Error, Result};
use crate::history::Entry;
use crate::history::blocks::push_string;
use crate::render::attachments::Attachments;
use crate::render::weight::weight;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A block of an entry: position, whether it is the user's, and its number among those of this role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Place(pub i64, pub bool, pub usize);

/// What later requests leave out or shorten. The default changes nothing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Simpler {
    /// Images and documents of entries before this position are told in words.
    pub images_before: i64,
    /// Reasoning of turns before this position is left out.
    pub reasoning_before: i64,
    /// Texts of entries before `longest_before` are shortened to so many characters; 0 is no limit.
    pub longest: usize,
    pub longest_before: i64,
    /// Blocks in whose place a sentence stands.
    pub left_out: Vec<Place>,
}

/// An image or a document.
pub struct Attachment<'a> {
    pub document: bool,
    pub media_type: Option<Cow<'a, str>>,
    /// Its base64, if it is written without escapes.
    pub data: Option<&'a str>,
}

const REFUSED: &str = "left out: the model API refused it";

impl Simpler {
    /// # Errors
    /// `Damaged` if this is not its JSON.
    pub fn read(json: &[u8]) -> Result<Self> {
        if json == b"{}" {
            return Ok(Self::default());
        }
        serde_json::from_slice(json).map_err(|e| Error::Damaged(format!("what is rendered in a simpler form: {e}")))
    }

    /// The assistant's blocks of an entry, where they differ from what is stored.
    pub fn assistant(&self, entry: &Entry) -> Result<Option<Vec<u8>>> {
        let change = Change {
            longest: self.longest_of(entry, entry.assistant()),
            left_out: self.left_out_of(entry, false),
            reasoning: entry.position() >= self.reasoning_before,
        };
        if change.is_none() {
            return Ok(None);
        }
        change.blocks(entry.assistant(), &mut |_| None).map(Some)
    }

    /// The user's blocks of an entry, where they differ from what is stored.
    pub fn user(&self, entry: &Entry, attachments: &mut Attachments) -> Result<Option<Vec<u8>>> {
        let change = Change {
            longest: self.longest_of(entry, entry.user()),
            left_out: self.left_out_of(entry, true),
            reasoning: true,
        };
        if change.is_none() && !entry.has_image() {
            return Ok(None);
        }
        let refused = entry.position() < self.images_before;
        change
            .blocks(entry.user(), &mut |attachment| {
                if refused { Some(attachment.refused()) } else { attachments.next(attachment) }
            })
            .map(Some)
    }

    fn longest_of(&self, entry: &Entry, blocks: &[u8]) -> Option<usize> {
        (self.longest > 0 && entry.position() < self.longest_before && blocks.len() > self.longest)
            .then_some(self.longest)
    }

    fn left_out_of(&self, entry: &Entry, user: bool) -> Vec<usize> {
        let here = |place: &&Place| place.0 == entry.position() && place.1 == user;
        self.left_out.iter().filter(here).map(|place| place.2).collect()
    }
}

/// What happens to the blocks of one role of one entry.
struct Change {
    longest: Option<usize>,
    left_out: Vec<usize>,
    /// Reasoning stays.
    reasoning: bool,
}

impl Change {
    fn is_none(&self) -> bool {
        self.longest.is_none() && self.left_out.is_empty() && self.reasoning
    }

    fn blocks(&self, blocks: &[u8], attachment: &mut dyn FnMut(&Attachment<'_>) -> Option<String>) -> Result<Vec<u8>> {
        let array = bracketed(blocks);
        let mut out = Vec::with_capacity(blocks.len().min(4096));
        // A message may not end in reasoning.
        let mut settled = 0;
        for (index, raw) in split_array(&array)?.into_iter().enumerate() {
            let shape = Shape::of(raw.get())?;
            let block = if self.left_out.contains(&index) {
                without(&shape, raw.get())?.map(Cow::from)
            } else if shape.is_reasoning() && !self.reasoning {
                None
            } else {
                Some(self.block(&shape, raw.get(), attachment)?)
            };
            if let Some(block) = block {
                if !out.is_empty() {
                    out.push(b',');
                }
                out.extend_from_slice(&block);
                if !shape.is_reasoning() {
                    settled = out.len();
                }
            }
        }
        out.truncate(settled);
        Ok(out)
    }

    fn block<'a>(
        &self,
        shape: &Shape<'a>,
        raw: &'a str,
        attachment: &mut dyn FnMut(&Attachment<'_>) -> Option<String>,
    ) -> Result<Cow<'a, [u8]>> {
        Ok(match (shape.kind.as_ref(), shape.content) {
            ("image" | "document", _) => match attachment(&shape.attachment()) {
                Some(words) => text_block(&words).into(),
                None => raw.as_bytes().into(),
            },
            ("text", _) => match self.longest.and_then(|longest| shortened(shape.text.as_deref()?, longest)) {
                Some(text) => text_block(&text).into(),
                None => raw.as_bytes().into(),
            },
            ("tool_result", Some(content)) if content.get().starts_with('[') => {
                let inner = Change { longest: self.longest, left_out: Vec::new(), reasoning: true };
                let content_blocks = &content.get()[1..content.get().len() - 1];
                with_content(raw, content, &inner.blocks(content_blocks.as_bytes(), attachment)?).into()
            }
            _ => raw.as_bytes().into(),
        })
    }
}

/// A block that the API has named in a refusal: its attachments first, in a later refusal all of it. What pairs calls and results stays (I4).
fn without(shape: &Shape<'_>, raw: &str) -> Result<Option<Vec<u8>>> {
    Ok(match (shape.kind.as_ref(), shape.content) {
        ("thinking" | "redacted_thinking", _) => None,
        ("tool_use", _) => match shape.input {
            Some(input) => {
                let (before, after) = around(raw, input);
                Some([before, "{}", after].concat().into_bytes())
            }
            None => Some(raw.into()),
        },
        ("tool_result", Some(content)) if content.get().starts_with('[') => {
            let inner = &content.get()[1..content.get().len() - 1];
            let mut attachments = 0;
            attached(inner.as_bytes(), &mut |_| attachments += 1)?;
            let plain = Change { longest: None, left_out: Vec::new(), reasoning: true };
            let blocks = if attachments > 0 {
                plain.blocks(inner.as_bytes(), &mut |attachment| Some(attachment.refused()))?
            } else {
                text_block(&format!("[this result was {REFUSED}]"))
            };
            Some(with_content(raw, content, &blocks))
        }
        ("image" | "document", _) => Some(text_block(&shape.attachment().refused())),
        _ => Some(text_block(&format!("[a block was {REFUSED}]"))),
    })
}

impl Attachment<'_> {
    fn refused(&self) -> String {
        let what = if self.document { "document" } else { "image" };
        format!("[{what} {REFUSED}]")
    }
}

/// Every image and document of these blocks, those in results included, in order.
pub fn attached(blocks: &[u8], found: &mut dyn FnMut(&Attachment<'_>)) -> Result<()> {
    let array = bracketed(blocks);
    for raw in split_array(&array)? {
        let shape = Shape::of(raw.get())?;
        match (shape.kind.as_ref(), shape.content) {
            ("image" | "document", _) => found(&shape.attachment()),
            ("tool_result", Some(content)) if content.get().starts_with('[') => {
                attached(&content.get().as_bytes()[1..content.get().len() - 1], found)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// How many blocks there are; none if they cannot be read.
pub fn count(blocks: &[u8]) -> usize {
    split_array(&bracketed(blocks)).map_or(0, |blocks| blocks.len())
}

/// The level at which texts are cut off so that everything together has at most `most` characters.
pub fn longest_text<'a>(entries: impl Iterator<Item = &'a Entry>, most: usize) -> Result<Option<usize>> {
    let mut lengths = Vec::new();
    let mut total = 0;
    for entry in entries {
        for blocks in [entry.assistant(), entry.user()] {
            total += weight(blocks);
            texts(blocks, &mut |length| lengths.push(length))?;
        }
    }
    if total <= most {
        return Ok(None);
    }
    // From the longest down: at which level is enough of them gone?
    lengths.sort_unstable_by(|one, other| other.cmp(one));
    let mut over = total - most;
    for (index, length) in lengths.iter().enumerate() {
        let next = lengths.get(index + 1).copied().unwrap_or(0);
        let gained = (length - next) * (index + 1);
        if gained >= over {
            return Ok(Some(length - over.div_ceil(index + 1)));
        }
        over -= gained;
    }
    Ok(Some(0))
}

fn texts(blocks: &[u8], found: &mut dyn FnMut(usize)) -> Result<()> {
    let array = bracketed(blocks);
    for raw in split_array(&array)? {
        let shape = Shape::of(raw.get())?;
        match (shape.kind.as_ref(), shape.content) {
            ("text", _) => found(shape.text.map_or(0, |text| text.len())),
            ("tool_result", Some(content)) if content.get().starts_with('[') => {
                texts(&content.get().as_bytes()[1..content.get().len() - 1], found)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Head and tail of a text that has more characters; `None` if it has not.
fn shortened(text: &str, longest: usize) -> Option<String> {
    let length = text.chars().count();
    if length <= longest {
        return None;
    }
    let head = longest * 3 / 4;
    let tail = longest - head;
    let at = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
    let gap = format!("\n\n[… {} characters left out …]\n\n", length - head - tail);
    Some([&text[..at(head)], &gap, &text[at(length - tail)..]].concat())
}

fn text_block(text: &str) -> Vec<u8> {
    let mut out = br#"{"type":"text","text":"#.to_vec();
    push_string(&mut out, text);
    out.push(b'}');
    out
}

fn with_content(raw: &str, content: &RawValue, blocks: &[u8]) -> Vec<u8> {
    let (before, after) = around(raw, content);
    [before.as_bytes(), b"[", blocks, b"]", after.as_bytes()].concat()
}

/// What stands before and after a value, which is a slice of `raw`.
fn around<'a>(raw: &'a str, value: &RawValue) -> (&'a str, &'a str) {
    let start = value.get().as_ptr() as usize - raw.as_ptr() as usize;
    (&raw[..start], &raw[start + value.get().len()..])
}

fn bracketed(blocks: &[u8]) -> Vec<u8> {
    [b"[", blocks, b"]"].concat()
}

fn split_array(array: &[u8]) -> Result<Vec<&RawValue>> {
    serde_json::from_slice(array).map_err(damaged)
}

fn damaged(error: serde_json::Error) -> Error {
    Error::Damaged(format!("stored content blocks: {error}"))
}

#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    media_type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

impl<'a> Shape<'a> {
    fn of(raw: &'a str) -> Result<Self> {
        serde_json::from_str(raw).map_err(damaged)
    }

    fn is_reasoning(&self) -> bool {
        matches!(self.kind.as_ref(), "thinking" | "redacted_thinking")
    }

    /// A source that does not say its type still gets words: an error would only be less useful.
    fn attachment(&self) -> Attachment<'a> {
        let source = self.source.and_then(|source| serde_json::from_str::<Source<'a>>(source.get()).ok());
        let (media_type, data) = source.map_or((None, None), |source| (source.media_type, source.data));
        let data = data.and_then(|data| data.get().strip_prefix('"')?.strip_suffix('"'));
        Attachment { document: self.kind == "document", media_type, data }
    }
}
