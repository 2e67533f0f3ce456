//! The simulated Khipu: the only place where payments change. Knows no HTTP: the routes of `api`,
//! `control` and the pages parse, call this, and render.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::accounts::SandboxAccounts;
use crate::behaviour::{Behaviour, CallFaults, FaultInjector};
use crate::money::Amount;
use crate::notification;
use crate::notifier::{Notifier, OutgoingNotification};
use crate::options::{SandboxAccount, SandboxOptions};
use crate::payment::{
    Action, Effect, Impossible, Payer, PayerMismatch, Payment, PaymentRequest, Refund, RefundError,
    Status,
};
use crate::state::SandboxState;

/// At this many payments a creation is refused with 503 until a reset, because a gateway may still query
/// the old ones.
pub(crate) const MAX_PAYMENTS: usize = 200_000;

/// The currency of the refund wallet; refunds in another currency do not touch it.
pub(crate) const WALLET_CURRENCY: &str = "CLP";

/// Cheap to clone: every route and every task holds one.
#[derive(Clone)]
pub(crate) struct Simulator(Arc<Inner>);

struct Inner {
    accounts: SandboxAccounts,
    base_url: String,
    state: Arc<Mutex<SandboxState>>,
    injector: Arc<FaultInjector>,
    notifier: Arc<Notifier>,
    /// Closed when the sandbox stops, which ends waiting tasks.
    running: watch::Receiver<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    UnknownPayment,
    Impossible { status: Status },
    Payer(PayerMismatch),
    Refund(RefundError),
    EmptyWallet,
    Full,
}

/// The source of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefundFrom {
    /// Money collected and not yet paid out: the route under the payment.
    Collected,
    /// The merchant's refund wallet: the newer route.
    Wallet,
}

impl Simulator {
    pub(crate) fn new(
        options: &SandboxOptions,
        base_url: String,
        running: watch::Receiver<()>,
    ) -> io::Result<Self> {
        let accounts = SandboxAccounts::new(options)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let injector = Arc::new(FaultInjector::new(options.seed, Behaviour::default()));
        let state = Arc::new(Mutex::new(SandboxState::empty()));
        let notifier = Notifier::new(options, Arc::clone(&injector), Arc::clone(&state))?;
        Ok(Self(Arc::new(Inner {
            accounts,
            base_url,
            state,
            injector,
            notifier: Arc::new(notifier),
            running,
        })))
    }

    pub(crate) fn accounts(&self) -> &SandboxAccounts {
        &self.0.accounts
    }

    /// This sandbox's URL for payers and clients, without a trailing slash.
    pub(crate) fn base_url(&self) -> &str {
        &self.0.base_url
    }

    pub(crate) fn notifier(&self) -> &Notifier {
        &self.0.notifier
    }

    pub(crate) fn create(
        &self,
        owner: &SandboxAccount,
        order: PaymentRequest,
    ) -> Result<Payment, Refusal> {
        let payment = Payment::new(order, owner.receiver_id, Timestamp::now());
        let mut state = self.state();
        if state.payments.len() >= MAX_PAYMENTS {
            return Err(Refusal::Full);
        }
        state.payments.insert(payment.id.clone(), payment.clone());
        Ok(payment)
    }

    /// The payment of any account.
    pub(crate) fn payment(&self, id: &str) -> Result<Payment, Refusal> {
        find(&mut self.state(), id).cloned()
    }

    /// The payment if it is `owner`'s.
    pub(crate) fn payment_of(&self, owner: &SandboxAccount, id: &str) -> Result<Payment, Refusal> {
        find_of(&mut self.state(), owner, id).cloned()
    }

    /// All payments, oldest first.
    pub(crate) fn payments(&self) -> Vec<Payment> {
        let mut payments: Vec<_> = self.state().payments.values().cloned().collect();
        payments.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        payments
    }

    /// Payments of an account or of all, newest first: `length` of them after the first `skip`.
    pub(crate) fn newest_payments(
        &self,
        receiver_id: Option<u64>,
        skip: usize,
        length: usize,
    ) -> Vec<Payment> {
        let state = self.state();
        let mut payments: Vec<_> = state
            .payments
            .values()
            .filter(|payment| receiver_id.is_none_or(|id| payment.receiver_id == id))
            .collect();
        payments.sort_unstable_by_key(|payment| Reverse((payment.created_at, &payment.id)));
        payments
            .into_iter()
            .skip(skip)
            .take(length)
            .cloned()
            .collect()
    }

    /// The number of payments by receiver_id.
    pub(crate) fn payment_counts(&self) -> HashMap<u64, usize> {
        let mut counts = HashMap::new();
        for payment in self.state().payments.values() {
            *counts.entry(payment.receiver_id).or_default() += 1;
        }
        counts
    }

    /// Applies an action and starts the notification if it conciliated the payment.
    pub(crate) fn act(&self, id: &str, action: Action) -> Result<Payment, Refusal> {
        let (payment, effect) = self.change(id, action)?;
        if effect == Effect::Notify {
            self.notify(&payment);
        }
        Ok(payment)
    }

    /// Applies an action without its notification.
    pub(crate) fn act_unnotified(&self, id: &str, action: Action) -> Result<Payment, Refusal> {
        let (payment, _) = self.change(id, action)?;
        Ok(payment)
    }

    fn change(&self, id: &str, action: Action) -> Result<(Payment, Effect), Refusal> {
        let mut state = self.state();
        let payment = find(&mut state, id)?;
        let effect = payment
            .act(action, Timestamp::now())
            .map_err(|impossible| refusal(impossible, payment.status))?;
        Ok((payment.clone(), effect))
    }

    /// The bank page's main button: authorises, and conciliates after the behaviour's delay.
    pub(crate) fn pay(&self, id: &str, payer: Payer) -> Result<Payment, Refusal> {
        let payment = self.act(id, Action::Authorize(payer))?;
        let attempt = payment.attempt_number();
        if let Some(delay) = self.behaviour().conciliation_delay() {
            let simulator = self.clone();
            let id = payment.id.clone();
            self.spawn(async move {
                tokio::time::sleep(delay).await;
                // The payment may have been rejected, conciliated, reset, or resumed meanwhile. A later attempt has its
                // own delay, or none if a second signature is missing.
                if simulator.payment(&id).is_ok_and(|now| {
                    now.status == Status::Verifying && now.attempt_number() == attempt
                }) {
                    let _ = simulator.act(&id, Action::Conciliate);
                }
            });
        }
        Ok(payment)
    }

    pub(crate) fn delete(&self, owner: &SandboxAccount, id: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let payment = find_of(&mut state, owner, id)?;
        payment
            .delete()
            .map_err(|impossible| refusal(impossible, payment.status))
    }

    /// Requests a refund, which is paid after the behaviour's delay.
    pub(crate) fn refund(
        &self,
        owner: &SandboxAccount,
        id: &str,
        amount: Option<Amount>,
        from: RefundFrom,
    ) -> Result<(Payment, Refund), Refusal> {
        let (payment, refund) = self.request_refund(owner, id, amount, from)?;
        if let Some(delay) = self.behaviour().refund_delay() {
            let simulator = self.clone();
            let (id, refund_id) = (payment.id.clone(), refund.id.clone());
            self.spawn(async move {
                tokio::time::sleep(delay).await;
                // A reset deletes the payment meanwhile.
                if let Ok(payment) = find(&mut simulator.state(), &id) {
                    payment.pay_refund(&refund_id);
                }
            });
        }
        Ok((payment, refund))
    }

    fn request_refund(
        &self,
        owner: &SandboxAccount,
        id: &str,
        amount: Option<Amount>,
        from: RefundFrom,
    ) -> Result<(Payment, Refund), Refusal> {
        let mut state = self.state();
        let wallet = state.wallet(owner.receiver_id);
        let payment = find_of(&mut state, owner, id)?;
        let currency = &payment.order.currency;
        let amount = amount.map(|amount| amount.charged_in(currency));
        let charged = from == RefundFrom::Wallet && currency == WALLET_CURRENCY;
        if charged && amount.unwrap_or(payment.remaining()) > wallet {
            return Err(Refusal::EmptyWallet);
        }
        let now = Timestamp::now();
        if from == RefundFrom::Collected && payment.is_paid_out(now) {
            return Err(Refusal::Refund(RefundError::PaidOut));
        }
        let refund = payment.refund(amount, now).map_err(Refusal::Refund)?;
        let answer = (payment.clone(), refund.clone());
        if charged {
            state.set_wallet(owner.receiver_id, wallet.minus(refund.amount));
        }
        Ok(answer)
    }

    pub(crate) fn wallet_balance(&self, owner: &SandboxAccount) -> Amount {
        self.state().wallet(owner.receiver_id)
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        self.0.injector.behaviour()
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.0.injector.replace(behaviour);
    }

    pub(crate) fn call_faults(&self) -> CallFaults {
        self.0.injector.for_call()
    }

    /// Deletes every payment and attempt and restores the default behaviour. Work under way ends because its
    /// payment is gone; an attempt already sent still arrives, but is not recorded.
    pub(crate) fn reset(&self) {
        *self.state() = SandboxState::empty();
        self.0.notifier.forget();
        self.behave(Behaviour::default());
    }

    /// Runs `work` in the background for as long as the sandbox runs.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.0.running.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = work => {}
                _ = running.changed() => {}
            }
        });
    }

    fn notify(&self, payment: &Payment) {
        let order = &payment.order;
        if order.notify_url.is_empty() || order.notify_api_version != "3.0" {
            return;
        }
        let Some(owner) = self.accounts().by_receiver_id(payment.receiver_id) else {
            return;
        };
        if let Some(body) = notification::body(payment, self.base_url()) {
            let notification = OutgoingNotification {
                payment_id: payment.id.clone(),
                url: order.notify_url.clone(),
                owner: Arc::clone(owner),
                body: body.into(),
            };
            let position = self.notifier().next_position();
            self.spawn(Arc::clone(&self.0.notifier).deliver(notification, position));
        }
    }

    fn state(&self) -> MutexGuard<'_, SandboxState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(impossible: Impossible, status: Status) -> Refusal {
    match impossible {
        Impossible::Status => Refusal::Impossible { status },
        Impossible::Payer(mismatch) => Refusal::Payer(mismatch),
    }
}

fn find<'a>(state: &'a mut SandboxState, id: &str) -> Result<&'a mut Payment, Refusal> {
    state.payments.get_mut(id).ok_or(Refusal::UnknownPayment)
}

/// Another account's payment is as unknown as one that does not exist.
fn find_of<'a>(
    state: &'a mut SandboxState,
    owner: &SandboxAccount,
    id: &str,
) -> Result<&'a mut Payment, Refusal> {
    let payment = find(state, id)?;
    if payment.receiver_id == owner.receiver_id {
        Ok(payment)
    } else {
        Err(Refusal::UnknownPayment)
    }
}
