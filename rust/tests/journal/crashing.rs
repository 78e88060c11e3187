//! SIGKILL at any moment: whatever was told to the caller is there, and every commit is there whole or not at all (I2, I6).

use crate::desk::{Desk, consumed, created, next, outbox, scratch, send, timer};
use _core::delta::{Delta, Kept};
use _core::id::CallId;
use _core::journal::{Read, Value};
use _core::message::Message;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const HOME: &str = "INFINITY_CRASH_TEST_HOME";

/// A slice's commit with a share in every table. It keeps an early event, and releases the one that the slice before has kept.
fn slice(version: i64, queued: &Message, early: &Message) -> Delta {
    let call = |version: i64| CallId::from(format!("call-{version}").as_str());
    Delta {
        kept: vec![Kept { call: call(version), message: early.clone() }],
        released: vec![call(version - 1)],
        header: format!("t:0-{version}").into_bytes(),
        entries: vec![(version - 1, b"entry".to_vec())],
        feed: vec![(version - 1, "note".into(), b"{}".to_vec())],
        consumed: vec![consumed(queued)],
        timers: vec![timer(&format!("timer {version}"), version)],
        outbox: vec![outbox(&format!("out {version}"), None)],
        sends: vec![send("u", &format!("report {version}"))],
        children: vec![created(&format!("child {version}"))],
        ..next("t", version)
    }
}

/// What the child process does: commit as fast as it goes, and print each version once it is durable.
fn write_until_killed(home: &Path) {
    let desk = Desk::at(&home.join("infinity.db"));
    let first = desk.version("t").unwrap_or(0);
    if first == 0 {
        desk.commit(created("u")).unwrap();
        desk.commit(created("t")).unwrap();
    }
    for version in first.max(1).. {
        let left = desk.inbox();
        let [queued, early] = ["message", "early"].map(|kind| {
            let id = format!("{kind} {version}");
            left.iter().find(|message| message.id.as_str() == id).cloned().unwrap_or_else(|| desk.queue("t", &id))
        });
        desk.commit(slice(version, &queued, &early)).unwrap();
        println!("durable {}", version + 1);
    }
}

/// Run the child for a while and kill it. The last version that it said was durable.
fn run_and_kill(home: &Path, patience: Duration) -> i64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "crashing::a_kill_between_any_two_instructions_leaves_whole_commits_only",
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(HOME, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let parse = |line: std::io::Result<String>| line.ok()?.strip_prefix("durable ")?.parse::<i64>().ok();
    let mut durable = lines.by_ref().find_map(parse).expect("the child wrote nothing");
    let until = Instant::now() + patience;
    while Instant::now() < until {
        durable = lines.by_ref().find_map(parse).expect("the child ended by itself");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines.filter_map(parse).last().unwrap_or(durable)
}

/// Every table has its share of every slice up to the thread's version, which is returned.
fn check_whole(desk: &Desk) -> i64 {
    let version = desk.version("t").unwrap();
    let slices = version - 1;
    let tables = ["entries", "timers", "outbox", "seen"].map(|table| desk.count(table));
    assert_eq!(tables, [slices; 4]);
    assert_eq!(desk.count("threads"), slices + 2);
    let (mine, reports): (Vec<_>, Vec<_>) =
        desk.inbox().into_iter().partition(|message| message.thread.as_str() == "t");
    assert_eq!(reports.len() as i64, slices);
    let (early, mine): (Vec<_>, Vec<_>) = mine.iter().partition(|message| message.id.as_str().starts_with("early"));
    assert!(mine.len() <= 1);
    // All but the last have been released, in order; the next one may be there.
    let early: Vec<_> = early.iter().map(|message| message.id.to_string()).collect();
    let expected: Vec<_> = (1..=version).filter(|of| *of != slices).map(|of| format!("early {of}")).collect();
    assert!(expected.starts_with(&early) && early.len() + 1 >= expected.len(), "{early:?} at version {version}");
    let load = Read::Load { thread: "t".into(), known_version: -1, message_ids: vec![] };
    let Value::Loaded(Some(loaded)) = desk.read(load).unwrap() else { panic!() };
    assert_eq!(loaded.entries.len() as i64, slices);
    let kept: Vec<_> = (slices > 0).then(|| format!("call-{slices}")).into_iter().collect();
    assert_eq!(loaded.kept, kept);
    version
}

#[test]
fn a_kill_between_any_two_instructions_leaves_whole_commits_only() {
    if let Some(home) = std::env::var_os(HOME) {
        return write_until_killed(Path::new(&home));
    }
    let home = TempDir::new().unwrap();
    for round in 0..8 {
        let durable = run_and_kill(home.path(), Duration::from_millis(7 * round));
        let desk = Desk::at(&home.path().join("infinity.db"));
        let version = check_whole(&desk);
        assert!(version >= durable, "version {durable} was told to be durable; {version} is there");
    }
}

/// A power cut: of the log, some bytes reached the disk and the rest did not.
#[test]
fn a_log_that_ends_anywhere_holds_whole_commits_only() {
    let home = TempDir::new().unwrap();
    let desk = Desk::at(&home.path().join("infinity.db"));
    for thread in ["u", "t"] {
        desk.commit(created(thread)).unwrap();
    }
    let begun = fs::metadata(home.path().join("infinity.db-wal")).unwrap().len() as usize;
    for version in 1..4 {
        let [queued, early] = ["message", "early"].map(|kind| desk.queue("t", &format!("{kind} {version}")));
        desk.commit(slice(version, &queued, &early)).unwrap();
    }
    let file = fs::read(&desk.path).unwrap();
    let log = fs::read(home.path().join("infinity.db-wal")).unwrap();
    let mut versions = BTreeSet::new();
    for end in (begun..log.len()).step_by(2_000).chain([log.len()]) {
        let after = scratch();
        let path = after.path().join("infinity.db");
        fs::write(&path, &file).unwrap();
        fs::write(after.path().join("infinity.db-wal"), &log[..end]).unwrap();
        versions.insert(check_whole(&Desk::at(&path)));
    }
    assert_eq!(versions, BTreeSet::from([1, 2, 3, 4]));
}
