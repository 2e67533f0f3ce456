//! How an attempt to deliver ended. Its [`Display`] text is for people and contains no URL, body or payer data.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use chasqui_payment::Timestamp;

use super::destination_policy::DestinationError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    /// 2xx.
    Delivered {
        status: u16,
    },
    /// Neither 2xx, 3xx nor 410. `not_before` is what `Retry-After` asked for.
    Refused {
        status: u16,
        not_before: Option<Timestamp>,
    },
    Redirected {
        status: u16,
        not_before: Option<Timestamp>,
    },
    /// 410: the merchant wants no more attempts.
    Gone,
    Timeout {
        limit: Duration,
    },
    Unreachable {
        cause: String,
    },
    DestinationRefused(DestinationError),
    /// Something is missing that the next attempt may have.
    NotSent(String),
    /// The payment can never be delivered.
    Unsendable(String),
    /// Khipu could not be asked for the content. The merchant has not failed.
    ContentUnavailable {
        confirmed_at: Timestamp,
        cause: String,
    },
    /// There is no address, or the payment was reversed. No dead letter.
    Unneeded(&'static str),
    /// This instance stops. The merchant may have received the request.
    Interrupted,
}

impl AttemptOutcome {
    /// The outcome as a metric's label.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Refused { .. } => "refused",
            Self::Redirected { .. } => "redirected",
            Self::Gone => "gone",
            Self::Timeout { .. } => "timeout",
            Self::Unreachable { .. } => "unreachable",
            Self::DestinationRefused(_) => "destination_refused",
            Self::NotSent(_) | Self::Unsendable(_) => "not_sent",
            Self::ContentUnavailable { .. } => "no_content",
            Self::Unneeded(_) => "unneeded",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Display for AttemptOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered { status } | Self::Refused { status, .. } => write!(f, "{status}"),
            Self::Redirected { status, .. } => write!(f, "{status}: redirects are not followed"),
            Self::Gone => f.write_str("410: the merchant wants no more attempts"),
            Self::Timeout { limit } => write!(f, "no answer within {} s", limit.as_secs_f32()),
            Self::Unreachable { cause } => f.write_str(cause),
            Self::DestinationRefused(refused) => write!(f, "{refused}"),
            Self::NotSent(cause)
            | Self::Unsendable(cause)
            | Self::ContentUnavailable { cause, .. } => {
                write!(f, "not sent: {cause}")
            }
            Self::Unneeded(why) => f.write_str(why),
            Self::Interrupted => f.write_str("interrupted: this instance stopped"),
        }
    }
}
