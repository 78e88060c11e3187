//! The live rows as a fresh file, so that nothing of what was deleted is left in it, and its space is given back.
//!
//! Zeroing what is freed is not enough: when SQLite moves rows between pages it leaves their bytes in the unused part of pages that stay in
//! use. Only rewriting every page is. The write-ahead log has the pages as they were, and is cut off behind it.

use super::failure::{Failure, describe};
use super::group::Group;
use super::open::{BUSY, cut_log, start_log};
use super::write::deletion;
use crate::error::{Error, Result};
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

/// How long readers are waited for, which hold the log.
const PATIENCE: Duration = Duration::from_secs(2);

/// All or nothing, whenever it is interrupted. Nothing else is written meanwhile; reading goes on. `sparse_only`: unless more than half of the
/// file is free, nothing is done, so that what it costs is in proportion to what was removed.
///
/// # Errors
/// `locked` while somebody reads on and on (an export, another program); `storage`, most likely for want of space: it takes about twice what
/// is live, for a copy and for the log.
pub fn compact(connection: &mut Connection, path: &Path, sparse_only: bool) -> Result<()> {
    let sqlite = |error: rusqlite::Error| describe(path, &error);
    if sparse_only && !sparse(connection).map_err(sqlite)? {
        return Ok(());
    }
    // Else the copy would be in memory.
    connection.pragma_update(None, "temp_store", "FILE").map_err(sqlite)?;
    let done = connection.execute_batch("VACUUM");
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(sqlite)?;
    done.map_err(sqlite)?;
    connection.busy_timeout(PATIENCE).map_err(sqlite)?;
    let cut = cut_log(path, connection);
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    if !cut? {
        let name = path.display();
        return Err(Error::Locked(format!(
            "the write-ahead log of {name} cannot be cut off while somebody reads the journal; it is tried again later"
        )));
    }
    settle(connection).map_err(|failure| failure.into_error(path))?;
    start_log(path, connection)
}

fn sparse(connection: &Connection) -> rusqlite::Result<bool> {
    let pages = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(pages("freelist_count")? * 2 > pages("page_count")?)
}

fn settle(connection: &mut Connection) -> Result<(), Failure> {
    let group = Group::begin(connection)?;
    deletion::settle(&group)?;
    Ok(group.commit()?)
}
