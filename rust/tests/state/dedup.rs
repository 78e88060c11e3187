//! The set of processed ids (R1, R2).

use _core::dedup::DedupSet;
use _core::error::Error;
use proptest::prelude::*;
use std::collections::HashSet;

fn filled(count: usize) -> DedupSet {
    let mut set = DedupSet::default();
    for id in 0..count {
        assert!(set.add(&format!("message-{id}")));
    }
    set
}

#[test]
fn an_id_is_new_once() {
    let mut set = filled(10_000);
    assert_eq!(set.len(), 10_000);
    for id in [0, 1, 63, 64, 65, 5_000, 9_999] {
        assert!(set.contains(&format!("message-{id}")));
        assert!(!set.add(&format!("message-{id}")));
    }
    assert!(!set.contains("message-10000") && !set.contains(""));
    assert_eq!(set.len(), 10_000);
}

#[test]
fn an_id_costs_at_most_32_bytes_at_any_size_from_a_thousand_on() {
    let mut set = filled(1_000);
    let mut worst = 0.0f64;
    for id in 1_000..60_000 {
        worst = worst.max(set.memory() as f64 / set.len() as f64);
        set.add(&format!("a message id that is much longer than its digest {id}"));
    }
    assert!(worst <= 32.0, "{worst} bytes an id");
}

#[test]
fn a_stored_set_is_the_same_set() {
    let set = filled(5_000);
    let record = set.encode();
    let loaded = DedupSet::decode(&record).unwrap();
    assert_eq!((loaded.len(), loaded.encode()), (5_000, record.clone()));
    assert!(loaded.contains("message-4999") && !loaded.contains("message-5000"));
    assert!(record.len() <= 5_000 * 16 + 16, "{} bytes", record.len());
}

#[test]
fn a_set_that_cannot_be_read_is_an_error_and_never_empty() {
    let record = filled(10).encode();
    assert!(matches!(DedupSet::decode(b""), Err(Error::Damaged(_))));
    for at in 0..record.len() {
        let mut torn = record.clone();
        torn[at] ^= 1;
        assert!(DedupSet::decode(&torn).is_err(), "byte {at}");
        assert!(DedupSet::decode(&record[..at]).is_err(), "cut at {at}");
    }
}

proptest! {
    #[test]
    fn it_agrees_with_a_plain_set(ids in prop::collection::vec("[a-d]{0,4}", 0..600)) {
        let (mut set, mut plain) = (DedupSet::default(), HashSet::new());
        for id in &ids {
            prop_assert_eq!(set.contains(id), plain.contains(id));
            prop_assert_eq!(set.add(id), plain.insert(id.clone()));
            prop_assert_eq!(set.len(), plain.len());
        }
        let loaded = DedupSet::decode(&set.encode()).unwrap();
        prop_assert!(plain.iter().all(|id| loaded.contains(id)));
    }
}
