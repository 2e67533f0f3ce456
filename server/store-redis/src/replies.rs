//! Replies of scripts as the store's own values.

use std::str::FromStr;

use chasqui_payment::{PaymentId, PaymentReference, Timestamp};
use chasqui_redis_topology::CallError;
use chasqui_store::StoreError;
use redis::{FromRedisValue, Value, from_redis_value};

/// The reply of a script that changed nothing, because the payment is another account's.
pub(super) const FOREIGN: &str = "foreign";

/// The replies for a request that may come twice: it is begun, or its key belongs to another request.
pub(super) const STARTED: &str = "started";
pub(super) const KEY_REUSED: &str = "key_reused";

/// The replies for a delivery that is to be reopened, or payer data that is to be erased.
pub(super) const ERASED: &str = "erased";
pub(super) const REOPENED: &str = "reopened";
pub(super) const ALREADY_OPEN: &str = "already_open";
pub(super) const NOT_CONFIRMED: &str = "not_confirmed";
pub(super) const UNKNOWN: &str = "unknown";

pub(super) fn unavailable(failure: CallError) -> StoreError {
    StoreError::Unavailable(failure.0)
}

pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    from_redis_value(value).map_err(|_| damaged("reply of a script"))
}

/// Reads the reply of a script that replies with a row or with [`FOREIGN`].
pub(super) fn unless_foreign<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    match value {
        Value::BulkString(word) if word == FOREIGN.as_bytes() => Err(StoreError::WrongAccount),
        row => read(row),
    }
}

/// Reads the reply of a script that replies with whether the account may do this.
pub(super) fn unless_refused(may: bool) -> Result<(), StoreError> {
    may.then_some(()).ok_or(StoreError::WrongAccount)
}

pub(super) fn number<T: FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| damaged("number"))
}

pub(super) fn timestamp(text: &str) -> Result<Timestamp, StoreError> {
    number(text).map(Timestamp::from_unix_ms)
}

pub(super) fn reference(text: &str) -> Result<PaymentReference, StoreError> {
    PaymentReference::parse(text).map_err(|_| damaged("reference"))
}

pub(super) fn payment_id(text: &str) -> Result<PaymentId, StoreError> {
    PaymentId::parse(text).map_err(|_| damaged("payment id"))
}

/// Names what was expected and not what is stored, which may be a payer's.
pub(super) fn damaged(expected: &'static str) -> StoreError {
    StoreError::Unavailable(format!("redis holds something that is not a {expected}"))
}
