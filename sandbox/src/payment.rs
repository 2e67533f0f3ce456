//! One payment and its transitions. Pure: `now` is an argument, and nothing is sent from here. `answers` and
//! `notification` define its form on the wire.

mod order;
mod refund;
mod status;

use jiff::{SignedDuration, Timestamp};

pub(crate) use self::order::{Payer, PayerMismatch, PaymentRequest};
pub(crate) use self::refund::{Refund, RefundError, RefundStatus};
pub(crate) use self::status::{Status, StatusDetail};
use crate::catalogue::{Bank, DEMO_BANK};
use crate::identifiers::{new_payment_id, new_token};
use crate::money::Amount;
use crate::payment_method::Method;

/// Khipu's default without an expires_date.
const DEFAULT_TERM: SignedDuration = SignedDuration::from_hours(24);

/// How long one attempt to pay may last, from the payer's authorisation, regardless of expires_date.
const ATTEMPT_TERM: SignedDuration = SignedDuration::from_hours(3);

/// The payer of a payment that is not for one payer only.
const TEST_PAYER: &str = "44.444.444-4";

/// How far into the past `expire` moves expires_date, so that an earlier attempt has no time left.
const EXPIRED_BY: SignedDuration = SignedDuration::from_secs(3 * 3600 + 60);

/// The bank's data of a payment, known once the payer authorised it.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) bank: &'static Bank,
    pub(crate) method: Method,
    pub(crate) payer_name: String,
    pub(crate) payer_email: String,
    pub(crate) personal_identifier: String,
    pub(crate) account_number: &'static str,
}

/// One attempt of the payer to pay. A later one replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PayerAttempt {
    /// From 1.
    pub(crate) number: u32,
    /// After this the payer may begin another while Khipu is still verifying.
    pub(crate) ends_at: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) id: String,
    pub(crate) notification_token: String,
    pub(crate) receiver_id: u64,
    pub(crate) order: PaymentRequest,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) status: Status,
    /// The latest.
    pub(crate) attempt: Option<PayerAttempt>,
    pub(crate) transfer: Option<Transfer>,
    pub(crate) conciliated_at: Option<Timestamp>,
    pub(crate) operation_code: Option<String>,
    pub(crate) refunds: Vec<Refund>,
}

/// The transitions of a payment outside Khipu's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Authorize(Payer),
    Conciliate,
    Reject,
    Abuse,
    Reverse,
    MarkPaid,
    Expire,
    PayRefunds,
}

/// The consequence of a transition for the merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    /// Khipu notifies the merchant, because the payment was conciliated.
    Notify,
}

/// Why a transition is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Impossible {
    /// From the payment's status.
    Status,
    /// By this payer.
    Payer(PayerMismatch),
}

impl Payment {
    pub(crate) fn new(order: PaymentRequest, receiver_id: u64, now: Timestamp) -> Self {
        Self {
            id: new_payment_id(),
            notification_token: new_token(),
            receiver_id,
            created_at: now,
            expires_at: order
                .expires_at
                .or_else(|| now.checked_add(DEFAULT_TERM).ok())
                .unwrap_or(Timestamp::MAX),
            status: Status::Pending,
            attempt: None,
            transfer: None,
            conciliated_at: None,
            operation_code: None,
            refunds: Vec::new(),
            order,
        }
    }

    /// Applies `action`, or changes nothing.
    ///
    /// The payer may resume: authorise and conciliate work after expires_date, after a rejection and after
    /// a mark of abuse. After a deletion only conciliate does: the transfer was already under way.
    pub(crate) fn act(&mut self, action: Action, now: Timestamp) -> Result<Effect, Impossible> {
        use Status::{Deleted, Done, Pending, Verifying};
        use StatusDetail::{MarkedAsAbuse, RejectedByPayer};
        match (action, self.status) {
            (Action::Authorize(payer), _) if self.may_authorize(now) => {
                self.order.admits(&payer).map_err(Impossible::Payer)?;
                self.status = Verifying;
                self.attempt = Some(self.next_attempt(now));
                self.transfer = Some(self.transfer_by(payer));
                Ok(Effect::Nothing)
            }
            (
                Action::Conciliate,
                Pending | Verifying | Deleted | Done(RejectedByPayer | MarkedAsAbuse),
            ) => {
                if self.transfer.is_none() {
                    self.transfer = Some(self.transfer_by(Payer::default()));
                }
                self.operation_code = self.operation_code_at(now);
                Ok(self.conciliated(StatusDetail::Normal, now))
            }
            (Action::MarkPaid, Pending | Verifying | Done(RejectedByPayer | MarkedAsAbuse)) => {
                Ok(self.conciliated(StatusDetail::MarkedPaidByReceiver, now))
            }
            (Action::Reject, Pending | Verifying) => {
                self.status = Done(RejectedByPayer);
                Ok(Effect::Nothing)
            }
            (Action::Abuse, Pending | Verifying) => {
                self.status = Done(MarkedAsAbuse);
                Ok(Effect::Nothing)
            }
            (
                Action::Reverse,
                Done(
                    StatusDetail::Normal
                    | StatusDetail::MarkedPaidByReceiver
                    | StatusDetail::PartiallyRefunded,
                ),
            ) => {
                self.status = Done(StatusDetail::Reversed);
                Ok(Effect::Nothing)
            }
            (Action::Expire, Pending | Verifying | Done(RejectedByPayer | MarkedAsAbuse)) => {
                let past = now.checked_sub(EXPIRED_BY).unwrap_or(Timestamp::MIN);
                self.expires_at = self.expires_at.min(past);
                if let Some(attempt) = &mut self.attempt {
                    attempt.ends_at = attempt.ends_at.min(now);
                }
                Ok(Effect::Nothing)
            }
            (Action::PayRefunds, _) if self.has_pending_refund() => {
                for refund in &mut self.refunds {
                    refund.status = RefundStatus::Paid;
                }
                Ok(Effect::Nothing)
            }
            _ => Err(Impossible::Status),
        }
    }

    /// Only a pending payment can be deleted.
    pub(crate) fn delete(&mut self) -> Result<(), Impossible> {
        if self.status != Status::Pending {
            return Err(Impossible::Status);
        }
        self.status = Status::Deleted;
        Ok(())
    }

    /// Refunds an amount; `None` means all that remains. Two calls refund twice.
    pub(crate) fn refund(
        &mut self,
        amount: Option<Amount>,
        now: Timestamp,
    ) -> Result<Refund, RefundError> {
        let (Status::Done(StatusDetail::Normal | StatusDetail::PartiallyRefunded), remaining) =
            (self.status, self.remaining())
        else {
            return Err(RefundError::NotPaid);
        };
        let amount = amount.unwrap_or(remaining);
        if amount > remaining {
            return Err(RefundError::MoreThanRemains);
        }
        let refund = Refund::new(amount, now);
        self.refunds.push(refund.clone());
        self.status = Status::Done(if self.remaining() == Amount::ZERO {
            StatusDetail::FullyRefunded
        } else {
            StatusDetail::PartiallyRefunded
        });
        Ok(refund)
    }

    /// Ends one refund. Does nothing if it is unknown or already paid.
    pub(crate) fn pay_refund(&mut self, refund_id: &str) {
        let mut refunds = self.refunds.iter_mut();
        if let Some(refund) = refunds.find(|refund| refund.id == refund_id) {
            refund.status = RefundStatus::Paid;
        }
    }

    fn has_pending_refund(&self) -> bool {
        let mut refunds = self.refunds.iter();
        refunds.any(|refund| refund.status == RefundStatus::Pending)
    }

    /// Whether the collected money was paid out to the merchant.
    pub(crate) fn is_paid_out(&self, now: Timestamp) -> bool {
        self.order.confirm_timeout_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn total_refunded(&self) -> Amount {
        self.refunds
            .iter()
            .fold(Amount::ZERO, |total, refund| total.plus(refund.amount))
    }

    /// The amount that can still be refunded.
    pub(crate) fn remaining(&self) -> Amount {
        self.order.amount.minus(self.total_refunded())
    }

    /// Whether the payer can begin an attempt: the first, one after giving up, or one after the term of the
    /// last is over.
    pub(crate) fn may_authorize(&self, now: Timestamp) -> bool {
        match self.status {
            Status::Pending
            | Status::Done(StatusDetail::RejectedByPayer | StatusDetail::MarkedAsAbuse) => true,
            Status::Verifying => self.attempt.is_some_and(|attempt| attempt.ends_at <= now),
            Status::Done(_) | Status::Deleted => false,
        }
    }

    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        now > self.expires_at
    }

    pub(crate) fn out_of_date_conciliation(&self) -> bool {
        self.conciliated_at.is_some_and(|at| self.is_expired(at))
    }

    /// The number of attempts that the payer has begun.
    pub(crate) fn attempt_number(&self) -> u32 {
        self.attempt.map_or(0, |attempt| attempt.number)
    }

    fn next_attempt(&self, now: Timestamp) -> PayerAttempt {
        PayerAttempt {
            number: self.attempt_number().saturating_add(1),
            ends_at: now.checked_add(ATTEMPT_TERM).unwrap_or(Timestamp::MAX),
        }
    }

    fn conciliated(&mut self, outcome: StatusDetail, now: Timestamp) -> Effect {
        self.status = Status::Done(outcome);
        self.conciliated_at = Some(now);
        Effect::Notify
    }

    fn transfer_by(&self, payer: Payer) -> Transfer {
        let or = |given: &str, demo: &str| if given.is_empty() { demo } else { given }.to_owned();
        Transfer {
            bank: Bank::find(&self.order.bank_id).unwrap_or(DEMO_BANK),
            method: payer
                .method
                .or(self.order.mandatory_method)
                .unwrap_or(Method::Simplified),
            payer_name: or(&self.order.payer_name, "Pagador de prueba"),
            payer_email: or(&self.order.payer_email, "pagador@example.com"),
            personal_identifier: payer
                .personal_identifier
                .unwrap_or_else(|| self.test_payer().to_owned()),
            account_number: "000000000000444444444",
        }
    }

    /// The identifier of the payer on the bank page.
    pub(crate) fn test_payer(&self) -> &str {
        let fixed = &self.order.fixed_payer_personal_identifier;
        if fixed.is_empty() { TEST_PAYER } else { fixed }
    }

    fn operation_code_at(&self, now: Timestamp) -> Option<String> {
        let bank = self.transfer.as_ref()?.bank;
        bank.gives_operation_codes.then(|| {
            let day: String = now
                .to_string()
                .chars()
                .take(10)
                .filter(char::is_ascii_digit)
                .collect();
            format!("AUT-{day}-{}", self.id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn later(hours: i64, seconds: i64) -> Timestamp {
        now()
            .checked_add(SignedDuration::from_secs(hours * 3600 + seconds))
            .expect("a time")
    }

    fn authorize() -> Action {
        Action::Authorize(Payer::default())
    }

    fn payment() -> Payment {
        let order =
            crate::validation::order(br#"{"amount":1000,"currency":"CLP","subject":"x"}"#, false);
        Payment::new(order.expect("an order"), 1, now())
    }

    #[test]
    fn each_attempt_has_its_own_three_hours() {
        let mut payment = payment();
        payment.act(authorize(), now()).expect("the first attempt");
        let just_before = later(3, -1);
        assert_eq!(
            payment.act(authorize(), just_before),
            Err(Impossible::Status)
        );
        payment.act(authorize(), later(3, 0)).expect("a second");
        assert_eq!(
            payment.act(authorize(), later(6, -1)),
            Err(Impossible::Status)
        );
        payment.act(Action::Reject, later(6, -1)).expect("given up");
        payment.act(authorize(), later(6, -1)).expect("a third");
        let attempt = payment.attempt.expect("an attempt");
        assert_eq!((attempt.number, attempt.ends_at), (3, later(9, -1)));
    }

    #[test]
    fn an_attempt_that_began_after_expiry_has_three_hours_too_and_is_out_of_date() {
        let mut payment = payment();
        payment.act(Action::Expire, now()).expect("expired");
        payment.act(authorize(), now()).expect("resumed");
        assert_eq!(payment.status, Status::Verifying);
        assert_eq!(payment.attempt.expect("one").ends_at, later(3, 0));
        let effect = payment.act(Action::Conciliate, later(2, 0));
        assert_eq!(effect, Ok(Effect::Notify));
        assert!(payment.out_of_date_conciliation());
    }

    #[test]
    fn a_paid_payment_takes_no_further_attempt() {
        let mut payment = payment();
        payment.act(Action::Conciliate, now()).expect("paid");
        assert!(!payment.may_authorize(later(30, 0)));
        payment.act(Action::Reverse, now()).expect("reversed");
        assert!(!payment.may_authorize(later(30, 0)));
    }
}
