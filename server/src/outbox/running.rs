//! A dispatcher that runs, for the outbox's tests, and the ledger that it runs on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fixture::DEADLINE;
use super::{Limits, Outbox, Rebuild};
use crate::account::{Account, Accounts};
use crate::ledger::{
    Attempt, Begun, Finished, IdempotentRequest, KeptNotification, Leased, Ledger, LedgerError,
    Outcome, Settlement, TimelineEntry,
};
use crate::payment::{
    AccountName, ErrandKind, Intent, Observation, Payment, PaymentId, Priority, Ref, State,
    Timestamp,
};

pub(super) type Settled = (Leased, Settlement, Attempt);

/// A ledger that is a list of errands, each with its due time: what a real one promises is tested by its own suite.
#[derive(Debug)]
pub(super) struct Shelf {
    errands: Mutex<Vec<(Timestamp, Leased)>>,
    payments: Mutex<HashMap<PaymentId, (Payment, Option<KeptNotification>)>>,
    settled: mpsc::UnboundedSender<Settled>,
    /// So many calls fail before the ledger is there.
    pub(super) failures: AtomicUsize,
}

impl Shelf {
    fn errands(&self) -> MutexGuard<'_, Vec<(Timestamp, Leased)>> {
        self.errands.lock().expect("errands")
    }

    fn fails(&self) -> Result<(), LedgerError> {
        let left = &self.failures;
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
            Ok(_) => Err(LedgerError::Unavailable("away".into())),
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Ledger for Shelf {
    async fn payment(&self, id: &PaymentId) -> Result<Option<Payment>, LedgerError> {
        let payments = self.payments.lock().expect("payments");
        Ok(payments.get(id).map(|(payment, _)| payment.clone()))
    }

    async fn notification(&self, id: &PaymentId) -> Result<Option<KeptNotification>, LedgerError> {
        let payments = self.payments.lock().expect("payments");
        Ok(payments.get(id).and_then(|(_, kept)| kept.clone()))
    }

    async fn claim(
        &self,
        _: ErrandKind,
        now: Timestamp,
        limit: usize,
        _: Duration,
    ) -> Result<Vec<Leased>, LedgerError> {
        self.fails()?;
        let mut errands = self.errands();
        let due = errands.extract_if(.., |(due_at, _)| *due_at <= now);
        Ok(due.take(limit).map(|(_, leased)| leased).collect())
    }

    async fn next_due(&self, _: ErrandKind) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.errands().iter().map(|(due_at, _)| *due_at).min())
    }

    async fn settle(
        &self,
        leased: &Leased,
        settlement: &Settlement,
        attempt: Option<&Attempt>,
    ) -> Result<bool, LedgerError> {
        self.fails()?;
        if let Settlement::Untried { due_at } = settlement {
            self.errands().push((*due_at, leased.clone()));
        }
        let Some(attempt) = attempt.cloned() else {
            assert!(matches!(settlement, Settlement::Untried { .. }));
            return Ok(true);
        };
        let settled = (leased.clone(), *settlement, attempt);
        let _ = self.settled.send(settled);
        Ok(true)
    }

    async fn intend(&self, _: &Intent) -> Result<(), LedgerError> {
        unreachable!("the outbox makes no payments")
    }

    async fn intent(&self, _: &Ref) -> Result<Option<Intent>, LedgerError> {
        unreachable!("the outbox makes no payments")
    }

    async fn create(&self, _: &Payment) -> Result<Outcome, LedgerError> {
        unreachable!("the outbox makes no payments")
    }

    async fn observe(&self, _: &PaymentId, _: &Observation) -> Result<Outcome, LedgerError> {
        unreachable!("the outbox changes no payment")
    }

    async fn read(&self, _: &[PaymentId]) -> Result<Vec<Option<State>>, LedgerError> {
        unreachable!("the outbox reads whole payments")
    }

    async fn of_transaction(
        &self,
        _: &AccountName,
        _: &str,
    ) -> Result<Vec<PaymentId>, LedgerError> {
        unreachable!("the outbox looks nothing up")
    }

    async fn timeline(&self, _: &PaymentId) -> Result<Vec<TimelineEntry>, LedgerError> {
        unreachable!("the outbox writes timelines only")
    }

    async fn begin(&self, _: &IdempotentRequest) -> Result<Begun, LedgerError> {
        unreachable!("the outbox answers no merchant")
    }

    async fn finish(&self, _: &IdempotentRequest, _: &Finished) -> Result<(), LedgerError> {
        unreachable!("the outbox answers no merchant")
    }

    async fn take_turn(
        &self,
        _: &PaymentId,
        _: Timestamp,
        _: Duration,
    ) -> Result<bool, LedgerError> {
        unreachable!("the outbox asks Khipu only through others")
    }

    async fn reserve_question(
        &self,
        _: &AccountName,
        _: Timestamp,
        _: u32,
    ) -> Result<Duration, LedgerError> {
        unreachable!("the outbox asks Khipu only through others")
    }

    async fn pause_questions(
        &self,
        _: &AccountName,
        _: Timestamp,
        _: Duration,
    ) -> Result<(), LedgerError> {
        unreachable!("the outbox asks Khipu only through others")
    }

    async fn ready(&self) -> Result<(), LedgerError> {
        unreachable!("the outbox finds out by itself")
    }
}

/// Khipu's answer, where no test looks at it.
fn no_answer() -> Rebuild {
    Arc::new(|_, _| Box::pin(async { Ok(Bytes::from_static(b"{}")) }))
}

/// A dispatcher that runs.
pub(super) struct Running {
    pub(super) shelf: Arc<Shelf>,
    wake: Arc<Notify>,
    pub(super) settled: mpsc::UnboundedReceiver<Settled>,
    pub(super) stop: oneshot::Sender<()>,
    pub(super) task: JoinHandle<()>,
}

impl Running {
    pub(super) fn start(account: Account, limits: Limits) -> Self {
        Self::start_with(account, limits, no_answer())
    }

    pub(super) fn start_with(account: Account, limits: Limits, rebuild: Rebuild) -> Self {
        let (sender, settled) = mpsc::unbounded_channel();
        let shelf = Arc::new(Shelf {
            errands: Mutex::default(),
            payments: Mutex::default(),
            settled: sender,
            failures: AtomicUsize::new(0),
        });
        Self::on(shelf, settled, account, limits, rebuild)
    }

    /// Once more, on what the last one left.
    pub(super) async fn started_again(self, account: Account, limits: Limits) -> Self {
        let Self {
            shelf,
            settled,
            stop,
            task,
            ..
        } = self;
        let _ = stop.send(());
        timeout(DEADLINE, task)
            .await
            .expect("stops in time")
            .expect("without a panic");
        Self::on(shelf, settled, account, limits, no_answer())
    }

    fn on(
        shelf: Arc<Shelf>,
        settled: mpsc::UnboundedReceiver<Settled>,
        account: Account,
        limits: Limits,
        rebuild: Rebuild,
    ) -> Self {
        let ledger: Arc<dyn Ledger> = Arc::<Shelf>::clone(&shelf);
        let outbox =
            Outbox::new(ledger, &Accounts::new([account]), rebuild, limits).expect("outbox");
        let wake = Arc::new(Notify::new());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(outbox.run(Arc::clone(&wake), async {
            let _ = stopped.await;
        }));
        Self {
            shelf,
            wake,
            settled,
            stop,
            task,
        }
    }

    /// Puts a delivery on the agenda that `attempts` were made of, and says so.
    pub(super) fn schedule(&self, attempts: u32, what: (Payment, Option<KeptNotification>)) {
        let id = what.0.id.clone();
        let mut payments = self.shelf.payments.lock().expect("payments");
        payments.insert(id.clone(), what);
        drop(payments);
        let leased = Leased {
            kind: ErrandKind::Delivery,
            payment_id: id,
            attempts,
            priority: Priority::default(),
            token: 1,
        };
        let mut errands = self.shelf.errands();
        errands.push((Timestamp::default(), leased));
        drop(errands);
        self.wake.notify_one();
    }

    pub(super) async fn settled(&mut self) -> (Settlement, Attempt) {
        let (_, settlement, attempt) = timeout(DEADLINE, self.settled.recv())
            .await
            .expect("in time")
            .expect("settled");
        (settlement, attempt)
    }

    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        timeout(DEADLINE, self.task)
            .await
            .expect("stops in time")
            .expect("without a panic");
    }
}
