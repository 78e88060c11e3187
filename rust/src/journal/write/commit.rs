//! What one slice changed, all of it or none (I6), and only if nobody else was faster (I1).

use super::{attempts, attention, deletion, inbox, log, trees, usage};
use crate::delta::{CallRow, Consumed, Delta, Kept, OutboxRow, PromptRow, Spent, TimerRow};
use crate::error::Error;
use crate::id::ThreadId;
use crate::journal::checksum;
use crate::journal::digest::digest;
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use crate::message::Message;
use rusqlite::params;
use rusqlite::types::ValueRef::Integer;

/// The messages that entered inboxes.
///
/// # Errors
/// `conflict` if a stored version, or a message that the slice applied or discarded, is not what the slice saw, or the tree was retired;
/// `deleted` if it is gone for good.
pub fn commit(group: &Group<'_>, delta: &Delta, events_kept: i64) -> Result<Vec<Message>, Failure> {
    trees::check_in_service(group, &delta.root)?;
    let key = claim(group, delta)?;
    for child in &delta.children {
        claim_all(group, child)?;
    }
    let mut sent = Vec::new();
    write(group, delta, key, events_kept, &mut sent)?;
    send(group, delta, &mut sent)?;
    Ok(sent)
}

/// Compare the stored version with the one that the slice loaded. The thread's key, `None` for a new one.
fn claim(group: &Group<'_>, delta: &Delta) -> Result<Option<i64>, Failure> {
    let sql = "SELECT key, version FROM threads WHERE id = ?1";
    let stored = group.find(sql, [&delta.thread], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if stored.is_none() {
        deletion::check(group, &delta.thread)?;
    }
    let found: i64 = stored.map_or(0, |(_, version)| version);
    if found == delta.expected_version {
        return Ok(stored.map(|(key, _)| key));
    }
    let Delta { thread, expected_version, .. } = delta;
    Err(Failure::Refused(Error::Conflict(format!(
        "thread {thread} is at version {found}, not {expected_version}: another slice committed first; load it again"
    ))))
}

fn claim_all(group: &Group<'_>, delta: &Delta) -> Result<(), Failure> {
    claim(group, delta)?;
    delta.children.iter().try_for_each(|child| claim_all(group, child))
}

fn write(
    group: &Group<'_>,
    delta: &Delta,
    key: Option<i64>,
    events_kept: i64,
    sent: &mut Vec<Message>,
) -> Result<(), Failure> {
    let key = match key {
        Some(key) => update(group, delta, key)?,
        None => insert(group, delta)?,
    };
    consume(group, delta, key)?;
    keep(group, delta, key, sent)?;
    add_records(group, delta, key)?;
    log::add(group, delta, key, events_kept)?;
    for call in &delta.calls {
        put_call(group, key, call, delta.updated_at)?;
    }
    put_timers(group, delta, key)?;
    put_outbox(group, delta, key)?;
    if put_prompts(group, delta, key)? {
        attention::of_prompts(group, key, delta.updated_at)?;
    }
    attention::of_problem(group, delta, key)?;
    tally(group, &delta.root, delta.spent)?;
    usage::add(group, delta, key)?;
    if delta.attempts_cleared > 0 {
        attempts::clear(group, key, delta.attempts_cleared)?;
    }
    // A child that exists already was refused by `claim_all`, or breaks on the unique id here.
    delta.children.iter().try_for_each(|child| write(group, child, None, events_kept, sent))
}

fn insert(group: &Group<'_>, delta: &Delta) -> Result<i64, Failure> {
    let sql = "INSERT INTO threads (id, root, parent, status, title, version, created_at, updated_at, header, troubled)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let Delta { thread, root, parent, status, title, new_version, created_at, updated_at, header, troubled, .. } =
        delta;
    let named = params![thread, root, parent, status, title, new_version, created_at, updated_at, header, troubled];
    group.execute(sql, named)?;
    group.grew("threads", 1);
    Ok(group.last_key())
}

fn update(group: &Group<'_>, delta: &Delta, key: i64) -> Result<i64, Failure> {
    let sql = "UPDATE threads SET status = ?2, title = ?3, version = ?4, updated_at = ?5, header = ?6, troubled = ?7
               WHERE key = ?1";
    let Delta { status, title, new_version, updated_at, header, troubled, .. } = delta;
    group.execute(sql, params![key, status, title, new_version, updated_at, header, troubled])?;
    Ok(key)
}

fn consume(group: &Group<'_>, delta: &Delta, key: i64) -> Result<(), Failure> {
    for consumed in &delta.consumed {
        let Consumed { seq, id, outcome } = consumed;
        let id = id.as_str();
        let digest = digest(id);
        let sql = "DELETE FROM inbox WHERE seq = ?1 AND thread = ?2 AND digest = ?3";
        let queued = group.execute(sql, params![seq, key, digest])?;
        let new = group.execute("INSERT OR IGNORE INTO seen (thread, digest) VALUES (?1, ?2)", params![key, digest])?;
        if consumed.again() {
            // Its thread has it; that it was queued once more, or is not any more, changes nothing.
            group.grew("seen", new);
            continue;
        }
        if queued == 0 || new == 0 {
            let thread = &delta.thread;
            let text =
                format!("message {id} of thread {thread} is not queued any more: it was consumed before; load again");
            return Err(Failure::broken(Error::Conflict(text)));
        }
        group.grew("seen", 1);
        if outcome != "applied" {
            inbox::discard(group, key, id, outcome, delta.updated_at)?;
        }
    }
    Ok(())
}

/// Early events wait in the inbox, out of everybody's sight, until the end of their call decides (SUB-9).
fn keep(group: &Group<'_>, delta: &Delta, key: i64, sent: &mut Vec<Message>) -> Result<(), Failure> {
    for Kept { call, message } in &delta.kept {
        let id = message.id.as_str();
        let sql = "UPDATE inbox SET kept = 1, call = ?4, crc = (crc & ?5) | ?6 WHERE seq = ?1 AND thread = ?2 AND digest = ?3";
        let state = checksum::waiting(Some(call.as_str()), Some(1));
        if group.execute(sql, params![message.seq, key, digest(id), call.as_str(), checksum::STAYS, state])? == 0 {
            let thread = &delta.thread;
            let text = format!("event {id} of thread {thread} is not queued any more; load again");
            return Err(Failure::broken(Error::Conflict(text)));
        }
    }
    for call in &delta.released {
        sent.extend(inbox::release(group, key, call)?);
    }
    for call in &delta.dropped {
        inbox::drop_kept(group, key, call, delta.updated_at)?;
    }
    Ok(())
}

fn add_records(group: &Group<'_>, delta: &Delta, key: i64) -> Result<(), Failure> {
    for (position, record) in &delta.entries {
        let place = Group::place(key, *position)?;
        group.execute("INSERT INTO entries (place, record) VALUES (?1, ?2)", params![place, record])?;
    }
    group.grew("entries", delta.entries.len());
    for (position, kind, body) in &delta.feed {
        let place = Group::place(key, *position)?;
        let sql = "INSERT INTO feed (place, kind, body, crc) VALUES (?1, ?2, ?3, ?4)";
        let crc = checksum::of_row(&[(&**kind).into(), (&**body).into()]);
        group.execute(sql, params![place, kind, body, crc])?;
    }
    Ok(())
}

fn put_call(group: &Group<'_>, thread: i64, call: &CallRow, now: i64) -> Result<(), Failure> {
    // The slice does not know `sent`; a row that is on its way must not go back to `planned`.
    // With the end goes its row of the outbox, which has counted the tries that failed.
    let sql = "INSERT INTO calls (id, thread, state, subscription, live, tool, record, ended_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (id) DO UPDATE SET
                 state = iif(excluded.state = 'planned' AND calls.state = 'sent', 'sent', excluded.state),
                 subscription = excluded.subscription, live = excluded.live, record = excluded.record,
                 ended_at = iif(calls.state IN ('planned', 'sent'), excluded.ended_at, calls.ended_at),
                 attempts = iif(excluded.ended_at > 0 AND calls.state = 'planned',
                   ifnull((SELECT attempts FROM outbox WHERE key = 'invoke.' || excluded.id), calls.attempts), calls.attempts)
               WHERE calls.thread = excluded.thread";
    let CallRow { id, state, subscription, tool, record } = call;
    let live = *subscription || state == "planned";
    let ended_at = if state == "planned" { 0 } else { now };
    let rows = group.execute(sql, params![id.as_str(), thread, state, subscription, live, tool, record, ended_at])?;
    if rows == 1 {
        return Ok(());
    }
    Err(Failure::broken(Error::Rule(format!("call {id} belongs to another thread"))))
}

fn put_timers(group: &Group<'_>, delta: &Delta, key: i64) -> Result<(), Failure> {
    for id in &delta.timers_cancelled {
        group.execute("DELETE FROM timers WHERE thread = ?1 AND id = ?2", params![key, id])?;
    }
    for TimerRow { id, due_at, kind, body } in &delta.timers {
        let sql = "REPLACE INTO timers (thread, id, due_at, kind, body, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let parts =
            [delta.thread.as_str().into(), (&**id).into(), (&**kind).into(), Integer(*due_at), (&**body).into()];
        group.execute(sql, params![key, id, due_at, kind, body, checksum::of_row(&parts)])?;
    }
    Ok(())
}

fn put_outbox(group: &Group<'_>, delta: &Delta, thread: i64) -> Result<(), Failure> {
    for key in &delta.outbox_cancelled {
        group.execute("DELETE FROM outbox WHERE key = ?1 AND thread = ?2", params![key, thread])?;
    }
    for call in &delta.ended {
        // Found by its key, which every commit writes already; choices have keys of their own and an index, because they are rare.
        let sql = "DELETE FROM outbox WHERE key = 'invoke.' || ?1 AND thread = ?2";
        group.execute(sql, params![call.as_str(), thread])?;
        let sql = "DELETE FROM outbox WHERE call = ?1 AND kind = 'choice' AND thread = ?2";
        group.execute(sql, params![call.as_str(), thread])?;
    }
    for OutboxRow { key, kind, target, body, call } in &delta.outbox {
        let sql = "INSERT INTO outbox (key, thread, kind, target, body, crc, call) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let call = call.as_ref().map(|call| call.as_str());
        let whose = delta.thread.as_str().into();
        let parts =
            [whose, (&**key).into(), (&**kind).into(), (&**target).into(), checksum::optional(call), (&**body).into()];
        group.execute(sql, params![key, thread, kind, target, body, checksum::of_row(&parts), call])?;
    }
    Ok(())
}

/// Whether any may have come or gone.
fn put_prompts(group: &Group<'_>, delta: &Delta, key: i64) -> Result<bool, Failure> {
    let asked = !delta.prompts_closed.is_empty() && attention::asks(group, key)?;
    if asked {
        for id in &delta.prompts_closed {
            group.execute("DELETE FROM prompts WHERE thread = ?1 AND id = ?2", params![key, id])?;
        }
    }
    for PromptRow { id, kind, body } in &delta.prompts {
        let sql = "REPLACE INTO prompts (thread, id, kind, body, crc, root) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let parts = [delta.thread.as_str().into(), (&**id).into(), (&**kind).into(), (&**body).into()];
        group.execute(sql, params![key, id, kind, body, checksum::of_row(&parts), delta.root])?;
    }
    Ok(asked || !delta.prompts.is_empty())
}

/// What the whole tree has spent, so that a limit is checked with one look-up.
pub fn tally(group: &Group<'_>, root: &str, spent: Spent) -> Result<(), Failure> {
    let Spent { tokens, cost } = spent;
    if spent != Spent::default() {
        let sql = "INSERT INTO spending (root, tokens, cost) VALUES (?1, ?2, ?3)
                   ON CONFLICT (root) DO UPDATE SET tokens = tokens + excluded.tokens, cost = cost + excluded.cost";
        group.execute(sql, params![root, tokens, cost])?;
    }
    Ok(())
}

/// After everything else: a message may go to a thread of this very commit.
fn send(group: &Group<'_>, delta: &Delta, sent: &mut Vec<Message>) -> Result<(), Failure> {
    for row in &delta.sends {
        let message = Message {
            thread: ThreadId::clone(&row.thread),
            id: row.id.clone(),
            kind: row.kind.as_str().into(),
            body: row.body.as_slice().into(),
            seq: 0,
            accepted_at: delta.updated_at,
        };
        sent.extend(inbox::deliver(group, &message)?);
    }
    delta.children.iter().try_for_each(|child| send(group, child, sent))
}
