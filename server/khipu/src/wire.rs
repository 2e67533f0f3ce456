//! Khipu's field names and words, and what they mean here.
//!
//! PROTOCOL.md lists the facts and how sure they are. Real answers differ from Khipu's description (amounts are strings
//! with four decimals, unset text is ""), so reading is liberal and unknown fields pass through untouched.

mod fields;
mod notification;
mod request;
mod response;
#[cfg(test)]
mod tests;

pub use notification::{FORM_NOTIFICATION, NotificationBody, is_form_notification};
pub use request::{CreateRequest, FieldError, ReturnUrls};
pub use response::{ATTEMPT_TERM, CreateResponse, PaymentResponse, UnknownWord, error_message};
