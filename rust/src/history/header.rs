//! A thread's header: everything about it that is neither an entry nor a call. Rewritten by every commit, so it stays small (I10).

use crate::codec::{self, Kind};
use crate::error::Result;
use crate::history::blocks::push_string;
use crate::history::lineage::{Lineage, Segment};
use crate::id::ThreadId;

/// Tokens: input, output, cache read, cache write. `input` excludes the cached ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage(pub [i64; 4]);

impl Usage {
    pub fn total(self) -> i64 {
        self.0.iter().fold(0, |sum, tokens| sum.saturating_add(*tokens))
    }

    pub fn plus(self, other: Usage) -> Usage {
        Usage(std::array::from_fn(|at| self.0[at].saturating_add(other.0[at])))
    }
}

/// What a completion used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spending {
    pub usage: Usage,
    /// Millionths of a US dollar.
    pub cost: i64,
}

impl From<Usage> for Spending {
    fn from(usage: Usage) -> Self {
        Self { usage, cost: 0 }
    }
}

/// Codes of problems that are probed for ever and that no probe ends.
const OF_PEOPLE: [&str; 3] = ["model_authentication", "model_billing", "config"];

#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    pub id: ThreadId,
    /// Root → parent; empty for a root.
    pub ancestors: Vec<ThreadId>,
    pub lineage: Lineage,
    /// Entries before it are covered by the summary.
    pub live_start: i64,
    /// Position of the summary entry in force.
    pub summary: Option<i64>,
    /// The position that the next entry gets.
    pub position: i64,
    /// The position that the next row of the event stream gets.
    pub feed: i64,
    /// Of the last commit; 0 before the first.
    pub version: i64,
    pub model: String,
    pub title: String,
    pub created_at: i64,
    pub stopped: bool,
    pub closed: bool,
    /// Something waits for the model's next turn (once no attached call is open).
    pub pending: bool,
    pub problem: Option<String>,
    pub children: i64,
    pub usage: Usage,
    /// Of all turns so far, in millionths of a US dollar.
    pub cost: i64,
    pub context_tokens: i64,
    pub actor: Option<String>,
    /// Why a child exists: JSON.
    pub origin: Option<Vec<u8>>,
    /// What the engine remembers about the thread from slice to slice: a small JSON object.
    pub memo: Vec<u8>,
}

impl Header {
    pub fn root(&self) -> &ThreadId {
        self.ancestors.first().unwrap_or(&self.id)
    }

    /// It rests with a problem that a person has to end. A thread that is tried again by itself, now or by a timer, is pending and needs nobody,
    /// unless all tries find what only people change: a key, a bill, the settings.
    pub fn needs_a_person(&self) -> bool {
        let Some(problem) = self.problem.as_deref().filter(|_| !self.closed) else { return false };
        let code = problem.split_once(':').map_or(problem, |(code, _)| code);
        self.stopped || !self.pending || OF_PEOPLE.contains(&code)
    }

    pub fn parent(&self) -> Option<&ThreadId> {
        self.ancestors.last()
    }

    /// Every range of entries that a load must read: all from the first live one on. A summary's own entry lies within, because it is
    /// written after the entries that it covers.
    pub fn live_ranges(&self) -> Vec<Segment> {
        self.lineage.ranges(&self.id, self.live_start, self.position)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = codec::begin(Kind::Header);
        out.text(self.id.as_str());
        out.list(&self.ancestors, |out, id| out.text(id.as_str()));
        self.lineage.encode(&mut out);
        out.unsigned(self.live_start as u64);
        out.optional(self.summary, |out, at| out.unsigned(at as u64));
        out.unsigned(self.position as u64);
        out.unsigned(self.feed as u64);
        out.unsigned(self.version as u64);
        out.text(&self.model);
        out.text(&self.title);
        out.signed(self.created_at);
        out.flag(self.stopped);
        out.flag(self.closed);
        out.flag(self.pending);
        out.optional(self.problem.as_deref(), |out, text| out.text(text));
        out.unsigned(self.children as u64);
        self.usage.0.iter().for_each(|tokens| out.signed(*tokens));
        out.unsigned(self.cost as u64);
        out.signed(self.context_tokens);
        out.optional(self.actor.as_deref(), |out, text| out.text(text));
        out.optional(self.origin.as_deref(), |out, json| out.bytes(json));
        out.bytes(&self.memo);
        out.seal()
    }

    /// # Errors
    /// `Damaged` or `TooNew` (I8).
    pub fn decode(record: &[u8]) -> Result<Self> {
        let mut from = codec::open(Kind::Header, record)?;
        let header = Self {
            id: from.text()?.into(),
            ancestors: from.list(|from| from.text().map(ThreadId::from))?,
            lineage: Lineage::decode(&mut from)?,
            live_start: from.natural()?,
            summary: from.optional(|from| from.natural())?,
            position: from.natural()?,
            feed: from.natural()?,
            version: from.natural()?,
            model: from.text()?.into(),
            title: from.text()?.into(),
            created_at: from.signed()?,
            stopped: from.flag()?,
            closed: from.flag()?,
            pending: from.flag()?,
            problem: from.optional(|from| from.text().map(String::from))?,
            children: from.natural()?,
            usage: {
                let mut tokens = [0; 4];
                for count in &mut tokens {
                    *count = from.signed()?;
                }
                Usage(tokens)
            },
            cost: from.natural()?,
            context_tokens: from.signed()?,
            actor: from.optional(|from| from.text().map(String::from))?,
            origin: from.optional(|from| from.bytes().map(Vec::from))?,
            memo: from.bytes()?.into(),
        };
        let summary = header.summary.unwrap_or(header.live_start);
        if header.lineage.own_start() > header.position
            || header.live_start > header.position
            || summary < header.live_start
            || header.summary.is_some_and(|at| at >= header.position)
        {
            return Err(from.damaged("its positions contradict each other"));
        }
        from.finish()?;
        Ok(header)
    }

    /// For clients and diagnosis.
    pub fn json(&self) -> Vec<u8> {
        let mut out = Object::default();
        out.text("id", Some(self.id.as_str()));
        out.text("root", Some(self.root().as_str()));
        out.text("parent", self.parent().map(ThreadId::as_str));
        let ancestors: Vec<_> = self.ancestors.iter().map(ThreadId::as_str).collect();
        out.raw("ancestors", serde_json::Value::from(ancestors).to_string().as_bytes());
        out.number("own_start", Some(self.lineage.own_start()));
        out.number("live_start", Some(self.live_start));
        out.number("summary", self.summary);
        out.number("position", Some(self.position));
        out.number("feed", Some(self.feed));
        out.number("version", Some(self.version));
        out.text("model", Some(&self.model));
        out.text("title", Some(&self.title));
        out.number("created_at", Some(self.created_at));
        out.raw("stopped", self.stopped.to_string().as_bytes());
        out.raw("closed", self.closed.to_string().as_bytes());
        out.raw("pending", self.pending.to_string().as_bytes());
        out.text("problem", self.problem.as_deref());
        out.number("children", Some(self.children));
        out.raw("usage", format!("{:?}", self.usage.0).as_bytes());
        out.number("cost", Some(self.cost));
        out.number("context_tokens", Some(self.context_tokens));
        out.text("actor", self.actor.as_deref());
        out.raw("origin", self.origin.as_deref().unwrap_or(b"null"));
        out.raw("memo", &self.memo);
        out.finish()
    }
}

/// The ranges of entries that loading the header's thread must read: `(thread, start, end)`, ascending.
///
/// # Errors
/// `Damaged` or `TooNew`.
pub fn live_ranges(header: &[u8]) -> Result<Vec<(String, i64, i64)>> {
    let ranges = Header::decode(header)?.live_ranges();
    Ok(ranges.into_iter().map(|range| (range.thread.to_string(), range.start, range.end)).collect())
}

/// See [`Header::needs_a_person`].
///
/// # Errors
/// `Damaged` or `TooNew`.
pub fn needs_a_person(header: &[u8]) -> Result<bool> {
    Ok(Header::decode(header)?.needs_a_person())
}

/// A header record as JSON.
///
/// # Errors
/// `Damaged` or `TooNew`.
pub fn header_json(header: &[u8]) -> Result<Vec<u8>> {
    Ok(Header::decode(header)?.json())
}

/// A JSON object under construction.
#[derive(Default)]
struct Object {
    bytes: Vec<u8>,
}

impl Object {
    fn raw(&mut self, key: &str, value: &[u8]) {
        self.bytes.push(if self.bytes.is_empty() { b'{' } else { b',' });
        push_string(&mut self.bytes, key);
        self.bytes.push(b':');
        self.bytes.extend_from_slice(value);
    }

    fn text(&mut self, key: &str, value: Option<&str>) {
        self.raw(key, serde_json::Value::from(value).to_string().as_bytes());
    }

    fn number(&mut self, key: &str, value: Option<i64>) {
        self.raw(key, serde_json::Value::from(value).to_string().as_bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.push(b'}');
        self.bytes
    }
}
