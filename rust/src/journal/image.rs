//! The files of a journal as one: what examinations and repairs read. The files themselves are never opened for writing, and SQLite never
//! sees their log: what is to be taken of it is put into a copy first.

use super::open::beside;
use super::schema::PAGE_SIZE;
use super::verify::{self, frame_at};
use super::wal::Log;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What of the log is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// What SQLite would take.
    Committed,
    /// Whole frames behind a broken one, too.
    Linked,
    /// The broken ones among them as well: a page with a wrong bit is mostly right.
    Everything,
    Nothing,
}

pub struct Image {
    pub path: PathBuf,
    copied: bool,
}

impl Image {
    /// Without a log in use it is the file itself.
    pub fn of(path: &Path) -> io::Result<Self> {
        match verify::log(path)? {
            Some((frames, log)) if log.committed() > 0 => {
                let image = Self::copy(path, &beside(path, ".copy"))?;
                image.apply(&frames, &log, Take::Committed)?;
                Ok(image)
            }
            _ => Ok(Self { path: path.into(), copied: false }),
        }
    }

    /// A copy at another place, with what is to be taken of the log.
    pub fn at(place: &Path, path: &Path, log: Option<&(File, Log)>, take: Take) -> io::Result<Self> {
        let image = Self::copy(path, place)?;
        if let Some((frames, log)) = log {
            image.apply(frames, log, take)?;
        }
        Ok(image)
    }

    fn copy(path: &Path, place: &Path) -> io::Result<Self> {
        let image = Self { path: place.into(), copied: true };
        image.remove();
        fs::copy(path, place)?;
        Ok(image)
    }

    fn apply(&self, frames: &File, log: &Log, take: Take) -> io::Result<()> {
        let (taken, size) = taken(log, take);
        let file = File::options().write(true).open(&self.path)?;
        let mut page = vec![0; log.page_size];
        for (number, frame) in taken {
            frames.read_exact_at(&mut page, frame_at(log, frame))?;
            file.write_all_at(&page, u64::from(number - 1) * log.page_size as u64)?;
        }
        if size > 0 {
            file.set_len(u64::from(size) * log.page_size as u64)?;
        }
        Ok(())
    }

    /// As it stands: nothing is written, nobody is waited for, no log is looked at.
    pub fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(uri(&self.path), flags)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        Ok(connection)
    }

    fn remove(&self) {
        if self.copied {
            for suffix in ["", "-wal", "-shm", "-journal"] {
                // What is not there need not be removed; what cannot be is overwritten or fails there.
                let _ = fs::remove_file(beside(&self.path, suffix));
            }
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.remove();
    }
}

fn uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri + "?immutable=1"
}

/// The last frame of every page, and how many pages there are behind the last transaction that is taken.
fn taken(log: &Log, take: Take) -> (BTreeMap<u32, usize>, u32) {
    let committed = log.committed();
    let end = match take {
        Take::Nothing => 0,
        Take::Committed => committed,
        Take::Linked | Take::Everything => log.last_of_round().unwrap_or(committed),
    };
    let Some(size) = end.checked_sub(1).map(|last| log.frames[last].size) else { return (BTreeMap::new(), 0) };
    let broken = take == Take::Everything;
    let usable = |at: usize| at < committed || broken || log.frames[at].linked;
    let frames = (0..end).filter(|at| usable(*at)).map(|at| (log.frames[at].page, at));
    (frames.filter(|(page, _)| (1..=size).contains(page)).collect(), size)
}

/// How many pages a file of this length has.
pub fn pages(length: u64) -> u64 {
    length.div_ceil(PAGE_SIZE as u64)
}
