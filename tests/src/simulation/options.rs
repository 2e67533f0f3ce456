//! The options of a simulation.

#[derive(Debug, Clone)]
pub struct SimulationOptions {
    pub seed: u64,
    pub payments: usize,
    pub storage: Storage,
    /// Spread evenly over the first two thirds of the payments.
    pub kills: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// One gateway on a file.
    Sqlite,
    /// Three gateways on one Redis.
    Redis,
}

impl Storage {
    pub(super) fn gateways(self) -> usize {
        match self {
            Self::Sqlite => 1,
            Self::Redis => 3,
        }
    }
}
