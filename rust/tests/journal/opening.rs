//! Opening: ours alone, known, whole. Anything else is refused with a text that says what to do (I8, L16, B7).

use crate::desk::{Desk, created, message, open, refusal};
use _core::error::Error;
use _core::journal::{Expect, Read, Value, Write};
use rusqlite::Connection;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A closed journal with one thread in it.
fn closed(directory: &Path) -> std::path::PathBuf {
    let path = directory.join("infinity.db");
    let desk = Desk::at(&path);
    desk.commit(created("t")).unwrap();
    path
}

fn edit(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[track_caller]
fn assert_damaged(error: &Error, path: &Path) {
    assert_eq!(error.code(), "damaged", "{error}");
    assert!(error.text().contains(path.to_str().unwrap()), "{error}");
    assert!(error.text().contains("infinity doctor --repair"), "{error}");
}

#[test]
fn a_second_journal_on_the_same_file_is_told_who_holds_it() {
    let desk = Desk::new();
    let error = refusal(&desk.path);
    assert_eq!(error.code(), "locked");
    assert!(error.text().contains(&format!("process {}", std::process::id())), "{error}");
    desk.journal.close();
    open(&desk.path).unwrap();
}

#[test]
fn a_newer_format_is_named_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = closed(directory.path());
    edit(&path, "PRAGMA user_version = 99");
    let error = refusal(&path);
    assert_eq!(error.code(), "too_new");
    assert!(error.text().contains("format 99") && error.text().contains("reads up to "), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_damaged() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("infinity.db");
    fs::write(&path, "hello, this is not a database at all".repeat(400)).unwrap();
    assert_damaged(&refusal(&path), &path);
}

#[test]
fn an_empty_file_is_damaged_and_not_a_new_journal() {
    let directory = TempDir::new().unwrap();
    let path = closed(directory.path());
    fs::write(&path, "").unwrap();
    assert_damaged(&refusal(&path), &path);
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "the evidence was overwritten");
}

#[test]
fn a_log_without_its_file_is_damaged_and_not_replayed_into_a_new_journal() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("infinity.db");
    fs::write(directory.path().join("infinity.db-wal"), "the rest of somebody's journal").unwrap();
    assert_damaged(&refusal(&path), &path);
    assert!(!path.exists());
}

#[test]
fn another_programs_database_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("infinity.db");
    edit(&path, "CREATE TABLE songs (title TEXT)");
    assert_damaged(&refusal(&path), &path);
}

#[test]
fn a_torn_header_is_damaged() {
    let directory = TempDir::new().unwrap();
    let path = closed(directory.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[..64].fill(0);
    fs::write(&path, bytes).unwrap();
    assert_damaged(&refusal(&path), &path);
}

#[test]
fn a_table_that_is_missing_or_changed_is_damage() {
    let directory = TempDir::new().unwrap();
    for (name, sql) in
        [("a", "DROP TABLE seen"), ("b", "ALTER TABLE inbox ADD COLUMN surprise TEXT"), ("c", "DELETE FROM meta")]
    {
        let home = directory.path().join(name);
        fs::create_dir(&home).unwrap();
        let path = closed(&home);
        edit(&path, sql);
        assert_damaged(&refusal(&path), &path);
    }
}

#[test]
fn a_torn_message_is_damage_and_is_not_delivered() {
    let directory = TempDir::new().unwrap();
    let path = closed(directory.path());
    let desk = Desk::at(&path);
    desk.queue("t", "m1");
    drop(desk);
    edit(&path, "UPDATE inbox SET body = x'7b7d'");
    let desk = Desk::at(&path);
    let error = desk.read(Read::Inbox { after: 0, limit: 10 }).unwrap_err();
    assert_damaged(&error, &path);
}

#[test]
fn a_directory_that_is_not_there_is_a_storage_error() {
    let directory = TempDir::new().unwrap();
    let error = refusal(&directory.path().join("missing/infinity.db"));
    assert_eq!(error.code(), "storage");
    assert!(error.text().contains("missing/infinity.db"), "{error}");
}

#[test]
fn a_place_that_cannot_be_written_is_a_storage_error() {
    assert_eq!(refusal(Path::new("/proc/infinity.db")).code(), "storage");
}

#[test]
fn after_close_every_operation_says_so_and_none_hangs() {
    let desk = Desk::new();
    desk.journal.close();
    desk.journal.close();
    let write = Write::Accept { message: message("t", "m1"), expect: Expect::Any };
    assert_eq!(desk.write(write).unwrap_err().code(), "closed");
    assert_eq!(desk.read(Read::Counts).unwrap_err().code(), "closed");
}

#[test]
fn close_finishes_what_was_queued_and_leaves_one_file() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    let submit = |id: String| desk.journal.write(Write::Accept { message: message("t", &id), expect: Expect::Any });
    let tickets: Vec<_> = (0..200).map(|i| submit(format!("m{i}"))).collect();
    desk.journal.close();
    assert!(!desk.path.with_extension("db-wal").exists());
    assert!(tickets.into_iter().all(|ticket| matches!(desk.outcome(ticket), Ok(Value::Accepted(_)))));
    let desk = desk.reopened();
    assert_eq!(desk.inbox().len(), 200);
}

#[test]
fn a_journal_that_is_dropped_lets_go_of_its_file() {
    let desk = Desk::new();
    desk.commit(created("t")).unwrap();
    let Desk { journal, path, directory, .. } = desk;
    drop(journal);
    assert_eq!(Desk::at(&path).version("t"), Some(1));
    drop(directory);
}

#[test]
fn statistics_that_a_database_tool_left_do_no_harm() {
    let directory = TempDir::new().unwrap();
    let path = closed(directory.path());
    edit(&path, "ANALYZE");
    assert_eq!(Desk::at(&path).version("t"), Some(1));
}
