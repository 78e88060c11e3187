//! What was recorded has left, or never will, or is tried again later (I5).

use super::inbox::{self, Expect, Target};
use crate::journal::checksum;
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use crate::journal::value::Accepted;
use crate::message::Message;
use rusqlite::params;

/// Forget a row; mark its call as sent, or tell its thread that it failed.
pub fn done(
    group: &Group<'_>,
    key: &str,
    sent_call: Option<&str>,
    failure: Option<&Message>,
) -> Result<Option<Accepted>, Failure> {
    if let Some(message) = failure
        && Target::find(group, message.thread.as_str())?.is_some_and(|target| target.retired)
    {
        // The row stays: what becomes of it is decided where the tree lives.
        return Ok(Some(Accepted::Moved));
    }
    if failure.is_some() && inbox::answered(group, key)? {
        // Its result came all the same: there is nothing to tell.
        group.execute("DELETE FROM outbox WHERE key = ?1", [key])?;
        return Ok(Some(Accepted::Duplicate));
    }
    group.execute("DELETE FROM outbox WHERE key = ?1", [key])?;
    if let Some(call) = sent_call {
        // Only from `planned`: its result may have been faster than the answer to the request.
        group.execute("UPDATE calls SET state = 'sent' WHERE id = ?1 AND state = 'planned'", [call])?;
    }
    failure.map(|message| inbox::accept(group, message, &Expect::Any)).transpose()
}

pub fn retry(group: &Group<'_>, key: &str, due_at: i64) -> Result<(), Failure> {
    let sql = "UPDATE outbox SET attempts = attempts + 1, due_at = ?2, crc = (crc & ?3) | (((?4 + attempts + 1) & ?5) << 33) WHERE key = ?1";
    group.execute(sql, params![key, due_at, checksum::STAYS, checksum::due(due_at), checksum::STATE_BITS])?;
    Ok(())
}
