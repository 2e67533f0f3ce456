//! The data that a reset deletes. Only the simulator changes it.

use std::collections::HashMap;

use crate::money::Amount;
use crate::payment::Payment;

/// What the refund wallet holds after a start or reset, in pesos.
const WALLET_START_CLP: i64 = 1_000_000_000;

pub(crate) struct SandboxState {
    pub(crate) payments: HashMap<String, Payment>,
    pub(crate) wallet: Amount,
}

impl SandboxState {
    pub(crate) fn empty() -> Self {
        Self {
            payments: HashMap::new(),
            wallet: Amount::whole(WALLET_START_CLP),
        }
    }
}
