//! How the payment's values stand in a column, in both directions.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

use crate::payment::{
    AccountName, Amount, Currency, JobKind, PaymentId, PaymentReference, Priority, Source,
    StatusReason, Timestamp, Verdict, Version,
};

macro_rules! kept_as_text {
    ($($type:ident: $read:expr;)*) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let read: fn(&str) -> Option<Self> = $read;
                read(value.as_str()?).ok_or_else(|| damaged(stringify!($type)))
            }
        }
    )*};
}

kept_as_text! {
    PaymentId: |text| Self::parse(text).ok();
    PaymentReference: |text| Self::parse(text).ok();
    AccountName: |text| Self::parse(text).ok();
    Currency: |text| Self::parse(text).ok();
    StatusReason: Self::parse;
    Source: |text| Self::ALL.into_iter().find(|source| source.as_str() == text);
    Verdict: |text| Self::ALL.into_iter().find(|verdict| verdict.as_str() == text);
    JobKind: |text| Self::ALL.into_iter().find(|kind| kind.as_str() == text);
}

impl ToSql for Amount {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_string().into())
    }
}

impl FromSql for Amount {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).map_err(|_| damaged("Amount"))
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.unix_ms().into())
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self::from_unix_ms)
    }
}

impl ToSql for Version {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.number().into())
    }
}

impl FromSql for Version {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u16::column_result(value)
            .ok()
            .and_then(Self::from_number)
            .ok_or_else(|| damaged("Version"))
    }
}

impl ToSql for Priority {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.rank().into())
    }
}

impl FromSql for Priority {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u8::column_result(value)
            .ok()
            .and_then(Self::from_rank)
            .ok_or_else(|| damaged("Priority"))
    }
}

/// Names the type and not the value: what stands in a damaged row may be a payer's.
fn damaged(kept: &'static str) -> FromSqlError {
    FromSqlError::Other(format!("a column holds something that is not a {kept}").into())
}
