//! Who needs a person: a row exactly while a thread asks something, or rests with a problem that only a person ends. Written by the commit that
//! makes it so and removed by the one that ends it, so that those who look for such threads look at no others.

use crate::delta::Delta;
use crate::journal::Needs;
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use rusqlite::{Connection, params};

/// A question or a sign-in is open.
pub const PROMPT: &str = "prompt";
/// See [`crate::history::Header::needs_a_person`].
pub const PROBLEM: &str = "problem";

const BEGIN: &str = "INSERT OR IGNORE INTO attention (thread, reason, since) VALUES (?1, ?2, ?3)";
const END: &str = "DELETE FROM attention WHERE thread = ?1 AND reason = ?2";

/// After prompts of a thread have come or gone.
pub fn of_prompts(group: &Group<'_>, key: i64, now: i64) -> Result<(), Failure> {
    if asks(group, key)? {
        group.execute(BEGIN, params![key, PROMPT, now])?;
    } else {
        group.execute(END, params![key, PROMPT])?;
    }
    Ok(())
}

/// Whether anybody is asked anything in the thread. Nearly every call ends without a question, and has three names for one to be closed.
pub fn asks(group: &Group<'_>, key: i64) -> Result<bool, Failure> {
    Ok(group.exists("SELECT 1 FROM prompts WHERE thread = ?1 LIMIT 1", [key])?)
}

/// A look into a table with few rows where nothing is to be done.
pub fn of_problem(group: &Group<'_>, delta: &Delta, key: i64) -> Result<(), Failure> {
    if delta.needs_a_person {
        group.execute(BEGIN, params![key, PROBLEM, delta.updated_at])?;
    } else if delta.expected_version > 0 {
        group.execute(END, params![key, PROBLEM])?;
    }
    Ok(())
}

/// Make it true of rows that did not say it: of an earlier version, or out of a repair. Those that are right stay as they are; since when a person
/// has been needed is then not known, and the thread's last change is the latest that it can be. A header that cannot be read changes nothing.
pub fn settle(journal: &Connection, needs: Needs) -> rusqlite::Result<()> {
    journal.execute_batch(
        "INSERT OR IGNORE INTO attention (thread, reason, since)
           SELECT key, 'prompt', updated_at FROM threads WHERE key IN (SELECT thread FROM prompts);
         DELETE FROM attention WHERE reason = 'prompt' AND thread NOT IN (SELECT thread FROM prompts);
         DELETE FROM attention WHERE reason = 'problem' AND thread NOT IN (SELECT key FROM threads WHERE troubled = 1);",
    )?;
    let mut troubled = journal
        .prepare("SELECT key, updated_at, header FROM threads INDEXED BY threads_troubled WHERE troubled = 1")?;
    let (mut begin, mut end) = (journal.prepare(BEGIN)?, journal.prepare(END)?);
    let mut rows = troubled.query([])?;
    while let Some(row) = rows.next()? {
        let (key, updated_at): (i64, i64) = (row.get(0)?, row.get(1)?);
        match needs(&row.get::<_, Vec<u8>>(2)?) {
            Ok(true) => begin.execute(params![key, PROBLEM, updated_at])?,
            Ok(false) => end.execute(params![key, PROBLEM])?,
            Err(_) => 0,
        };
    }
    Ok(())
}
