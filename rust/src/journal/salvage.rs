//! Reading around the holes of a damaged table. A read that the disk refuses is no hole: it ends the reading.

use super::schema;
use super::table::Table;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

impl Table {
    /// Copy what can be read; say what cannot.
    pub fn salvage(&self, source: &Connection, target: &Connection, lost: &mut Vec<String>) -> rusqlite::Result<()> {
        let mut sink = Sink::new(self, Some(target))?;
        self.drain(source, &mut sink)?;
        lost.append(&mut sink.lost);
        Ok(())
    }

    /// Read all of it; what cannot be read, and how many rows can.
    pub fn examine(&self, source: &Connection, damage: &mut Vec<String>) -> rusqlite::Result<i64> {
        let mut sink = Sink::new(self, None)?;
        self.drain(source, &mut sink)?;
        damage.append(&mut sink.lost);
        Ok(sink.rows)
    }

    /// Which row it is, for people.
    pub fn named(&self, source: &Connection, row: &Row<'_>) -> String {
        let of = |key: i64| {
            let found = source
                .query_row("SELECT id FROM threads NOT INDEXED WHERE key = ?1", [key], |row| row.get::<_, String>(0));
            found.unwrap_or_else(|_| format!("number {key}"))
        };
        let number = |column: &str| self.column(column).and_then(|at| row.get::<_, i64>(at).ok());
        let text = |column: &str| self.column(column).and_then(|at| row.get::<_, String>(at).ok());
        if let Some(place) = number("place") {
            return format!("position {} of thread {}", schema::position(place), of(place / schema::POSITIONS));
        }
        match (&*self.name, text("id"), number("thread")) {
            ("threads", Some(id), _) => format!("thread {id}"),
            (_, Some(id), Some(thread)) => format!("{id} of thread {}", of(thread)),
            (_, None, Some(thread)) => format!("one row of thread {}", of(thread)),
            _ => {
                let key: Result<Vec<Value>, _> = (0..self.key.len()).map(|column| row.get(column)).collect();
                format!("the row {key:?}")
            }
        }
    }

    fn drain(&self, source: &Connection, sink: &mut Sink<'_>) -> rusqlite::Result<()> {
        match &self.number {
            Some(number) => self.by_number(source, number, sink),
            None => self.by_both_ends(source, sink),
        }
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
                // A leaf that is torn may name rows that are far back.
                next = next.max(row.get::<_, i64>(0)?.saturating_add(1));
                Ok(())
            })?;
            let Err(error) = outcome else { return Ok(()) };
            // Not one row: the first one itself is broken (its overflow pages, say). Go on behind it.
            let broken = if next == from { from.saturating_add(1) } else { next };
            match self.beyond(source, number, broken) {
                // A tree that leads back would be read for ever.
                Some(resume) if resume >= broken => {
                    sink.lost.push(format!("{}: rows numbered {next} to {} ({error})", self.name, resume - 1));
                    from = resume;
                }
                _ => {
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
            if sink.insert.is_some() {
                // Whatever stops this one is reported by the line that follows.
                let _ = sink.take_all(source, &select("DESC"), [], |_| Ok(()))?;
            }
            let which = if sink.rows == 0 { "its rows, if it had any" } else { "some rows in the middle" };
            // Those of other tables are missed by somebody; these are what says that a message was taken in.
            let then = if self.name == "seen" {
                "; a message that is sent again under the same key may count twice"
            } else {
                ""
            };
            sink.lost.push(format!("{}: {which} ({error}){then}", self.name));
        }
        Ok(())
    }
}

/// Where rows of one table go.
struct Sink<'t> {
    table: &'t Table,
    /// `None`: rows are only looked at.
    insert: Option<rusqlite::Statement<'t>>,
    rows: i64,
    lost: Vec<String>,
}

/// Said of the disk or the machine, not of the file.
fn passing(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DiskFull, OutOfMemory, SystemIoFailure};
    matches!(error.sqlite_error_code(), Some(SystemIoFailure | OutOfMemory | DiskFull | DatabaseBusy))
}

impl<'t> Sink<'t> {
    fn new(table: &'t Table, target: Option<&'t Connection>) -> rusqlite::Result<Self> {
        let insert = target.map(|target| target.prepare(&table.write("INSERT OR IGNORE"))).transpose()?;
        Ok(Self { table, insert, rows: 0, lost: Vec::new() })
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
                Err(error) if passing(&error) => return Err(error),
                Err(error) => return Ok(Err(error)),
                Ok(Some(row)) => {
                    if let Err(error) = each(row) {
                        return Ok(Err(error));
                    }
                    self.take(source, row)?;
                }
            }
        }
    }

    fn take(&mut self, source: &Connection, row: &Row<'_>) -> rusqlite::Result<()> {
        let Ok(values) = self.table.values(source, row) else {
            self.lost.push(format!("{}: {} is torn", self.table.name, self.table.named(source, row)));
            return Ok(());
        };
        if let Err(error) = self.table.check(&values) {
            // Kept: anyone who reads it is told, while a record that is gone might not be missed (I8).
            let named = self.table.named(source, row);
            self.lost.push(format!("{}: {named} cannot be read: {}", self.table.name, error.text()));
        }
        self.rows += 1;
        let Some(insert) = &mut self.insert else { return Ok(()) };
        match insert.execute(params_from_iter(values)) {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                self.lost.push(format!("{}: a row that cannot be ({error})", self.table.name));
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }
}
