//! What a payment's status must be, given what Khipu has of it at the end. Pure.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

/// An attempt that began before expires_date may last so long.
const ATTEMPT_TERM: SignedDuration = SignedDuration::from_hours(3);

/// The fields of a payment in the sandbox's list that decide its status.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ExpectedStatus {
    pub(super) payment_id: String,
    status: String,
    status_detail: String,
    expires_date: String,
}

impl ExpectedStatus {
    /// The value that `status` must have.
    pub(super) fn status_at(&self, now: Timestamp) -> &'static str {
        match (&*self.status, &*self.status_detail) {
            ("pending", _) if now.duration_since(self.expires_at()) > ATTEMPT_TERM => "expired",
            ("pending", _) => "pending",
            ("verifying", _) => "verifying",
            ("deleted", _) => "cancelled",
            ("done", "normal" | "marked-paid-by-receiver" | "partially-refunded") => "confirmed",
            ("done", "reversed" | "fully-refunded") => "reversed",
            ("done", "rejected-by-payer" | "marked-as-abuse") => "rejected",
            (status, detail) => panic!("unexpected sandbox status {status} ({detail})"),
        }
    }

    fn expires_at(&self) -> Timestamp {
        self.expires_date.parse().expect("a time")
    }

    /// Whether a status object has that value, and is final exactly if no change can follow.
    pub(super) fn matches(&self, status: &Value, now: Timestamp) -> bool {
        let word = self.status_at(now);
        let is_final = matches!(word, "confirmed" | "reversed");
        status["status"] == word && status["final"] == is_final
    }

    /// The same for what a page shows: it has left once a payment is confirmed, and does not learn that the money went
    /// back later.
    pub(super) fn matches_page(&self, status: &Value, now: Timestamp) -> bool {
        let has_left = self.is_reversed() && status["status"] == "confirmed";
        has_left || self.matches(status, now)
    }

    /// Whether the shop must have a delivery.
    pub(super) fn is_paid(&self, now: Timestamp) -> bool {
        self.status_at(now) == "confirmed"
    }

    /// Whether the shop may have a delivery.
    pub(super) fn was_paid(&self, now: Timestamp) -> bool {
        self.is_paid(now) || self.is_reversed()
    }

    pub(super) fn is_reversed(&self) -> bool {
        matches!(
            (&*self.status, &*self.status_detail),
            ("done", "reversed" | "fully-refunded")
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expected(status: &str, detail: &str) -> ExpectedStatus {
        ExpectedStatus {
            payment_id: "p".into(),
            status: status.into(),
            status_detail: detail.into(),
            expires_date: "1970-01-01T00:00:00.000Z".into(),
        }
    }

    #[test]
    fn each_of_khipus_words_has_one_of_ours() {
        let now = Timestamp::UNIX_EPOCH;
        for (status, detail, word) in [
            ("pending", "pending", "pending"),
            ("verifying", "pending", "verifying"),
            ("deleted", "pending", "cancelled"),
            ("done", "normal", "confirmed"),
            ("done", "marked-paid-by-receiver", "confirmed"),
            ("done", "reversed", "reversed"),
            ("done", "rejected-by-payer", "rejected"),
            ("done", "marked-as-abuse", "rejected"),
        ] {
            assert_eq!(expected(status, detail).status_at(now), word);
        }
        let later = now.checked_add(ATTEMPT_TERM + SignedDuration::from_secs(1));
        assert_eq!(
            expected("pending", "pending").status_at(later.expect("a time")),
            "expired"
        );
    }

    #[test]
    fn rejected_is_not_final_and_confirmed_is() {
        let now = Timestamp::UNIX_EPOCH;
        let rejected = expected("done", "rejected-by-payer");
        assert!(rejected.matches(&json!({ "status": "rejected", "final": false }), now));
        assert!(!rejected.matches(&json!({ "status": "rejected", "final": true }), now));
        let confirmed = json!({ "status": "confirmed", "final": true });
        assert!(expected("done", "normal").matches(&confirmed, now));
        assert!(!expected("done", "reversed").matches(&confirmed, now));
        assert!(expected("done", "reversed").matches_page(&confirmed, now));
    }
}
