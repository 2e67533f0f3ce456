//! Durations of a repeated operation.

use std::fmt;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Latencies {
    /// Shortest first.
    sorted: Vec<Duration>,
}

impl Latencies {
    /// Expects at least one.
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self
            .sorted
            .len()
            .checked_sub(1)
            .expect("something was measured");
        self.sorted[last * percent / 100]
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(samples: I) -> Self {
        let mut sorted: Vec<Duration> = samples.into_iter().collect();
        sorted.sort();
        Self { sorted }
    }
}

/// In milliseconds: `p50 0.31, p99 1.20 ms (1000)`.
impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |percent| self.percentile(percent).as_secs_f64() * 1000.0;
        write!(
            f,
            "p50 {:.2}, p99 {:.2} ms ({})",
            milliseconds(50),
            milliseconds(99),
            self.sorted.len()
        )
    }
}
