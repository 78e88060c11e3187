//! A table as the schema describes it: what repairs, exports and imports copy row by row.

use super::checksum;
use super::digest::digest;
use crate::codec::{self, Kind};
use crate::error::Error;
use rusqlite::types::{Type, Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

/// What waits.
pub const QUEUES: [&str; 4] = ["inbox", "outbox", "timers", "prompts"];

pub struct Table {
    pub name: String,
    pub columns: Vec<String>,
    /// The column that is the row's number, where rows have one.
    pub number: Option<String>,
    /// The columns of the primary key.
    pub key: Vec<String>,
    /// The body that a checksum stands beside.
    body: Option<usize>,
    /// The record that carries its own.
    record: Option<(usize, Kind)>,
}

impl Table {
    /// All that hold data of their own, in the order of creation.
    pub fn all(journal: &Connection) -> rusqlite::Result<Vec<Self>> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('tallies', 'sqlite_sequence') ORDER BY rowid";
        let names: Vec<String> = journal.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        names.into_iter().map(|name| Self::describe(journal, name)).collect()
    }

    fn describe(journal: &Connection, name: String) -> rusqlite::Result<Self> {
        let mut info = journal.prepare("SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid")?;
        let columns: Vec<(String, String, i64)> =
            info.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
        let mut key: Vec<_> = columns.iter().filter(|column| column.2 > 0).collect();
        key.sort_by_key(|column| column.2);
        let number = match key.as_slice() {
            // Keyed by its thread, it has no number of its own.
            [(name, kind, _)] if kind == "INTEGER" && name != "thread" => Some(name.clone()),
            _ => None,
        };
        let key = key.into_iter().map(|column| column.0.clone()).collect();
        let columns: Vec<_> = columns.into_iter().map(|column| column.0).collect();
        let body = columns.iter().position(|column| column == "crc").map(|crc| crc - 1);
        let record = columns.iter().enumerate().find_map(|(at, column)| match (&*name, &**column) {
            ("threads", "header") => Some((at, Kind::Header)),
            ("entries", "record") => Some((at, Kind::Entry)),
            ("calls", "record") => Some((at, Kind::Call)),
            _ => None,
        });
        Ok(Self { name, columns, number, key, body, record })
    }

    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// The statement that writes a row; `verb` is an `INSERT` or a `REPLACE`.
    pub fn write(&self, verb: &str) -> String {
        let marks = vec!["?"; self.columns.len()].join(", ");
        format!("{verb} INTO {} ({}) VALUES ({marks})", self.name, self.columns.join(", "))
    }

    /// A row that was selected with all columns in their order.
    ///
    /// # Errors
    /// A text that is none, or a body that its checksum does not match.
    pub fn values(&self, source: &Connection, row: &Row<'_>) -> rusqlite::Result<Vec<Value>> {
        let mut values = Vec::with_capacity(self.columns.len());
        for column in 0..self.columns.len() {
            values.push(match row.get_ref(column)? {
                ValueRef::Text(text) => Value::Text(std::str::from_utf8(text)?.to_owned()),
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Integer(value),
                ValueRef::Real(value) => Value::Real(value),
                ValueRef::Blob(value) => Value::Blob(value.to_vec()),
            });
        }
        match self.body.map(|body| (body, &values[body], &values[body + 1])) {
            None => Ok(values),
            Some((_, Value::Blob(body), Value::Integer(crc))) if self.matches(source, &values, body, *crc) => {
                Ok(values)
            }
            Some((body, ..)) => {
                let text = format!("the checksum of a {} of table {} does not match", self.columns[body], self.name);
                Err(rusqlite::Error::FromSqlConversionFailure(body, Type::Blob, text.into()))
            }
        }
    }

    fn matches(&self, source: &Connection, values: &[Value], body: &[u8], crc: i64) -> bool {
        if checksum::covered(&self.name).is_none() {
            return checksum::of(body) == crc;
        }
        let value = |name: &str| self.value(values, name);
        if let (ValueRef::Blob(known), ValueRef::Text(id)) = (value("digest"), value("id"))
            && std::str::from_utf8(id).is_ok_and(|id| digest(id) != known)
        {
            return false;
        }
        let Some(thread) = self.column("thread").filter(|_| !checksum::is_narrow(crc)) else {
            return checksum::matches(&self.name, None, body, crc, value);
        };
        // Without its index, which may be what is broken. A row whose thread is gone is missed elsewhere.
        let sql = "SELECT id FROM threads NOT INDEXED WHERE key = ?1";
        let find = || source.prepare_cached(sql)?.query_row([&values[thread]], |row| row.get::<_, String>(0));
        let Ok(whose) = find() else { return true };
        checksum::matches(&self.name, Some(&whose), body, crc, |name| self.value(values, name))
    }

    fn value<'v>(&self, values: &'v [Value], name: &str) -> ValueRef<'v> {
        self.column(name).map_or(ValueRef::Null, |at| ValueRef::from(&values[at]))
    }

    /// Does it hold what waits? These are short.
    pub fn is_queue(&self) -> bool {
        QUEUES.contains(&&*self.name)
    }

    /// Is this row of an earlier version, whose checksums covered bodies only?
    pub fn is_narrow(&self, values: &[Value]) -> bool {
        self.body.is_some_and(|body| matches!(values[body + 1], Value::Integer(crc) if checksum::is_narrow(crc)))
    }

    /// From now on the checksum covers the row.
    pub fn cover(&self, values: &mut [Value], whose: Option<&str>) {
        let Some(at) = self.body else { return };
        let Value::Blob(body) = &values[at] else { return };
        let crc = checksum::over(&self.name, whose, body, |name| self.value(values, name));
        values[at + 1] = Value::Integer(crc);
    }

    /// Is the record of a row, where it has one, whole and of a format that we know?
    ///
    /// # Errors
    /// `damaged` or `too_new`.
    pub fn check(&self, values: &[Value]) -> Result<(), Error> {
        match self.record.map(|(at, kind)| (kind, &values[at])) {
            Some((kind, Value::Blob(record))) => codec::open(kind, record).map(drop),
            Some((_, other)) => Err(Error::Damaged(format!("a record is {:?}", other.data_type()))),
            None => Ok(()),
        }
    }
}

/// Queued rows of an earlier version, which are whole as far as their checksums say, are covered from now on.
pub fn cover_queues(journal: &Connection) -> rusqlite::Result<()> {
    for table in Table::all(journal)?.into_iter().filter(Table::is_queue) {
        let (columns, name) = (table.columns.join(", "), &table.name);
        let sql = format!("SELECT {columns}, (SELECT id FROM threads WHERE key = thread) FROM {name}");
        let read = |row: &Row<'_>| Ok((table.values(journal, row), row.get::<_, Option<String>>(table.columns.len())?));
        let mut narrow = journal.prepare(&sql)?;
        let narrow: Vec<_> = narrow.query_map([], read)?.collect::<rusqlite::Result<_>>()?;
        let mut put = journal.prepare(&table.write("REPLACE"))?;
        for (values, whose) in narrow {
            // What is torn stays so: anyone who reads it is told.
            let Ok(mut values) = values else { continue };
            if table.is_narrow(&values) && whose.is_some() {
                table.cover(&mut values, whose.as_deref());
                put.execute(params_from_iter(values))?;
            }
        }
    }
    Ok(())
}
