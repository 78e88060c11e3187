//! A tree goes from one journal to another as a file: all of it or nothing, exactly as it was (I6, I8).

use crate::desk::{Desk, ids, message, scratch};
use crate::family::{NOW, child, loaded, portrait, raise};
use _core::error::{Error, Result};
use _core::journal::value::{Accepted, Imported};
use _core::journal::{Arrival, Expect, Read, Value, Write};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct World {
    home: TempDir,
    source: Desk,
    target: Desk,
}

impl World {
    /// A journal with the trees `a` and `b`, and one with the tree `c`, whose keys are therefore taken.
    fn new() -> Self {
        let home = scratch();
        let source = Desk::of_threads(&home.path().join("source.db"));
        raise(&source, "a");
        raise(&source, "b");
        let target = Desk::of_threads(&home.path().join("target.db"));
        raise(&target, "c");
        Self { home, source, target }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The tree `b` in a file.
    fn exported(&self) -> PathBuf {
        let path = self.path("an export, 100% of it?.db");
        assert_eq!(export(&self.source, "b", &path), Ok(Value::Integer(Some(2))));
        path
    }

    fn import(&self, path: &Path) -> Result<Imported> {
        match self.target.outcome(self.target.journal.import_tree(path.into(), Arrival::default()))? {
            Value::Imported(imported) => Ok(imported),
            other => panic!("an import answered {other:?}"),
        }
    }

    /// An import that must change nothing.
    #[track_caller]
    fn refused(&self, path: &Path) -> Error {
        let before = (dump(&self.target.path), portrait(&self.target, "c"));
        let error = self.import(path).unwrap_err();
        assert!((dump(&self.target.path), portrait(&self.target, "c")) == before, "something was imported: {error}");
        error
    }
}

fn export(desk: &Desk, root: &str, path: &Path) -> Result<Value> {
    desk.outcome(desk.journal.export_tree(root.into(), path.into()))
}

fn dump(path: &Path) -> Vec<(String, i64)> {
    let journal = Connection::open(path).unwrap();
    let mut names = journal.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let count = |name: &str| journal.query_row(&format!("SELECT count(*) FROM {name}"), [], |row| row.get(0)).unwrap();
    names.into_iter().map(|name| (name.clone(), count(&name))).collect()
}

#[test]
fn a_tree_that_is_to_rest_is_out_of_service_from_its_first_moment() {
    let world = World::new();
    let path = world.exported();
    assert_eq!(_core::journal::exported_root(&path), Ok("b".into()));
    let arrive = |expected: &str| {
        let arrival = Arrival { expected: Some(expected.into()), resting: Some("on its way".into()) };
        world.target.outcome(world.target.journal.import_tree(path.clone(), arrival))
    };
    let before = (dump(&world.target.path), portrait(&world.target, "c"));
    assert!(matches!(arrive("a"), Err(Error::BadRequest(_))));
    assert!((dump(&world.target.path), portrait(&world.target, "c")) == before, "something was imported");
    let expected =
        Imported { root: "b".into(), messages: Vec::new(), outbox: 0, next_timer: None, replaced: false, copy: true };
    assert_eq!(arrive("b"), Ok(Value::Imported(expected)));
    assert_eq!(world.target.read(Read::Retired("b".into())), Ok(Value::Text(Some("on its way".into()))));
    assert_eq!(world.target.inbox().len(), 4, "of the tree that was here");
}

#[test]
fn a_tree_arrives_as_it_was() {
    let world = World::new();
    let before = portrait(&world.source, "b");
    let others = portrait(&world.target, "c");
    let imported = world.import(&world.exported()).unwrap();
    assert_eq!((imported.root.as_str(), imported.outbox, imported.next_timer), ("b", 1, Some(NOW + 10)));
    assert_eq!(ids(&imported.messages), ["sent", "queued first", "queued second", "queued third"]);
    assert_eq!(imported.messages, world.target.inbox()[4..], "their places are behind those that were here");
    assert_eq!(portrait(&world.target, "b"), before);
    assert_eq!(portrait(&world.target, "c"), others);
    assert_eq!(portrait(&world.source, "b"), before, "an export changed something");
    assert_eq!(["threads", "seen", "discards"].map(|table| world.target.count(table)), [4, 4, 2]);
}

#[test]
fn a_tree_goes_on_where_it_arrived() {
    let world = World::new();
    let retire = Write::RetireTree { root: "b".into(), note: "moving".into(), mark: None };
    world.source.write(retire).unwrap();
    world.import(&world.exported()).unwrap();
    let desk = &world.target;
    assert_eq!(desk.accept(message("b", "consumed"), Expect::Any), Accepted::Duplicate);
    assert!(matches!(desk.accept(message("b", "e"), Expect::Event("b-subscribed".into())), Accepted::Yes(_)));
    assert!(matches!(desk.accept(message("b", "b-open"), Expect::Call("b-open".into())), Accepted::Yes(_)));
    for id in ["b".to_owned(), child("b")] {
        let mut thread = loaded(desk, &id);
        thread.note("arrived", b"{}").unwrap();
        let delta = thread.delta(NOW + 1).unwrap();
        desk.commit((*delta).clone()).unwrap();
    }
    // Home again, the same way.
    let back = world.path("back.db");
    export(desk, "b", &back).unwrap();
    world.source.write(Write::DeleteTree("b".into())).unwrap();
    world.source.outcome(world.source.journal.import_tree(back, Arrival::default())).unwrap();
    desk.write(Write::DeleteTree("c".into())).unwrap();
    assert_eq!(portrait(&world.source, "b"), portrait(desk, "b"));
}

#[test]
fn an_export_is_one_file_of_its_own_that_only_its_owner_reads() {
    let world = World::new();
    let path = world.exported();
    let names: Vec<_> = fs::read_dir(world.home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let beside = names.iter().filter(|name| name.to_str().unwrap().starts_with("an export")).count();
    assert_eq!((beside, fs::metadata(&path).unwrap().permissions().mode() & 0o777), (1, 0o600));
    let alone = Desk::of_threads(&path);
    assert_eq!(portrait(&alone, "b"), portrait(&world.source, "b"));
    assert_eq!(
        (alone.version("a"), alone.count("threads"), alone.count("entries")),
        (None, 2, world.source.count("entries") / 2)
    );
}

#[test]
fn an_export_neither_overwrites_a_file_nor_invents_a_tree() {
    let world = World::new();
    let path = world.path("precious");
    fs::write(&path, "data").unwrap();
    let error = export(&world.source, "b", &path).unwrap_err();
    assert_eq!((error.code(), fs::read(&path).unwrap()), ("conflict", b"data".to_vec()));
    assert!(error.text().contains("precious"), "{error}");
    assert_eq!(export(&world.source, "b", &world.source.path).unwrap_err().code(), "conflict");
    for root in ["nobody", "b.child"] {
        assert_eq!(export(&world.source, root, &world.path("new")).unwrap_err().code(), "not_found");
    }
    assert_eq!(export(&world.source, "b", &world.path("no/such/place")).unwrap_err().code(), "storage");
    assert!(!world.path("new").exists());
}

#[test]
fn a_tree_with_a_torn_row_is_not_exported() {
    for (sql, words) in [
        (
            "UPDATE entries SET record = substr(record, 2) WHERE place >> 32 = 3",
            "entries: position 0 of thread b cannot be read",
        ),
        (
            "UPDATE inbox SET body = x'7b7d20' WHERE thread = 3",
            "inbox: queued first of thread b cannot be read: the checksum",
        ),
        ("UPDATE threads SET header = x'00' WHERE id = 'b'", "threads: thread b cannot be read"),
    ] {
        let world = World::new();
        Connection::open(&world.source.path).unwrap().execute_batch(sql).unwrap();
        let path = world.path("torn.db");
        let error = export(&world.source, "b", &path).unwrap_err();
        assert_eq!(error.code(), "damaged", "{sql}: {error}");
        assert!(error.text().contains("source.db") && error.text().contains("infinity doctor --repair"), "{error}");
        assert!(error.text().contains(words) && !error.text().contains("Conversion"), "{error}");
        let left: Vec<_> = fs::read_dir(world.home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_str().unwrap().starts_with("torn")), "{left:?}");
        export(&world.source, "a", &path).unwrap();
    }
}

#[test]
fn a_tree_that_is_here_is_not_imported_again() {
    let world = World::new();
    let path = world.exported();
    world.import(&path).unwrap();
    let error = world.refused(&path);
    assert_eq!(error.code(), "conflict");
    assert!(error.text().contains("thread b is here already"), "{error}");
    world.target.write(Write::RetireTree { root: "b".into(), note: "moved on".into(), mark: None }).unwrap();
    assert_eq!(world.refused(&path).code(), "conflict");
    world.target.write(Write::DeleteTree("b".into())).unwrap();
    world.import(&path).unwrap();
}

#[test]
fn what_is_no_exported_tree_is_refused_with_a_reason() {
    let world = World::new();
    let write = |name: &str, bytes: &[u8]| {
        fs::write(world.path(name), bytes).unwrap();
        world.path(name)
    };
    let empty = write("empty", b"");
    let foreign = write("foreign", &b"hello, this is not a database at all".repeat(400));
    let other = world.path("other");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
    let whole = world.path("whole.db");
    drop(Desk::at(&whole));
    for path in [&empty, &foreign, &other, &whole] {
        let error = world.refused(path);
        assert_eq!(error.code(), "damaged", "{error}");
        assert!(
            error.text().contains(path.to_str().unwrap()) && error.text().contains("export the tree again"),
            "{error}"
        );
    }
    assert_eq!(world.refused(&world.path("missing")).code(), "storage");
}

#[test]
fn an_export_that_somebody_has_open_is_refused() {
    let world = World::new();
    let path = world.exported();
    let open = Desk::of_threads(&path);
    open.queue("b", "only in the log");
    let error = world.refused(&path);
    assert!(error.code() == "damaged" && error.text().contains("-wal"), "{error}");
}

#[test]
fn an_export_of_a_newer_version_says_so() {
    let world = World::new();
    let path = world.exported();
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = world.refused(&path);
    assert_eq!(error.code(), "too_new");
    assert!(error.text().contains("format 99"), "{error}");
}

#[test]
fn an_export_that_was_changed_is_refused() {
    for sql in [
        "DELETE FROM inbox WHERE seq = (SELECT max(seq) FROM inbox)",
        "UPDATE calls SET state = 'answered'",
        "UPDATE threads SET title = 'another'",
        "DELETE FROM timers",
        "DELETE FROM threads WHERE parent IS NOT NULL",
        "DELETE FROM threads",
        "UPDATE spending SET cost = 0",
        "DELETE FROM meta WHERE key LIKE 'definitions.%'",
        "DELETE FROM meta WHERE key = 'export.fingerprint'",
        "UPDATE meta SET value = x'00' WHERE key = 'export.root'",
        "UPDATE entries SET place = place + 1 WHERE place = (SELECT max(place) FROM entries)",
    ] {
        let world = World::new();
        let path = world.exported();
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let error = world.refused(&path);
        assert_eq!(error.code(), "damaged", "{sql}: {error}");
        assert!(error.text().contains("export the tree again"), "{error}");
    }
}

#[test]
fn whichever_page_of_an_export_is_torn_nothing_is_half_imported() {
    const PAGE: usize = 4096;
    let world = World::new();
    let bytes = fs::read(world.exported()).unwrap();
    let path = world.path("torn.db");
    let mut whole = 0;
    for page in 0..bytes.len() / PAGE {
        let mut torn = bytes.clone();
        let noise = (0..PAGE).map(|at| (at * 31 + page * 7 + 13) as u8);
        torn.splice(page * PAGE..(page + 1) * PAGE, noise);
        fs::write(&path, torn).unwrap();
        match world.import(&path) {
            // Only an index that an import does not look at.
            Ok(_) => {
                whole += 1;
                assert_eq!(portrait(&world.target, "b"), portrait(&world.source, "b"));
                world.target.write(Write::DeleteTree("b".into())).unwrap();
            }
            Err(error) => {
                assert_eq!(error.code(), "damaged", "page {page}: {error}");
                assert_eq!((world.target.count("threads"), world.target.count("inbox")), (2, 4));
            }
        }
    }
    assert!(whole < bytes.len() / PAGE / 2, "{whole} torn pages were not noticed");
    fs::write(&path, &bytes[..bytes.len() - PAGE]).unwrap();
    assert_eq!(world.refused(&path).code(), "damaged");
}

#[test]
fn a_file_does_not_change_the_definitions_that_others_here_go_by() {
    let world = World::new();
    let put = |value: &str| Write::PutMeta { key: "definitions.d1".into(), value: value.into() };
    world.source.write(put("[forged]")).unwrap();
    let before = portrait(&world.target, "c");
    world.import(&world.exported()).unwrap();
    assert_eq!(portrait(&world.target, "c"), before);
}
