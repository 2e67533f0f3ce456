//! The connections of one listener: how many there are, and which of them gives way to a newcomer.
//!
//! A connection holds its place only while a request that came whole is being answered. Before that, while it waits for a
//! head or for the rest of a body, it can be evicted: the one that has waited longest goes first. So those who send
//! nothing, or send slowly, take no place from those who send.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    /// Requests being answered at once.
    pub(super) answering: usize,
    /// Connections beyond these: for requests that must always be answered, and for those that have not come whole.
    pub(super) reserved: usize,
}

#[derive(Debug)]
pub(super) struct Connections {
    capacity: Capacity,
    table: Mutex<Table>,
    /// A connection has ended, or can be evicted.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    open: usize,
    /// Of these, not counting those in the reserve.
    answering: usize,
    /// Connections without a whole request, by their turn: the first has waited longest.
    receiving: BTreeMap<u64, CancellationToken>,
    next_turn: u64,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Connection {
    connections: Arc<Connections>,
    /// Cancelled when the connection has to give way.
    pub(super) evicted: CancellationToken,
    /// Locked before the table, never after it.
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Waits for a request to come whole. A turn that is no longer in the table is that of an evicted connection.
    Receiving {
        turn: u64,
    },
    Answering {
        in_reserve: bool,
    },
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoCapacity {
    #[error("as many requests as may be are being answered")]
    Full,
    #[error("the connection gave way to another")]
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

    /// A place for a connection that was just accepted. Waits only if every other one is being answered.
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
        let turn = table.receive(&evicted);
        drop(table);
        Some(Connection {
            connections: Arc::clone(self),
            evicted,
            state: Mutex::new(State::Receiving { turn }),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn receive(&mut self, evicted: &CancellationToken) -> u64 {
        let turn = self.next_turn;
        self.next_turn += 1;
        self.receiving.insert(turn, evicted.clone());
        turn
    }
}

impl Connection {
    /// The request came whole: from now on the connection gives way to none, until [`answered`](Self::answered).
    pub(super) fn begin_answer(&self, may_use_reserve: bool) -> Result<(), NoCapacity> {
        let mut state = self.state();
        let State::Receiving { turn } = *state else {
            return Ok(());
        };
        let mut table = self.connections.table();
        if !table.receiving.contains_key(&turn) {
            return Err(NoCapacity::Evicted);
        }
        let in_reserve = table.answering >= self.connections.capacity.answering;
        if in_reserve && !may_use_reserve {
            return Err(NoCapacity::Full);
        }
        table.receiving.remove(&turn);
        if !in_reserve {
            table.answering += 1;
        }
        *state = State::Answering { in_reserve };
        Ok(())
    }

    /// The answer is written, or its request was never whole: the next request is waited for.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        let mut table = self.connections.table();
        match *state {
            State::Receiving { turn } if table.receiving.remove(&turn).is_none() => return,
            State::Receiving { .. } | State::Answering { in_reserve: true } => {}
            State::Answering { in_reserve: false } => table.answering -= 1,
        }
        let turn = table.receive(&self.evicted);
        *state = State::Receiving { turn };
        drop(table);
        self.connections.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let state = *self.state();
        let mut table = self.connections.table();
        match state {
            // It was counted out when it was evicted.
            State::Receiving { turn } if table.receiving.remove(&turn).is_none() => return,
            State::Receiving { .. } | State::Answering { in_reserve: true } => {}
            State::Answering { in_reserve: false } => table.answering -= 1,
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
        connections.try_admit().expect("a place")
    }

    fn is_evicted(connection: &Connection) -> bool {
        connection.evicted.is_cancelled()
    }

    #[test]
    fn the_connection_that_has_waited_longest_gives_way() {
        let connections = connections(2, 1);
        let [first, second, third] = [(); 3].map(|()| admitted(&connections));
        // It waits again since just now.
        first.begin_answer(false).expect("a place");
        first.answered();
        let _fourth = admitted(&connections);
        assert!(is_evicted(&second));
        assert!(!is_evicted(&first) && !is_evicted(&third));
        assert_eq!(second.begin_answer(true), Err(NoCapacity::Evicted));
        assert_eq!(connections.table().open, 3);
        drop(second);
        assert_eq!(connections.table().open, 3, "it was counted out before");
    }

    #[test]
    fn a_request_that_came_whole_gives_way_to_none() {
        let connections = connections(1, 1);
        let (first, second) = (admitted(&connections), admitted(&connections));
        first.begin_answer(false).expect("a place");
        second.begin_answer(true).expect("a place in the reserve");
        assert!(connections.try_admit().is_none());
        assert!(!is_evicted(&first) && !is_evicted(&second));
        drop(second);
        assert!(connections.try_admit().is_some());
    }

    #[test]
    fn the_reserve_is_for_what_must_always_be_answered() {
        let connections = connections(1, 2);
        let [first, second, third] = [(); 3].map(|()| admitted(&connections));
        first.begin_answer(true).expect("the common place");
        assert_eq!(second.begin_answer(false), Err(NoCapacity::Full));
        third.begin_answer(true).expect("a place in the reserve");
        drop(third);
        assert_eq!(second.begin_answer(false), Err(NoCapacity::Full));
        first.answered();
        second.begin_answer(false).expect("the common place");
        drop((first, second));
        let table = connections.table();
        assert_eq!((table.open, table.answering), (0, 0));
        assert!(table.receiving.is_empty());
    }

    #[tokio::test]
    async fn a_newcomer_waits_while_every_connection_is_being_answered() {
        let connections = connections(1, 1);
        let (first, second) = (admitted(&connections), admitted(&connections));
        for connection in [&first, &second] {
            connection.begin_answer(true).expect("a place");
        }
        let mut newcomer = Box::pin(connections.admit());
        assert!((&mut newcomer).now_or_never().is_none());
        first.answered();
        let _admitted = newcomer.await;
        assert!(is_evicted(&first));
    }
}
