//! Damage to the files of a journal: what was accepted is there, or the start is refused; it never comes up with less (I2, I8, L16, L21).

use crate::desk::{Desk, created, message, open, refusal, scratch};
use crate::files::{FRAME, Files, HEADER, beside};
use _core::journal::{Expect, Read, Value, Write};
use rusqlite::Connection;
use std::fs;

#[test]
fn a_kill_alone_is_no_damage() {
    let files = Files::with(20);
    files.assert_whole();
    files.after_power_cut().assert_whole();
}

#[test]
fn a_broken_frame_with_two_transactions_behind_it_is_damage() {
    let files = Files::with(20).after_power_cut();
    for frame in 0..files.ends()[files.ends().len() - 3] {
        let mut spoiled = files.clone();
        spoiled.spoil(frame);
        spoiled.assert_refused("of its write-ahead log is broken");
    }
}

#[test]
fn the_end_of_a_transaction_is_damage_when_another_stands_behind_it() {
    let mut files = Files::with(20).after_power_cut();
    let ends = files.ends();
    files.spoil(ends[ends.len() - 2]);
    files.assert_refused("at least 2 transactions");
}

#[test]
fn a_transaction_whose_end_is_wiped_out_is_not_taken_for_a_part_of_the_next() {
    let files = Files::with(20).after_power_cut();
    let ends = files.ends();
    let end = HEADER + ends[ends.len() - 2] * FRAME;
    for byte in [0, 0xa5] {
        let mut wiped = files.clone();
        wiped.log[end..end + 24].fill(byte);
        wiped.assert_refused("of its write-ahead log");
    }
}

#[test]
fn a_thread_that_its_index_lacks_is_damaged_and_not_unknown() {
    let home = scratch();
    let path = home.path().join("infinity.db");
    let desk = Desk::at(&path);
    desk.commit(created("t")).unwrap();
    drop(desk);
    let page = |sql: &str| -> i64 { Connection::open(&path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap() };
    let index = page("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_threads_1'");
    let empty = page("SELECT rootpage FROM sqlite_schema WHERE name = 'threads_closed_roots'");
    let mut bytes = fs::read(&path).unwrap();
    let (from, to) = ((empty as usize - 1) * 4096, (index as usize - 1) * 4096);
    bytes.copy_within(from..from + 4096, to);
    fs::write(&path, bytes).unwrap();
    let desk = Desk::at(&path);
    let load = |id: &str| {
        let read = Read::Load { thread: id.into(), known_version: -1, message_ids: Vec::new() };
        desk.read(read).unwrap_err()
    };
    let error = load("t");
    assert!(error.code() == "damaged" && error.text().contains("lacks thread t"), "{error}");
    assert_eq!(load("u").code(), "not_found");
}

#[test]
fn a_transaction_whose_frames_came_in_any_order_is_given_up() {
    let files = Files::with(20).after_power_cut();
    let ends = files.ends();
    let (first, last) = (ends[ends.len() - 2] + 1, ends[ends.len() - 1]);
    assert!(last > first, "the last transaction has one frame");
    for missing in first..=last {
        let mut torn = files.clone();
        torn.log[HEADER + missing * FRAME..][..FRAME].fill(0);
        assert_eq!(torn.started().unwrap(), files.accepted - 1);
    }
}

#[test]
fn after_a_kill_the_last_transaction_is_missed_too() {
    let mut files = Files::with(20);
    files.spoil(*files.ends().last().unwrap());
    files.assert_refused("more were committed");
    let mut index = files.index.clone().unwrap();
    index[20] ^= 1;
    files.index = Some(index);
    assert_eq!(files.started().unwrap(), files.accepted - 1, "an index that is broken itself says nothing");
}

/// A journal whose log was begun anew over a longer one.
fn second_round(messages: usize) -> Files {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    (0..40).for_each(|number| drop(desk.queue("t", &format!("early {number}"))));
    let path = desk.path.clone();
    Connection::open(&path).unwrap().query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
    (0..messages).for_each(|number| drop(desk.queue("t", &format!("late {number}"))));
    Files::of(&desk)
}

#[test]
fn frames_of_an_earlier_round_are_no_damage() {
    let files = second_round(3);
    assert!(files.live() < files.frames(), "nothing is left of the first round");
    files.assert_whole();
    let mut files = files.after_power_cut();
    files.assert_whole();
    files.spoil(0);
    files.assert_refused("frame 0 of its write-ahead log is broken");
}

#[test]
fn a_header_that_was_torn_when_the_log_restarted_loses_nothing() {
    // Everything of the first round is in the file; the header of the second replaces the first one's up to some byte.
    let begun = second_round(0);
    let next = second_round(1);
    for torn in 0..=HEADER {
        let mut files = begun.clone().after_power_cut();
        let mut header = next.log[..HEADER].to_vec();
        header[16..20].copy_from_slice(&(u32::from_be_bytes(begun.log[16..20].try_into().unwrap()) + 1).to_be_bytes());
        files.log[..torn].copy_from_slice(&header[..torn]);
        if torn == HEADER {
            // Whole, and of another log's sum: SQLite takes it for torn as well.
            files.log[31] ^= 1;
        }
        files.assert_whole();
    }
}

#[test]
fn a_broken_header_is_damage_while_the_file_lacks_what_stands_behind_it() {
    let files = Files::with(20).after_power_cut();
    for at in 0..HEADER {
        let mut flipped = files.clone();
        flipped.log[at] ^= 4;
        flipped.assert_refused("the header of its write-ahead log is broken");
    }
    let mut zeroed = files.clone();
    zeroed.log[..512].fill(0);
    zeroed.assert_refused("the header of its write-ahead log is broken");
    for frame in 0..files.live() {
        let mut twice = zeroed.clone();
        twice.spoil(frame);
        twice.assert_refused("the header of its write-ahead log is broken");
    }
}

#[test]
fn a_header_that_never_reached_the_disk_is_damage() {
    let mut files = second_round(3).after_power_cut();
    let earlier = u32::from_be_bytes(files.log[16..20].try_into().unwrap()) - 1;
    files.log[16..20].copy_from_slice(&earlier.to_be_bytes());
    let sum = sum([0; 2], &files.log[..24]);
    files.log[24..28].copy_from_slice(&sum[0].to_be_bytes());
    files.log[28..32].copy_from_slice(&sum[1].to_be_bytes());
    files.assert_refused("is older than the transactions behind it");
}

/// SQLite's checksum, on a machine like this one.
fn sum(from: [u32; 2], bytes: &[u8]) -> [u32; 2] {
    bytes.chunks_exact(8).fold(from, |[one, two], pair| {
        let word = |at: usize| u32::from_ne_bytes(pair[at..at + 4].try_into().unwrap());
        let one = one.wrapping_add(word(0)).wrapping_add(two);
        [one, two.wrapping_add(word(4)).wrapping_add(one)]
    })
}

#[test]
fn a_log_that_ends_early_is_damage_after_a_kill() {
    let files = Files::with(20);
    let last = HEADER + (files.ends().last().unwrap() + 1) * FRAME;
    for length in [0, 7, HEADER, HEADER + 100, HEADER + FRAME, last / 2, last - FRAME, last - 1] {
        let mut cut = files.clone();
        cut.log.truncate(length);
        let error = cut.started().expect_err("the journal was opened");
        assert_eq!(error.code(), "damaged", "{length}: {error}");
    }
}

#[test]
fn a_log_that_is_missing_is_named_with_both_explanations_until_the_stop_was_orderly() {
    let home = scratch();
    let path = Files::with(20).put(&home);
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(beside(&path, suffix)).unwrap();
    }
    let error = refusal(&path);
    assert_eq!(error.code(), "damaged");
    for word in ["infinity.db-wal", "lost", "sqlite3", "infinity doctor --repair"] {
        assert!(error.text().contains(word), "{error}");
    }
    fs::write(beside(&path, "-wal"), "").unwrap();
    assert_eq!(refusal(&path).code(), "damaged", "a log that is empty is not a log");

    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    assert!(beside(&desk.path, ".mark").exists());
    let desk = desk.reopened();
    assert!(desk.inbox().is_empty());
}

#[test]
fn a_look_with_another_tool_stops_the_start() {
    let home = scratch();
    let files = Files::with(20);
    let path = files.put(&home);
    let count = |sql| Connection::open(&path).unwrap().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM inbox"), files.accepted as i64);
    assert!(!beside(&path, "-wal").exists(), "the tool left the log");
    assert_eq!(refusal(&path).code(), "damaged");
}

#[test]
fn a_look_with_another_tool_at_a_journal_that_was_closed_does_no_harm() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    desk.journal.close();
    Connection::open(&desk.path).unwrap().query_row("SELECT count(*) FROM inbox", [], |_| Ok(())).unwrap();
    assert_eq!(desk.reopened().version("t"), Some(1));
}

#[test]
fn a_file_that_is_cut_off_is_damage_wherever() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    (0..20).for_each(|number| drop(desk.queue("t", &format!("m{number}"))));
    desk.journal.close();
    let whole = fs::read(&desk.path).unwrap();
    for length in (0..whole.len()).step_by(4096).flat_map(|page| [page, page + 1000]) {
        let home = scratch();
        let path = home.path().join("infinity.db");
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(refusal(&path).code(), "damaged", "{length} of {} bytes", whole.len());
        assert_eq!(fs::read(&path).unwrap(), whole[..length]);
    }
    // With its log: what the log does not have is missing.
    let mut files = Files::with(20);
    files.file.truncate(4096);
    files.assert_refused("it is cut off");
}

#[test]
fn a_queue_that_lost_a_row_is_damage() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    (0..200).for_each(|number| drop(desk.queue("t", &format!("m{number}"))));
    desk.journal.close();
    let whole = fs::read(&desk.path).unwrap();
    let sectors =
        (4096..whole.len()).step_by(512).filter(|at| whole[*at..at + 512].windows(6).any(|some| some == b"\"text\""));
    let (mut refused, mut whole_again) = (0, 0);
    for sector in sectors {
        let home = scratch();
        let path = home.path().join("infinity.db");
        let mut zeroed = whole.clone();
        zeroed[sector..sector + 512].fill(0);
        fs::write(&path, zeroed).unwrap();
        match open(&path) {
            Err(error) => {
                assert_eq!(error.code(), "damaged", "{error}");
                refused += 1;
            }
            Ok(journal) => {
                drop(journal);
                // What is torn is said when it is read.
                let Ok(Value::Messages(found)) = Desk::at(&path).read(Read::Inbox { after: 0, limit: 1_000 }) else {
                    continue;
                };
                assert_eq!(found.len(), 200, "sector {sector}");
                whole_again += 1;
            }
        }
    }
    assert!(refused > 20, "{refused} refused, {whole_again} opened");
}

#[test]
fn a_file_that_is_gone_is_not_begun_anew() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    desk.journal.close();
    fs::remove_file(&desk.path).unwrap();
    let error = refusal(&desk.path);
    assert_eq!(error.code(), "damaged");
    assert!(error.text().contains("infinity.db.mark"), "{error}");
    fs::remove_file(beside(&desk.path, ".mark")).unwrap();
    open(&desk.path).unwrap();
}

#[test]
fn a_process_that_ends_after_its_stop_was_recorded_leaves_a_log_that_is_read() {
    let mut files = Files::with(20);
    files.mark = Some(b"clean\n".to_vec());
    files.assert_whole();
    // A mark that cannot be read says nothing good.
    files.mark = Some(b"clea".to_vec());
    files.log.clear();
    files.assert_refused("is gone");
}

#[test]
fn a_log_that_cannot_be_read_just_now_is_not_called_damaged() {
    let home = scratch();
    let path = Files::with(3).put(&home);
    fs::remove_file(beside(&path, "-wal")).unwrap();
    fs::create_dir(beside(&path, "-wal")).unwrap();
    let error = refusal(&path);
    assert_eq!(error.code(), "storage", "{error}");
}

#[test]
fn each_process_has_a_round_of_the_log_for_itself() {
    let home = scratch();
    let files = Files::with(20);
    let path = files.put(&home);
    let desk = Desk::at(&path);
    desk.queue("t", "next");
    let after = Files::of(&desk);
    assert_ne!(after.log[16..24], files.log[16..24], "the frames of two processes stand in one round");
    assert_eq!(after.accepted, files.accepted + 1);
    after.after_power_cut().assert_whole();
}

#[test]
fn whatever_a_group_accepts_is_there_after_any_flip_or_the_start_is_refused() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    let accept = |number| Write::Accept { message: message("t", &format!("m{number}")), expect: Expect::Any };
    let tickets: Vec<_> = (0..200).map(|number| desk.journal.write(accept(number))).collect();
    tickets.into_iter().for_each(|ticket| drop(desk.outcome(ticket).unwrap()));
    let files = Files::of(&desk);
    let live = HEADER + (files.ends().last().unwrap() + 1) * FRAME;
    for at in (0..live).step_by(live / 60) {
        let mut flipped = files.clone();
        flipped.log[at] ^= 1 << (at % 8);
        match flipped.started() {
            Ok(found) => assert_eq!(found, files.accepted, "byte {at}"),
            Err(error) => assert_eq!(error.code(), "damaged", "byte {at}: {error}"),
        }
    }
}

#[test]
fn a_stop_that_cannot_be_recorded_leaves_the_log() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    desk.queue("t", "m1");
    let blocked = beside(&desk.path, ".mark.new");
    fs::create_dir(&blocked).unwrap();
    desk.journal.close();
    assert!(beside(&desk.path, "-wal").exists(), "the log is gone, and the mark says that it must be there");
    fs::remove_dir(&blocked).unwrap();
    assert_eq!(desk.reopened().inbox().len(), 1);
}

#[test]
fn a_refusal_after_a_look_inside_leaves_the_log_where_it_is() {
    let mut files = Files::with(20);
    // In the definition of a table, which SQLite reads when it opens the file.
    let at = files.file.windows(12).rposition(|text| text == b"CREATE TABLE").unwrap();
    assert!(at > 4096, "the log has the first page");
    files.file[at] = b'X';
    assert_eq!(files.started().unwrap_err().code(), "damaged");
}

#[test]
fn a_compaction_cuts_the_log_off_and_leaves_one_that_must_be_there() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    desk.queue("t", "m1");
    desk.write(Write::Compact { sparse_only: false }).unwrap();
    let mut files = Files::of(&desk);
    assert_eq!(files.mark.as_deref(), Some(&b"running\n"[..]));
    files.assert_whole();
    files.log.clear();
    files.assert_refused("is gone");
}
