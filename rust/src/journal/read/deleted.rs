//! What is known of threads that were deleted.

use super::Picture;
use crate::journal::failure::Failure;
use crate::journal::value::Tombstone;

/// Of a thread that was deleted, whether or not it is erased yet.
pub fn tombstone(picture: &Picture<'_>, id: &str) -> Result<Option<Tombstone>, Failure> {
    let sql = "SELECT root, at, discarded FROM tombstones
               WHERE id = coalesce((SELECT root FROM threads WHERE threads.id = ?1), ?1)";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Tombstone { id: id.to_owned(), root: row.get(0)?, at: row.get(1)?, discarded: row.get(2)? })
    };
    Ok(picture.find(sql, [id], read)?)
}

/// Roots of trees that were marked and whose deletion is not over.
pub fn under_way(picture: &Picture<'_>) -> Result<Vec<String>, Failure> {
    let sql = "SELECT root FROM retired WHERE root IN (SELECT id FROM tombstones) ORDER BY root";
    Ok(picture.all(sql, [], |row| row.get(0))?)
}
