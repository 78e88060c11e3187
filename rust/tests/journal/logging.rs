//! The order of all commits, where it is not the contract's to say.

use crate::desk::{Desk, HISTORIES, scratch};
use crate::family::raise;
use _core::journal::value::Log;
use _core::journal::{Read, Value, repair};

fn log(desk: &Desk) -> Log {
    match desk.read(Read::Log { after: 0, limit: 1_000 }).unwrap() {
        Value::Log(log) => log,
        other => panic!("the log answered {other:?}"),
    }
}

#[test]
fn after_a_repair_nobody_goes_on_from_before_it() {
    let home = scratch();
    let path = home.path().join("infinity.db");
    let before = {
        let desk = Desk::of_threads(&path);
        raise(&desk, "a");
        log(&desk)
    };
    assert!(before.rows.len() > 2 && before.oldest == 1);
    repair(&path, &HISTORIES).unwrap();
    let desk = Desk::of_threads(&path);
    let after = log(&desk);
    assert_eq!(after.rows, []);
    assert!(after.oldest == after.newest && after.oldest > before.newest + 1_000);
    raise(&desk, "b");
    assert!(log(&desk).rows.iter().all(|row| row.seq > after.newest && row.root == "b"));
}

#[test]
fn the_log_stays_where_it_is_when_a_tree_leaves() {
    let home = scratch();
    let desk = Desk::of_threads(&home.path().join("infinity.db"));
    raise(&desk, "a");
    let file = home.path().join("tree");
    desk.outcome(desk.journal.export_tree("a".into(), file.clone())).unwrap();
    let exported = rusqlite::Connection::open(&file).unwrap();
    let rows: i64 = exported.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}
