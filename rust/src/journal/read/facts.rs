//! Views, discards, settings and sizes.

use super::{LIVING, Picture};
use crate::delta::Spent;
use crate::journal::checksum::{checked, checked_row};
use crate::journal::failure::Failure;
use crate::journal::value::{DiscardRow, Generation, UsageRow};
use rusqlite::params;

pub fn views(picture: &Picture<'_>, thread: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let Some(key) = picture.key(thread)? else { return Ok(Vec::new()) };
    let sql = "SELECT view_type, content, crc, (SELECT id FROM threads WHERE key = thread) AS whose
               FROM views WHERE thread = ?1 ORDER BY view_type";
    Ok(picture.all(sql, [key], |row| Ok((row.get(0)?, checked_row(row, "views", 1)?)))?)
}

/// Message id, reason and time; newest first.
pub fn discards(picture: &Picture<'_>, thread: &str, limit: i64) -> Result<Vec<(String, String, i64)>, Failure> {
    let Some(key) = picture.key(thread)? else { return Ok(Vec::new()) };
    let sql = "SELECT message, reason, at FROM discards WHERE thread = ?1 ORDER BY key DESC LIMIT ?2";
    Ok(picture.all(sql, params![key, limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}

/// Of all threads, newest first, before one of them.
pub fn all_discards(picture: &Picture<'_>, before: i64, limit: i64) -> Result<Vec<DiscardRow>, Failure> {
    let sql = format!(
        "SELECT discards.key, id, message, reason, at FROM discards CROSS JOIN threads ON threads.key = discards.thread
         WHERE discards.key < ?1 AND {LIVING} ORDER BY discards.key DESC LIMIT ?2"
    );
    Ok(picture.all(&sql, params![before, limit], |row| {
        let (number, thread, message, reason) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(DiscardRow { number, thread, message, reason, at: row.get(4)? })
    })?)
}

pub fn meta(picture: &Picture<'_>, key: &str) -> Result<Option<Vec<u8>>, Failure> {
    Ok(picture.find("SELECT value, crc FROM meta WHERE key = ?1", [key], |row| checked(row, 0))?)
}

/// Why a tree is out of service here; `None` while it is not.
pub fn retired(picture: &Picture<'_>, root: &str) -> Result<Option<String>, Failure> {
    Ok(picture.find("SELECT note FROM retired WHERE root = ?1", [root], |row| row.get(0))?)
}

/// How often a tree has left, and whether what rests here is what left.
pub fn generation(picture: &Picture<'_>, root: &str) -> Result<(Generation, bool), Failure> {
    let sql = "SELECT number, marks, crc, root FROM generations WHERE root = ?1";
    let found = picture
        .find(sql, [root], |row| Ok(Generation { number: row.get(0)?, marks: checked_row(row, "generations", 1)? }))?;
    let sql = "SELECT departed IS NOT NULL FROM retired WHERE root = ?1";
    let departed = picture.find(sql, [root], |row| row.get(0))?;
    Ok((found.unwrap_or_default(), departed.unwrap_or(false)))
}

/// Root and note of those trees that are out of service.
pub fn out_of_service(picture: &Picture<'_>, roots: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    for root in roots {
        if let Some(note) = retired(picture, root)? {
            found.push((root.clone(), note));
        }
    }
    Ok(found)
}

/// Of a whole tree; nothing is recorded before its first completion.
pub fn spent(picture: &Picture<'_>, root: &str) -> Result<Spent, Failure> {
    let sql = "SELECT tokens, cost FROM spending WHERE root = ?1";
    let spent = picture.find(sql, [root], |row| Ok(Spent { tokens: row.get(0)?, cost: row.get(1)? }))?;
    Ok(spent.unwrap_or_default())
}

/// Tables that only grow are tallied by the writer; the queues are short and counted here.
pub fn counts(picture: &Picture<'_>) -> Result<Vec<(String, i64)>, Failure> {
    let sql = "SELECT name, rows FROM tallies
               UNION ALL SELECT 'inbox', count(*) - count(kept) FROM inbox
               UNION ALL SELECT 'outbox', count(*) FROM outbox
               UNION ALL SELECT 'timers', count(*) FROM timers
               UNION ALL SELECT 'prompts', count(*) FROM prompts";
    Ok(picture.all(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Which days, summed by what, and where to go on.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Both included, since the Unix epoch.
    pub since: i64,
    pub until: i64,
    /// `day`, `model`, `root`, `thread`.
    pub by: Vec<String>,
    /// Of this tree alone.
    pub root: Option<String>,
    /// Rows that are left out.
    pub after: i64,
    pub limit: i64,
}

const BY: [(&str, &str); 4] =
    [("day", "usage.day"), ("model", "usage.model"), ("root", "threads.root"), ("thread", "threads.id")];

/// What was used, in the order of what it is summed by.
pub fn usage(picture: &Picture<'_>, asked: &Usage) -> Result<Vec<UsageRow>, Failure> {
    let Usage { since, until, by, root, after, limit } = asked;
    let wanted = |name: &str| by.iter().any(|each| each == name);
    let columns: Vec<_> =
        BY.iter().map(|(name, column)| if wanted(name) { column } else { &"NULL" }).copied().collect();
    let order: Vec<_> = BY.iter().filter(|(name, _)| wanted(name)).map(|(_, column)| *column).collect();
    let grouped = match order.join(", ") {
        order if order.is_empty() => "HAVING count(*) > 0".to_owned(),
        // Those that are nobody's come last.
        order => format!("GROUP BY {order} ORDER BY {}", order.replace(", ", " NULLS LAST, ") + " NULLS LAST"),
    };
    let columns = columns.join(", ");
    let tree = if root.is_some() { "threads.root = ?5" } else { "?5 IS NULL" };
    let sql = format!(
        "SELECT {columns}, sum(turns), sum(input), sum(output), sum(cache_read), sum(cache_write), sum(cost)
         FROM usage LEFT JOIN threads ON threads.key = usage.thread
         WHERE day >= ?1 AND day <= ?2 AND {tree} {grouped} LIMIT ?3 OFFSET ?4"
    );
    Ok(picture.all(&sql, params![since, until, limit, after, root], |row| {
        let (day, model, root, thread) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let sums = [row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?];
        Ok(UsageRow { day, model, root, thread, sums })
    })?)
}
