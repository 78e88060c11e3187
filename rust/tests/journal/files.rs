//! The files of a journal, to be damaged and put back.

use crate::desk::{Desk, created, open, scratch};
use _core::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub const HEADER: usize = 32;
pub const FRAME: usize = 24 + 4096;

/// The files of a journal while its process lives, as a kill leaves them. Without its index (`index`) they are those of a power cut.
#[derive(Clone)]
pub struct Files {
    pub file: Vec<u8>,
    pub log: Vec<u8>,
    pub index: Option<Vec<u8>>,
    pub mark: Option<Vec<u8>>,
    pub accepted: usize,
}

pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    path.with_file_name(format!("infinity.db{suffix}"))
}

impl Files {
    pub fn of(desk: &Desk) -> Self {
        let read = |suffix| fs::read(beside(&desk.path, suffix));
        Self {
            file: fs::read(&desk.path).unwrap(),
            log: read("-wal").unwrap(),
            index: read("-shm").ok(),
            mark: read(".mark").ok(),
            accepted: desk.inbox().len(),
        }
    }

    /// So many messages, each in a transaction of its own, in the first round of a log.
    pub fn with(messages: usize) -> Self {
        let desk = Desk::new();
        desk.commit(created("t")).unwrap();
        (0..messages).for_each(|number| drop(desk.queue("t", &format!("m{number}"))));
        Self::of(&desk)
    }

    pub fn after_power_cut(mut self) -> Self {
        self.index = None;
        self
    }

    pub fn frames(&self) -> usize {
        (self.log.len() - HEADER) / FRAME
    }

    /// The frames of the current round; behind them there may be older ones.
    pub fn live(&self) -> usize {
        (0..self.frames()).take_while(|at| self.frame(*at)[8..16] == self.log[16..24]).count()
    }

    pub fn frame(&self, number: usize) -> &[u8] {
        &self.log[HEADER + number * FRAME..][..FRAME]
    }

    /// The numbers of the frames that end a transaction.
    pub fn ends(&self) -> Vec<usize> {
        (0..self.live()).filter(|at| self.frame(*at)[4..8] != [0; 4]).collect()
    }

    pub fn spoil(&mut self, frame: usize) {
        self.log[HEADER + frame * FRAME..][24..64].fill(0xa5);
    }

    pub fn put(&self, home: &TempDir) -> PathBuf {
        let path = home.path().join("infinity.db");
        fs::write(&path, &self.file).unwrap();
        fs::write(beside(&path, "-wal"), &self.log).unwrap();
        for (suffix, bytes) in [("-shm", &self.index), (".mark", &self.mark)] {
            if let Some(bytes) = bytes {
                fs::write(beside(&path, suffix), bytes).unwrap();
            }
        }
        path
    }

    /// How many accepted messages a start finds, or why there is none.
    pub fn started(&self) -> Result<usize, Error> {
        let home = scratch();
        let path = self.put(&home);
        let before = fs::read(beside(&path, "-wal")).unwrap();
        match open(&path) {
            Err(error) => {
                assert_eq!(fs::read(&path).unwrap(), self.file, "a refusal changed the file");
                assert_eq!(fs::read(beside(&path, "-wal")).unwrap(), before, "a refusal changed the log");
                Err(error)
            }
            Ok(journal) => {
                drop(journal);
                Ok(Desk::at(&path).inbox().len())
            }
        }
    }

    #[track_caller]
    pub fn assert_whole(&self) {
        assert_eq!(self.started().unwrap(), self.accepted);
    }

    #[track_caller]
    pub fn assert_refused(&self, because: &str) {
        let error = self.started().expect_err("the journal was opened");
        assert_eq!(error.code(), "damaged", "{error}");
        assert!(error.text().contains(because) && error.text().contains("infinity doctor --repair"), "{error}");
    }
}
