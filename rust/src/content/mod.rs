//! The door of history: what content blocks must be before they enter it, wherever they come from (I11, DESIGN 5.7).
//!
//! [`admit`] takes a JSON array of blocks in the shape of the Messages API and gives back blocks that the API accepts: text without
//! halves of characters and NUL, images and documents whose bytes are what they say, and nothing of any other kind. What a tool sends is put
//! right or replaced by a sentence for the model; what a person sends is put right or refused in words. Admitting what was admitted
//! changes nothing.

mod base64;
mod document;
mod picture;
mod unicode;

pub use base64::prefix;
pub use picture::{Size, size_of};
pub use unicode::repaired;

use crate::error::{Error, Result};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Who hears of content that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// Refused, in words.
    Person,
    /// Replaced by a sentence for the model.
    Tool,
}

/// Content for history.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// A JSON array, never empty.
    pub blocks: Vec<u8>,
    /// What was changed, in words.
    pub notes: Vec<String>,
}

/// Blocks of one message. What the model reads is bounded elsewhere; this bounds the work.
const MOST_BLOCKS: usize = 1_000;

pub const NOTHING: &str = "(empty)";

type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// A block that may enter history, or why it cannot.
type Verdict = Result<Option<String>, String>;

/// # Errors
/// `BadRequest` if this is not an array of blocks, or a person sent what cannot be used.
pub fn admit(json: &[u8], sender: Sender) -> Result<Admitted> {
    let json = repaired(json);
    let mut door = Door { sender, out: Vec::with_capacity(json.len()), notes: Vec::new() };
    if let Cow::Owned(_) = json {
        door.notes.push("halves of characters were replaced".into());
    }
    door.out.push(b'[');
    door.blocks(&json, 0)?;
    if door.out.len() == 1 {
        if sender == Sender::Person {
            return Err(Error::BadRequest("content is empty; send text".into()));
        }
        door.text(NOTHING);
    }
    door.out.push(b']');
    Ok(Admitted { blocks: door.out, notes: door.notes })
}

struct Door {
    sender: Sender,
    out: Vec<u8>,
    notes: Vec<String>,
}

impl Door {
    fn blocks(&mut self, json: &[u8], depth: usize) -> Result<()> {
        let raw: Vec<&RawValue> = serde_json::from_slice(json)
            .map_err(|e| Error::BadRequest(format!("content is not an array of content blocks in JSON: {e}")))?;
        for (index, raw) in raw.iter().enumerate() {
            let verdict = if index < MOST_BLOCKS {
                self.block(raw.get(), depth)
            } else {
                Err(format!("a message has at most {MOST_BLOCKS} content blocks, this one has {}", raw.get().len()))
            };
            match verdict {
                Ok(Some(block)) => self.push(block.as_bytes()),
                Ok(None) => {}
                Err(why) if self.sender == Sender::Person => {
                    return Err(Error::BadRequest(format!("content[{index}]: {why}")));
                }
                Err(why) => {
                    self.text(&format!("[left out: {why}]"));
                    self.notes.push(why);
                    if index >= MOST_BLOCKS {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, block: &[u8]) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
        self.out.extend_from_slice(block);
    }

    fn text(&mut self, text: &str) {
        self.push(text_block(text).as_bytes());
    }

    /// One block as history keeps it; nothing of a text that is only white space.
    fn block(&mut self, raw: &str, depth: usize) -> Verdict {
        let fields: Fields<'_> =
            serde_json::from_str(raw).map_err(|_| "a content block is a JSON object with a \"type\"".to_owned())?;
        let kind = string(&fields, "type").ok_or("a content block has a \"type\"")?;
        match kind.as_str() {
            "text" => self.spoken(raw, &fields),
            "image" => self.image(&fields).map(Some),
            "document" => self.document(&fields, depth),
            // An agent's own words and results are made by the runtime, so that each call has its one result (I4).
            "tool_use" | "tool_result" | "thinking" | "redacted_thinking" => {
                Err(format!("a {kind} block is the runtime's to make; send text, images or documents"))
            }
            _ => Err(format!("a block of type {:?} is not known; send text, images or documents", short(&kind))),
        }
    }

    fn spoken(&mut self, raw: &str, fields: &Fields<'_>) -> Verdict {
        let text = string(fields, "text").ok_or("a text block has a string \"text\"")?;
        self.known(fields, &["type", "text"])?;
        let clean = without_nul(&text);
        if let Cow::Owned(_) = clean {
            self.notes.push("NUL characters were removed".into());
        }
        if clean.chars().all(is_unseen) {
            return match self.sender {
                Sender::Person => Err("the text is empty; leave it out".into()),
                Sender::Tool => Ok(None),
            };
        }
        let whole = fields.len() == 2 && matches!(clean, Cow::Borrowed(_));
        Ok(Some(if whole { raw.to_owned() } else { text_block(&clean) }))
    }

    fn image(&mut self, fields: &Fields<'_>) -> Result<String, String> {
        self.known(fields, &["type", "source"])?;
        let (media_type, data) = source(fields, "image")?;
        let data = base64::canonical(&data).map_err(|why| format!("an image whose data is {why}"))?;
        let picture = picture::examine(&data.bytes, data.text.len())?;
        if picture.media_type != media_type {
            self.notes.push(format!("an image said to be {} is {}", short(&media_type), picture.media_type));
        }
        Ok(format!(
            r#"{{"type":"image","source":{{"type":"base64","media_type":"{}","data":"{}"}}}}"#,
            picture.media_type, data.text
        ))
    }

    fn document(&mut self, fields: &Fields<'_>, depth: usize) -> Verdict {
        self.known(fields, &["type", "source", "title", "context", "citations"])?;
        let inner: Fields<'_> = fields
            .get("source")
            .and_then(|source| serde_json::from_str(source.get()).ok())
            .ok_or("a document has a \"source\"")?;
        let title = string(fields, "title").map(|title| without_nul(&title).into_owned());
        let title = title.filter(|title| !title.chars().all(is_unseen));
        match string(&inner, "type").as_deref() {
            // Words are words in every dialect.
            Some("text") => {
                let data = string(&inner, "data").ok_or("a document of text has a string \"data\"")?;
                let text = title.map_or_else(|| data.clone(), |title| format!("{title}\n\n{data}"));
                let clean = without_nul(&text);
                Ok((!clean.chars().all(is_unseen)).then(|| text_block(&clean)))
            }
            Some("content") if depth == 0 => {
                let content = inner.get("content").map_or("[]", |content| content.get());
                if let Ok(text) = serde_json::from_str::<String>(content) {
                    return Ok((!text.chars().all(is_unseen)).then(|| text_block(&without_nul(&text))));
                }
                self.blocks(content.as_bytes(), 1).map_err(|error| error.text().to_owned()).map(|()| None)
            }
            Some("base64") => self.paper(&inner, title).map(Some),
            _ => Err("a document's source is of type base64 or text".into()),
        }
    }

    fn paper(&mut self, source: &Fields<'_>, title: Option<String>) -> Result<String, String> {
        let data = string(source, "data").ok_or("a document has a string \"data\"")?;
        let data = base64::canonical(&data).map_err(|why| format!("a document whose data is {why}"))?;
        document::examine(&data.bytes)?;
        let title = title.map(|title| format!(r#","title":{}"#, quoted(&title))).unwrap_or_default();
        Ok(format!(
            r#"{{"type":"document","source":{{"type":"base64","media_type":"application/pdf","data":"{}"}}{title}}}"#,
            data.text
        ))
    }

    /// Any other field the API may refuse, for ever; a cache breakpoint is the renderer's to set.
    fn known(&mut self, fields: &Fields<'_>, names: &[&str]) -> Result<(), String> {
        for name in fields.keys().filter(|name| !names.contains(&name.as_ref())) {
            if self.sender == Sender::Person {
                return Err(format!("the field {:?} is not known; leave it out", short(name)));
            }
            self.notes.push(format!("the field {:?} of a block was taken out", short(name)));
        }
        Ok(())
    }
}

fn source(fields: &Fields<'_>, what: &str) -> Result<(String, String), String> {
    let expected = || format!("an {what}'s source is {{\"type\": \"base64\", \"media_type\", \"data\"}}");
    let raw = fields.get("source").ok_or_else(expected)?;
    let source: Fields<'_> = serde_json::from_str(raw.get()).map_err(|_| expected())?;
    match string(&source, "type").as_deref() {
        Some("base64") => {}
        // Neither can be checked here, and what is there today may be gone with the next request.
        Some("url" | "file") => return Err(format!("an {what} by address or file id; send its bytes as base64")),
        _ => return Err(expected()),
    }
    let data = string(&source, "data").ok_or_else(expected)?;
    Ok((string(&source, "media_type").unwrap_or_default(), data))
}

fn string(fields: &Fields<'_>, name: &str) -> Option<String> {
    serde_json::from_str(fields.get(name)?.get()).ok()
}

fn text_block(text: &str) -> String {
    format!(r#"{{"type":"text","text":{}}}"#, quoted(text))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "").into() } else { text.into() }
}

/// White space in the sense of any of the languages that model APIs are written in, and what has no width.
fn is_unseen(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\x1c'..='\x1f' | '\u{180e}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// A stranger's word, short enough for a sentence.
fn short(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(40).collect()
}
