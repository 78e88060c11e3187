//! What stands in place of entries that were lost, so that the thread can go on: what is known of them, and else that nothing is.
//!
//! Nothing is made up. Calls are on record beside the turn that made them, so that a turn can be shown by its calls; a result that is lost
//! is shown as an error that says so; of everything else a note tells the model that it is missing.

use crate::error::Result;
use crate::history::blocks::Blocks;
use crate::history::call::Call;
use crate::history::entry::{Draft, Entry, EntryKind};
use crate::history::header::Header;
use crate::id::CallId;
use std::collections::BTreeMap;

const LOST: &str = "[A part of this conversation stood here and is lost: the database that kept it was damaged. What it said is not known.]";
const LOST_RESULT: &str = "The result of this call is lost: the database that kept it was damaged.";
const LOST_SUMMARY: &str = "[What was said before is lost: the database that kept its summary was damaged.]";
const META: &[u8] = br#"{"lost":true}"#;

/// What changes in a thread's records.
#[derive(Debug, Default)]
pub struct Mended {
    /// Whole records, for the positions that lacked them and behind the end.
    pub entries: Vec<(i64, Vec<u8>)>,
    /// The header, with the loss on record.
    pub header: Vec<u8>,
}

/// Positions of the thread's own entries and of its feed: start, end, end of the feed.
///
/// # Errors
/// `Damaged` or `TooNew`.
pub fn bounds(header: &[u8]) -> Result<(i64, i64, i64)> {
    let header = Header::decode(header)?;
    Ok((header.lineage.own_start(), header.position, header.feed))
}

/// Whose entries precede the thread's own: thread, start, end.
///
/// # Errors
/// `Damaged` or `TooNew`.
pub fn inherited(header: &[u8]) -> Result<Vec<(String, i64, i64)>> {
    let lineage = Header::decode(header)?.lineage;
    Ok(lineage.segments().iter().map(|each| (each.thread.to_string(), each.start, each.end)).collect())
}

/// Fill the holes of a thread. `before`: the records of what it inherits, as far as they are there; `own`: its own by position; `calls`:
/// all of its calls. `None`: there is no hole.
///
/// # Errors
/// `Damaged` if the header cannot be read.
pub fn mend(header: &[u8], before: &[Vec<u8>], own: &[(i64, Vec<u8>)], calls: &[Vec<u8>]) -> Result<Option<Mended>> {
    let mut header = Header::decode(header)?;
    let mut mending = Mending::new(&header, before, own, calls);
    let mut mended = Mended::default();
    for position in header.lineage.own_start()..header.position {
        if let Some(entry) = mending.whole.remove(&position) {
            mending.pass(&entry)?;
        } else {
            let entry = mending.fill(&header, position)?;
            mending.pass(&entry)?;
            mended.entries.push((position, entry.record().to_vec()));
        }
    }
    // A call of the last turn that nobody knows any more.
    for id in mending.forsaken() {
        let entry = results(vec![id], header.position)?;
        mended.entries.push((header.position, entry.record().to_vec()));
        header.position += 1;
    }
    if mended.entries.is_empty() {
        return Ok(None);
    }
    let places: Vec<String> = mended.entries.iter().take(20).map(|(position, _)| position.to_string()).collect();
    let more = mended.entries.len() - places.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (entries, were) = if mended.entries.len() == 1 { ("entry", "was") } else { ("entries", "were") };
    let places = places.join(", ");
    let text = format!("{entries} {places}{more} of this thread {were} lost when its database was damaged");
    header.problem = Some(header.problem.map_or(text.clone(), |problem| format!("{problem}; {text}")));
    mended.header = header.encode();
    Ok(Some(mended))
}

struct Mending {
    whole: BTreeMap<i64, Entry>,
    calls: Vec<Call>,
    /// Calls of the last turn so far that have no result yet.
    open: Vec<CallId>,
}

impl Mending {
    fn new(header: &Header, before: &[Vec<u8>], own: &[(i64, Vec<u8>)], calls: &[Vec<u8>]) -> Self {
        // What cannot be read is what is missing.
        let read = |record: &Vec<u8>| Entry::read(record.as_slice().into()).ok();
        let whole = own.iter().filter_map(|(position, record)| Some((*position, read(record)?)));
        let mut calls: Vec<Call> = calls.iter().filter_map(|record| Call::decode(record).ok()).collect();
        calls.retain(|call| call.thread == header.id);
        calls.sort_by_key(|call| (call.position, call.ordinal));
        let mut mending = Self {
            whole: whole.filter(|(position, entry)| entry.position() == *position).collect(),
            calls,
            open: Vec::new(),
        };
        for entry in before.iter().filter_map(read) {
            // Of the parent's: none of them is mended here.
            let _ = mending.pass(&entry);
        }
        mending
    }

    fn pass(&mut self, entry: &Entry) -> Result<()> {
        match entry.kind() {
            EntryKind::Turn => self.open = entry.details()?.calls,
            EntryKind::Result => {
                let answered = entry.details()?.calls;
                self.open.retain(|id| !answered.contains(id));
            }
            _ => {}
        }
        Ok(())
    }

    fn fill(&self, header: &Header, position: i64) -> Result<Entry> {
        if header.summary == Some(position) {
            let covers = Some((header.lineage.own_start().min(header.live_start), header.live_start));
            return write(EntryKind::Summary, position, Blocks::default(), said(LOST_SUMMARY)?, Vec::new(), covers);
        }
        let calls = self.calls_of_turn(position)?;
        if !calls.is_empty() {
            let blocks: Vec<String> = calls.iter().map(|(id, tool, arguments)| used(id, tool, arguments)).collect();
            let produced = Blocks::produced(format!("[{}]", blocks.join(",")).as_bytes())?;
            let ids = calls.into_iter().map(|(id, ..)| id).collect();
            return write(EntryKind::Turn, position, produced, Blocks::default(), ids, None);
        }
        let mut unanswered = self.unanswered(position)?;
        if !unanswered.is_empty() {
            // An entry may have held the results of several calls: the last one takes what is left.
            if self.more_results(header, position)? {
                unanswered.truncate(1);
            }
            return results(unanswered, position);
        }
        // Between a call and its result nothing can be said.
        let said = if self.open.is_empty() { said(LOST)? } else { Blocks::default() };
        write(EntryKind::User, position, Blocks::default(), said, Vec::new(), None)
    }

    /// Whether another lost position behind this one can take results of the same turn.
    fn more_results(&self, header: &Header, position: i64) -> Result<bool> {
        for at in position + 1..header.position {
            match self.whole.get(&at) {
                Some(entry) if entry.kind() == EntryKind::Result => {}
                Some(_) => return Ok(false),
                None => return Ok(header.summary != Some(at) && self.calls_of_turn(at)?.is_empty()),
            }
        }
        Ok(false)
    }

    /// Id, tool and arguments of the calls that the turn at a lost position has made: those on record, or those whose results follow.
    fn calls_of_turn(&self, position: i64) -> Result<Vec<(CallId, String, String)>> {
        let known = self.calls.iter().filter(|call| call.position == position);
        let mut found: Vec<_> = known
            .map(|call| (call.id.clone(), call.tool.clone(), String::from_utf8_lossy(&call.arguments).into_owned()))
            .collect();
        // The last lost position before the results is the turn's.
        for (next, (at, entry)) in (position + 1..).zip(self.whole.range(position..)) {
            if *at != next || entry.kind() != EntryKind::Result {
                break;
            }
            for id in entry.details()?.calls {
                let elsewhere = self.open.contains(&id) || self.calls.iter().any(|call| call.id == id);
                if !elsewhere && found.iter().all(|(known, ..)| *known != id) {
                    found.push((id, "lost".into(), "{}".into()));
                }
            }
        }
        Ok(found)
    }

    /// The calls of the last turn whose results are nowhere, although nothing waits for them.
    fn unanswered(&self, position: i64) -> Result<Vec<CallId>> {
        let mut left: Vec<&CallId> = self.open.iter().filter(|id| !self.waits(id)).collect();
        for entry in self.whole.range(position..).map(|(_, entry)| entry) {
            match entry.kind() {
                EntryKind::Turn => break,
                EntryKind::Result => {
                    let answered = entry.details()?.calls;
                    left.retain(|id| !answered.contains(id));
                }
                _ => {}
            }
        }
        Ok(left.into_iter().cloned().collect())
    }

    fn waits(&self, id: &CallId) -> bool {
        self.calls.iter().any(|call| call.id == *id && call.is_attached())
    }

    fn forsaken(&self) -> Vec<CallId> {
        self.open.iter().filter(|id| !self.waits(id)).cloned().collect()
    }
}

fn results(calls: Vec<CallId>, position: i64) -> Result<Entry> {
    let blocks = Blocks::tool_results(&calls, &said(LOST_RESULT)?, true);
    write(EntryKind::Result, position, Blocks::default(), blocks, calls, None)
}

fn said(text: &str) -> Result<Blocks> {
    Blocks::spoken(serde_json::json!([{"type": "text", "text": text}]).to_string().as_bytes())
}

fn used(id: &CallId, tool: &str, arguments: &str) -> String {
    let name = |text: &str| serde_json::Value::from(text).to_string();
    format!(r#"{{"type":"tool_use","id":{},"name":{},"input":{arguments}}}"#, name(id.as_str()), name(tool))
}

fn write(
    kind: EntryKind,
    position: i64,
    assistant: Blocks,
    user: Blocks,
    calls: Vec<CallId>,
    covers: Option<(i64, i64)>,
) -> Result<Entry> {
    Entry::write(Draft { kind, position, at: 0, assistant, user, calls, covers, meta: META })
}
