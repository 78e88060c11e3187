//! Whether the files are whole as far as SQLite would not say itself, before it opens them (L16, L21). Reads, and changes nothing.

use super::mark::{self, Mark};
use super::open::beside;
use super::wal::{HEADER, Index, Log};
use crate::error::{Error, Result};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// SQLite leaves the page with this offset empty.
const LOCKED: u64 = 1 << 30;
const BUFFER: usize = 1 << 20;

/// What is wrong with the files of a journal; `None` if SQLite may open them.
///
/// # Errors
/// `storage` if they cannot be read, which says nothing about them.
pub fn damage(path: &Path) -> Result<Option<String>> {
    look(path).map_err(|error| unreadable(path, &error))
}

pub fn unreadable(path: &Path, error: &io::Error) -> Error {
    let name = path.display();
    Error::Storage(format!(
        "the journal {name} cannot be read ({error}); check the disk and the permissions, then try again"
    ))
}

/// The log beside a journal; `None` if there is no such file.
pub fn log(path: &Path) -> io::Result<Option<(File, Log)>> {
    let Some(file) = existing(&beside(path, "-wal"))? else { return Ok(None) };
    let log = Log::read(BufReader::with_capacity(BUFFER, &file))?;
    Ok(Some((file, log)))
}

fn existing(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

fn look(path: &Path) -> io::Result<Option<String>> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(Some("it is empty, which a journal never is".into()));
    }
    let found = log(path)?.filter(|(_, log)| !log.frames.is_empty());
    let Some((frames, log)) = found else {
        return Ok(match mark::read(path)? {
            Mark::Running => Some(lost(path)),
            _ => cut_off(&file, None)?,
        });
    };
    let damage = match log.salts {
        Some(_) => log.damage(index(path)?),
        None if in_the_file(&file, &frames, &log)? => None,
        None => Some("the header of its write-ahead log is broken, and the file lacks what the log holds".into()),
    };
    match damage {
        None => cut_off(&file, Some(&log)),
        damage => Ok(damage),
    }
}

fn lost(path: &Path) -> String {
    let log = beside(path, "-wal");
    format!(
        "the last process did not stop in order, and its write-ahead log {} is gone: either it was lost, and with it what was accepted \
         last, or somebody opened the file with another tool, such as sqlite3, which brings the log into the file and removes it; a \
         repair takes the file as it is, and puts that on record",
        log.display()
    )
}

pub fn index(path: &Path) -> io::Result<Option<Index>> {
    match fs::read(beside(path, "-shm")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => Ok(Index::parse(&bytes?)),
    }
}

/// Is everything that a log without a header holds in the main file? Then the log was being begun anew, and nothing is lost with it.
fn in_the_file(file: &File, frames: &File, log: &Log) -> io::Result<bool> {
    let Some(count) = log.headless() else { return Ok(false) };
    let frames_of_pages = newest(log, count);
    let size = log.frames[..count].last().map_or(0, |last| last.size);
    let (mut mine, mut other) = (vec![0; log.page_size], vec![0; log.page_size]);
    for (page, frame) in frames_of_pages {
        if size != 0 && page > size {
            // The transaction has given it up.
            continue;
        }
        let Some(before) = page.checked_sub(1) else { return Ok(false) };
        frames.read_exact_at(&mut mine, frame_at(log, frame))?;
        match file.read_exact_at(&mut other, u64::from(before) * log.page_size as u64) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        if mine != other {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where the page of a frame begins.
pub fn frame_at(log: &Log, frame: usize) -> u64 {
    let length = 24 + log.page_size;
    (HEADER + frame * length + 24) as u64
}

/// The last frame of each page, among the first `count`.
fn newest(log: &Log, count: usize) -> HashMap<u32, usize> {
    log.frames[..count].iter().enumerate().map(|(at, frame)| (frame.page, at)).collect()
}

/// Does the main file end before the pages do that it ought to have?
fn cut_off(file: &File, log: Option<&Log>) -> io::Result<Option<String>> {
    let committed = log.map_or(&[][..], |log| &log.frames[..log.committed()]);
    let page_size = log.map_or(super::schema::PAGE_SIZE as u64, |log| log.page_size as u64);
    let size = match committed.last() {
        Some(last) => last.size,
        None => claimed(file)?,
    };
    let there = file.metadata()?.len() / page_size;
    let beyond = there + 1..=u64::from(size);
    let mut elsewhere: HashSet<u64> = committed.iter().map(|frame| u64::from(frame.page)).collect();
    elsewhere.insert(LOCKED / page_size + 1);
    elsewhere.retain(|page| beyond.contains(page));
    let missing = (u64::from(size).saturating_sub(there)) - elsewhere.len() as u64;
    Ok((missing > 0).then(|| format!("it is cut off: {missing} of its {size} pages are missing")))
}

/// How many pages the file has, by its own account; 0 if it does not say.
fn claimed(file: &File) -> io::Result<u32> {
    let mut header = [0; 100];
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
        read => read?,
    }
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    // Only as long as the count is of the same change as the file.
    Ok(if &header[..16] == b"SQLite format 3\0" && word(24) == word(92) { word(28) } else { 0 })
}
