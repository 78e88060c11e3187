//! The rows of one tree, table by table, always in the same order: what an export writes and an import reads.

use super::failure::{Failure, damaged, describe, is_damage};
use super::schema::place;
use super::table::Table;
use crate::error::{Error, Result};
use rusqlite::types::Value;
use rusqlite::{Connection, Params, Row, Transaction, params};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Of all rows of a tree, in order: two files with the same one hold the same tree.
pub type Fingerprint = [u8; 32];

/// Where an export says which tree it holds, and the tree's fingerprint.
pub const ROOT: &str = "export.root";
pub const FINGERPRINT: &str = "export.fingerprint";
/// There if the tree was in service when it was exported, and so goes on where it was.
pub const COPY: &str = "export.copy";

/// A file that is read, as it was at one moment.
pub struct Source<'c> {
    pub picture: Transaction<'c>,
    pub path: &'c Path,
    /// What an error of this file means, for people.
    pub describe: fn(&Path, &rusqlite::Error) -> Error,
    /// What is damaged in this file.
    pub damaged: fn(&Path, &str) -> Error,
}

impl<'c> Source<'c> {
    /// The journal itself.
    pub fn journal(connection: &'c mut Connection, path: &'c Path) -> Result<Self> {
        let picture = connection.transaction().map_err(|error| describe(path, &error))?;
        Ok(Self { picture, path, describe, damaged })
    }

    pub fn describe(&self, error: rusqlite::Error) -> Error {
        (self.describe)(self.path, &error)
    }

    /// Ids of the tree's threads, in order of their keys.
    pub fn threads(&self, root: &str) -> Result<Vec<String>> {
        self.column("SELECT id FROM threads WHERE root = ?1 ORDER BY key", root)
    }

    /// Whether the tree is being deleted. For the journal itself: a file of an older version has no such table.
    pub fn deleted(&self, root: &str) -> Result<bool> {
        Ok(!self.column::<i64>("SELECT 1 FROM tombstones WHERE id = ?1", root)?.is_empty())
    }

    /// Whether the tree is in service.
    pub fn in_service(&self, root: &str) -> Result<bool> {
        Ok(self.column::<i64>("SELECT 1 FROM retired WHERE root = ?1", root)?.is_empty())
    }

    fn column<T: rusqlite::types::FromSql>(&self, sql: &str, root: &str) -> Result<Vec<T>> {
        let read = || self.picture.prepare_cached(sql)?.query_map([root], |row| row.get(0))?.collect::<Result<_, _>>();
        read().map_err(|error| self.describe(error))
    }

    /// Every row of the tree goes to `take`. A row that is torn ends it (I8).
    pub fn read(
        &self,
        root: &str,
        mut take: impl FnMut(&Table, Vec<Value>) -> Result<(), Failure>,
    ) -> Result<Fingerprint, Failure> {
        let broken = |error| Failure::broken(self.describe(error));
        let keys: Vec<i64> =
            self.column("SELECT key FROM threads WHERE root = ?1 ORDER BY key", root).map_err(Failure::broken)?;
        let mut hash = Sha256::new();
        for table in Table::all(&self.picture).map_err(broken)? {
            // Whether a tree is in service, what was deleted, and when what came, are facts about this place, not about the tree.
            if matches!(&*table.name, "retired" | "tombstones" | "log") {
                continue;
            }
            hash.update(table.name.as_bytes());
            let mut rows = Rows { source: self, root, table: &table, hash: &mut hash, take: &mut take };
            match &*table.name {
                "meta" => rows.select(
                    "key IN ('catalog.' || ?1,
                             'definitions.' || (SELECT CAST(value AS TEXT) FROM meta WHERE key = 'catalog.' || ?1))",
                    [root],
                )?,
                "threads" | "spending" | "generations" => rows.select("root = ?1", [root])?,
                // Short, and in the order of all threads: of arrival, of planning.
                "inbox" | "outbox" | "usage" => {
                    rows.select("thread IN (SELECT key FROM threads WHERE root = ?1)", [root])?
                }
                "entries" | "feed" => keys.iter().try_for_each(|key| {
                    rows.select("place >= ?1 AND place < ?2", params![place(*key, 0), place(*key + 1, 0)])
                })?,
                _ => keys.iter().try_for_each(|key| rows.select("thread = ?1", [key]))?,
            }
        }
        Ok(hash.finalize().into())
    }
}

/// One table's rows on their way.
struct Rows<'s, 'c, T> {
    source: &'s Source<'c>,
    root: &'s str,
    table: &'s Table,
    hash: &'s mut Sha256,
    take: &'s mut T,
}

impl<T: FnMut(&Table, Vec<Value>) -> Result<(), Failure>> Rows<'_, '_, T> {
    fn select(&mut self, condition: &str, params: impl Params) -> Result<(), Failure> {
        let Self { source, root, table, hash, take } = self;
        let broken = |error: rusqlite::Error| {
            if !is_damage(&error) {
                return Failure::broken(source.describe(error));
            }
            Failure::broken((source.damaged)(source.path, &format!("{} of conversation {root}: {error}", table.name)))
        };
        let (columns, name, order) = (table.columns.join(", "), &table.name, table.key.join(", "));
        let sql = format!("SELECT {columns} FROM {name} WHERE {condition} ORDER BY {order}");
        let mut statement = source.picture.prepare_cached(&sql).map_err(broken)?;
        let mut rows = statement.query(params).map_err(broken)?;
        while let Some(row) = rows.next().map_err(broken)? {
            let values = table.values(&source.picture, row).map_err(|error| match error {
                rusqlite::Error::FromSqlConversionFailure(_, _, why) => {
                    Failure::broken(located(source, table, row, Error::Damaged(why.to_string())))
                }
                other => broken(other),
            })?;
            table.check(&values).map_err(|error| Failure::broken(located(source, table, row, error)))?;
            values.iter().for_each(|value| digest(hash, value));
            take(table, values)?;
        }
        Ok(())
    }
}

/// A record's own error says nothing of the file, nor of its place in it.
fn located(source: &Source<'_>, table: &Table, row: &Row<'_>, error: Error) -> Error {
    let named = table.named(&source.picture, row);
    match error {
        Error::TooNew(text) => Error::TooNew(format!("{}, {} ({named}): {text}", source.path.display(), table.name)),
        other => (source.damaged)(source.path, &format!("{}: {named} cannot be read: {}", table.name, other.text())),
    }
}

fn digest(hash: &mut Sha256, value: &Value) {
    let mut part = |kind: u8, bytes: &[u8]| {
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match value {
        Value::Null => part(0, &[]),
        Value::Integer(number) => part(1, &number.to_le_bytes()),
        Value::Real(number) => part(2, &number.to_le_bytes()),
        Value::Text(text) => part(3, text.as_bytes()),
        Value::Blob(bytes) => part(4, bytes),
    }
}
