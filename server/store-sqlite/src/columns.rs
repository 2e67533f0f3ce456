//! How the payment's values are read from a column. As parameters they are texts and numbers.

use chasqui_payment::{
    AccountName, Amount, Currency, DeliveryState, JobKind, JobPriority, PaymentId,
    PaymentReference, PaymentState, Source, StatusReason, Timestamp, Verdict, Version,
    WatchTransport,
};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Row, RowIndex};

/// A payment's value that a column holds.
pub(super) trait Column: Sized {
    fn from_column(value: ValueRef<'_>) -> FromSqlResult<Self>;
}

/// Reads a [`Column`], or an `Option` of one, from a row.
pub(super) trait RowExt {
    fn value<T: Column>(&self, index: impl RowIndex) -> rusqlite::Result<T>;
}

impl RowExt for Row<'_> {
    fn value<T: Column>(&self, index: impl RowIndex) -> rusqlite::Result<T> {
        self.get::<_, Sql<T>>(index).map(|Sql(value)| value)
    }
}

/// Reads a state from the first four columns.
pub(super) fn state(row: &Row<'_>) -> rusqlite::Result<PaymentState> {
    Ok(PaymentState {
        version: row.value(0)?,
        at: row.value(1)?,
        late: row.get(2)?,
        reason: row.value(3)?,
    })
}

struct Sql<T>(T);

impl<T: Column> FromSql for Sql<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        T::from_column(value).map(Self)
    }
}

impl<T: Column> Column for Option<T> {
    fn from_column(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(None),
            value => T::from_column(value).map(Some),
        }
    }
}

macro_rules! text_columns {
    ($($type:ident: $parse:expr;)*) => {$(
        impl Column for $type {
            fn from_column(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let parse: fn(&str) -> Option<Self> = $parse;
                parse(value.as_str()?).ok_or_else(|| damaged(stringify!($type)))
            }
        }
    )*};
}

text_columns! {
    PaymentId: |text| Self::parse(text).ok();
    PaymentReference: |text| Self::parse(text).ok();
    AccountName: |text| Self::parse(text).ok();
    Currency: |text| Self::parse(text).ok();
    StatusReason: Self::parse;
    Source: Self::parse;
    Verdict: Self::parse;
    JobKind: Self::parse;
    DeliveryState: Self::parse;
    WatchTransport: Self::parse;
    Amount: |text| Self::parse(text).ok();
}

impl Column for Timestamp {
    fn from_column(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_unix_ms)
    }
}

impl Column for Version {
    fn from_column(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u16::column_result(value)
            .ok()
            .and_then(Self::from_number)
            .ok_or_else(|| damaged("Version"))
    }
}

impl Column for JobPriority {
    fn from_column(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u8::column_result(value)
            .ok()
            .and_then(Self::from_rank)
            .ok_or_else(|| damaged("Priority"))
    }
}

/// Names the type and not the value: a damaged row may hold payer data.
pub(super) fn damaged(expected: &str) -> FromSqlError {
    FromSqlError::Other(format!("a column holds a value that is not a {expected}").into())
}
