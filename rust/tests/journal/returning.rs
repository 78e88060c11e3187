//! A tree that left as a file comes back as one: in the place of what left, and of nothing that is newer.

use crate::desk::{Desk, scratch};
use crate::family::{portrait, raise};
use crate::frozen::thaw;
use _core::error::Result;
use _core::journal::value::Generation;
use _core::journal::{Arrival, Read, Value, Write};
use rusqlite::Connection;
use std::path::Path;

const MARK: [u8; 8] = *b"departed";

fn import(desk: &Desk, path: &Path) -> Result<Value> {
    desk.outcome(desk.journal.import_tree(path.into(), Arrival::default()))
}

fn export(desk: &Desk, root: &str, path: &Path) {
    desk.outcome(desk.journal.export_tree(root.into(), path.into())).unwrap();
}

fn retire(desk: &Desk, root: &str, mark: Option<[u8; 8]>) -> Result<Value> {
    let (note, mark) = ("it was exported to a file".into(), mark.map(Vec::from));
    desk.write(Write::RetireTree { root: root.into(), note, mark })
}

fn replaced(answer: Result<Value>) -> bool {
    matches!(answer, Ok(Value::Imported(imported)) if imported.replaced)
}

/// A journal of the first format whose tree `moved` was exported to a file.
fn exported_in_format_1(path: &Path, version: i64) -> Desk {
    let edit = Connection::open(path).unwrap();
    edit.execute("UPDATE retired SET note = 'it was exported to a file, to be imported elsewhere'", []).unwrap();
    edit.execute("UPDATE threads SET version = version + ?1 WHERE id = 'moved'", [version]).unwrap();
    drop(edit);
    Desk::of_threads(path)
}

#[test]
fn what_left_before_generations_were_counted_gives_way_to_what_is_no_older() {
    let home = scratch();
    let file = home.path().join("tree");
    let desk = exported_in_format_1(&thaw(&home, "journal-1.hex"), 0);
    let known = desk.read(Read::Generation("moved".into()));
    assert_eq!(known, Ok(Value::Generation(Generation::default(), true)));
    export(&desk, "moved", &file);
    let queued = desk.inbox().len();
    assert!(replaced(import(&desk, &file)));
    assert_eq!(
        (desk.version("moved"), desk.inbox().len()),
        (Some(2), queued + 4),
        "in service, with what it has queued"
    );
    let newer = scratch();
    let newer = exported_in_format_1(&thaw(&newer, "journal-1.hex"), 1);
    let error = import(&newer, &file).unwrap_err();
    assert!(error.code() == "conflict" && error.text().contains("the file is older"), "{error}");
    let known = newer.read(Read::Generation("moved".into()));
    assert_eq!(known, Ok(Value::Generation(Generation::default(), true)), "it still rests here");
}

#[test]
fn an_import_that_breaks_off_in_the_middle_leaves_what_rests_here() {
    let home = scratch();
    let desk = Desk::of_threads(&home.path().join("infinity.db"));
    raise(&desk, "t");
    let file = home.path().join("tree");
    retire(&desk, "t", Some(MARK)).unwrap();
    export(&desk, "t", &file);
    let before = portrait(&desk, "t");
    Connection::open(&file).unwrap().execute_batch("UPDATE threads SET title = 'another'").unwrap();
    assert_eq!(import(&desk, &file).unwrap_err().code(), "damaged");
    assert_eq!(portrait(&desk, "t"), before);
    let known = desk.read(Read::Generation("t".into()));
    assert_eq!(known, Ok(Value::Generation(Generation { number: 1, marks: MARK.into() }, true)));
}

#[test]
fn a_mark_has_eight_bytes() {
    let desk = Desk::new();
    let directory = desk.path.parent().unwrap();
    let real = Desk::of_threads(&directory.join("threads.db"));
    raise(&real, "t");
    let short = Write::RetireTree { root: "t".into(), note: "left".into(), mark: Some(vec![1]) };
    assert_eq!(real.write(short).unwrap_err().code(), "rule");
    assert!(retire(&real, "t", None).is_ok());
}
