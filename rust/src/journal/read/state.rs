//! A thread's state, as one consistent picture.

use super::{Picture, deleted};
use crate::error::Error;
use crate::journal::digest::digest;
use crate::journal::failure::{Failure, damaged};
use crate::journal::schema::{place, position};
use crate::journal::value::Loaded;
use crate::journal::write::deletion;
use rusqlite::params;

/// `None` if the stored version is `known_version`, and no failed attempt was recorded beside it.
///
/// # Errors
/// `not_found`; `deleted`; `damaged` if entries that the header speaks of are not there (I8).
pub fn load(
    picture: &Picture<'_>,
    thread: &str,
    known_version: i64,
    message_ids: &[String],
) -> Result<Option<Loaded>, Failure> {
    let sql = "SELECT key, version, (SELECT count FROM attempts WHERE attempts.thread = threads.key),
                 (SELECT group_concat(DISTINCT call) FROM inbox WHERE thread = threads.key AND call IS NOT NULL AND kept = 1)
               FROM threads WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM tombstones WHERE tombstones.id = threads.root)";
    let found = picture.find(sql, [thread], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?, row.get::<_, Option<String>>(3)?))
    })?;
    let Some((key, version, attempts, kept)) = found else {
        return Err(Failure::Refused(match deleted::tombstone(picture, thread)? {
            Some(_) => deletion::gone(thread),
            // What is loaded was accepted for it or created before: if it is not found, its index may be what is broken.
            None if picture
                .find("SELECT 1 FROM threads NOT INDEXED WHERE id = ?1", [thread], |_| Ok(()))?
                .is_some() =>
            {
                damaged(picture.path, &format!("the index of threads lacks thread {thread}"))
            }
            None => Error::NotFound(format!("thread {thread} not found")),
        }));
    };
    if version == known_version && attempts.is_none() {
        return Ok(None);
    }
    let attempts = attempts.unwrap_or(0);
    // Ids of calls have no commas.
    let kept = kept.map_or(Vec::new(), |ids| ids.split(',').map(String::from).collect());
    let header: Vec<u8> = picture.one("SELECT header FROM threads WHERE key = ?1", [key], |row| row.get(0))?;
    let mut entries = Vec::new();
    for (owner, start, end) in (picture.live_ranges)(&header).map_err(Failure::Refused)? {
        read_range(picture, &owner, start, end, &mut entries)?;
    }
    let sql = "SELECT record FROM calls WHERE thread = ?1 AND live = 1 ORDER BY key";
    let calls = picture.all(sql, [key], |row| row.get(0))?;
    let seen = seen(picture, key, message_ids)?;
    Ok(Some(Loaded { header, entries, calls, seen, attempts, kept }))
}

fn read_range(
    picture: &Picture<'_>,
    owner: &str,
    start: i64,
    end: i64,
    entries: &mut Vec<(i64, Vec<u8>)>,
) -> Result<(), Failure> {
    let missing = |found: usize| {
        let text = format!("thread {owner}: of its entries {start} to {end}, only {found} are there");
        Failure::Refused(damaged(picture.path, &text))
    };
    let key: Option<i64> = picture.find("SELECT key FROM threads WHERE id = ?1", [owner], |row| row.get(0))?;
    let key = key.ok_or_else(|| missing(0))?;
    let before = entries.len();
    let sql = "SELECT place, record FROM entries WHERE place >= ?1 AND place < ?2 ORDER BY place";
    let bounds = params![place(key, start), place(key, end)];
    entries.extend(picture.all(sql, bounds, |row| Ok((position(row.get(0)?), row.get(1)?)))?);
    let found = entries.len() - before;
    if i64::try_from(found) == Ok(end - start) { Ok(()) } else { Err(missing(found)) }
}

fn seen(picture: &Picture<'_>, key: i64, message_ids: &[String]) -> Result<Vec<String>, Failure> {
    let mut seen = Vec::new();
    for id in message_ids {
        let sql = "SELECT 1 FROM seen WHERE thread = ?1 AND digest = ?2";
        if picture.find(sql, params![key, digest(id)], |_| Ok(()))?.is_some() {
            seen.push(id.clone());
        }
    }
    Ok(seen)
}
