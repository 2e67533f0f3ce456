//! The only place that reads the wall clock. All other code takes the time as an argument.

use chasqui_payment::Timestamp;

pub fn now() -> Timestamp {
    Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond())
}
