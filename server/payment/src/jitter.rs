//! Spreads waits, so that work that failed together does not come back together.

use std::time::Duration;

/// The greatest difference, as a part of the wait.
const JITTER: f64 = 0.2;

/// The wait, up to a fifth shorter or longer. `random` is in `0.0..=1.0`.
pub fn jittered(wait: Duration, random: f64) -> Duration {
    wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * random)
}
