//! Reading around the holes of a damaged table.

use super::checksum;
use crate::codec::{self, Kind};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

/// A table as the schema describes it.
pub struct Table {
    pub name: String,
    columns: Vec<String>,
    /// The column that is the row's number, where rows have one.
    number: Option<String>,
    /// The columns of the primary key.
    key: Vec<String>,
}

impl Table {
    /// All that hold data of their own.
    pub fn all(journal: &Connection) -> rusqlite::Result<Vec<Self>> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('tallies', 'sqlite_sequence') ORDER BY rootpage";
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
            [(name, kind, _)] if kind == "INTEGER" => Some(name.clone()),
            _ => None,
        };
        let key = key.into_iter().map(|column| column.0.clone()).collect();
        Ok(Self { columns: columns.into_iter().map(|column| column.0).collect(), name, number, key })
    }

    /// Copy what can be read; say what cannot.
    pub fn salvage(&self, source: &Connection, target: &Connection, lost: &mut Vec<String>) -> rusqlite::Result<()> {
        let mut sink = Sink::new(self, target)?;
        match &self.number {
            Some(number) => self.by_number(source, number, &mut sink)?,
            None => self.by_both_ends(source, &mut sink)?,
        }
        lost.append(&mut sink.lost);
        Ok(())
    }

    fn by_number(&self, source: &Connection, number: &str, sink: &mut Sink<'_>) -> rusqlite::Result<()> {
        let sql = format!(
            "SELECT {} FROM {} NOT INDEXED WHERE {number} >= ?1 ORDER BY {number}",
            self.columns.join(", "),
            self.name
        );
        // Numbers begin at 1.
        let mut from = 0;
        loop {
            let mut next = from;
            let outcome = sink.take_all(source, &sql, [from], |row| {
                next = row.get::<_, i64>(0)?.saturating_add(1);
                Ok(())
            })?;
            let Err(error) = outcome else { return Ok(()) };
            // Not one row: the first one itself is broken (its overflow pages, say). Go on behind it.
            let broken = if next == from { from.saturating_add(1) } else { next };
            match self.beyond(source, number, broken) {
                Some(resume) => {
                    sink.lost.push(format!("{}: rows numbered {next} to {} ({error})", self.name, resume - 1));
                    from = resume;
                }
                None => {
                    sink.lost.push(format!("{}: all rows numbered {next} or more ({error})", self.name));
                    return Ok(());
                }
            }
        }
    }

    /// The first row number from `broken` on where reading can go on: galloping over the hole, then back to its edge.
    fn beyond(&self, source: &Connection, number: &str, broken: i64) -> Option<i64> {
        let sql =
            format!("SELECT {number} FROM {} NOT INDEXED WHERE {number} >= ?1 ORDER BY {number} LIMIT 1", self.name);
        let mut seek = source.prepare(&sql).ok()?;
        // An error is the answer here: no reading from there.
        let mut found = |from: i64| seek.query_row([from], |row| row.get::<_, i64>(0)).optional().ok();
        let (mut bad, mut good) = (broken.saturating_sub(1), broken);
        let mut step = 1i64;
        while found(good).is_none() {
            if good == i64::MAX {
                return None;
            }
            bad = good;
            good = good.saturating_add(step);
            step = step.saturating_mul(2);
        }
        while good.saturating_sub(bad) > 1 {
            let middle = bad + (good - bad) / 2;
            match found(middle) {
                Some(_) => good = middle,
                None => bad = middle,
            }
        }
        found(good)?
    }

    fn by_both_ends(&self, source: &Connection, sink: &mut Sink<'_>) -> rusqlite::Result<()> {
        let select = |order: &str| {
            let order: Vec<_> = self.key.iter().map(|column| format!("{column} {order}")).collect();
            format!("SELECT {} FROM {} ORDER BY {}", self.columns.join(", "), self.name, order.join(", "))
        };
        if let Err(error) = sink.take_all(source, &select("ASC"), [], |_| Ok(()))? {
            sink.lost.push(format!("{}: some rows in the middle ({error})", self.name));
            // Whatever stops this one was reported by the line before.
            let _ = sink.take_all(source, &select("DESC"), [], |_| Ok(()))?;
        }
        Ok(())
    }
}

/// Where rows of one table go.
struct Sink<'t> {
    table: &'t Table,
    insert: rusqlite::Statement<'t>,
    /// The body that a checksum stands beside.
    body: Option<usize>,
    /// The record that carries its own.
    record: Option<(usize, Kind)>,
    lost: Vec<String>,
}

impl<'t> Sink<'t> {
    fn new(table: &'t Table, target: &'t Connection) -> rusqlite::Result<Self> {
        let marks = vec!["?"; table.columns.len()].join(", ");
        let columns = table.columns.join(", ");
        let insert = target.prepare(&format!("INSERT OR IGNORE INTO {} ({columns}) VALUES ({marks})", table.name))?;
        let body = table.columns.iter().position(|column| column == "crc").map(|crc| crc - 1);
        let record = table.columns.iter().enumerate().find_map(|(at, column)| match (&*table.name, &**column) {
            ("threads", "header") => Some((at, Kind::Header)),
            ("entries", "record") => Some((at, Kind::Entry)),
            ("calls", "record") => Some((at, Kind::Call)),
            _ => None,
        });
        Ok(Self { table, insert, body, record, lost: Vec::new() })
    }

    /// Rows until the end, or until the source breaks: the inner error. The outer one is the target's, and ends the repair.
    fn take_all(
        &mut self,
        source: &Connection,
        sql: &str,
        params: impl rusqlite::Params,
        mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<Result<(), rusqlite::Error>> {
        let mut statement = match source.prepare(sql) {
            Ok(statement) => statement,
            Err(error) => return Ok(Err(error)),
        };
        let mut rows = match statement.query(params) {
            Ok(rows) => rows,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            match rows.next() {
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
                Ok(Some(row)) => {
                    if let Err(error) = each(row) {
                        return Ok(Err(error));
                    }
                    self.take(row)?;
                }
            }
        }
    }

    fn take(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let Some(values) = self.values(row) else {
            let key: Result<Vec<Value>, _> = (0..self.table.key.len()).map(|column| row.get(column)).collect();
            self.lost.push(format!("{}: the row {key:?} is torn", self.table.name));
            return Ok(());
        };
        if let Some((at, kind)) = self.record
            && let Value::Blob(record) = &values[at]
            && let Err(error) = codec::open(kind, record)
        {
            // Kept: whoever reads it is told, while a record that is gone might not be missed (I8).
            self.lost.push(format!("{}: the contents of row {:?}: {}", self.table.name, values[0], error.text()));
        }
        match self.insert.execute(params_from_iter(values)) {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                self.lost.push(format!("{}: a row that cannot be ({error})", self.table.name));
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// `None` if a text or a checksum is wrong.
    fn values(&self, row: &Row<'_>) -> Option<Vec<Value>> {
        let values: Option<Vec<Value>> = (0..self.table.columns.len())
            .map(|column| match row.get_ref(column).ok()? {
                ValueRef::Text(text) => Some(Value::Text(std::str::from_utf8(text).ok()?.to_owned())),
                ValueRef::Null => Some(Value::Null),
                ValueRef::Integer(value) => Some(Value::Integer(value)),
                ValueRef::Real(value) => Some(Value::Real(value)),
                ValueRef::Blob(value) => Some(Value::Blob(value.to_vec())),
            })
            .collect();
        let values = values?;
        match self.body.map(|body| (&values[body], &values[body + 1])) {
            None => Some(values),
            Some((Value::Blob(body), Value::Integer(crc))) if checksum::of(body) == *crc => Some(values),
            Some(_) => None,
        }
    }
}
