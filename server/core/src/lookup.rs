//! A payment, as one account may see it.

use std::sync::Arc;

use chasqui_payment::{Payment, PaymentId};

use crate::account::Account;
use crate::error::PaymentsError;
use crate::payments::Payments;

impl Payments {
    /// The account's payment. One that is not stored is looked up at Khipu.
    pub async fn require_payment(
        self: &Arc<Self>,
        account: &Arc<Account>,
        id: &PaymentId,
    ) -> Result<Payment, PaymentsError> {
        if let Some(payment) = self.own_payment(account, id).await? {
            return Ok(payment);
        }
        self.refresh_unknown(account, id).await?;
        let payment = self.own_payment(account, id).await?;
        payment.ok_or(PaymentsError::UnknownPayment)
    }

    /// The stored payment. `None`: there is none, or only a notification of one, which does not prove whose it is.
    pub(crate) async fn own_payment(
        &self,
        account: &Account,
        id: &PaymentId,
    ) -> Result<Option<Payment>, PaymentsError> {
        let stored = self.store.payment(id).await?;
        match stored.filter(|payment| payment.terms.is_some()) {
            Some(payment) if payment.account != account.name => Err(PaymentsError::UnknownPayment),
            own => Ok(own),
        }
    }
}
