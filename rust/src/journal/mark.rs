//! How the last process stopped: a small file beside the journal. A log that is not there is nothing to worry about after an orderly stop,
//! and may be what was accepted last after any other.
//!
//! It costs two flushes at a start and two at a stop, and nothing in between.

use super::open::{beside, sync_directory};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// From before there were marks, or from elsewhere: nothing is known.
    Absent,
    /// A log with a frame in it exists, until the mark is changed.
    Running,
    /// Everything was in the main file.
    Clean,
}

const CLEAN: &[u8] = b"clean\n";
const RUNNING: &[u8] = b"running\n";

pub fn read(journal: &Path) -> io::Result<Mark> {
    let mut text = Vec::new();
    match File::open(beside(journal, ".mark")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Mark::Absent),
        file => file?.read_to_end(&mut text)?,
    };
    // Whatever else it says: that the stop was orderly is not known.
    Ok(if text == CLEAN { Mark::Clean } else { Mark::Running })
}

/// Durable when it returns.
pub fn set(journal: &Path, mark: Mark) -> io::Result<()> {
    let text = match mark {
        Mark::Clean => CLEAN,
        Mark::Running => RUNNING,
        Mark::Absent => return Ok(()),
    };
    let (name, draft) = (beside(journal, ".mark"), beside(journal, ".mark.new"));
    let mut file = File::create(&draft)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(draft, &name)?;
    sync_directory(&name)
}
