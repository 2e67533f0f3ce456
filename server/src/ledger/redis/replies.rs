//! What Redis answers, as the ledger's own values.

use std::str::FromStr;

use ::redis::{FromRedisValue, from_redis_value};

use crate::ledger::LedgerError;
use crate::payment::Timestamp;
use crate::redis::{Failure, Value};

impl From<Failure> for LedgerError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.to_string())
    }
}

/// The answer of a script that answers with one shape.
pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, LedgerError> {
    from_redis_value(value).map_err(|_| damaged("reply of a script"))
}

/// Of a script that answers `foreign` where it touched nothing, and with a row otherwise.
pub(super) fn unless_foreign<T: FromRedisValue>(value: Value) -> Result<T, LedgerError> {
    match value {
        Value::BulkString(word) if word == b"foreign" => Err(LedgerError::Foreign),
        row => read(row),
    }
}

pub(super) fn number<T: FromStr>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(|_| damaged("number"))
}

pub(super) fn moment(text: &str) -> Result<Timestamp, LedgerError> {
    number(text).map(Timestamp::from_unix_ms)
}

/// Names what was expected and not what stands there, which may be a payer's.
pub(super) fn damaged(expected: &'static str) -> LedgerError {
    LedgerError::Unavailable(format!("redis holds something that is not a {expected}"))
}
