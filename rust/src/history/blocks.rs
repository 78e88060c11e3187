//! Content blocks in the shape of the Anthropic Messages API, checked once on the way in and kept as the bytes they came as (I4, M3).

use crate::error::{Error, Result};
use crate::id::CallId;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// The reserved tool of synthetic calls (SUB-2).
pub const EVENT_TOOL: &str = "receive_event__injected";

/// Blocks that belong to one role of one entry.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    /// Comma-separated, without brackets.
    pub bytes: Vec<u8>,
    /// One of them, or of their content, is an image or a document.
    pub image: bool,
    /// Length of `bytes` without the reasoning at the end: the model's API refuses a message that ends in reasoning.
    pub settled: usize,
    /// Ids of the `tool_use` blocks, in order.
    pub tool_uses: Vec<String>,
}

/// What the rules need to know of a block; everything else passes unread.
#[derive(Deserialize)]
struct Shape<'a> {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    id: Option<String>,
    signature: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    cache_control: Option<IgnoredAny>,
}

impl Shape<'_> {
    fn is_empty_text(&self) -> bool {
        self.kind == "text" && self.text.as_ref().is_none_or(|text| text.chars().all(is_blank))
    }

    fn is_reasoning(&self) -> bool {
        matches!(self.kind.as_str(), "thinking" | "redacted_thinking")
    }

    fn is_unsigned_reasoning(&self) -> bool {
        self.kind == "thinking" && self.signature.as_ref().is_none_or(String::is_empty)
    }
}

/// What `str.strip` removes in Python, so that whatever passes there passes here.
fn is_blank(char: char) -> bool {
    char.is_whitespace() || ('\x1c'..='\x1f').contains(&char)
}

type Block<'a> = (&'a str, Shape<'a>);

impl Blocks {
    /// What a user says, or a summary.
    ///
    /// # Errors
    /// `Rule` if there is no block, a text is empty, or a block is not a user's.
    pub fn spoken(json: &[u8]) -> Result<Self> {
        let blocks = parse(json, FOR_USER)?;
        if blocks.is_empty() {
            return Err(Error::Rule("no content blocks; say something or add nothing".into()));
        }
        if blocks.iter().any(|(_, shape)| shape.is_empty_text()) {
            return Err(Error::Rule("a text block is empty; leave it out".into()));
        }
        Ok(Self::join(&blocks))
    }

    /// What a tool returns. Empty texts are left out, because the model's API refuses them.
    pub fn returned(json: &[u8]) -> Result<Self> {
        let mut blocks = parse(json, FOR_USER)?;
        blocks.retain(|(_, shape)| !shape.is_empty_text());
        Ok(Self::join(&blocks))
    }

    /// What the model produced. Empty texts and unsigned reasoning at the end are left out (I4).
    pub fn produced(json: &[u8]) -> Result<Self> {
        let mut blocks = parse(json, FOR_ASSISTANT)?;
        blocks.retain(|(_, shape)| !shape.is_empty_text());
        while blocks.pop_if(|(_, shape)| shape.is_unsigned_reasoning()).is_some() {}
        for (_, shape) in blocks.iter().filter(|(_, shape)| shape.kind == "tool_use") {
            if shape.id.is_none() || !shape.input.is_some_and(|input| input.get().starts_with('{')) {
                return Err(Error::Rule("a tool_use block lacks its id or its input is not an object".into()));
            }
        }
        Ok(Self::join(&blocks))
    }

    /// The one result of each of these calls.
    pub fn tool_results(calls: &[CallId], content: &Blocks, error: bool) -> Self {
        let mut bytes = Vec::new();
        for id in calls {
            if !bytes.is_empty() {
                bytes.push(b',');
            }
            bytes.extend_from_slice(br#"{"type":"tool_result","tool_use_id":"#);
            push_string(&mut bytes, id.as_str());
            bytes.extend_from_slice(br#","content":["#);
            bytes.extend_from_slice(&content.bytes);
            bytes.extend_from_slice(if error { br#"],"is_error":true}"# } else { b"]}" });
        }
        Self { settled: bytes.len(), bytes, image: content.image, tool_uses: Vec::new() }
    }

    /// The synthetic call by which an event enters (SUB-2).
    pub fn event_use(id: &str, tool: &str, call: &CallId, arguments: &[u8]) -> Self {
        let mut bytes = br#"{"type":"tool_use","id":"#.to_vec();
        push_string(&mut bytes, id);
        bytes.extend_from_slice(br#","name":"#);
        push_string(&mut bytes, EVENT_TOOL);
        bytes.extend_from_slice(br#","input":{"original_tool_name":"#);
        push_string(&mut bytes, tool);
        bytes.extend_from_slice(br#","original_tool_call_id":"#);
        push_string(&mut bytes, call.as_str());
        bytes.extend_from_slice(br#","original_args":"#);
        bytes.extend_from_slice(arguments);
        bytes.extend_from_slice(b"}}");
        Self { settled: bytes.len(), bytes, image: false, tool_uses: vec![id.to_owned()] }
    }

    fn join(blocks: &[Block<'_>]) -> Self {
        let mut joined = Self::default();
        for (raw, shape) in blocks {
            if !joined.bytes.is_empty() {
                joined.bytes.push(b',');
            }
            joined.bytes.extend_from_slice(raw.as_bytes());
            if !shape.is_reasoning() {
                joined.settled = joined.bytes.len();
            }
            joined.image |= matches!(shape.kind.as_str(), "image" | "document");
            if shape.kind == "tool_use" {
                joined.tool_uses.extend(shape.id.clone());
            }
        }
        joined
    }
}

const FOR_USER: &[&str] = &["tool_use", "tool_result", "thinking", "redacted_thinking"];
const FOR_ASSISTANT: &[&str] = &["tool_result", "image", "document"];

/// Split an array into its blocks; none may be of the `refused` types or carry a cache breakpoint, which rendering sets.
fn parse<'a>(json: &'a [u8], refused: &[&str]) -> Result<Vec<Block<'a>>> {
    let raw: Vec<&RawValue> =
        serde_json::from_slice(json).map_err(|e| Error::Rule(format!("content blocks are not a JSON array: {e}")))?;
    let mut blocks = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let raw = raw.get();
        if !raw.starts_with('{') {
            return Err(Error::Rule(format!("content block {index} is not an object")));
        }
        let shape: Shape<'a> = serde_json::from_str(raw)
            .map_err(|e| Error::Rule(format!("content block {index} has a wrong shape: {e}")))?;
        if refused.contains(&shape.kind.as_str()) {
            return Err(Error::Rule(format!("content block {index}: a {} block has no place here", shape.kind)));
        }
        if shape.cache_control.is_some() {
            return Err(Error::Rule(format!(
                "content block {index} has a cache_control; rendering sets the breakpoints"
            )));
        }
        blocks.push((raw, shape));
    }
    Ok(blocks)
}

/// Check that bytes are one JSON object.
pub fn check_object(json: &[u8], what: &str) -> Result<()> {
    check_json(json, what)?;
    if json.trim_ascii_start().first() == Some(&b'{') {
        return Ok(());
    }
    Err(Error::Rule(format!("{what} is not a JSON object")))
}

/// Check that bytes are one JSON value.
pub fn check_json(json: &[u8], what: &str) -> Result<()> {
    serde_json::from_slice::<&RawValue>(json).map(drop).map_err(|e| Error::Rule(format!("{what} is not JSON: {e}")))
}

/// Append a JSON string.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}
