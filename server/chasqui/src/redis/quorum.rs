//! Writes that count only once replicas have them: a connection of their own, on which `WAIT` follows each batch.
//!
//! `WAIT` holds up everything behind it on its connection, so nothing else uses this one. While a batch waits for the
//! replicas the next gathers, and one `WAIT` answers for all of a batch.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Pipeline, Value, cmd};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::error::CommandError;
use super::node::Node;

/// Writes that may wait for their batch; one more is refused at once.
const QUEUE: usize = 4096;

/// The most writes in one batch.
const BATCH: usize = 256;

#[derive(Debug)]
pub(super) struct Quorum {
    queue: mpsc::Sender<Write>,
    _work: AbortOnDropHandle<()>,
}

struct Write {
    command: Cmd,
    /// The node does not own the slot yet.
    is_asking: bool,
    answer: oneshot::Sender<Result<Value, CommandError>>,
}

impl Quorum {
    /// `node`'s connection must be used by nobody else, and its answers may take `timeout` longer than others.
    pub(super) fn new(node: Arc<Node>, replicas: u8, timeout: Duration) -> Self {
        let (queue, writes) = mpsc::channel(QUEUE);
        let work = tokio::spawn(work(node, writes, replicas, timeout));
        Self {
            queue,
            _work: AbortOnDropHandle::new(work),
        }
    }

    pub(super) async fn send(&self, command: Cmd, is_asking: bool) -> Result<Value, CommandError> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(Write {
                command,
                is_asking,
                answer,
            })
            .map_err(|_| CommandError::Refused("too many writes wait for redis".into()))?;
        answered
            .await
            .unwrap_or_else(|_| Err(CommandError::Lost("the write broke off".into())))
    }
}

async fn work(node: Arc<Node>, mut writes: mpsc::Receiver<Write>, replicas: u8, timeout: Duration) {
    let mut batch = Vec::with_capacity(BATCH);
    while writes.recv_many(&mut batch, BATCH).await > 0 {
        // Whoever stopped waiting may have been told that it failed: better that it did not happen.
        batch.retain(|write| !write.answer.is_closed());
        if batch.is_empty() {
            continue;
        }
        let mut pipeline = Pipeline::with_capacity(batch.len() + 1);
        let mut callers = Vec::with_capacity(batch.len());
        for write in batch.drain(..) {
            if write.is_asking {
                pipeline.add_command(cmd("ASKING")).ignore();
            }
            pipeline.add_command(write.command);
            callers.push(write.answer);
        }
        let mut wait = cmd("WAIT");
        wait.arg(replicas).arg(timeout.as_millis());
        pipeline.add_command(wait);
        let answers = match node.send_together(&mut pipeline).await {
            Ok(mut answers) => {
                let waited = answers.pop();
                answers
                    .into_iter()
                    .map(|answer| confirmed(answer, waited.as_ref(), replicas, timeout))
                    .collect()
            }
            Err(trouble) => vec![Err(trouble); callers.len()],
        };
        for (caller, answer) in callers.into_iter().zip(answers) {
            let _ = caller.send(answer);
        }
    }
}

/// A write's own answer, if the replicas have it.
fn confirmed(
    answer: Result<Value, CommandError>,
    waited: Option<&Result<Value, CommandError>>,
    replicas: u8,
    timeout: Duration,
) -> Result<Value, CommandError> {
    let value = answer?;
    match waited {
        Some(Ok(Value::Int(count))) if *count >= i64::from(replicas) => Ok(value),
        Some(Ok(Value::Int(count))) => Err(CommandError::Unreplicated(format!(
            "{count} of {replicas} replicas confirmed the write within {timeout:?}"
        ))),
        Some(Err(trouble)) => Err(trouble.clone()),
        _ => Err(CommandError::Lost("redis did not answer WAIT".into())),
    }
}
