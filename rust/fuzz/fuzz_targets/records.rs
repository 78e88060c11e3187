//! Whatever the bytes are, a record is read or refused: no panic, no large allocation (I8).

#![no_main]

use _core::codec::{self, Kind};
use _core::dedup::DedupSet;
use _core::history::{Call, Entry, Header, Snapshot, Thread};
use libfuzzer_sys::fuzz_target;

fn read(record: &[u8]) {
    if let Ok(header) = Header::decode(record) {
        assert_eq!(Header::decode(&header.encode()).as_ref(), Ok(&header));
        let _ = header.json();
        let _ = Thread::load(&Snapshot { header: record.into(), ..Snapshot::default() });
    }
    if let Ok(entry) = Entry::read(record.into()) {
        let _ = entry.json();
        let _ = entry.settled();
    }
    if let Ok(call) = Call::decode(record) {
        assert_eq!(Call::decode(&call.encode()).as_ref(), Ok(&call));
    }
    if let Ok(set) = DedupSet::decode(record) {
        assert_eq!(DedupSet::decode(&set.encode()).map(|set| set.len()), Ok(set.len()));
    }
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // The same as the payload of a record with a good checksum, so that the fuzzer gets past it.
    let Some((kind, payload)) = bytes.split_first() else { return };
    let kind = [Kind::Header, Kind::Entry, Kind::Call, Kind::Dedup][usize::from(kind % 4)];
    let mut out = codec::begin(kind);
    out.raw(payload);
    read(&out.seal());
});
