//! The store's threads, each with a connection of its own.

use std::thread::{self, JoinHandle};

use chasqui_store::StoreError;
use tokio::sync::watch;

use super::error::DatabaseError;
use super::queue::Queue;

/// Set, with the thread's name, when one of the store's threads panics: its operations are in an unknown state, and no
/// other thread takes over.
pub(super) type FailureReport = watch::Sender<Option<String>>;

/// Threads that serve one queue. Dropping the pool lets them finish what is queued, and waits for them.
#[derive(Debug)]
pub(super) struct ThreadPool {
    queue: Option<Queue>,
    threads: Vec<JoinHandle<()>>,
    failure: FailureReport,
}

/// Reports the thread that drops it while panicking.
struct PanicGuard {
    thread: String,
    failure: FailureReport,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            let reason = format!("the thread {} panicked", self.thread);
            self.failure.send_replace(Some(reason));
        }
    }
}

impl ThreadPool {
    pub(super) fn new(queue: Queue, failure: &FailureReport) -> Self {
        Self {
            queue: Some(queue),
            threads: Vec::new(),
            failure: failure.clone(),
        }
    }

    pub(super) fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), DatabaseError> {
        let guard = PanicGuard {
            thread: name.to_owned(),
            failure: self.failure.clone(),
        };
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _guard = guard;
                work();
            })
            .map_err(|error| {
                DatabaseError::unavailable(format!("no thread could be started: {error}"))
            })?;
        self.threads.push(thread);
        Ok(())
    }

    pub(super) fn queue(&self) -> Result<&Queue, StoreError> {
        self.queue.as_ref().ok_or_else(|| {
            StoreError::Unavailable("the sqlite file is closed: the process is stopping".to_owned())
        })
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(
                    "a thread of the sqlite store panicked; the process ends, and its restart recovers"
                );
            }
        }
    }
}
