//! What was recorded has left, or never will, or is tried again later (I5).

use super::inbox::{self, Expect, Target};
use crate::journal::checksum;
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use crate::journal::value::Accepted;
use crate::message::Message;
use rusqlite::params;

/// Forget a row; mark its call as sent, or tell its thread that it failed. `at`: when the try was made that ended it, 0 without one.
pub fn done(
    group: &Group<'_>,
    key: &str,
    sent_call: Option<&str>,
    failure: Option<&Message>,
    at: i64,
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
    // Before the row goes, which counts the tries that failed. The row of a call that ended meanwhile is gone, and its end has counted them.
    if let Some(call) = sent_call {
        // Only from `planned`: its result may have been faster than the answer to the request.
        let sql = "UPDATE calls SET state = iif(state = 'planned', 'sent', state), sent_at = ?3,
                     attempts = ifnull((SELECT attempts FROM outbox WHERE key = ?2), attempts) + (?3 > 0)
                   WHERE id = ?1 AND sent_at = 0";
        group.execute(sql, params![call, key, at])?;
    } else if failure.is_some() {
        let sql = "UPDATE calls SET attempts = (SELECT attempts FROM outbox WHERE key = ?1) + (?2 > 0)
                   WHERE id = (SELECT call FROM outbox WHERE key = ?1 AND kind = 'invoke')";
        group.execute(sql, params![key, at])?;
    }
    group.execute("DELETE FROM outbox WHERE key = ?1", [key])?;
    failure.map(|message| inbox::accept(group, message, &Expect::Any)).transpose()
}

/// `trouble`: why it has not left.
pub fn retry(group: &Group<'_>, key: &str, due_at: i64, trouble: &str) -> Result<(), Failure> {
    let sql = "UPDATE outbox SET attempts = attempts + 1, due_at = ?2, trouble = ?6,
                 crc = (crc & ?3) | (((?4 + attempts + 1) & ?5) << 33) WHERE key = ?1";
    let named = params![key, due_at, checksum::STAYS, checksum::due(due_at), checksum::STATE_BITS, trouble];
    group.execute(sql, named)?;
    Ok(())
}
