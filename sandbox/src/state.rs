//! The data that a reset deletes. Only the simulator changes it.

use std::collections::HashMap;

use crate::money::Amount;
use crate::payment::Payment;

/// What each refund wallet holds after a start or reset, in pesos.
const WALLET_START_CLP: i64 = 1_000_000_000;

pub(crate) struct SandboxState {
    pub(crate) payments: HashMap<String, Payment>,
    /// The refund wallets by receiver_id; an account without an entry has the initial balance.
    wallets: HashMap<u64, Amount>,
}

impl SandboxState {
    pub(crate) fn empty() -> Self {
        Self {
            payments: HashMap::new(),
            wallets: HashMap::new(),
        }
    }

    pub(crate) fn wallet(&self, receiver_id: u64) -> Amount {
        let balance = self.wallets.get(&receiver_id).copied();
        balance.unwrap_or(Amount::whole(WALLET_START_CLP))
    }

    pub(crate) fn set_wallet(&mut self, receiver_id: u64, balance: Amount) {
        self.wallets.insert(receiver_id, balance);
    }
}
