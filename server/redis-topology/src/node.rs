//! One server and the connection to it, which is dropped and made again when a command fails on it.
//!
//! The connection is shared: commands of many callers are in flight on it at once. It is never trusted to recover by
//! itself: a frozen server, or a network that drops packets, leaves a connection that looks well and does not reply.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, RedisResult, Value, cmd};
use tokio::time::{Instant, timeout};

use super::connector::{CONNECT_TIMEOUT, backoff, connection_config};
use super::error::CommandError;
use super::settings::NodeAddress;

/// After this long without a connection calls fail at once instead of waiting for one.
const GONE_AFTER: Duration = Duration::from_secs(3);

pub(super) struct Node {
    pub(super) address: NodeAddress,
    client: Client,
    config: AsyncConnectionConfig,
    link: Mutex<Link>,
    /// Held while connecting, so that one caller connects and the others wait for it.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Link {
    connection: Option<MultiplexedConnection>,
    /// Counts connections: a failure on an earlier one does not drop the next.
    generation: u64,
    down: Option<Down>,
}

struct Down {
    since: Instant,
    reason: String,
    attempts: u32,
    next_attempt: Instant,
}

impl Node {
    /// A command without a reply within `response_timeout` drops its connection.
    pub(super) fn new(address: NodeAddress, client: Client, response_timeout: Duration) -> Self {
        Self {
            address,
            client,
            config: connection_config(response_timeout),
            link: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    pub(super) async fn send(&self, command: &Cmd) -> Result<Value, CommandError> {
        let (generation, mut connection) = self.connection().await?;
        let reply = command.query_async(&mut connection).await;
        self.classified(generation, reply)
    }

    /// Sends a command to a node that does not own the slot yet.
    pub(super) async fn send_asking(&self, command: &Cmd) -> Result<Value, CommandError> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(cmd("ASKING")).ignore();
        pipeline.add_command(command.clone());
        let mut replies = self.send_pipeline(&mut pipeline).await?;
        replies
            .pop()
            .unwrap_or_else(|| Err(CommandError::Lost("redis sent no reply".into())))
    }

    /// Sends all commands in one write; each has a reply of its own.
    pub(super) async fn send_pipeline(
        &self,
        pipeline: &mut Pipeline,
    ) -> Result<Vec<Result<Value, CommandError>>, CommandError> {
        let (generation, mut connection) = self.connection().await?;
        let replies: RedisResult<Vec<RedisResult<Value>>> =
            pipeline.ignore_errors().query_async(&mut connection).await;
        match replies {
            Ok(replies) => Ok(replies
                .into_iter()
                .map(|reply| self.classified(generation, reply))
                .collect()),
            Err(error) => self.classified(generation, Err(error)),
        }
    }

    fn classified<T>(&self, generation: u64, reply: RedisResult<T>) -> Result<T, CommandError> {
        reply.map_err(|error| {
            let error = CommandError::new(&error, &self.address);
            let mut link = self.link();
            if error.breaks_connection() && link.generation == generation {
                link.connection = None;
            }
            error
        })
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), CommandError> {
        if let Some(connected) = self.connected()? {
            return Ok(connected);
        }
        let Ok(_connecting) = timeout(CONNECT_TIMEOUT, self.connecting.lock()).await else {
            let reason = format!("{} is not connected yet", self.address);
            return Err(CommandError::Unreachable(reason));
        };
        // The caller that connected before this one may have succeeded or failed meanwhile.
        if let Some(connected) = self.connected()? {
            return Ok(connected);
        }
        let attempt = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config);
        // The client's own time-out does not cover all of the handshake.
        let connection = match timeout(CONNECT_TIMEOUT, attempt).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(self.connect_failed(&error.to_string())),
            Err(_) => return Err(self.connect_failed("no reply")),
        };
        let mut link = self.link();
        if let Some(down) = link.down.take() {
            tracing::info!(redis = %self.address, after = ?down.since.elapsed(), "redis is connected again");
        }
        link.generation += 1;
        link.connection = Some(connection.clone());
        Ok((link.generation, connection))
    }

    fn connected(&self) -> Result<Option<(u64, MultiplexedConnection)>, CommandError> {
        let link = self.link();
        if let Some(connection) = &link.connection {
            return Ok(Some((link.generation, connection.clone())));
        }
        match &link.down {
            Some(down) if Instant::now() < down.next_attempt => Err(down.error()),
            _ => Ok(None),
        }
    }

    fn connect_failed(&self, reason: &str) -> CommandError {
        let now = Instant::now();
        let mut link = self.link();
        let mut down = link.down.take().unwrap_or_else(|| {
            tracing::warn!(redis = %self.address, reason, "redis cannot be reached; calls wait or fail until it can");
            Down {
                since: now,
                reason: String::new(),
                attempts: 0,
                next_attempt: now,
            }
        });
        down.reason = format!("{} cannot be reached: {reason}", self.address);
        down.next_attempt = now + backoff(down.attempts);
        down.attempts = down.attempts.saturating_add(1);
        link.down.insert(down).error()
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Down {
    fn error(&self) -> CommandError {
        match self.since.elapsed() > GONE_AFTER {
            true => CommandError::Gone(self.reason.clone()),
            false => CommandError::Unreachable(self.reason.clone()),
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
