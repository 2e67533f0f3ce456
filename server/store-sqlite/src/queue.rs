//! How an async caller hands work to the threads that hold a connection, and gets the answer back.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::error::DatabaseError;
use super::statement_cache::StatementCache;
use chasqui_store::StoreError;

/// Applied first, answered later: between the two stands the commit.
pub(super) trait Operation: Send {
    /// `Err`, with the reason, if its effects are not to be kept.
    fn apply(&mut self, db: &mut StatementCache<'_>) -> Result<(), String>;

    /// Tells the caller what came of it, or why nothing of its group was kept.
    fn answer(self: Box<Self>, committed: &Result<(), String>);
}

pub(super) type Operations = Receiver<Box<dyn Operation>>;

/// Bounded: when it is full, a caller is told so at once rather than left to wait behind everybody else.
#[derive(Debug, Clone)]
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

    /// The work is done even if the caller stops waiting for it.
    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        self.sender
            .try_send(Box::new(Task::Waiting { work, caller }))
            .map_err(|error| self.refused(&error))?;
        match tokio::time::timeout(self.answer_wait, answer).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) => Err(self.stopped()),
            Err(_) => Err(StoreError::Unavailable(format!(
                "no {} was done within {:?}: the disk is too slow or the file is locked",
                self.name, self.answer_wait
            ))),
        }
    }

    fn refused(&self, error: &TrySendError<Box<dyn Operation>>) -> StoreError {
        match error {
            TrySendError::Full(_) => {
                StoreError::Unavailable(format!("the {} queue is full", self.name))
            }
            TrySendError::Disconnected(_) => self.stopped(),
        }
    }

    fn stopped(&self) -> StoreError {
        StoreError::Unavailable(format!("its {} thread has stopped", self.name))
    }
}

enum Task<T, W> {
    Waiting {
        work: W,
        caller: oneshot::Sender<Result<T, DatabaseError>>,
    },
    Applied {
        result: Result<T, DatabaseError>,
        caller: oneshot::Sender<Result<T, DatabaseError>>,
    },
    /// Between the states; nobody sees it.
    Taken,
}

impl<T, W> Operation for Task<T, W>
where
    T: Send,
    W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send,
{
    fn apply(&mut self, db: &mut StatementCache<'_>) -> Result<(), String> {
        let Self::Waiting { work, caller } = std::mem::replace(self, Self::Taken) else {
            return Ok(());
        };
        let result = work(db);
        let applied = match &result {
            Ok(_) => Ok(()),
            Err(error) => Err(error.reason()),
        };
        *self = Self::Applied { result, caller };
        applied
    }

    fn answer(self: Box<Self>, committed: &Result<(), String>) {
        let unavailable = |text: &str| Err(DatabaseError::Unavailable(text.to_owned()));
        let (caller, result) = match (*self, committed) {
            (Self::Applied { caller, result }, Ok(())) => (caller, result),
            // Even a refusal does not stand: it may rest on what another operation of the group did.
            (Self::Applied { caller, .. } | Self::Waiting { caller, .. }, Err(trouble)) => {
                (caller, unavailable(trouble))
            }
            (Self::Waiting { caller, .. }, Ok(())) => (caller, unavailable("it was not tried")),
            (Self::Taken, _) => return,
        };
        // A caller that has gone away needs no answer.
        let _ = caller.send(result);
    }
}

/// Set, with the thread's name, when one of the store's threads panics: what it had in hand is in no known state, and
/// nothing does its work from then on.
pub(super) type PanicReport = watch::Sender<Option<String>>;

/// Threads that serve one queue, until it is dropped: then they finish what is waiting and end.
#[derive(Debug)]
pub(super) struct ThreadPool {
    queue: Option<Queue>,
    threads: Vec<JoinHandle<()>>,
    panic_report: PanicReport,
}

/// Reports the thread that drops it while panicking.
struct ReportsPanic {
    thread: String,
    panic_report: PanicReport,
}

impl Drop for ReportsPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.panic_report
                .send_replace(Some(format!("the thread {} panicked", self.thread)));
        }
    }
}

impl ThreadPool {
    pub(super) fn serving(queue: Queue, panic_report: &PanicReport) -> Self {
        Self {
            queue: Some(queue),
            threads: Vec::new(),
            panic_report: panic_report.clone(),
        }
    }

    pub(super) fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), DatabaseError> {
        let report = ReportsPanic {
            thread: name.to_owned(),
            panic_report: self.panic_report.clone(),
        };
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _report = report;
                work();
            })
            .map_err(|error| {
                DatabaseError::Unavailable(format!("no thread could be started: {error}"))
            })?;
        self.threads.push(thread);
        Ok(())
    }

    pub(super) async fn run<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut StatementCache<'_>) -> Result<T, DatabaseError> + Send + 'static,
    {
        match &self.queue {
            Some(queue) => queue.run(work).await,
            None => Err(StoreError::Unavailable("it is closed".to_owned())),
        }
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a store thread panicked");
            }
        }
    }
}
