//! Subscribes at one server: connects, subscribes everything that is wanted there, receives, and starts again when the
//! connection fails.
//!
//! A server that dies closes the connection; a frozen one, or a network that drops packets, sends nothing at all. So the
//! server is pinged every second, and a missing reply ends the connection. Changes may have been published in between: once
//! everything is subscribed again, all of it must be read again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chasqui_payment::PaymentId;
use chasqui_redis_topology::{NodeAddress, Partition, PubSubConnection, backoff};
use chasqui_store::Change;
use redis::{Cmd, PushKind, Value, cmd};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::relay_state::RelayState;
use crate::change;

const PING_INTERVAL: Duration = Duration::from_secs(1);

/// How long a reply to a ping may take, and how long a command may take to be sent.
const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// The next attempt waits longer after a connection that fails sooner than this, for each attempt subscribes and reads
/// everything again.
const STABLE_AFTER: Duration = Duration::from_secs(5);

/// Channels in one command.
const CHANNELS_PER_COMMAND: usize = 500;

/// Channels subscribed before their confirmations are read: a server disconnects a client with megabytes of unread replies.
const CHANNELS_AT_ONCE: usize = 10_000;

/// How `CLIENT LIST` shows the connection.
const CLIENT_NAME: &str = "chasqui-relay";

/// Why a connection is given up; for people.
type DisconnectReason = String;

pub(super) struct NodeSubscriber {
    state: Arc<RelayState>,
    address: NodeAddress,
    partitions: Vec<Partition>,
    /// The registry has commands for the server.
    changed: Arc<Notify>,
}

impl NodeSubscriber {
    pub(super) fn new(
        state: Arc<RelayState>,
        address: NodeAddress,
        partitions: Vec<Partition>,
    ) -> Self {
        Self {
            state,
            address,
            partitions,
            changed: Arc::new(Notify::new()),
        }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        let mut attempts = 0;
        let mut disconnected_since = None;
        loop {
            let began_at = Instant::now();
            let Err(reason) = self.connect_and_receive(&mut disconnected_since).await;
            if began_at.elapsed() > STABLE_AFTER {
                attempts = 0;
            }
            self.state.registry.detach(&self.partitions, &reason);
            self.state.redis.refresh_owners();
            if disconnected_since.is_none() {
                tracing::warn!(redis = %self.address, reason, "relay connection lost; changes from other instances are delayed");
                metrics::counter!("chasqui_relay_disconnects_total").increment(1);
                disconnected_since = Some(Instant::now());
            }
            sleep(backoff(attempts)).await;
            attempts = attempts.saturating_add(1);
        }
    }

    /// The life of one connection.
    async fn connect_and_receive(
        &self,
        disconnected_since: &mut Option<Instant>,
    ) -> Result<Infallible, DisconnectReason> {
        let settings = self.state.redis.settings();
        let connection = PubSubConnection::open(settings, &self.address, CLIENT_NAME)
            .await
            .map_err(|failure| failure.0)?;
        let mut session = SubscriberSession {
            subscriber: self,
            connection,
            unconfirmed: HashMap::new(),
            pinged_at: None,
        };
        let missed = session.subscribe_all().await?;
        if let Some(since) = disconnected_since.take() {
            tracing::info!(redis = %self.address, after = ?since.elapsed(), channels = missed.len(), "relay connection restored");
        }
        if !missed.is_empty() {
            self.state.listener.missed(missed);
        }
        session.receive().await
    }
}

struct SubscriberSession<'a> {
    subscriber: &'a NodeSubscriber,
    connection: PubSubConnection,
    /// Commands about a channel without a confirmation yet. Replies come in the order of the commands: the last one
    /// counts.
    unconfirmed: HashMap<PaymentId, u32>,
    /// When the server was pinged, if it has not replied yet.
    pinged_at: Option<Instant>,
}

/// What the server sent, as far as it matters here.
enum Received {
    Change(Change),
    Probe(u64),
    Subscribed(PaymentId),
    Unsubscribed(PaymentId),
    Pong,
    /// A change of this payment that cannot be read.
    UnknownForm(PaymentId),
    Error(String),
    Other,
}

impl SubscriberSession<'_> {
    /// Everything that is wanted. Returns it: changes of these may have been missed until now.
    async fn subscribe_all(&mut self) -> Result<Vec<PaymentId>, DisconnectReason> {
        let NodeSubscriber {
            state,
            partitions,
            changed,
            ..
        } = self.subscriber;
        let wanted = state.registry.attach(partitions, changed);
        let probe = state.probe_channel(partitions[0]);
        self.send(cmd(state.commands.subscribe).arg(probe)).await?;
        for part in wanted.chunks(CHANNELS_AT_ONCE) {
            self.send_about(state.commands.subscribe, part).await?;
            self.confirmed().await?;
        }
        Ok(wanted)
    }

    /// Returns once every command sent so far has its reply: the reply to a ping comes after all others.
    async fn confirmed(&mut self) -> Result<(), DisconnectReason> {
        self.ping().await?;
        while self.pinged_at.is_some() {
            let frame = timeout(REPLY_TIMEOUT, self.connection.next_frame())
                .await
                .map_err(|_| no_reply())?
                .map_err(|error| error.to_string())?;
            self.handle(parse(frame))?;
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Infallible, DisconnectReason> {
        let subscriber = self.subscriber;
        // A change of the registry during `subscribe_all` may have used up its notification.
        subscriber.changed.notify_one();
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // What was sent already is received before the connection is given up.
                biased;
                frame = self.connection.next_frame() => {
                    let frame = frame.map_err(|error| error.to_string())?;
                    self.handle(parse(frame))?;
                }
                () = subscriber.changed.notified() => self.send_pending().await?,
                _ = pings.tick() => match self.pinged_at {
                    Some(at) if at.elapsed() >= REPLY_TIMEOUT => return Err(no_reply()),
                    Some(_) => {}
                    None => self.ping().await?,
                },
            }
        }
    }

    async fn send_pending(&mut self) -> Result<(), DisconnectReason> {
        let RelayState {
            registry, commands, ..
        } = &*self.subscriber.state;
        let pending = registry.pending_commands(&self.subscriber.partitions);
        self.send_about(commands.unsubscribe, &pending.unsubscribe)
            .await?;
        self.send_about(commands.subscribe, &pending.subscribe)
            .await
    }

    /// Subscribes or unsubscribes, many channels a command.
    async fn send_about(
        &mut self,
        name: &'static str,
        ids: &[PaymentId],
    ) -> Result<(), DisconnectReason> {
        // A cluster takes channels of one slot at a time; those of a partition lie together here.
        let is_sharded = self.subscriber.state.commands.is_sharded;
        let fits = |a: &PaymentId, b: &PaymentId| {
            !is_sharded || Partition::of(a.as_str()) == Partition::of(b.as_str())
        };
        for batch in ids
            .chunk_by(fits)
            .flat_map(|ids| ids.chunks(CHANNELS_PER_COMMAND))
        {
            let mut command = cmd(name);
            for id in batch {
                command.arg(change::channel(id));
                *self.unconfirmed.entry(id.clone()).or_default() += 1;
            }
            self.send(&command).await?;
        }
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), DisconnectReason> {
        self.pinged_at = Some(Instant::now());
        self.send(&cmd("PING")).await
    }

    async fn send(&mut self, command: &Cmd) -> Result<(), DisconnectReason> {
        timeout(REPLY_TIMEOUT, self.connection.send(command))
            .await
            .map_err(|_| no_reply())?
            .map_err(|error| error.to_string())
    }

    fn handle(&mut self, received: Received) -> Result<(), DisconnectReason> {
        let state = &self.subscriber.state;
        match received {
            Received::Change(change) => state.listener.changed(change),
            Received::Probe(number) => {
                state.probe_received(self.subscriber.partitions[0], number);
            }
            Received::Pong => self.pinged_at = None,
            Received::Subscribed(id) => {
                if self.confirm(&id) == Some(0) {
                    state.registry.confirm(&id);
                }
            }
            Received::Unsubscribed(id) => {
                if self.confirm(&id).is_none() {
                    return Err("a slot moved to another server".into());
                }
            }
            Received::UnknownForm(payment_id) => {
                tracing::warn!(%payment_id, "ignored a change in an unknown form; another version of chasqui publishes here");
            }
            Received::Error(text) => return Err(text),
            Received::Other => {}
        }
        Ok(())
    }

    /// How many commands about the channel are still unconfirmed; `None`: none was sent.
    fn confirm(&mut self, id: &PaymentId) -> Option<u32> {
        let commands = self.unconfirmed.get_mut(id)?;
        *commands -= 1;
        let left = *commands;
        if left == 0 {
            self.unconfirmed.remove(id);
        }
        Some(left)
    }
}

fn no_reply() -> DisconnectReason {
    "redis does not reply".into()
}

fn parse(frame: Value) -> Received {
    match frame {
        Value::Push { kind, data } => match (kind, &data[..]) {
            (
                PushKind::Message | PushKind::SMessage,
                [Value::BulkString(channel), Value::BulkString(payload)],
            ) => parse_message(channel, payload),
            (PushKind::Subscribe | PushKind::SSubscribe, [Value::BulkString(channel), _]) => {
                change::payment_of(channel).map_or(Received::Other, Received::Subscribed)
            }
            (PushKind::Unsubscribe | PushKind::SUnsubscribe, [Value::BulkString(channel), _]) => {
                change::payment_of(channel).map_or(Received::Other, Received::Unsubscribed)
            }
            _ => Received::Other,
        },
        Value::SimpleString(text) if text == "PONG" => Received::Pong,
        Value::ServerError(error) => Received::Error(error.to_string()),
        _ => Received::Other,
    }
}

fn parse_message(channel: &[u8], payload: &[u8]) -> Received {
    match (change::payment_of(channel), change::parse(payload)) {
        (Some(payment_id), Some(state)) => Received::Change(Change { payment_id, state }),
        (Some(payment_id), None) => Received::UnknownForm(payment_id),
        (None, _) => std::str::from_utf8(payload)
            .ok()
            .and_then(|text| text.parse().ok())
            .map_or(Received::Other, Received::Probe),
    }
}
