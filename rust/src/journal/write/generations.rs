//! Which of several copies of a tree is the newer one. A tree that leaves, and one that is taken back, raises its generation by one and gets
//! the mark of that: so a copy is newer than another exactly if it has its last mark, and all marks before. The record stays when the tree's rows
//! go to live elsewhere.

use crate::error::Error;
use crate::journal::checksum::{self, checked_row};
use crate::journal::failure::Failure;
use crate::journal::group::Group;
use crate::journal::value::Generation;
use rusqlite::params;
use rusqlite::types::ValueRef;

/// Bytes of a mark.
pub const MARK: usize = 8;

pub fn find(group: &Group<'_>, root: &str) -> rusqlite::Result<Generation> {
    let sql = "SELECT number, marks, crc, root FROM generations WHERE root = ?1";
    let read =
        |row: &rusqlite::Row<'_>| Ok(Generation { number: row.get(0)?, marks: checked_row(row, "generations", 1)? });
    Ok(group.find(sql, [root], read)?.unwrap_or_default())
}

/// Said twice with one mark, it is done once.
///
/// # Errors
/// `rule` for a mark of another size.
pub fn raise(group: &Group<'_>, root: &str, mark: &[u8]) -> Result<(), Failure> {
    if mark.len() != MARK {
        return Err(Failure::Refused(Error::Rule(format!("a mark has {MARK} bytes, not {}", mark.len()))));
    }
    let Generation { number, mut marks } = find(group, root)?;
    if marks.chunks(MARK).next_back() == Some(mark) {
        return Ok(());
    }
    marks.extend_from_slice(mark);
    let sql = "REPLACE INTO generations (root, number, marks, crc) VALUES (?1, ?2, ?3, ?4)";
    let crc = checksum::of_row(&[root.into(), ValueRef::Integer(number + 1), marks.as_slice().into()]);
    group.execute(sql, params![root, number + 1, marks, crc])?;
    Ok(())
}

/// Whether a copy of generation `there` may take the place of what is known here. `rests`: there is a copy here, which has left.
///
/// # Errors
/// `conflict` if it is older, or if both have gone on since they were one.
pub fn check(root: &str, here: &Generation, there: &Generation, rests: bool) -> Result<(), Error> {
    let advice = if rests {
        format!("The copy here is taken back with `infinity export {root} --undo`")
    } else {
        "It lives elsewhere: export it there, and import that file".to_owned()
    };
    let (known, offered) = (here.number, there.number);
    if offered < known {
        return Err(Error::Conflict(format!(
            "the file is older than what is known here of conversation {root} (generation {offered}, here {known}); nothing was imported. {advice}"
        )));
    }
    let last = here.marks.chunks(MARK).next_back();
    if last.is_some_and(|last| there.marks.chunks(MARK).all(|mark| mark != last)) {
        return Err(Error::Conflict(format!(
            "the file and what is known here of conversation {root} have parted: each went on without the other (generation {offered}, here {known}); \
             nothing was imported. {advice}; to have both, import the file in another home"
        )));
    }
    Ok(())
}
