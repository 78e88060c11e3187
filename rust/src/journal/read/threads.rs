//! Listings of threads.

use super::{LIVING, Picture};
use crate::error::Error;
use crate::journal::failure::Failure;
use crate::journal::value::ThreadRow;
use rusqlite::types::ToSql;
use rusqlite::{Row, named_params};

const COLUMNS: &str = "id, root, parent, status, title, version, created_at, updated_at, header";

/// Which threads, and where to go on.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub root: Option<String>,
    pub parent: Option<String>,
    pub status: Option<String>,
    /// Empty, or `<updated_at>:<id>` of the last row seen.
    pub after: String,
    pub limit: i64,
}

pub fn one(picture: &Picture<'_>, id: &str) -> Result<Option<ThreadRow>, Failure> {
    Ok(picture.find(&format!("SELECT {COLUMNS} FROM threads WHERE id = ?1 AND {LIVING}"), [id], read)?)
}

/// How many children of a thread are not closed, however many have been (G8).
pub fn open_children(picture: &Picture<'_>, parent: &str) -> Result<i64, Failure> {
    let sql = "SELECT count(*) FROM threads WHERE parent = ?1 AND status <> 'closed'";
    Ok(picture.one(sql, [parent], |row| row.get(0))?)
}

/// Id and time of the last change, those that changed longest ago first. What is out of service is not among them.
pub fn closed_roots(picture: &Picture<'_>, limit: i64) -> Result<Vec<(String, i64)>, Failure> {
    let sql = "SELECT id, updated_at FROM threads WHERE parent IS NULL AND status = 'closed'
                 AND NOT EXISTS (SELECT 1 FROM retired WHERE retired.root = threads.id)
               ORDER BY updated_at, id LIMIT ?1";
    Ok(picture.all(sql, [limit], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Newest first.
pub fn list(picture: &Picture<'_>, filter: &Filter) -> Result<Vec<ThreadRow>, Failure> {
    let (updated_at, id) = cursor(&filter.after)?;
    let mut sql = format!("SELECT {COLUMNS} FROM threads WHERE (updated_at, id) < (:updated_at, :id) AND {LIVING}");
    let mut params: Vec<(&str, &dyn ToSql)> =
        named_params! { ":updated_at": updated_at, ":id": id, ":limit": filter.limit }.to_vec();
    let columns =
        [("root", ":root", &filter.root), ("parent", ":parent", &filter.parent), ("status", ":status", &filter.status)];
    for (column, name, value) in &columns {
        if let Some(value) = value {
            sql += &format!(" AND {column} = {name}");
            params.push((name, value));
        }
    }
    sql += " ORDER BY updated_at DESC, id DESC LIMIT :limit";
    Ok(picture.all(&sql, params.as_slice(), read)?)
}

fn cursor(after: &str) -> Result<(i64, &str), Failure> {
    if after.is_empty() {
        return Ok((i64::MAX, ""));
    }
    let parts = after.split_once(':').and_then(|(updated_at, id)| Some((updated_at.parse().ok()?, id)));
    parts.ok_or_else(|| {
        Failure::Refused(Error::Rule(format!("{after:?} is no cursor; give back the one that came with the last page")))
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<ThreadRow> {
    Ok(ThreadRow {
        id: row.get(0)?,
        root: row.get(1)?,
        parent: row.get(2)?,
        status: row.get(3)?,
        title: row.get(4)?,
        version: row.get(5)?,
        created_at: row.get(6)?,
        updated_at: row.get(7)?,
        header: row.get(8)?,
    })
}
