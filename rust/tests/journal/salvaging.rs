//! A repair is made whenever it is asked for, takes what stands in the log, and lets threads go on (L23).

use crate::desk::{Desk, HISTORIES, NO_HISTORIES, created, refusal, scratch};
use crate::family::{loaded, portrait, raise, rendered};
use crate::files::{Files, beside};
use _core::journal::{Read, Value, examine, repair};
use rusqlite::Connection;
use std::fs;
use std::path::Path;

fn meta(desk: &Desk, key: &str) -> String {
    let Value::Bytes(Some(bytes)) = desk.read(Read::Meta(key.into())).unwrap() else { panic!("no {key}") };
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_journal_that_opens_is_written_anew_and_loses_nothing() {
    let home = scratch();
    let path = home.path().join("infinity.db");
    let desk = Desk::of_threads(&path);
    raise(&desk, "a");
    let before = portrait(&desk, "a");
    drop(desk);
    let report = repair(&path, &HISTORIES).unwrap();
    assert!(report.lost.is_empty() && report.mended.is_empty(), "{report:?}");
    assert!(report.damaged.exists());
    assert_eq!(portrait(&Desk::of_threads(&path), "a"), before);
}

#[test]
fn transactions_behind_a_broken_frame_are_salvaged() {
    let files = Files::with(30);
    let mut gone = 0;
    for frame in 0..files.live() {
        let mut spoiled = files.clone();
        spoiled.spoil(frame);
        let home = scratch();
        let path = spoiled.put(&home);
        assert_eq!(refusal(&path).code(), "damaged");
        let Ok(report) = repair(&path, &NO_HISTORIES) else {
            // The page of the one thread there is stood in this frame only.
            gone += 1;
            continue;
        };
        let kept = Desk::at(&path).inbox().len();
        assert!(kept + 3 >= files.accepted, "frame {frame}: {kept} of {}: {report:?}", files.accepted);
        assert!(!report.lost.is_empty(), "frame {frame}: what was wrong is not said");
        assert_eq!(
            fs::read(beside(&report.damaged, "-wal").with_file_name("infinity.db.damaged-1-wal")).unwrap(),
            spoiled.log
        );
    }
    assert!(gone <= 1, "{gone} times nothing was left");
}

#[test]
fn a_flipped_bit_costs_one_row_at_most() {
    let files = Files::with(30);
    for frame in 0..files.live() {
        let mut flipped = files.clone();
        let at = 32 + frame * 4120 + 24 + 4000;
        flipped.log[at] ^= 1;
        let home = scratch();
        let path = flipped.put(&home);
        let report = repair(&path, &NO_HISTORIES).unwrap();
        assert!(Desk::at(&path).inbox().len() + 1 >= files.accepted, "frame {frame}: {report:?}");
    }
}

#[test]
fn a_log_without_a_header_is_salvaged() {
    let mut files = Files::with(30);
    files.log[..32].fill(0);
    let home = scratch();
    let path = files.put(&home);
    let report = repair(&path, &NO_HISTORIES).unwrap();
    assert_eq!(Desk::at(&path).inbox().len(), files.accepted, "{report:?}");
}

#[test]
fn a_file_whose_log_is_gone_is_accepted_and_that_is_on_record() {
    let home = scratch();
    let path = Files::with(20).put(&home);
    // What another tool does.
    Connection::open(&path).unwrap().query_row("SELECT count(*) FROM inbox", [], |_| Ok(())).unwrap();
    assert_eq!(refusal(&path).code(), "damaged");
    let report = repair(&path, &NO_HISTORIES).unwrap();
    assert!(report.lost[0].contains("is gone"), "{report:?}");
    let desk = Desk::at(&path);
    assert_eq!(desk.inbox().len(), 20);
    let repairs = meta(&desk, "repairs");
    assert!(repairs.contains("is gone") && repairs.contains("damaged-1"), "{repairs}");
    drop(desk);
    repair(&path, &NO_HISTORIES).unwrap();
    let repairs: serde_json::Value = serde_json::from_str(&meta(&Desk::at(&path), "repairs")).unwrap();
    assert_eq!(repairs.as_array().unwrap().len(), 2);
}

#[test]
fn a_thread_that_lost_entries_goes_on() {
    let places = |path: &Path| -> Vec<i64> {
        let journal = Connection::open(path).unwrap();
        let mut all = journal.prepare("SELECT place FROM entries").unwrap();
        all.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let original = scratch();
    let made = original.path().join("infinity.db");
    let desk = Desk::of_threads(&made);
    raise(&desk, "a");
    drop(desk);
    for place in places(&made) {
        let home = scratch();
        let path = home.path().join("infinity.db");
        fs::copy(&made, &path).unwrap();
        let lose = format!("DELETE FROM entries WHERE place = {place}");
        Connection::open(&path).unwrap().execute_batch(&lose).unwrap();
        let report = repair(&path, &HISTORIES).unwrap();
        assert!(report.lost.iter().any(|line| line.contains("rows of its entries are missing")), "{report:?}");
        assert!(!report.mended.is_empty(), "{report:?}");
        let desk = Desk::of_threads(&path);
        for id in ["a", "a.child"] {
            rendered(&desk, id);
        }
        let problem = |id| loaded(&desk, id).header().problem.clone();
        assert!([problem("a"), problem("a.child")].iter().flatten().any(|text| text.contains("were lost")));
        drop(desk);
        assert_eq!(examine(&path, &HISTORIES).unwrap().unwrap().problems, [""; 0]);
    }
}

#[test]
fn rows_that_only_an_index_knows_are_counted() {
    let home = scratch();
    let path = home.path().join("infinity.db");
    let desk = Desk::at(&path);
    desk.commit(created("t")).unwrap();
    (0..60).for_each(|number| drop(desk.queue("t", &format!("m{number}"))));
    drop(desk);
    let whole = fs::read(&path).unwrap();
    let mut counted = 0;
    for sector in
        (4096..whole.len()).step_by(512).filter(|at| whole[*at..at + 512].windows(6).any(|some| some == b"\"text\""))
    {
        let mut zeroed = whole.clone();
        zeroed[sector..sector + 512].fill(0);
        fs::write(&path, zeroed).unwrap();
        let Ok(report) = repair(&path, &NO_HISTORIES) else { continue };
        let kept = Desk::at(&path).inbox().len();
        assert!(kept == 60 || !report.lost.is_empty(), "{} messages vanished without a word", 60 - kept);
        counted += usize::from(report.lost.iter().any(|line| line.contains("an index knows")));
    }
    assert!(counted > 0);
}
