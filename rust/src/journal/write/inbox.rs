//! Into the inbox: the one door for everything that reaches a thread (I2), passed once per id (I3).

use crate::error::Error;
use crate::id::CallId;
use crate::journal::checksum;
use crate::journal::digest::digest;
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use crate::journal::value::Accepted;
use crate::message::Message;
use rusqlite::params;

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
    /// Its tree lives elsewhere.
    pub retired: bool,
}

impl Target {
    pub fn find(group: &Group<'_>, thread: &str) -> rusqlite::Result<Option<Self>> {
        let sql = "SELECT key, status = 'closed', EXISTS (SELECT 1 FROM retired WHERE retired.root = threads.root)
                   FROM threads WHERE id = ?1";
        group.find(sql, [thread], |row| Ok(Target { key: row.get(0)?, closed: row.get(1)?, retired: row.get(2)? }))
    }
}

/// Append a message that somebody outside offers, or say why not.
pub fn accept(group: &Group<'_>, message: &Message, expect: &Expect) -> Result<Accepted, Failure> {
    let Some(target) = Target::find(group, message.thread.as_str())? else {
        return Ok(Accepted::UnknownThread);
    };
    if target.retired {
        return Ok(Accepted::Moved);
    }
    if known(group, target.key, message.id.as_str())? {
        return Ok(Accepted::Duplicate);
    }
    if target.closed {
        discard(group, target.key, message.id.as_str(), "closed", message.accepted_at)?;
        return Ok(Accepted::Discarded);
    }
    let refusal = match expect {
        Expect::Any => None,
        Expect::Call(id) => check_call(group, &target, message, id)?,
        Expect::Event(id) => check_event(group, &target, id)?,
    };
    match refusal {
        Some(refusal) => Ok(refusal),
        None => Ok(Accepted::Yes(append(group, target.key, message)?)),
    }
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

fn known(group: &Group<'_>, thread: i64, id: &str) -> rusqlite::Result<bool> {
    let digest = digest(id);
    Ok(group.exists("SELECT 1 FROM inbox WHERE thread = ?1 AND digest = ?2", params![thread, digest])?
        || group.exists("SELECT 1 FROM seen WHERE thread = ?1 AND digest = ?2", params![thread, digest])?)
}

fn check_call(group: &Group<'_>, target: &Target, message: &Message, id: &CallId) -> Result<Option<Accepted>, Failure> {
    let Some((state, _)) = call(group, target, id)? else { return Ok(Some(Accepted::UnknownCall)) };
    match state.as_str() {
        "planned" | "sent" => Ok(None),
        "cancelled" => {
            discard(group, target.key, message.id.as_str(), "cancelled", message.accepted_at)?;
            Ok(Some(Accepted::Discarded))
        }
        _ => Ok(Some(Accepted::NotPending)),
    }
}

fn check_event(group: &Group<'_>, target: &Target, id: &CallId) -> Result<Option<Accepted>, Failure> {
    let Some((state, subscription)) = call(group, target, id)? else { return Ok(Some(Accepted::UnknownCall)) };
    let open = subscription || matches!(state.as_str(), "planned" | "sent");
    Ok(if open { None } else { Some(Accepted::NotSubscribed) })
}

fn call(group: &Group<'_>, target: &Target, id: &CallId) -> rusqlite::Result<Option<(String, bool)>> {
    let sql = "SELECT state, subscription FROM calls WHERE id = ?1 AND thread = ?2";
    group.find(sql, params![id.as_str(), target.key], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn append(group: &Group<'_>, thread: i64, message: &Message) -> Result<Message, Failure> {
    let sql =
        "INSERT INTO inbox (thread, digest, id, kind, body, crc, accepted_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let id = message.id.as_str();
    let body = &*message.body;
    let crc = checksum::of(body);
    group.execute(sql, params![thread, digest(id), id, &*message.kind, body, crc, message.accepted_at])?;
    Ok(Message { seq: group.last_key(), ..message.clone() })
}
