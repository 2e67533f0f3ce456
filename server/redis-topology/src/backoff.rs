//! The pause before the next attempt.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(50);

/// Full jitter: a random pause below a bound that doubles with each attempt up to `longest`, so that those who lost the
/// same server at the same moment do not come back together.
pub fn backoff(attempts: u32, longest: Duration) -> Duration {
    let bound = SHORTEST
        .saturating_mul(2u32.saturating_pow(attempts.min(16)))
        .min(longest);
    bound.mul_f64(rand::random())
}
