//! Listens to one server, for ever: connects, subscribes everything that is wanted there, hears, and begins anew at the
//! first doubt.
//!
//! A server that dies closes the connection; one that is frozen, or a network that swallows, says nothing at all. So it is
//! asked every second whether it is there, and an answer that does not come is the end of the connection. Something may
//! have been told in between: once everything is subscribed again, all of it is to be read again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, PushKind, Value, cmd};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::Shared;
use crate::payment::PaymentId;
use crate::redis::line::Line;
use crate::redis::{Address, Partition, backoff};
use crate::relay::Change;
use crate::store::redis::change;

/// Between two questions whether the server is there.
const PING_EVERY: Duration = Duration::from_secs(1);

/// How long it may take to say so, and to take a command.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Between two attempts to connect, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that is cut sooner than this was no good: the next attempt waits longer, for each subscribes and reads
/// everything anew.
const PROVEN_AFTER: Duration = Duration::from_secs(5);

/// Channels in one command.
const CHANNELS_PER_COMMAND: usize = 500;

/// Channels subscribed before their confirmations are read: a server cuts whoever lets megabytes pile up.
const CHANNELS_AT_ONCE: usize = 10_000;

/// How `CLIENT LIST` shows the connection.
const CLIENT_NAME: &str = "chasqui-relay";

/// Why a connection is given up.
type Doubt = String;

pub(super) struct Ear {
    shared: Arc<Shared>,
    address: Address,
    partitions: Vec<Partition>,
    /// Something on the board is to be told to the server.
    changed: Arc<Notify>,
}

impl Ear {
    pub(super) fn new(shared: Arc<Shared>, address: Address, partitions: Vec<Partition>) -> Self {
        Self {
            shared,
            address,
            partitions,
            changed: Arc::new(Notify::new()),
        }
    }

    /// Until it is dropped.
    pub(super) async fn listen(self) {
        let mut attempts = 0;
        let mut deaf_since = None;
        loop {
            let began_at = Instant::now();
            let why = match self.hear(&mut deaf_since).await {
                Err(doubt) => doubt,
                Ok(never) => match never {},
            };
            if began_at.elapsed() > PROVEN_AFTER {
                attempts = 0;
            }
            self.shared.board.end(&self.partitions, &why);
            self.shared.redis.routes().doubt();
            if deaf_since.is_none() {
                tracing::warn!(redis = %self.address, why, "changes from elsewhere are not heard");
                metrics::counter!("chasqui_relay_losses_total").increment(1);
                deaf_since = Some(Instant::now());
            }
            sleep(backoff(attempts, LONGEST_PAUSE)).await;
            attempts = attempts.saturating_add(1);
        }
    }

    /// One connection's life.
    async fn hear(
        &self,
        deaf_since: &mut Option<Instant>,
    ) -> Result<std::convert::Infallible, Doubt> {
        let line = Line::open(self.shared.redis.settings(), &self.address, CLIENT_NAME)
            .await
            .map_err(|failure| failure.0)?;
        let mut conversation = Conversation::new(self, line);
        let missed = conversation.subscribe_all().await?;
        if let Some(since) = deaf_since.take() {
            tracing::info!(redis = %self.address, after = ?since.elapsed(), channels = missed.len(), "changes are heard again");
        }
        if !missed.is_empty() {
            self.shared.listener.missed(missed);
        }
        conversation.go_on().await
    }
}

struct Conversation<'a> {
    ear: &'a Ear,
    line: Line,
    /// Commands about a channel that are not confirmed yet. Answers come in the order of the commands: what the last of
    /// them says is true.
    under_way: HashMap<PaymentId, u32>,
    /// When the server was asked whether it is there, if it has not answered yet.
    asked_at: Option<Instant>,
}

/// What the server said, as far as it matters here.
enum Said {
    Change(Change),
    Canary(u64),
    Subscribed(PaymentId),
    Unsubscribed(PaymentId),
    Pong,
    Error(String),
    Nothing,
}

impl<'a> Conversation<'a> {
    fn new(ear: &'a Ear, line: Line) -> Self {
        Self {
            ear,
            line,
            under_way: HashMap::new(),
            asked_at: None,
        }
    }

    /// Everything that is wanted, and returns it: changes of these may have gone unheard until now.
    async fn subscribe_all(&mut self) -> Result<Vec<PaymentId>, Doubt> {
        let ear = self.ear;
        let wanted = ear.shared.board.begin(&ear.partitions, &ear.changed);
        let canary = ear.shared.canary_channel(ear.partitions[0]);
        self.say(cmd(ear.shared.words.subscribe).arg(canary))
            .await?;
        for part in wanted.chunks(CHANNELS_AT_ONCE) {
            self.tell(ear.shared.words.subscribe, part).await?;
            self.confirmed().await?;
        }
        Ok(wanted)
    }

    /// Returns when everything said so far has been answered: the answer to a question comes after all the others.
    async fn confirmed(&mut self) -> Result<(), Doubt> {
        self.ask().await?;
        while self.asked_at.is_some() {
            let said = timeout(ANSWER_WITHIN, self.line.next_frame())
                .await
                .map_err(|_| silent())?
                .map(understand)
                .map_err(|error| error.to_string())?;
            self.take(said)?;
        }
        Ok(())
    }

    async fn go_on(&mut self) -> Result<std::convert::Infallible, Doubt> {
        let ear = self.ear;
        // What changed on the board meanwhile may have used up its notice.
        ear.changed.notify_one();
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // What was said already is heard before anything is doubted.
                biased;
                frame = self.line.next_frame() => {
                    let said = frame.map(understand).map_err(|error| error.to_string())?;
                    self.take(said)?;
                }
                () = ear.changed.notified() => self.run_errands().await?,
                _ = pings.tick() => match self.asked_at {
                    Some(at) if at.elapsed() >= ANSWER_WITHIN => return Err(silent()),
                    Some(_) => {}
                    None => self.ask().await?,
                },
            }
        }
    }

    async fn run_errands(&mut self) -> Result<(), Doubt> {
        let Shared { board, words, .. } = &*self.ear.shared;
        let jobs = board.jobs(&self.ear.partitions);
        self.tell(words.unsubscribe, &jobs.unsubscribe).await?;
        self.tell(words.subscribe, &jobs.subscribe).await
    }

    /// Subscribes or unsubscribes, many channels a command.
    async fn tell(&mut self, word: &'static str, ids: &[PaymentId]) -> Result<(), Doubt> {
        // A cluster takes channels of one slot at a time; those of a partition lie together here.
        let is_sharded = self.ear.shared.words.is_sharded;
        let fits = |a: &PaymentId, b: &PaymentId| {
            !is_sharded || Partition::of(a.as_str()) == Partition::of(b.as_str())
        };
        for batch in ids
            .chunk_by(fits)
            .flat_map(|ids| ids.chunks(CHANNELS_PER_COMMAND))
        {
            let mut command = cmd(word);
            for id in batch {
                command.arg(change::channel(id));
                *self.under_way.entry(id.clone()).or_default() += 1;
            }
            self.say(&command).await?;
        }
        Ok(())
    }

    async fn ask(&mut self) -> Result<(), Doubt> {
        self.asked_at = Some(Instant::now());
        self.say(&cmd("PING")).await
    }

    async fn say(&mut self, command: &Cmd) -> Result<(), Doubt> {
        timeout(ANSWER_WITHIN, self.line.send(command))
            .await
            .map_err(|_| silent())?
            .map_err(|error| error.to_string())
    }

    fn take(&mut self, said: Said) -> Result<(), Doubt> {
        let shared = &self.ear.shared;
        match said {
            Said::Change(change) => shared.listener.changed(change),
            Said::Canary(number) => shared.canary_sang(self.ear.partitions[0], number),
            Said::Pong => self.asked_at = None,
            Said::Subscribed(id) => {
                if self.answered(&id) == Some(0) {
                    shared.board.confirm(&id);
                }
            }
            Said::Unsubscribed(id) => {
                if self.answered(&id).is_none() {
                    return Err("a slot moved to another server".into());
                }
            }
            Said::Error(text) => return Err(text),
            Said::Nothing => {}
        }
        Ok(())
    }

    /// How many commands about the channel are still to be answered; `None`: nothing was asked.
    fn answered(&mut self, id: &PaymentId) -> Option<u32> {
        let commands = self.under_way.get_mut(id)?;
        *commands -= 1;
        let left = *commands;
        if left == 0 {
            self.under_way.remove(id);
        }
        Some(left)
    }
}

fn silent() -> Doubt {
    "redis does not answer".into()
}

fn understand(frame: Value) -> Said {
    match frame {
        Value::Push { kind, data } => match (kind, &data[..]) {
            (
                PushKind::Message | PushKind::SMessage,
                [Value::BulkString(channel), Value::BulkString(payload)],
            ) => message(channel, payload),
            (PushKind::Subscribe | PushKind::SSubscribe, [Value::BulkString(channel), _]) => {
                change::payment_of(channel).map_or(Said::Nothing, Said::Subscribed)
            }
            (PushKind::Unsubscribe | PushKind::SUnsubscribe, [Value::BulkString(channel), _]) => {
                change::payment_of(channel).map_or(Said::Nothing, Said::Unsubscribed)
            }
            _ => Said::Nothing,
        },
        Value::SimpleString(text) if text == "PONG" => Said::Pong,
        Value::ServerError(error) => Said::Error(error.to_string()),
        _ => Said::Nothing,
    }
}

fn message(channel: &[u8], payload: &[u8]) -> Said {
    match (change::payment_of(channel), change::parse(payload)) {
        (Some(payment_id), Some(state)) => Said::Change(Change { payment_id, state }),
        (Some(payment_id), None) => {
            tracing::warn!(%payment_id, "a change was told in words of another version");
            Said::Nothing
        }
        (None, _) => std::str::from_utf8(payload)
            .ok()
            .and_then(|text| text.parse().ok())
            .map_or(Said::Nothing, Said::Canary),
    }
}
