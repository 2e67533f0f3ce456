//! How much the store takes on at once, and how long it waits.

use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteLimits {
    /// Writes that may wait. One more is refused: `Unavailable`.
    pub write_queue: usize,
    /// The most writes in one commit. The rest wait for the next.
    pub group: usize,
    /// Reads at the same time.
    pub readers: usize,
    /// Reads that may wait. One more is refused: `Unavailable`.
    pub read_queue: usize,
    /// How long another process, such as a sqlite3 shell, may lock the file before a group of writes fails.
    pub busy_wait: Duration,
    /// How long a caller waits, queueing included. Then it gets `Unavailable`, and the operation may still happen.
    pub answer_wait: Duration,
}

impl Default for SqliteLimits {
    fn default() -> Self {
        Self {
            write_queue: 4096,
            group: 256,
            readers: 4,
            read_queue: 4096,
            busy_wait: Duration::from_secs(5),
            answer_wait: Duration::from_secs(10),
        }
    }
}
