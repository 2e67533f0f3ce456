//! The connections of one listener: how many are open, and which one is evicted for a new one.
//!
//! A connection is safe only while a complete request is being answered. While it waits for a head or for the rest of a
//! body it can be evicted, the longest waiting first. So clients that send nothing, or slowly, cannot keep others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    /// Requests being answered at once.
    pub(super) answering: usize,
    /// Connections beyond these: for requests that are always answered, and for incomplete ones.
    pub(super) reserved: usize,
}

#[derive(Debug)]
pub(super) struct Connections {
    capacity: Capacity,
    table: Mutex<Table>,
    /// A connection ended, or can be evicted.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    open: usize,
    /// Of these, those that answer outside the reserve.
    answering: usize,
    /// Connections without a complete request, in order: the first has waited longest.
    receiving: BTreeMap<u64, CancellationToken>,
    next_number: u64,
}

/// One counted connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    connections: Arc<Connections>,
    /// Cancelled when the connection has to close for another.
    pub(super) evicted: CancellationToken,
    /// Locked before the table, never after it.
    state: Mutex<ConnectionState>,
}

#[derive(Debug, Clone, Copy)]
enum ConnectionState {
    /// Waits for a complete request. If the table no longer holds the number, the connection was evicted.
    Receiving {
        number: u64,
    },
    Answering {
        in_reserve: bool,
    },
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoCapacity {
    #[error("the limit of concurrent requests is reached")]
    Full,
    #[error("the connection was evicted for another")]
    Evicted,
}

impl Connections {
    pub(super) fn new(capacity: Capacity) -> Arc<Self> {
        Arc::new(Self {
            capacity,
            table: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Admits an accepted connection. Waits only while every other one is being answered.
    pub(super) async fn admit(self: &Arc<Self>) -> Connection {
        loop {
            if let Some(connection) = self.try_admit() {
                return connection;
            }
            self.changed.notified().await;
        }
    }

    fn try_admit(self: &Arc<Self>) -> Option<Connection> {
        let mut table = self.table();
        if table.open
            >= self
                .capacity
                .answering
                .saturating_add(self.capacity.reserved)
        {
            let (_, longest) = table.receiving.pop_first()?;
            table.open -= 1;
            longest.cancel();
            metrics::counter!("chasqui_connections_evicted_total").increment(1);
        }
        let evicted = CancellationToken::new();
        table.open += 1;
        let number = table.receive(&evicted);
        drop(table);
        Some(Connection {
            connections: Arc::clone(self),
            evicted,
            state: Mutex::new(ConnectionState::Receiving { number }),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn receive(&mut self, evicted: &CancellationToken) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.receiving.insert(number, evicted.clone());
        number
    }
}

impl Connection {
    /// The request is complete: the connection cannot be evicted until [`answered`](Self::answered).
    pub(super) fn begin_answer(&self, may_use_reserve: bool) -> Result<(), NoCapacity> {
        let mut state = self.state();
        let ConnectionState::Receiving { number } = *state else {
            return Ok(());
        };
        let mut table = self.connections.table();
        if !table.receiving.contains_key(&number) {
            return Err(NoCapacity::Evicted);
        }
        let in_reserve = table.answering >= self.connections.capacity.answering;
        if in_reserve && !may_use_reserve {
            return Err(NoCapacity::Full);
        }
        table.receiving.remove(&number);
        if !in_reserve {
            table.answering += 1;
        }
        *state = ConnectionState::Answering { in_reserve };
        Ok(())
    }

    /// The answer is written, or its request was incomplete: the next request is awaited.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        let mut table = self.connections.table();
        match *state {
            ConnectionState::Receiving { number } if table.receiving.remove(&number).is_none() => {
                return;
            }
            ConnectionState::Receiving { .. } | ConnectionState::Answering { in_reserve: true } => {
            }
            ConnectionState::Answering { in_reserve: false } => table.answering -= 1,
        }
        let number = table.receive(&self.evicted);
        *state = ConnectionState::Receiving { number };
        drop(table);
        self.connections.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let state = *self.state();
        let mut table = self.connections.table();
        match state {
            // Eviction has counted it already.
            ConnectionState::Receiving { number } if table.receiving.remove(&number).is_none() => {
                return;
            }
            ConnectionState::Receiving { .. } | ConnectionState::Answering { in_reserve: true } => {
            }
            ConnectionState::Answering { in_reserve: false } => table.answering -= 1,
        }
        table.open -= 1;
        drop(table);
        self.connections.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn connections(answering: usize, reserved: usize) -> Arc<Connections> {
        Connections::new(Capacity {
            answering,
            reserved,
        })
    }

    fn admitted(connections: &Arc<Connections>) -> Connection {
        connections.try_admit().expect("admitted")
    }

    fn is_evicted(connection: &Connection) -> bool {
        connection.evicted.is_cancelled()
    }

    #[test]
    fn the_connection_that_has_waited_longest_is_evicted() {
        let connections = connections(2, 1);
        let [first, second, third] = [(); 3].map(|()| admitted(&connections));
        // Its wait begins again.
        first.begin_answer(false).expect("admitted");
        first.answered();
        let _fourth = admitted(&connections);
        assert!(is_evicted(&second));
        assert!(!is_evicted(&first) && !is_evicted(&third));
        assert_eq!(second.begin_answer(true), Err(NoCapacity::Evicted));
        assert_eq!(connections.table().open, 3);
        drop(second);
        assert_eq!(
            connections.table().open,
            3,
            "eviction has counted it already"
        );
    }

    #[test]
    fn a_complete_request_is_not_evicted() {
        let connections = connections(1, 1);
        let (first, second) = (admitted(&connections), admitted(&connections));
        first.begin_answer(false).expect("admitted");
        second.begin_answer(true).expect("in the reserve");
        assert!(connections.try_admit().is_none());
        assert!(!is_evicted(&first) && !is_evicted(&second));
        drop(second);
        assert!(connections.try_admit().is_some());
    }

    #[test]
    fn the_reserve_is_for_requests_that_are_always_answered() {
        let connections = connections(1, 2);
        let [first, second, third] = [(); 3].map(|()| admitted(&connections));
        first.begin_answer(true).expect("outside the reserve");
        assert_eq!(second.begin_answer(false), Err(NoCapacity::Full));
        third.begin_answer(true).expect("in the reserve");
        drop(third);
        assert_eq!(second.begin_answer(false), Err(NoCapacity::Full));
        first.answered();
        second.begin_answer(false).expect("outside the reserve");
        drop((first, second));
        let table = connections.table();
        assert_eq!((table.open, table.answering), (0, 0));
        assert!(table.receiving.is_empty());
    }

    #[tokio::test]
    async fn a_new_connection_waits_while_every_other_is_being_answered() {
        let connections = connections(1, 1);
        let (first, second) = (admitted(&connections), admitted(&connections));
        for connection in [&first, &second] {
            connection.begin_answer(true).expect("admitted");
        }
        let mut admitted = Box::pin(connections.admit());
        assert!((&mut admitted).now_or_never().is_none());
        first.answered();
        let _admitted = admitted.await;
        assert!(is_evicted(&first));
    }
}
