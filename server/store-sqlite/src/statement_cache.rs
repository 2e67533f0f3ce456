//! A connection with its prepared statements: what an operation works on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::{Connection, Params, Statement};

/// Each statement is compiled once per connection. The source bounds their number: SQL is `'static`.
pub(super) struct StatementCache<'c> {
    connection: &'c Connection,
    statements: HashMap<&'static str, Statement<'c>>,
}

impl<'c> StatementCache<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self {
            connection,
            statements: HashMap::new(),
        }
    }

    pub(super) fn prepare(&mut self, sql: &'static str) -> rusqlite::Result<&mut Statement<'c>> {
        match self.statements.entry(sql) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(self.connection.prepare(sql)?)),
        }
    }

    /// How many rows the statement changed.
    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        params: impl Params,
    ) -> rusqlite::Result<usize> {
        self.prepare(sql)?.execute(params)
    }

    pub(super) fn connection(&self) -> &'c Connection {
        self.connection
    }
}
