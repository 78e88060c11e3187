//! Into the inbox: the one door for everything that reaches a thread (I2), passed once per id (I3).

use super::deletion;
use crate::error::Error;
use crate::id::CallId;
use crate::journal::checksum;
use crate::journal::digest::digest;
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use crate::journal::value::Accepted;
use crate::message::Message;
use rusqlite::params;
use rusqlite::types::ValueRef::Integer;

/// What must be there for a message to be accepted (CB-2, SUB-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    Any,
    /// An open call of the thread.
    Call(CallId),
    /// A subscription of the thread, or an open call that may become one.
    Event(CallId),
}

impl Expect {
    /// # Errors
    /// `rule` for an unknown word, or a call id that is missing.
    pub fn parse(word: &str, call: Option<&str>) -> Result<Self, Error> {
        match (word, call) {
            ("any", _) => Ok(Expect::Any),
            ("call", Some(id)) => Ok(Expect::Call(CallId::from(id))),
            ("event", Some(id)) => Ok(Expect::Event(CallId::from(id))),
            ("call" | "event", None) => Err(Error::Rule(format!("expect={word:?} needs a call_id"))),
            _ => Err(Error::Rule(format!("expect is {word:?}; it is \"any\", \"call\" or \"event\""))),
        }
    }
}

/// The thread a message is for.
pub struct Target {
    pub key: i64,
    pub closed: bool,
    /// Its tree lives elsewhere, or was deleted.
    pub retired: bool,
    pub deleted: bool,
}

impl Target {
    pub fn find(group: &Group<'_>, thread: &str) -> rusqlite::Result<Option<Self>> {
        let sql = "SELECT key, status = 'closed', EXISTS (SELECT 1 FROM retired WHERE retired.root = threads.root),
                     EXISTS (SELECT 1 FROM tombstones WHERE tombstones.id = threads.root)
                   FROM threads WHERE id = ?1";
        group.find(sql, [thread], |row| {
            Ok(Target { key: row.get(0)?, closed: row.get(1)?, retired: row.get(2)?, deleted: row.get(3)? })
        })
    }
}

/// Append a message that somebody outside offers, or say why not.
pub fn accept(group: &Group<'_>, message: &Message, expect: &Expect) -> Result<Accepted, Failure> {
    let Some(target) = Target::find(group, message.thread.as_str())? else {
        let deleted = deletion::discard(group, message.thread.as_str())?;
        return Ok(if deleted { Accepted::Deleted } else { Accepted::UnknownThread });
    };
    if target.deleted {
        deletion::discard(group, message.thread.as_str())?;
        return Ok(Accepted::Deleted);
    }
    if target.retired {
        return Ok(Accepted::Moved);
    }
    if known(group, target.key, message.id.as_str())? {
        return repeated(group, &target, message, expect);
    }
    if target.closed {
        discard(group, target.key, message.id.as_str(), "closed", message.accepted_at)?;
        return Ok(Accepted::Discarded);
    }
    let verdict = match expect {
        Expect::Any => Verdict::Welcome,
        Expect::Call(id) => check_call(group, &target, message, id)?,
        Expect::Event(id) => check_event(group, &target, message, id)?,
    };
    match verdict {
        Verdict::Refused(refusal) => Ok(refusal),
        Verdict::Welcome => Ok(Accepted::Yes(append(group, target.key, message, None)?)),
        Verdict::Early(call) => Ok(Accepted::Yes(append(group, target.key, message, Some(&call))?)),
    }
}

enum Verdict {
    Welcome,
    /// An event of a call that is still open: it counts among those that wait for it.
    Early(CallId),
    Refused(Accepted),
}

/// Under a known id. It is a repeat, unless what is known under the id of a call is that the runtime gave the call up (CB-9).
fn repeated(group: &Group<'_>, target: &Target, message: &Message, expect: &Expect) -> Result<Accepted, Failure> {
    if let Expect::Call(id) = expect
        && id.as_str() == message.id.as_str()
        && call(group, target, id)?.is_some_and(|(state, _)| state == "failed")
    {
        discard(group, target.key, message.id.as_str(), FAILED, message.accepted_at)?;
        return Ok(Accepted::NotPending);
    }
    Ok(Accepted::Duplicate)
}

/// Why the result of a call is discarded that the runtime had given up.
const FAILED: &str = "the call had failed";
/// Why an early event is discarded.
const UNCONFIRMED: &str = "the call ended without a subscription";
/// Early events that a call may have waiting, and their bytes (SUB-9).
const EARLY_EVENTS: i64 = 100;
const EARLY_BYTES: i64 = 1 << 20;

/// The subscription is confirmed: what waited for that is queued, in the order in which it came.
pub fn release(group: &Group<'_>, thread: i64, call: &CallId) -> Result<Vec<Message>, Failure> {
    let sql =
        "SELECT seq, (SELECT id FROM threads WHERE key = thread) AS whose, id, kind, body, crc, accepted_at, call, kept
               FROM inbox WHERE thread = ?1 AND call = ?2 AND kept = 1 ORDER BY seq";
    let messages = group.all(sql, params![thread, call.as_str()], super::super::read::queues::message)?;
    let sql = "UPDATE inbox SET kept = NULL, call = NULL, crc = crc & ?3 WHERE thread = ?1 AND call = ?2 AND kept = 1";
    group.execute(sql, params![thread, call.as_str(), checksum::STAYS])?;
    Ok(messages)
}

/// The call ended otherwise: what waited is discarded on record, and its ids are spent.
pub fn drop_kept(group: &Group<'_>, thread: i64, call: &CallId, at: i64) -> Result<(), Failure> {
    let sql = "DELETE FROM inbox WHERE thread = ?1 AND call = ?2 AND kept = 1
               RETURNING seq, (SELECT id FROM threads WHERE key = thread) AS whose, id, kind, body, crc, accepted_at, call, kept";
    let kept = group.all(sql, params![thread, call.as_str()], super::super::read::queues::message)?;
    for id in kept.iter().map(|message| message.id.as_str()) {
        let sql = "INSERT OR IGNORE INTO seen (thread, digest) VALUES (?1, ?2)";
        group.grew("seen", group.execute(sql, params![thread, digest(id)])?);
        discard(group, thread, id, UNCONFIRMED, at)?;
    }
    Ok(())
}

/// Append a message that a commit or a timer sends. `None`: its thread has it already, or is closed or has moved (recorded), or does not
/// exist.
pub fn deliver(group: &Group<'_>, message: &Message) -> Result<Option<Message>, Failure> {
    match accept(group, message, &Expect::Any)? {
        Accepted::Yes(message) => Ok(Some(message)),
        Accepted::Moved => {
            // Nobody will offer it again.
            if let Some(target) = Target::find(group, message.thread.as_str())? {
                discard(group, target.key, message.id.as_str(), "moved", message.accepted_at)?;
            }
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Record that a message was thrown away, and why; once per message.
pub fn discard(group: &Group<'_>, thread: i64, id: &str, reason: &str, at: i64) -> Result<(), Failure> {
    let sql = "INSERT OR IGNORE INTO discards (thread, digest, message, reason, at) VALUES (?1, ?2, ?3, ?4, ?5)";
    let rows = group.execute(sql, params![thread, digest(id), id, reason, at])?;
    group.grew("discards", rows);
    Ok(())
}

/// Whether the result of the call that an outbox row belongs to was accepted.
pub fn answered(group: &Group<'_>, key: &str) -> Result<bool, Failure> {
    let sql = "SELECT thread, call FROM outbox WHERE key = ?1 AND call IS NOT NULL";
    match group.find(sql, [key], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))? {
        Some((thread, call)) => Ok(known(group, thread, &call)?),
        None => Ok(false),
    }
}

fn known(group: &Group<'_>, thread: i64, id: &str) -> rusqlite::Result<bool> {
    let digest = digest(id);
    Ok(group.exists("SELECT 1 FROM inbox WHERE thread = ?1 AND digest = ?2", params![thread, digest])?
        || group.exists("SELECT 1 FROM seen WHERE thread = ?1 AND digest = ?2", params![thread, digest])?)
}

fn check_call(group: &Group<'_>, target: &Target, message: &Message, id: &CallId) -> Result<Verdict, Failure> {
    let Some((state, _)) = call(group, target, id)? else { return Ok(Verdict::Refused(Accepted::UnknownCall)) };
    let (refusal, reason) = match state.as_str() {
        "planned" | "sent" => return Ok(Verdict::Welcome),
        "cancelled" => (Accepted::Discarded, "cancelled"),
        "failed" => (Accepted::NotPending, FAILED),
        _ => return Ok(Verdict::Refused(Accepted::NotPending)),
    };
    discard(group, target.key, message.id.as_str(), reason, message.accepted_at)?;
    Ok(Verdict::Refused(refusal))
}

fn check_event(group: &Group<'_>, target: &Target, message: &Message, id: &CallId) -> Result<Verdict, Failure> {
    let Some((state, subscription)) = call(group, target, id)? else {
        return Ok(Verdict::Refused(Accepted::UnknownCall));
    };
    if subscription {
        return Ok(Verdict::Welcome);
    }
    if !matches!(state.as_str(), "planned" | "sent") {
        return Ok(Verdict::Refused(Accepted::NotSubscribed));
    }
    let sql = "SELECT count(*), ifnull(sum(length(body)), 0) FROM inbox WHERE thread = ?1 AND call = ?2";
    let waiting = group.find(sql, params![target.key, id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (count, bytes): (i64, i64) = waiting.unwrap_or_default();
    if count >= EARLY_EVENTS || bytes.saturating_add(message.body.len() as i64) > EARLY_BYTES {
        return Ok(Verdict::Refused(Accepted::Full));
    }
    Ok(Verdict::Early(id.clone()))
}

fn call(group: &Group<'_>, target: &Target, id: &CallId) -> rusqlite::Result<Option<(String, bool)>> {
    let sql = "SELECT state, subscription FROM calls WHERE id = ?1 AND thread = ?2";
    group.find(sql, params![id.as_str(), target.key], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn append(group: &Group<'_>, thread: i64, message: &Message, early: Option<&CallId>) -> Result<Message, Failure> {
    let sql = "INSERT INTO inbox (thread, digest, id, kind, body, crc, accepted_at, call) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let id = message.id.as_str();
    let body = &*message.body;
    let early = early.map(CallId::as_str);
    let parts =
        [message.thread.as_str().into(), id.into(), (&*message.kind).into(), Integer(message.accepted_at), body.into()];
    let crc = checksum::of_row(&parts) | checksum::waiting(early, None);
    group.execute(sql, params![thread, digest(id), id, &*message.kind, body, crc, message.accepted_at, early])?;
    Ok(Message { seq: group.last_key(), ..message.clone() })
}
