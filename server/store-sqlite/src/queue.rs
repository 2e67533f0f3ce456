//! How an async caller hands an operation to a thread that holds a connection, and gets the result back.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use chasqui_store::StoreError;
use tokio::sync::oneshot;

use super::error::DatabaseError;
use super::statement_cache::StatementCache;

/// Applied first, answered after the commit.
pub(super) trait Operation: Send {
    /// `Err` if its effects must be rolled back.
    fn apply(&mut self, statements: &mut StatementCache<'_>) -> Result<(), DatabaseError>;

    /// Whether it runs outside a transaction, which some statements must.
    fn is_alone(&self) -> bool;

    /// Sends the caller the result, or why its group was not committed.
    fn answer(self: Box<Self>, committed: &Result<(), DatabaseError>);
}

pub(super) type Operations = Receiver<Box<dyn Operation>>;

/// Bounded: a full queue refuses at once instead of making the caller wait.
#[derive(Debug)]
pub(super) struct Queue {
    name: &'static str,
    sender: SyncSender<Box<dyn Operation>>,
    answer_wait: Duration,
}

impl Queue {
    pub(super) fn bounded(
        name: &'static str,
        limit: usize,
        answer_wait: Duration,
    ) -> (Self, Operations) {
        let (sender, operations) = sync_channel(limit);
        let queue = Self {
            name,
            sender,
            answer_wait,
        };
        (queue, operations)
    }

    /// The operation is carried out even if the caller stops waiting.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send + 'static,
    {
        self.queue(work, false).await
    }

    /// The same, outside a transaction.
    pub(super) async fn run_alone<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send + 'static,
    {
        self.queue(work, true).await
    }

    async fn queue<T, W>(&self, work: W, is_alone: bool) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let pending = Pending {
            work: Some(work),
            is_alone,
            result: Err(DatabaseError::unavailable("it was not tried")),
            caller,
        };
        let name = self.name;
        let stopped = || StoreError::Unavailable(format!("the {name} thread has stopped"));
        self.sender
            .try_send(Box::new(pending))
            .map_err(|error| match error {
                TrySendError::Full(_) => {
                    StoreError::Unavailable(format!("the {name} queue is full"))
                }
                TrySendError::Disconnected(_) => stopped(),
            })?;
        match tokio::time::timeout(self.answer_wait, answer).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(stopped()),
            Err(_) => Err(StoreError::Unavailable(format!(
                "no {name} was done within {:?}: the disk is too slow or the file is locked",
                self.answer_wait
            ))),
        }
    }
}

struct Pending<T, W> {
    /// `None` once it is applied.
    work: Option<W>,
    is_alone: bool,
    result: Result<T, DatabaseError>,
    caller: oneshot::Sender<Result<T, DatabaseError>>,
}

impl<T, W> Operation for Pending<T, W>
where
    T: Send,
    W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send,
{
    fn apply(&mut self, statements: &mut StatementCache<'_>) -> Result<(), DatabaseError> {
        if let Some(work) = self.work.take() {
            self.result = work(statements);
        }
        self.result.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    fn is_alone(&self) -> bool {
        self.is_alone
    }

    fn answer(self: Box<Self>, committed: &Result<(), DatabaseError>) {
        // Even a refusal does not stand without the commit: it may rest on another operation of the group.
        let result = committed.clone().and(self.result);
        // A caller that has gone away needs no answer.
        let _ = self.caller.send(result);
    }
}
