//! Changes of status that are yet to be sent: a field of their payment, so that they are kept as long as it is.

use async_trait::async_trait;
use chasqui_payment::{PaymentId, PaymentState};
use chasqui_redis_topology::Partition;
use chasqui_store::{StatusEvents, StoreError};

use super::redis_store::RedisStore;
use super::{change, fields, keys, replies};

#[async_trait]
impl StatusEvents for RedisStore {
    async fn next_event(&self, id: &PaymentId) -> Result<Option<PaymentState>, StoreError> {
        let partition = Partition::of(id.as_str());
        let names = format!("account {}", keys::EVENTS);
        let row = fields::of(self, partition, keys::payment(id), &names).await?;
        let Some([_, Some(changes)]) = row.as_deref() else {
            return Ok(None);
        };
        let oldest = changes.lines().next().unwrap_or_default();
        let state = change::parse(oldest.as_bytes());
        state.map(Some).ok_or_else(|| replies::damaged("change"))
    }
}
