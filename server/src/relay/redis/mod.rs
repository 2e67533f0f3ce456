//! The relay between instances: Redis carries each change to those who have somebody watching.
//!
//! One channel a payment, subscribed only while somebody here watches it, so that Redis routes and no instance filters.
//! What is told is told by the ledger's script in the step that commits it; here it is only heard. [`ear`] listens to one
//! server; there is one ear for each master, and [`board`] is where subscribers and ears meet.

mod board;
mod ear;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use self::board::{Board, Subscription};
use self::ear::Ear;
use super::{Change, Relay, RelayError, RelayListener};
use crate::payment::PaymentId;
use crate::redis::{Address, Partition, Redis, Script};
use crate::store::redis::keys;

/// How long a subscription may take; then the watcher is sent away, to come back.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(2);

/// How long a canary may take from here to here.
const CANARY_WITHIN: Duration = Duration::from_secs(2);

static PUBLISH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../../store/redis/scripts/publish.lua")));

pub struct RedisRelay {
    shared: Arc<Shared>,
    ears: AbortOnDropHandle<()>,
}

struct Shared {
    redis: Arc<Redis>,
    listener: Arc<dyn RelayListener>,
    board: Board,
    words: Words,
    /// Tells this instance's canaries from the others'.
    instance: String,
    /// By the first partition of each ear: the newest canary that was heard there.
    canaries: watch::Sender<HashMap<Partition, u64>>,
    next_canary: Mutex<u64>,
}

/// A cluster keeps a channel in its slot; a server by itself has channels of the older kind, which its replicas hear too.
struct Words {
    subscribe: &'static str,
    unsubscribe: &'static str,
    is_sharded: bool,
}

impl RedisRelay {
    /// Begins to listen. Until a server is reached, nothing of its can be subscribed.
    pub fn new(redis: Arc<Redis>, listener: Arc<dyn RelayListener>) -> Self {
        let words = match redis.publish_command() {
            "SPUBLISH" => Words {
                subscribe: "SSUBSCRIBE",
                unsubscribe: "SUNSUBSCRIBE",
                is_sharded: true,
            },
            _ => Words {
                subscribe: "SUBSCRIBE",
                unsubscribe: "UNSUBSCRIBE",
                is_sharded: false,
            },
        };
        let shared = Arc::new(Shared {
            redis,
            listener,
            board: Board::new(),
            words,
            instance: format!("{:016x}", rand::random::<u64>()),
            canaries: watch::Sender::default(),
            next_canary: Mutex::default(),
        });
        let ears = tokio::spawn(keep_ears(Arc::clone(&shared)));
        Self {
            shared,
            ears: AbortOnDropHandle::new(ears),
        }
    }
}

/// One ear for each master, as long as it is one and has the same partitions.
async fn keep_ears(shared: Arc<Shared>) {
    let mut ears: HashMap<Address, (Vec<Partition>, AbortOnDropHandle<()>)> = HashMap::new();
    let mut owners = shared.redis.routes().watch();
    loop {
        let mut masters: HashMap<Address, Vec<Partition>> = HashMap::new();
        // All of one moment: what changes from here on is seen at the next turn.
        let now = Arc::clone(&owners.borrow_and_update());
        for partition in Partition::all() {
            match &now[partition.index()] {
                Some(owner) => masters.entry(owner.clone()).or_default().push(partition),
                None => shared
                    .board
                    .end(&[partition], "no server holds its part of the data"),
            }
        }
        let unchanged = |address: &Address, partitions: &Vec<Partition>| {
            masters.get(address) == Some(partitions)
        };
        for (_, (partitions, ear)) in
            ears.extract_if(|address, (partitions, _)| !unchanged(address, partitions))
        {
            ear.abort();
            let _ = ear.await;
            shared.board.end(&partitions, "its server changed");
        }
        shared.canaries.send_modify(|canaries| {
            canaries.retain(|first, _| masters.values().any(|partitions| partitions[0] == *first))
        });
        for (address, partitions) in masters {
            ears.entry(address.clone()).or_insert_with(|| {
                shared.canaries.send_modify(|canaries| {
                    canaries.insert(partitions[0], 0);
                });
                let ear = Ear::new(Arc::clone(&shared), address, partitions.clone());
                (
                    partitions,
                    AbortOnDropHandle::new(tokio::spawn(ear.listen())),
                )
            });
        }
        if owners.changed().await.is_err() {
            // A server that stands alone stays where it is.
            std::future::pending::<()>().await;
        }
    }
}

impl Shared {
    fn canary_channel(&self, partition: Partition) -> String {
        keys::key(partition, "health", &self.instance)
    }

    fn canary_sang(&self, partition: Partition, number: u64) {
        self.canaries.send_if_modified(|canaries| {
            canaries
                .get_mut(&partition)
                .is_some_and(|newest| std::mem::replace(newest, number.max(*newest)) < number)
        });
    }

    fn next_canary(&self) -> u64 {
        let mut next = self
            .next_canary
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *next += 1;
        *next
    }
}

/// Gives a subscription back unless it came to something: whoever waited for it may be gone.
struct Unconfirmed<'a>(Option<(&'a Board, &'a PaymentId)>);

impl Drop for Unconfirmed<'_> {
    fn drop(&mut self) {
        if let Some((board, id)) = self.0 {
            board.give_back(id);
        }
    }
}

#[async_trait]
impl Relay for RedisRelay {
    async fn subscribe(&self, id: &PaymentId) -> Result<(), RelayError> {
        let board = &self.shared.board;
        let subscription = board.subscribe(id).map_err(RelayError)?;
        let mut unconfirmed = Unconfirmed(Some((board, id)));
        if let Subscription::Sent(confirmed) = subscription {
            timeout(CONFIRMED_WITHIN, confirmed)
                .await
                .map_err(|_| RelayError("redis does not confirm a subscription".into()))?
                .map_err(|_| RelayError("the connection to redis was lost".into()))?;
        }
        unconfirmed.0 = None;
        Ok(())
    }

    fn unsubscribe(&self, id: &PaymentId) {
        self.shared.board.give_back(id);
    }

    /// The others were told when it was committed; here nobody need wait for the echo.
    async fn publish(&self, change: &Change) -> Result<(), RelayError> {
        self.shared.listener.changed(change.clone());
        Ok(())
    }

    /// A canary by way of each server.
    async fn health_check(&self) -> Result<(), RelayError> {
        let shared = &self.shared;
        if self.ears.is_finished() {
            return Err(RelayError("nobody listens any more".into()));
        }
        for partition in Partition::all() {
            if let Some(why) = shared.board.silence(partition) {
                return Err(RelayError(why));
            }
        }
        let number = shared.next_canary();
        let calls: Vec<_> = shared
            .canaries
            .borrow()
            .keys()
            .map(|partition| {
                let call = PUBLISH
                    .call()
                    .key(shared.canary_channel(*partition))
                    .arg(shared.redis.publish_command())
                    .arg(number);
                (*partition, call)
            })
            .collect();
        let mut canaries = shared.canaries.subscribe();
        for told in shared.redis.run_all(&calls).await {
            told.map_err(|failure| RelayError(failure.0))?;
        }
        let all_back = canaries.wait_for(|canaries| canaries.values().all(|back| *back >= number));
        match timeout(CANARY_WITHIN, all_back).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(RelayError("what is told is not heard".into())),
        }
    }
}

impl fmt::Debug for RedisRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRelay").finish_non_exhaustive()
    }
}
