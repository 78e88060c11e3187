//! One transaction for many operations: they share its fsync, and live or die with it.

use super::write::attention;
use super::{Needs, schema};
use crate::error::Error;
use crate::journal::failure::Failure;
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction, TransactionBehavior};
use std::cell::Cell;

pub struct Group<'c> {
    transaction: Transaction<'c>,
    tally: [Cell<i64>; schema::TALLIED.len()],
}

impl<'c> Group<'c> {
    pub fn begin(connection: &'c mut Connection) -> rusqlite::Result<Self> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Self { transaction, tally: Default::default() })
    }

    /// Run a statement; how many rows it changed.
    pub fn execute(&self, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
        self.transaction.prepare_cached(sql)?.execute(params)
    }

    /// Run statements without parameters.
    pub fn batch(&self, sql: &str) -> rusqlite::Result<()> {
        self.transaction.execute_batch(sql)
    }

    /// See [`attention::settle`].
    pub fn settle_attention(&self, needs: Needs) -> rusqlite::Result<()> {
        attention::settle(&self.transaction, needs)
    }

    /// The first row, if there is one.
    pub fn find<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.transaction.prepare_cached(sql)?.query_row(params, read).optional()
    }

    pub fn exists(&self, sql: &str, params: impl Params) -> rusqlite::Result<bool> {
        self.transaction.prepare_cached(sql)?.exists(params)
    }

    pub fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.transaction.prepare_cached(sql)?.query_map(params, read)?.collect()
    }

    pub fn last_key(&self) -> i64 {
        self.transaction.last_insert_rowid()
    }

    /// Count rows that were added to one of the tables that only grow.
    pub fn grew(&self, table: &'static str, rows: usize) {
        self.tallied(table, rows as i64);
    }

    pub fn shrank(&self, table: &'static str, rows: usize) {
        self.tallied(table, -(rows as i64));
    }

    fn tallied(&self, table: &str, rows: i64) {
        if let Some(at) = schema::TALLIED.iter().position(|name| *name == table) {
            self.tally[at].set(self.tally[at].get() + rows);
        }
    }

    /// Where an entry or feed row of a thread goes.
    pub fn place(thread: i64, position: i64) -> Result<i64, Failure> {
        if (0..schema::POSITIONS).contains(&position) {
            return Ok(schema::place(thread, position));
        }
        Err(Failure::broken(Error::Rule(format!("there is no position {position}"))))
    }

    /// Durable when it returns.
    pub fn commit(self) -> rusqlite::Result<()> {
        for (table, rows) in schema::TALLIED.iter().zip(&self.tally) {
            if rows.get() != 0 {
                self.execute("UPDATE tallies SET rows = rows + ?2 WHERE name = ?1", (table, rows.get()))?;
            }
        }
        self.transaction.commit()
    }
}
