//! Journals and exports that an earlier version wrote are opened by this one, and hold what they held.
//!
//! `frozen/` has one journal and one exported tree for each format, as text: `offset: bytes` of what is not zero. They are never written
//! again once released; a new format gets new ones, with
//! `cargo test -p infinity-core --test journal -- --ignored freeze`.

use crate::desk::{Desk, HISTORIES, ids, message, open, scratch};
use crate::family::{NOW, call, child, commit, loaded, portrait, raise, rendered, text};
use _core::history::Thread;
use _core::journal::value::Accepted;
use _core::journal::{Arrival, Expect, Filter, Read, Value, Write};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const CHUNK: usize = 32;

fn frozen(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/frozen").join(name)
}

fn pack(bytes: &[u8]) -> String {
    let mut lines = vec![format!("{:06x}", bytes.len())];
    for (number, chunk) in bytes.chunks(CHUNK).enumerate() {
        let end = chunk.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let start = chunk.iter().position(|byte| *byte != 0).unwrap_or(end);
        if start < end {
            let hex: String = chunk[start..end].iter().map(|byte| format!("{byte:02x}")).collect();
            lines.push(format!("{:06x}: {hex}", number * CHUNK + start));
        }
    }
    lines.join("\n") + "\n"
}

fn unpack(text: &str) -> Vec<u8> {
    let number = |hex: &str| usize::from_str_radix(hex, 16).unwrap();
    let mut lines = text.lines();
    let mut bytes = vec![0; number(lines.next().unwrap())];
    for line in lines {
        let (offset, hex) = line.split_once(": ").unwrap();
        for at in 0..hex.len() / 2 {
            bytes[number(offset) + at] = number(&hex[2 * at..2 * at + 2]) as u8;
        }
    }
    bytes
}

/// A copy of a frozen file, to be opened.
pub fn thaw(home: &TempDir, name: &str) -> PathBuf {
    let path = home.path().join(name);
    fs::write(&path, unpack(&fs::read_to_string(frozen(name)).unwrap())).unwrap();
    path
}

fn threads(desk: &Desk) -> Vec<String> {
    let filter = Filter { limit: 100, ..Filter::default() };
    let Value::Threads(rows) = desk.read(Read::Threads(filter)).unwrap() else { panic!("no listing") };
    let mut ids: Vec<_> = rows.into_iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids
}

/// What every thread shows the model, a line each.
fn renderings(desk: &Desk) -> String {
    threads(desk).iter().map(|id| format!("{id} {}\n", rendered(desk, id))).collect()
}

/// A thread that was compacted, with a call that is detached and one that was cancelled.
fn compacted(desk: &Desk) {
    let mut thread = Thread::create("compacted".into(), NOW, "model", "", None).unwrap();
    thread.add_user(&text("an old question"), NOW, None, b"{}").unwrap();
    call(&mut thread, &["detached"]);
    thread.detach(&"detached".into(), &text("still running"), NOW).unwrap();
    let image = br#"[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}}]"#;
    thread.add_user(image, NOW, Some("ada"), br#"{"client":"cli"}"#).unwrap();
    let thinking =
        br#"[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"text","text":"an answer \u00fc"}]"#;
    thread.add_turn(thinking, vec![], NOW, _core::history::Usage([1, 2, 3, 4]), b"{}").unwrap();
    thread.add_summary(0, 3, &text("what was said"), NOW, b"{}").unwrap();
    thread.set_problem(Some("the model was overloaded")).unwrap();
    thread.set_memo(br#"{"round":3}"#).unwrap();
    commit(desk, &mut thread);
    let mut closed = Thread::create("closed".into(), NOW, "model", "", Some(&text("You are done."))).unwrap();
    closed.close().unwrap();
    commit(desk, &mut closed);
}

#[test]
#[ignore = "writes the frozen files of this version's format"]
fn freeze() {
    let home = scratch();
    let path = home.path().join("journal.db");
    let desk = Desk::of_threads(&path);
    for root in ["a", "moved"] {
        raise(&desk, root);
    }
    compacted(&desk);
    let tree = home.path().join("tree");
    desk.outcome(desk.journal.export_tree("a".into(), tree.clone())).unwrap();
    desk.write(Write::RetireTree { root: "moved".into(), note: "lives in the cloud".into(), mark: None }).unwrap();
    fs::write(frozen("journal-1.rendered"), renderings(&desk)).unwrap();
    drop(desk);
    for (name, path) in [("journal-1.hex", path), ("tree-1.hex", tree)] {
        let text = pack(&fs::read(path).unwrap());
        assert!(text.len() < 64 * 1024, "{name} takes {} bytes", text.len());
        fs::write(frozen(name), text).unwrap();
    }
}

/// What the tree `a` has besides its history.
fn check_facts(desk: &Desk) {
    let a = || "a".to_owned();
    let Value::Spent(spent) = desk.read(Read::Spent(a())).unwrap() else { panic!() };
    assert_eq!((spent.tokens, spent.cost), (134, 5_000));
    let Value::Timers(timers) = desk.read(Read::Timers { thread: Some(a()) }).unwrap() else { panic!() };
    let timers: Vec<_> = timers.iter().map(|row| (row.id.as_str(), row.due_at - NOW, row.kind.as_str())).collect();
    assert_eq!(timers, [("soon", 10, "timer"), ("late", 90_000, "timer")]);
    let Value::Outbox(rows) = desk.read(Read::Outbox { after: String::new(), limit: 9 }).unwrap() else { panic!() };
    let rows: Vec<_> = rows.iter().map(|row| (row.key.as_str(), row.target.as_str(), row.call.as_deref())).collect();
    assert_eq!(rows, [("invoke.a-open", "http://tool/invoke", Some("a-open"))]);
    let Value::Prompts(prompts) = desk.read(Read::Prompts { thread: Some(a()), root: None }).unwrap() else { panic!() };
    assert_eq!(prompts.iter().map(|row| (row.id.as_str(), row.kind.as_str())).collect::<Vec<_>>(), [("p", "choice")]);
    let Value::Views(views) = desk.read(Read::Views { thread: a() }).unwrap() else { panic!() };
    assert_eq!(views, [("diff".to_owned(), br#"{"n":1}"#.to_vec())]);
    assert_eq!(desk.discards("a"), [("thrown away".into(), "unknown kind".into())]);
    assert_eq!(desk.call_states("a", false), ["answered", "planned"]);
    let Value::Feed(feed) = desk.read(Read::Feed { thread: a(), after: -1, limit: 99 }).unwrap() else { panic!() };
    let kinds: Vec<_> = feed.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["entry", "entry", "entry", "entry", "status"]);
    assert_eq!(desk.read(Read::Meta("catalog.a".into())), Ok(Value::Bytes(Some(b"d1".to_vec()))));
    let inbox = desk.inbox();
    let queued: Vec<_> = inbox.iter().map(|message| (message.thread.as_str(), message.id.as_str())).collect();
    let expected = [("a.child", "sent"), ("a", "queued first"), ("a.child", "queued second"), ("a", "queued third")];
    assert_eq!(queued, expected);
    let loaded = loaded(desk, "a");
    assert!(loaded.seen("consumed") && loaded.header().cost == 5_000);
    assert_eq!(loaded.subscriptions().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["a-subscribed"]);
}

#[test]
fn a_journal_of_format_1_holds_what_it_held() {
    let home = scratch();
    let desk = Desk::of_threads(&thaw(&home, "journal-1.hex"));
    assert_eq!(threads(&desk), ["a", "a.child", "closed", "compacted", "moved", "moved.child"]);
    assert_eq!(renderings(&desk), fs::read_to_string(frozen("journal-1.rendered")).unwrap());
    check_facts(&desk);
    let retired = desk.read(Read::Retired("moved".into())).unwrap();
    assert_eq!(retired, Value::Text(Some("lives in the cloud".into())));
    assert_eq!(desk.accept(message("moved", "late"), Expect::Any), Accepted::Moved);
    assert_eq!(desk.accept(message("a", "consumed"), Expect::Any), Accepted::Duplicate);
    assert_eq!(desk.accept(message("closed", "late"), Expect::Any), Accepted::Discarded);
    let compacted = loaded(&desk, "compacted");
    assert_eq!(compacted.calls().map(|call| call.id.as_str()).collect::<Vec<_>>(), ["detached"]);
    assert_eq!((compacted.header().memo.as_slice(), compacted.header().cost), (&br#"{"round":3}"#[..], 5_000));
}

#[test]
fn a_journal_of_format_1_goes_on() {
    let home = scratch();
    let path = thaw(&home, "journal-1.hex");
    let desk = Desk::of_threads(&path);
    let queued = desk.queue("a", "new");
    let Value::Messages(fired) = desk.write(Write::FireTimers { now: NOW + 10, limit: 9 }).unwrap() else { panic!() };
    assert_eq!(ids(&fired), ["soon"]);
    for id in ["a", "a.child", "compacted"] {
        let mut thread = loaded(&desk, id);
        if id == "a" {
            thread.consume(&queued, "applied").unwrap();
        } else {
            thread.add_user(&text("go on"), NOW, None, b"{}").unwrap();
        }
        commit(&desk, &mut thread);
    }
    // What version 1 did not say is looked at until the thread's next commit says it.
    let troubled = Filter { troubled: true, limit: 9, ..Filter::default() };
    let Value::Threads(rows) = desk.read(Read::Threads(troubled)).unwrap() else { panic!() };
    assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["moved.child", "moved", "compacted"]);
    drop(desk);
    assert!(rendered(&Desk::of_threads(&path), "compacted").contains("go on"));
}

#[test]
fn a_tree_that_was_exported_in_format_1_arrives() {
    let home = scratch();
    let path = thaw(&home, "tree-1.hex");
    let desk = Desk::of_threads(&home.path().join("new.db"));
    let imported = desk.outcome(desk.journal.import_tree(path, Arrival::default())).unwrap();
    assert!(matches!(imported, Value::Imported(imported) if imported.messages.len() == 4));
    check_facts(&desk);
    let journal = Desk::of_threads(&thaw(&home, "journal-1.hex"));
    assert_eq!(portrait(&desk, "a"), portrait(&journal, "a"));
    assert_eq!(threads(&desk), ["a".to_owned(), child("a")]);
}

/// The definitions of every table and index, and the version.
fn definitions(path: &Path) -> (i32, Vec<(String, Option<String>)>) {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut all = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY rowid").unwrap();
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap();
    (connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap(), rows)
}

#[test]
fn an_old_journal_has_the_definitions_of_a_new_one_once_it_was_opened() {
    let home = scratch();
    let [old, new] = [thaw(&home, "journal-1.hex"), home.path().join("new.db")];
    assert_eq!(definitions(&old).0, 1);
    drop(Desk::of_threads(&old));
    drop(Desk::of_threads(&new));
    assert_eq!(definitions(&old), definitions(&new));
    drop(Desk::of_threads(&old));
}

#[test]
fn prompts_of_an_older_format_are_found_by_their_root() {
    let home = scratch();
    let tree = thaw(&home, "tree-1.hex");
    let migrated = Desk::of_threads(&thaw(&home, "journal-1.hex"));
    let imported = Desk::of_threads(&home.path().join("new.db"));
    imported.outcome(imported.journal.import_tree(tree, Arrival::default())).unwrap();
    for desk in [migrated, imported] {
        let prompts = desk.read(Read::Prompts { thread: None, root: Some("a".into()) }).unwrap();
        assert!(matches!(prompts, Value::Prompts(rows) if rows.len() == 1 && rows[0].id == "p"));
    }
}

/// Thread and reason.
fn attention(desk: &Desk) -> Vec<(String, String)> {
    let Value::Attention(rows) = desk.read(Read::Attention { root: None, after: None, limit: 9 }).unwrap() else {
        panic!()
    };
    assert!(rows.iter().all(|row| row.since == NOW));
    rows.into_iter().map(|row| (row.thread, row.reason)).collect()
}

fn needed(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(thread, reason)| ((*thread).to_owned(), (*reason).to_owned())).collect()
}

#[test]
fn who_needs_a_person_is_known_of_an_older_format() {
    let home = scratch();
    let path = thaw(&home, "journal-1.hex");
    let expected = needed(&[("a", "prompt"), ("compacted", "problem"), ("moved", "prompt")]);
    for _ in 0..2 {
        let desk = Desk::of_threads(&path);
        assert_eq!(attention(&desk), expected);
    }
    let desk = Desk::of_threads(&path);
    let mut thread = loaded(&desk, "compacted");
    thread.set_problem(None).unwrap();
    commit(&desk, &mut thread);
    drop(desk);
    assert_eq!(attention(&repaired(&path)), needed(&[("a", "prompt"), ("moved", "prompt")]));
    let imported = Desk::of_threads(&home.path().join("new.db"));
    imported.outcome(imported.journal.import_tree(thaw(&home, "tree-1.hex"), Arrival::default())).unwrap();
    assert_eq!(attention(&imported), needed(&[("a", "prompt")]));
}

#[test]
fn a_repair_says_who_needs_a_person_although_its_table_is_gone_or_wrong() {
    for spoil in ["DELETE FROM attention", "UPDATE attention SET thread = 2, reason = 'problem' WHERE thread = 1"] {
        let home = scratch();
        let path = thaw(&home, "journal-1.hex");
        let expected = attention(&Desk::of_threads(&path));
        rusqlite::Connection::open(&path).unwrap().execute_batch(spoil).unwrap();
        assert_ne!(attention(&Desk::of_threads(&path)), expected);
        assert_eq!(attention(&repaired(&path)), expected, "{spoil}");
    }
}

/// What a repair makes of a journal whose first page is gone.
fn repaired(path: &Path) -> Desk {
    let mut bytes = fs::read(path).unwrap();
    bytes[..4096].fill(0xee);
    fs::write(path, bytes).unwrap();
    let report = _core::journal::repair(path, &HISTORIES).unwrap();
    assert_eq!(report.lost, ["the first page, which was replaced"]);
    Desk::of_threads(path)
}

#[test]
fn an_old_journal_without_a_first_page_is_repaired_before_and_after_it_was_migrated() {
    for migrated in [false, true] {
        let home = scratch();
        let path = thaw(&home, "journal-1.hex");
        if migrated {
            drop(Desk::of_threads(&path));
        }
        let desk = repaired(&path);
        assert_eq!(renderings(&desk), fs::read_to_string(frozen("journal-1.rendered")).unwrap());
        check_facts(&desk);
        let prompts = desk.read(Read::Prompts { thread: None, root: Some("a".into()) }).unwrap();
        assert!(matches!(prompts, Value::Prompts(rows) if rows.len() == 1), "migrated: {migrated}");
    }
}

#[test]
fn a_migration_that_cannot_end_changes_nothing() {
    let home = scratch();
    let path = thaw(&home, "journal-1.hex");
    let before = definitions(&path);
    // Somebody else writes, and goes on for longer than the opening waits.
    let busy = rusqlite::Connection::open(&path).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(open(&path).is_err());
    drop(busy);
    assert_eq!(definitions(&path), before);
    check_facts(&Desk::of_threads(&path));
}
