//! Warnings about refused notifications, at most one for each account and reason in [`WARNING_INTERVAL`].

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chasqui_payment::AccountName;
use tokio::time::Instant;

/// Between two warnings about the same account and reason.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

type Refused = (Option<AccountName>, &'static str);

/// The last warning for each account and reason, and the refusals since. No larger than accounts times reasons.
#[derive(Debug, Default)]
pub(super) struct RefusalWarnings(Mutex<HashMap<Refused, LastWarning>>);

#[derive(Debug)]
struct LastWarning {
    at: Instant,
    suppressed: u64,
}

impl RefusalWarnings {
    /// The refusals without a warning since the last one, if another is due.
    pub(super) fn due(&self, refused: Refused, now: Instant) -> Option<u64> {
        let mut warned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = warned.get_mut(&refused) else {
            let first = LastWarning {
                at: now,
                suppressed: 0,
            };
            warned.insert(refused, first);
            return Some(0);
        };
        if now.duration_since(last.at) < WARNING_INTERVAL {
            last.suppressed += 1;
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_warning_waits_and_counts_what_it_suppressed() {
        let warnings = RefusalWarnings::default();
        let shop = AccountName::parse("shop").ok();
        let began = Instant::now();
        let due = |account: &Option<AccountName>, code, after: Duration| {
            warnings.due((account.clone(), code), began + after)
        };
        assert_eq!(due(&shop, "invalid_signature", Duration::ZERO), Some(0));
        for _ in 0..5 {
            let soon = WARNING_INTERVAL - Duration::from_millis(1);
            assert_eq!(due(&shop, "invalid_signature", soon), None);
        }
        assert_eq!(due(&shop, "invalid_notification", Duration::ZERO), Some(0));
        assert_eq!(due(&None, "unknown_account", Duration::ZERO), Some(0));
        assert_eq!(due(&shop, "invalid_signature", WARNING_INTERVAL), Some(5));
        assert_eq!(due(&shop, "invalid_signature", WARNING_INTERVAL), None);
        let later = WARNING_INTERVAL * 2;
        assert_eq!(due(&shop, "invalid_signature", later), Some(1));
    }
}
