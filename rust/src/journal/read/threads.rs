//! Listings of threads.

use super::{LIVING, Picture};
use crate::error::Error;
use crate::journal::failure::{Failure, is_damage};
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
    /// Those alone that rest with a problem, and those of which an earlier version did not say whether they do.
    pub troubled: bool,
    /// Empty, or `<updated_at>:<id>` of the last row seen.
    pub after: String,
    pub limit: i64,
}

pub fn one(picture: &Picture<'_>, id: &str) -> Result<Option<ThreadRow>, Failure> {
    Ok(picture.find(&format!("SELECT {COLUMNS} FROM threads WHERE id = ?1 AND {LIVING}"), [id], read)?)
}

/// How many children of a thread are not closed, however many have been (G8).
pub fn open_children(picture: &Picture<'_>, parent: &str) -> Result<i64, Failure> {
    let sql = "SELECT count(*) FROM threads WHERE parent = ?1 AND status <> 'closed' AND id NOT GLOB 'fork[_]*'";
    Ok(picture.one(sql, [parent], |row| row.get(0))?)
}

/// How many threads below a root are not closed, however many have been.
pub fn living(picture: &Picture<'_>, root: &str) -> Result<i64, Failure> {
    let sql = "SELECT count(*) FROM threads WHERE root = ?1 AND parent IS NOT NULL AND status <> 'closed' AND id NOT GLOB 'fork[_]*'";
    Ok(picture.one(sql, [root], |row| row.get(0))?)
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
    // By their own indices, which have no other threads: the plan must not depend on statistics.
    let (index, troubled) = match (filter.troubled, &filter.root) {
        (false, _) => ("", ""),
        (true, None) => ("INDEXED BY threads_troubled", "AND troubled = 1"),
        (true, Some(_)) => ("INDEXED BY threads_troubled_by_root", "AND troubled = 1"),
    };
    let mut sql = format!(
        "SELECT {COLUMNS} FROM threads {index} WHERE (updated_at, id) < (:updated_at, :id) {troubled} AND {LIVING}"
    );
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
    match picture.all(&sql, params.as_slice(), read) {
        Err(error) if is_damage(&error) => around(picture, filter, updated_at, id),
        found => Ok(found?),
    }
}

/// The same where a row cannot be read: each by itself, after what the index says. One that cannot be read has its id, its time, and no
/// header; it is listed where nothing is asked about what it may have held.
fn around(picture: &Picture<'_>, filter: &Filter, updated_at: i64, id: &str) -> Result<Vec<ThreadRow>, Failure> {
    let asked = |row: &ThreadRow| {
        filter.root.as_ref().is_none_or(|root| *root == row.root)
            && filter.status.as_ref().is_none_or(|status| *status == row.status)
            && filter.parent.as_ref().is_none_or(|parent| Some(parent) == row.parent.as_ref())
    };
    let unasked = filter.root.is_none() && filter.status.is_none() && filter.parent.is_none();
    // The index has all of it.
    let from = if filter.troubled {
        "INDEXED BY threads_troubled WHERE troubled = 1 AND"
    } else {
        "INDEXED BY threads_by_update WHERE"
    };
    let sql = format!(
        "SELECT id, updated_at FROM threads {from} (updated_at, id) < (?1, ?2) ORDER BY updated_at DESC, id DESC"
    );
    let ids = picture.all(&sql, (updated_at, id), |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    let mut found = Vec::new();
    for (id, updated_at) in ids {
        if found.len() as i64 >= filter.limit {
            break;
        }
        let sql = format!("SELECT {COLUMNS} FROM threads WHERE id = ?1 AND {LIVING}");
        match picture.find(&sql, [&id], read) {
            Ok(row) => found.extend(row.filter(asked)),
            Err(error) if is_damage(&error) && unasked => found.push(unreadable(id, updated_at)),
            Err(error) if is_damage(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn unreadable(id: String, updated_at: i64) -> ThreadRow {
    ThreadRow {
        root: id.clone(),
        id,
        parent: None,
        status: "damaged".into(),
        title: String::new(),
        version: 0,
        created_at: 0,
        updated_at,
        header: Vec::new(),
    }
}

fn cursor(after: &str) -> Result<(i64, &str), Failure> {
    if after.is_empty() {
        return Ok((i64::MAX, ""));
    }
    let parts = after.split_once(':').and_then(|(updated_at, id)| Some((updated_at.parse().ok()?, id)));
    parts.ok_or_else(|| {
        Failure::Refused(Error::Rule(format!(
            "{after:?} is not a cursor; give back the one that came with the last page"
        )))
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
