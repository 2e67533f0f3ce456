//! What a merchant reads of its account: payments by their last change, and deliveries.

use chasqui_payment::{PaymentId, Status, Timestamp, Undelivered};
use chasqui_store::{ChangeCursor, ChangedPayment, ListedDelivery};

use crate::account::Account;
use crate::error::PaymentsError;
use crate::payments::Payments;

impl Payments {
    /// The account's payments that changed after a place in the listing, the oldest change first.
    pub async fn changed_since(
        &self,
        account: &Account,
        since: &ChangeCursor,
        status: Option<Status>,
        limit: usize,
    ) -> Result<Vec<ChangedPayment>, PaymentsError> {
        let found = self
            .store
            .changed_since(&account.name, since, status, limit);
        Ok(found.await?)
    }

    /// When a payment of the account changed last. `None`: it is not listed.
    pub async fn changed_at(
        &self,
        account: &Account,
        id: &PaymentId,
    ) -> Result<Option<Timestamp>, PaymentsError> {
        Ok(self.store.changed_at(&account.name, id).await?)
    }

    /// The account's open or dead deliveries, the first scheduled first, after that of a payment. `None`: that payment has
    /// no delivery here.
    pub async fn undelivered(
        &self,
        account: &Account,
        state: Undelivered,
        after: Option<&PaymentId>,
        limit: usize,
    ) -> Result<Option<Vec<ListedDelivery>>, PaymentsError> {
        let found = self.store.undelivered(&account.name, state, after, limit);
        Ok(found.await?)
    }
}
