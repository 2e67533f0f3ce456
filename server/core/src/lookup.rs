//! A payment as its account knows it.

use std::sync::Arc;

use chasqui_payment::{Payment, PaymentId};

use crate::account::Account;
use crate::error::PaymentsError;
use crate::payments::Payments;

impl Payments {
    /// This account's payment; where it is unknown here, Khipu is asked.
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

    /// The payment as it stands here. `None`: it is unknown, or no more than a notification about it; that owns nothing,
    /// of any account.
    pub(crate) async fn own_payment(
        &self,
        account: &Account,
        id: &PaymentId,
    ) -> Result<Option<Payment>, PaymentsError> {
        let known = self.store.payment(id).await?;
        match known.filter(|payment| payment.terms.is_some()) {
            Some(payment) if payment.account != account.name => Err(PaymentsError::UnknownPayment),
            own => Ok(own),
        }
    }
}
