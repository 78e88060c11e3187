//! Records: whatever the bytes are, they are read right or refused (I8).

use crate::subject::*;
use _core::codec::{self, Kind};
use _core::dedup::DedupSet;
use _core::error::Error;
use _core::history::{Call, Entry, Header, entry_json, header_json, live_ranges};
use proptest::prelude::*;
use serde_json::{Value, json};

const KINDS: [Kind; 4] = [Kind::Header, Kind::Entry, Kind::Call, Kind::Dedup];

fn read_all(bytes: &[u8]) -> [Result<(), Error>; 7] {
    [
        Header::decode(bytes).map(drop),
        Entry::read(bytes.into()).and_then(|entry| entry.details().map(drop)),
        Call::decode(bytes).map(drop),
        DedupSet::decode(bytes).map(drop),
        live_ranges(bytes).map(drop),
        entry_json(bytes).map(drop),
        header_json(bytes).map(drop),
    ]
}

/// One record of each kind.
fn records() -> Vec<Vec<u8>> {
    let mut thread = calling(&["a"]);
    let mut set = DedupSet::default();
    set.add("one");
    thread.set_problem(Some("a problem")).unwrap();
    let delta = thread.delta(NOW).unwrap();
    vec![delta.header.clone(), delta.entries[1].1.clone(), delta.calls[0].record.clone(), set.encode()]
}

fn seal(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut out = codec::begin(kind);
    out.raw(payload);
    out.seal()
}

#[test]
fn every_record_survives_a_round_trip() {
    let [header, entry, call, _] = <[Vec<u8>; 4]>::try_from(records()).unwrap();
    assert_eq!(Header::decode(&header).unwrap().encode(), header);
    assert_eq!(Call::decode(&call).unwrap().encode(), call);
    assert_eq!(Entry::read(entry.as_slice().into()).unwrap().record()[..], entry[..]);
}

#[test]
fn a_flipped_bit_or_a_torn_end_is_noticed_wherever_it_is() {
    for record in records() {
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut flipped = record.clone();
                flipped[at] ^= 1 << bit;
                assert!(read_all(&flipped).iter().all(Result::is_err), "bit {bit} of byte {at}");
            }
            assert!(read_all(&record[..at]).iter().all(Result::is_err), "cut at {at}");
        }
    }
}

#[test]
fn a_record_of_a_newer_version_says_so() {
    for record in records() {
        let mut body = record[..record.len() - 4].to_vec();
        body[1] = codec::FORMAT + 1;
        let sum = crc32fast::hash(&body);
        body.extend_from_slice(&sum.to_le_bytes());
        let answers = read_all(&body);
        assert!(answers.iter().any(|answer| matches!(answer, Err(Error::TooNew(_)))));
        assert!(answers.iter().all(Result::is_err));
    }
}

#[test]
fn a_record_of_another_kind_is_refused() {
    let records = records();
    assert!(Header::decode(&records[1]).is_err() && Call::decode(&records[0]).is_err());
    assert!(DedupSet::decode(&records[2]).is_err() && entry_json(&records[3]).is_err());
}

#[test]
fn a_length_beyond_the_record_allocates_nothing() {
    for kind in KINDS {
        let mut payload = vec![1];
        payload.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        assert!(read_all(&seal(kind, &payload)).iter().all(Result::is_err));
    }
}

#[test]
fn an_entry_is_json_for_clients() {
    let mut thread = calling(&["a"]);
    thread.detach(&"a".into(), &text("still running"), NOW).unwrap();
    thread.add_user(&text("hello"), NOW, None, br#"{"user_id":"ada"}"#).unwrap();
    thread.add_summary(0, 1, &text("so far"), NOW, EMPTY).unwrap();
    let delta = thread.delta(NOW).unwrap();
    let entry = |at: usize| serde_json::from_slice::<Value>(&entry_json(&delta.entries[at].1).unwrap()).unwrap();
    let words = json!([{"type": "text", "text": "hello"}]);
    assert_eq!(
        entry(3),
        json!({"kind": "user", "at": NOW, "assistant": [], "user": words, "meta": {"user_id": "ada"}})
    );
    assert_eq!(entry(1)["assistant"][1], tool_use("a"));
    assert_eq!((&entry(2)["kind"], &entry(2)["user"][0]["tool_use_id"]), (&json!("result"), &json!("a")));
    assert_eq!((&entry(4)["kind"], &entry(4)["covers"]), (&json!("summary"), &json!([0, 1])));
}

#[test]
fn a_header_is_json_for_clients() {
    let mut thread = calling(&["a"]);
    thread.set_title("say \"hi\"\n").unwrap();
    let child = fork(&mut thread, "child", None, None).unwrap();
    let delta = thread.delta(NOW).unwrap();
    let header: Value = serde_json::from_slice(&header_json(&delta.header).unwrap()).unwrap();
    assert_eq!((&header["title"], &header["usage"]), (&json!("say \"hi\"\n"), &json!([10, 20, 30, 40])));
    assert_eq!((&header["parent"], &header["origin"]), (&Value::Null, &Value::Null));
    let header: Value = serde_json::from_slice(&header_json(&delta.children[0].header).unwrap()).unwrap();
    assert_eq!((&header["parent"], &header["origin"]), (&json!("root"), &json!({"why": "test"})));
    drop(child);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 8, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_never_read_as_a_record(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read_all(&bytes).iter().all(Result::is_err));
    }

    /// Past the checksum, as a bug or a forger would write it: no panic, no large allocation.
    #[test]
    fn a_sealed_payload_of_arbitrary_bytes_never_panics(
        kind in prop::sample::select(KINDS.to_vec()),
        payload in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..200),
    ) {
        let _ = read_all(&seal(kind, &payload));
    }

    /// A record with a few bytes changed under a good checksum goes further into the decoders.
    #[test]
    fn a_changed_record_under_a_good_checksum_never_panics(
        which in 0usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut record = records()[which].clone();
        record.truncate(record.len() - 4);
        for (at, byte) in changes {
            let at = at.index(record.len() - 2) + 2;
            record[at] = byte;
        }
        let sum = crc32fast::hash(&record);
        record.extend_from_slice(&sum.to_le_bytes());
        let _ = read_all(&record);
    }
}
