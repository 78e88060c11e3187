//! A repair is made whenever it is asked for, takes what stands in the log, and lets threads go on (L23).

use crate::desk::{Desk, HISTORIES, NO_HISTORIES, created, refusal, scratch};
use crate::family::{loaded, portrait, raise, rendered};
use crate::files::{Files, beside};
use _core::journal::{Read, Value, Write, examine, repair};
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
        let (behind, are) = match files.live() - frame - 1 {
            1 => (1, "whole one behind was"),
            more => (more, "whole ones behind were"),
        };
        let expected = format!(
            "(number {frame}): what stood there was taken as far as it can be read; the {behind} {are} salvaged"
        );
        // Where the frame that ends the last transaction is broken, that transaction is gone.
        let salvaged = report.lost[0].contains(&expected) || report.lost[0].contains("left out");
        assert!(salvaged || frame + 5 > files.live(), "{report:?}");
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
        let kept = Desk::at(&path).inbox().len();
        assert!(kept + 1 >= files.accepted, "frame {frame}: {report:?}");
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
    let known = examine(&path, &NO_HISTORIES).unwrap().unwrap().repaired.unwrap();
    assert!(known["lost"][0].as_str().unwrap().contains("is gone"), "{known}");
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
        assert!(report.lost.iter().any(|line| line.contains("1 row of its entries is missing")), "{report:?}");
        assert!(!report.mended.is_empty(), "{report:?}");
        let desk = Desk::of_threads(&path);
        for id in ["a", "a.child"] {
            rendered(&desk, id);
        }
        let problem = |id| loaded(&desk, id).header().problem.clone();
        assert!(
            [problem("a"), problem("a.child")].iter().flatten().any(|text| text.contains("lost when its database"))
        );
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
        counted += usize::from(report.lost.iter().any(|line| line.contains("that an index knows")));
    }
    assert!(counted > 0);
}

#[test]
fn a_journal_without_threads_is_repaired_like_any_other() {
    let home = scratch();
    let path = home.path().join("infinity.db");
    drop(Desk::at(&path));
    assert_eq!(repair(&path, &HISTORIES).unwrap().lost, [""; 0]);
    let desk = Desk::of_threads(&path);
    raise(&desk, "a");
    desk.write(Write::MarkDeleted { root: "a".into(), at: 1 }).unwrap();
    while matches!(desk.write(Write::Erase { root: "a".into(), limit: 1000 }).unwrap(), Value::Flag(true)) {}
    desk.write(Write::Compact { sparse_only: false }).unwrap();
    drop(desk);
    assert_eq!(repair(&path, &HISTORIES).unwrap().lost, [""; 0]);
    let count = "SELECT (SELECT count(*) FROM threads), (SELECT count(*) FROM tombstones)";
    let counts = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let counted: (i64, i64) = Connection::open(&path).unwrap().query_row(count, [], counts).unwrap();
    assert_eq!(counted, (0, 2), "what was deleted stays deleted");
}

#[test]
fn a_journal_whose_first_log_is_lost_is_taken_as_it_is() {
    for cut in [None, Some(0), Some(1000)] {
        let home = scratch();
        let mut files = Files::with(3);
        files.index = None;
        let path = files.put(&home);
        match cut {
            None => fs::remove_file(beside(&path, "-wal")).unwrap(),
            Some(length) => fs::write(beside(&path, "-wal"), &files.log[..length]).unwrap(),
        }
        assert_eq!(refusal(&path).code(), "damaged");
        let report = repair(&path, &NO_HISTORIES).unwrap();
        assert!(report.lost[0].contains("is gone"), "{report:?}");
        assert_eq!(Desk::at(&path).count("threads"), 0);
    }
}

#[test]
fn threads_that_are_lost_are_not_taken_for_none() {
    let home = scratch();
    let path = home.path().join("infinity.db");
    let desk = Desk::at(&path);
    desk.commit(created("t")).unwrap();
    drop(desk);
    Connection::open(&path).unwrap().execute_batch("DELETE FROM threads").unwrap();
    let error = repair(&path, &NO_HISTORIES).unwrap_err();
    assert!(error.text().contains("nothing can be read"), "{error}");
}

#[test]
fn a_stream_that_lost_items_says_so_in_their_place() {
    let home = scratch();
    let path = home.path().join("infinity.db");
    let desk = Desk::of_threads(&path);
    raise(&desk, "a");
    let feed = |desk: &Desk| {
        let read = Read::Feed { thread: "a".into(), after: -1, limit: 100 };
        let Value::Feed(rows) = desk.read(read).unwrap() else { panic!() };
        rows.into_iter().map(|row| (row.position, row.kind, row.body)).collect::<Vec<_>>()
    };
    let whole = feed(&desk);
    assert!(whole.len() == 5, "{whole:?}");
    drop(desk);
    let lose = "DELETE FROM feed WHERE place - (SELECT key << 32 FROM threads WHERE id = 'a') IN (0, 1, 2, 4)";
    Connection::open(&path).unwrap().execute_batch(lose).unwrap();
    let report = repair(&path, &HISTORIES).unwrap();
    assert!(report.lost.iter().any(|line| line.contains("4 rows of its feed are missing (0, 1, 2, 4)")), "{report:?}");
    assert!(report.mended.iter().any(|line| line.contains("4 items of its stream")), "{report:?}");
    assert_eq!(examine(&path, &HISTORIES).unwrap().unwrap().problems, [""; 0]);
    let desk = Desk::of_threads(&path);
    let now = feed(&desk);
    let kinds: Vec<_> = now.iter().map(|row| &*row.1).take(5).collect();
    assert_eq!(kinds, ["problem", "missing", "missing", &*whole[3].1, "problem"]);
    assert_eq!((now.len(), &now[3]), (5, &whole[3]));
    let told: serde_json::Value = serde_json::from_slice(&now[0].2).unwrap();
    assert_eq!(told["code"], "damaged");
    assert!(told["text"].as_str().unwrap().starts_with("3 items of this stream were lost"), "{told}");
    drop(desk);
    assert_eq!(repair(&path, &HISTORIES).unwrap().lost, [""; 0]);
}

#[test]
fn a_home_without_a_journal_stays_empty() {
    let home = scratch();
    let path = home.path().join("infinity.db");
    let error = repair(&path, &NO_HISTORIES).unwrap_err();
    assert!(error.text().contains("there is no journal"), "{error}");
    fs::write(beside(&path, ".mark"), "clean\n").unwrap();
    let error = repair(&path, &NO_HISTORIES).unwrap_err();
    assert!(error.text().contains("bring it back, or restore a backup"), "{error}");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing but the mark");
}

#[test]
fn the_words_of_a_loss_say_what_it_means() {
    for (table, words) in [("seen", "may count twice"), ("timers", "timers: its rows, if it had any")] {
        let home = scratch();
        let path = home.path().join("infinity.db");
        let desk = Desk::at(&path);
        desk.commit(created("t")).unwrap();
        drop(desk);
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        let page: i64 = Connection::open(&path).unwrap().query_row(sql, [table], |row| row.get(0)).unwrap();
        let (page, mut bytes) = (page as usize, fs::read(&path).unwrap());
        bytes[(page - 1) * 4096..page * 4096].fill(0);
        fs::write(&path, bytes).unwrap();
        let report = repair(&path, &NO_HISTORIES).unwrap();
        assert!(report.lost.iter().any(|line| line.contains(words)), "{report:?}");
    }
}
