//! Writes that replicas must acknowledge: a connection of their own, on which `WAIT` follows each batch.
//!
//! `WAIT` blocks everything behind it on its connection, so nothing else uses this one. While a batch waits for the
//! replicas the next gathers, and one `WAIT` stands for all of a batch.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Pipeline, Value, cmd};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::error::CommandError;
use super::node::Node;

/// Writes that may wait for their batch; further ones fail at once.
const WAITING_WRITES: usize = 4096;

/// The most writes in one batch.
const WRITES_PER_BATCH: usize = 256;

#[derive(Debug)]
pub(super) struct Quorum {
    queue: mpsc::Sender<Write>,
    _work: AbortOnDropHandle<()>,
}

struct Write {
    command: Cmd,
    /// The node does not own the slot yet.
    is_asking: bool,
    reply: oneshot::Sender<Result<Value, CommandError>>,
}

impl Quorum {
    /// `node` must be used for nothing else, and its replies may take `timeout` longer than others.
    pub(super) fn new(node: Arc<Node>, replicas: u8, timeout: Duration) -> Self {
        let (queue, writes) = mpsc::channel(WAITING_WRITES);
        let work = tokio::spawn(work(node, writes, replicas, timeout));
        Self {
            queue,
            _work: AbortOnDropHandle::new(work),
        }
    }

    pub(super) async fn send(&self, command: Cmd, is_asking: bool) -> Result<Value, CommandError> {
        let (reply, replied) = oneshot::channel();
        let write = Write {
            command,
            is_asking,
            reply,
        };
        self.queue
            .try_send(write)
            .map_err(|_| CommandError::Refused("too many writes wait for replicas".into()))?;
        let lost = || CommandError::Lost("the connection to redis broke during the write".into());
        replied.await.unwrap_or_else(|_| Err(lost()))
    }
}

async fn work(node: Arc<Node>, mut writes: mpsc::Receiver<Write>, replicas: u8, timeout: Duration) {
    let mut batch = Vec::with_capacity(WRITES_PER_BATCH);
    while writes.recv_many(&mut batch, WRITES_PER_BATCH).await > 0 {
        // A caller that stopped waiting has failed: its write must not happen after all.
        batch.retain(|write| !write.reply.is_closed());
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
            callers.push(write.reply);
        }
        let mut wait = cmd("WAIT");
        wait.arg(replicas).arg(timeout.as_millis());
        pipeline.add_command(wait);
        let replies = match node.send_pipeline(&mut pipeline).await {
            Ok(mut replies) => {
                let waited = replies.pop();
                replies
                    .into_iter()
                    .map(|reply| acknowledged(reply, waited.as_ref(), replicas, timeout))
                    .collect()
            }
            Err(error) => vec![Err(error); callers.len()],
        };
        for (caller, reply) in callers.into_iter().zip(replies) {
            let _ = caller.send(reply);
        }
    }
}

/// A write's own reply, if the replicas have it.
fn acknowledged(
    reply: Result<Value, CommandError>,
    waited: Option<&Result<Value, CommandError>>,
    replicas: u8,
    timeout: Duration,
) -> Result<Value, CommandError> {
    let value = reply?;
    match waited {
        Some(Ok(Value::Int(count))) if *count >= i64::from(replicas) => Ok(value),
        Some(Ok(Value::Int(count))) => Err(CommandError::Unreplicated(format!(
            "{count} of {replicas} replicas acknowledged the write within {timeout:?}"
        ))),
        Some(Err(error)) => Err(error.clone()),
        _ => Err(CommandError::Lost("redis did not reply to WAIT".into())),
    }
}
