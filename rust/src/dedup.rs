//! An exact set of ids that may grow for years: at most ~32 bytes an id (R2).
//!
//! Ids are kept as 128-bit SHA-256 prefixes, in one sorted run and a small set of recent ones that is merged into it when it reaches an
//! eighth of the run. An id is 16 bytes in the run and, at the hash table's worst load, 39 among the recent.

use crate::codec::{self, Kind};
use crate::error::Result;
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;

/// A 128-bit SHA-256 prefix.
pub type Digest = [u8; DIGEST_BYTES];

const DIGEST_BYTES: usize = 16;
const RECENT_AT_LEAST: usize = 64;

#[derive(Debug, Clone, Default)]
pub struct DedupSet {
    /// Ascending.
    run: Vec<Digest>,
    recent: HashSet<Digest>,
}

impl DedupSet {
    /// True if it was not there.
    pub fn add(&mut self, id: &str) -> bool {
        let digest = digest(id);
        if self.run.binary_search(&digest).is_ok() || !self.recent.insert(digest) {
            return false;
        }
        if self.recent.len() >= RECENT_AT_LEAST.max(self.run.len() / 8) {
            self.merge();
        }
        true
    }

    pub fn contains(&self, id: &str) -> bool {
        let digest = digest(id);
        self.recent.contains(&digest) || self.run.binary_search(&digest).is_ok()
    }

    pub fn len(&self) -> usize {
        self.run.len() + self.recent.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        // A hash table keeps a power of two of slots, an eighth of them free, and a control byte for each.
        let slots = match self.recent.capacity() {
            0 => 0,
            capacity => (capacity * 8 / 7).next_power_of_two(),
        };
        size_of::<Self>() + self.run.capacity() * DIGEST_BYTES + slots * (DIGEST_BYTES + 1)
    }

    /// A record; the same for the same set.
    pub fn encode(&self) -> Vec<u8> {
        let mut all: Vec<Digest> = self.run.iter().chain(&self.recent).copied().collect();
        all.sort_unstable();
        let mut out = codec::begin(Kind::Dedup);
        all.iter().for_each(|digest| out.raw(digest));
        out.seal()
    }

    /// # Errors
    /// `Damaged` or `TooNew`: never an empty set instead (R1, I8).
    pub fn decode(record: &[u8]) -> Result<Self> {
        let mut from = codec::open(Kind::Dedup, record)?;
        let (digests, rest) = from.remainder().as_chunks::<DIGEST_BYTES>();
        if !rest.is_empty() {
            return Err(from.damaged("its last digest is cut off"));
        }
        if !digests.is_sorted_by(|one, next| one < next) {
            return Err(from.damaged("its digests are not in order"));
        }
        Ok(Self { run: digests.to_vec(), recent: HashSet::new() })
    }

    fn merge(&mut self) {
        let mut recent: Vec<Digest> = std::mem::take(&mut self.recent).into_iter().collect();
        recent.sort_unstable();
        let mut merged = Vec::with_capacity(self.run.len() + recent.len());
        let mut run = self.run.iter().copied().peekable();
        for digest in recent {
            while let Some(older) = run.next_if(|older| *older < digest) {
                merged.push(older);
            }
            merged.push(digest);
        }
        merged.extend(run);
        self.run = merged;
    }
}

/// What stands for an id.
pub fn digest(id: &str) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(&Sha256::digest(id.as_bytes())[..DIGEST_BYTES]);
    digest
}
