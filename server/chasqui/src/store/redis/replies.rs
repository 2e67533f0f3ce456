//! What Redis answers, as the store's own values.

use std::str::FromStr;

use ::redis::{FromRedisValue, from_redis_value};

use crate::payment::Timestamp;
use crate::redis::{Failure, Value};
use crate::store::StoreError;

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.to_string())
    }
}

/// The answer of a script that answers with one shape.
pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    from_redis_value(value).map_err(|_| damaged("reply of a script"))
}

/// Of a script that answers `foreign` where it touched nothing, and with a row otherwise.
pub(super) fn unless_foreign<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    match value {
        Value::BulkString(word) if word == b"foreign" => Err(StoreError::WrongAccount),
        row => read(row),
    }
}

pub(super) fn number<T: FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| damaged("number"))
}

pub(super) fn moment(text: &str) -> Result<Timestamp, StoreError> {
    number(text).map(Timestamp::from_unix_ms)
}

/// Names what was expected and not what stands there, which may be a payer's.
pub(super) fn damaged(expected: &'static str) -> StoreError {
    StoreError::Unavailable(format!("redis holds something that is not a {expected}"))
}
