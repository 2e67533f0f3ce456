//! The orders of the back end. They are in memory because this is a demo; a real shop keeps them in its database, with
//! the same sequence and idempotency.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::cart::{Cart, Line};

/// Beyond this the oldest order is removed.
const MOST_ORDERS: usize = 500;
/// Per order; later events are not recorded.
const MOST_EVENTS: usize = 20;
/// Of the buyer's name and e-mail, in bytes.
pub(super) const LONGEST_FIELD: usize = 100;
/// Without letters and digits that are confused when an order number is read aloud.
const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const ID_LENGTH: usize = 10;

#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Also the payment's `transaction_id`, which leads from the notification to the order.
    pub(super) id: String,
    pub(super) lines: Vec<Line>,
    /// Chilean pesos, fixed when the order was placed.
    pub(super) total: u64,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) payment: Option<OrderPayment>,
    /// When the verified notification came. Never reset.
    pub(super) paid_at: Option<Timestamp>,
    pub(super) events: Vec<OrderEvent>,
}

#[derive(Clone, Debug)]
pub(super) struct OrderPayment {
    pub(super) id: String,
    /// The bank page. The payer can return to it until the payment is made.
    pub(super) url: String,
    /// With it a page of this shop watches the payment.
    pub(super) status_token: String,
}

#[derive(Clone, Debug)]
pub(super) struct OrderEvent {
    pub(super) at: Timestamp,
    pub(super) what: Happening,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    Placed,
    /// The gateway answered with this payment id.
    PaymentCreated(String),
    PayerReturned,
    PayerWentBack,
    /// A notification with a good signature that does not fit the order.
    Mismatch,
    Paid,
    /// The same notification once more.
    NotifiedAgain,
}

impl Order {
    pub(super) fn new(id: String, cart: &Cart, name: String, email: String) -> Self {
        let placed = OrderEvent {
            at: Timestamp::now(),
            what: Happening::Placed,
        };
        Self {
            id,
            lines: cart.lines.clone(),
            total: cart.total(),
            name,
            email,
            payment: None,
            paid_at: None,
            events: vec![placed],
        }
    }

    pub(super) fn placed_at(&self) -> Timestamp {
        self.events[0].at
    }

    /// Records an event once, because pages are reloaded and notifications repeated.
    pub(super) fn note(&mut self, what: Happening, at: Timestamp) {
        if !self.knows(&what) && self.events.len() < MOST_EVENTS {
            self.events.push(OrderEvent { at, what });
        }
    }

    pub(super) fn knows(&self, what: &Happening) -> bool {
        self.events.iter().any(|event| event.what == *what)
    }

    /// Idempotent: a repetition does not change the payment.
    pub(super) fn mark_paid(&mut self, at: Timestamp) {
        if self.paid_at.is_none() {
            self.paid_at = Some(at);
            self.note(Happening::Paid, at);
        } else {
            self.note(Happening::NotifiedAgain, at);
        }
    }
}

/// Hard to guess, because the link alone shows the order. A shop with accounts would also require a login.
pub(super) fn fresh_id() -> String {
    let random: [u8; ID_LENGTH] = rand::random();
    random
        .iter()
        .map(|byte| char::from(ID_ALPHABET[usize::from(byte % 32)]))
        .collect()
}

pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| ID_ALPHABET.contains(&byte))
}

#[derive(Debug, Default)]
pub(super) struct OrderBook {
    /// Oldest first.
    orders: Mutex<VecDeque<Order>>,
}

impl OrderBook {
    pub(super) fn insert(&self, order: Order) {
        let mut orders = self.lock();
        if orders.len() == MOST_ORDERS {
            orders.pop_front();
        }
        orders.push_back(order);
    }

    pub(super) fn find(&self, id: &str) -> Option<Order> {
        self.lock().iter().find(|order| order.id == id).cloned()
    }

    /// The only way to change an order. `None` when there is no such order.
    pub(super) fn update<T>(&self, id: &str, change: impl FnOnce(&mut Order) -> T) -> Option<T> {
        let mut orders = self.lock();
        orders.iter_mut().find(|order| order.id == id).map(change)
    }

    pub(super) fn newest_first(&self) -> Vec<Order> {
        self.lock().iter().rev().cloned().collect()
    }

    /// No change here panics half-way, so the data of a poisoned lock is consistent.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_order_makes_room() {
        let book = OrderBook::default();
        for number in 0..=MOST_ORDERS {
            let cart = Cart::parse("faja.1");
            book.insert(Order::new(
                number.to_string(),
                &cart,
                String::new(),
                String::new(),
            ));
        }
        assert!(book.find("0").is_none());
        assert!(book.find("1").is_some());
        assert_eq!(book.newest_first().len(), MOST_ORDERS);
    }

    #[test]
    fn fresh_ids_are_ids() {
        assert!(is_id(&fresh_id()));
        assert_ne!(fresh_id(), fresh_id());
        assert!(!is_id("../orders/"));
    }
}
