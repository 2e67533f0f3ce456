//! Khipu's field names and values, and what they mean here.
//!
//! PROTOCOL.md lists the facts and how certain they are. Real answers differ from Khipu's documentation (amounts are strings
//! with four decimals, unset text is ""), so parsing is lenient and unknown fields pass through.

mod fields;
mod notification;
mod refund;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use notification::{FORM_NOTIFICATION, NotificationBody, is_form_notification};
pub use refund::{Refund, RefundRequest, Refunds, refund_id};
pub use request::{CreateRequest, FieldError, ReturnUrls};
pub(crate) use response::error_message;
pub use response::{ATTEMPT_TERM, CreateResponse, PaymentResponse, UnknownValue};
