//! Fields that several of Khipu's bodies share.

use chasqui_payment::{PaymentId, Timestamp};

use crate::json_object::JsonObject;

pub(super) fn payment_id(fields: &JsonObject) -> Result<PaymentId, String> {
    let text = fields.text("payment_id").ok_or("it has no payment_id")?;
    PaymentId::parse(&text).map_err(|error| error.to_string())
}

pub(super) fn is_late(fields: &JsonObject, expires_at: Option<Timestamp>) -> bool {
    let conciliated = fields.parsed("conciliation_date", Timestamp::parse);
    fields.text("out_of_date_conciliation").as_deref() == Some("true")
        || matches!((conciliated, expires_at), (Some(at), Some(expiry)) if at > expiry)
}
