//! Records that several threads hold at once: a child shares what it inherits with its parent and its siblings, also when each was
//! loaded by itself (G6).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// Smaller records are not worth looking up.
const LEAST: usize = 1024;
const FIRST_SWEEP: usize = 1024;

/// By length and checksum. Weak: nothing lives longer for being here.
struct Held {
    records: HashMap<u64, Weak<[u8]>>,
    sweep_at: usize,
}

static HELD: LazyLock<Mutex<Held>> =
    LazyLock::new(|| Mutex::new(Held { records: HashMap::new(), sweep_at: FIRST_SWEEP }));

/// The bytes of a record, shared with anyone who holds the same already.
pub fn share(record: &[u8]) -> Arc<[u8]> {
    let Some(key) = key(record) else { return record.into() };
    let held = with(|held| held.records.get(&key).and_then(Weak::upgrade));
    match held {
        Some(same) if *same == *record => same,
        Some(_) => record.into(),
        None => {
            let made: Arc<[u8]> = record.into();
            remember(&made);
            made
        }
    }
}

/// Let others share a record.
pub fn remember(record: &Arc<[u8]>) {
    let Some(key) = key(record) else { return };
    with(|held| {
        held.records.insert(key, Arc::downgrade(record));
        if held.records.len() >= held.sweep_at {
            held.records.retain(|_, record| record.strong_count() > 0);
            held.sweep_at = (held.records.len() * 2).max(FIRST_SWEEP);
        }
    });
}

/// The map is whole whatever happened to its last user: each change is one call.
fn with<T>(work: impl FnOnce(&mut Held) -> T) -> T {
    work(&mut HELD.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Records end in their checksum.
fn key(record: &[u8]) -> Option<u64> {
    let trailer = *record.last_chunk::<4>()?;
    let checksum = u64::from(u32::from_le_bytes(trailer));
    (record.len() >= LEAST).then_some(checksum << 32 | (record.len() as u64 & 0xffff_ffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(first: u8, trailer: u8) -> Vec<u8> {
        let mut bytes = vec![first; LEAST];
        bytes.extend([trailer; 4]);
        bytes
    }

    #[test]
    fn the_same_record_is_held_once() {
        let first = share(&record(1, 1));
        assert!(Arc::ptr_eq(&first, &share(&record(1, 1))));
    }

    #[test]
    fn records_that_only_look_the_same_are_not_mixed_up() {
        let first = share(&record(2, 2));
        let other = share(&record(3, 2));
        assert_eq!((first[0], other[0]), (2, 3));
    }

    #[test]
    fn nothing_is_kept_alive() {
        let weak = Arc::downgrade(&share(&record(4, 4)));
        assert!(weak.upgrade().is_none());
        assert_eq!(share(&record(4, 4))[0], 4);
    }

    #[test]
    fn small_records_are_left_alone() {
        assert!(!Arc::ptr_eq(&share(b"small"), &share(b"small")));
    }
}
