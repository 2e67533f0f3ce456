//! Khipu's webhook: the raw bytes go in, and 200 means that they are durable.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::body::read;
use super::problem::ApiProblem;
use super::{AppState, SharedState};
use chasqui_core::NotificationError;
use chasqui_payment::AccountName;

/// Between two warnings about one account's notifications that were refused for the same reason.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

pub(super) async fn receive(
    State(state): SharedState,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, ApiProblem> {
    let account = AccountName::parse(&account).ok();
    let result = async {
        let account = account.as_ref().ok_or(NotificationError::UnknownAccount)?;
        let body = read(body)?;
        let signature = headers
            .get("x-khipu-signature")
            .map(|value| value.to_str().unwrap_or_default());
        Ok(state
            .payments
            .accept_notification(account, signature, body)
            .await?)
    };
    match result.await {
        Ok(_) => Ok(StatusCode::OK),
        Err(problem) => Err(refused(&state, account, problem)),
    }
}

/// Said aloud: Khipu's servers read no explanation, so the operator has to find it in the log. But not each time: anybody
/// can send notifications that are refused.
fn refused(state: &AppState, account: Option<AccountName>, problem: ApiProblem) -> ApiProblem {
    metrics::counter!("chasqui_notifications_refused_total", "code" => problem.code).increment(1);
    // A name that is not an account's is whatever its sender wrote.
    let account = account.filter(|name| state.payments.accounts.by_name(name).is_some());
    let name = account.as_ref().map_or("", AccountName::as_str).to_owned();
    if let Some(suppressed) = state
        .refusal_warnings
        .due((account, problem.code), Instant::now())
    {
        tracing::warn!(
            account = name,
            status = problem.status.as_u16(),
            code = problem.code,
            detail = problem.detail,
            suppressed,
            "a notification was refused"
        );
    }
    problem
}

type Refused = (Option<AccountName>, &'static str);

/// When each refusal was last warned of, and how often it was not. No larger than accounts times reasons.
#[derive(Debug, Default)]
pub(super) struct RefusalWarnings(Mutex<HashMap<Refused, LastWarning>>);

#[derive(Debug)]
struct LastWarning {
    at: Instant,
    suppressed: u64,
}

impl RefusalWarnings {
    /// How many there were since the last warning, if it is time for another.
    fn due(&self, refused: Refused, now: Instant) -> Option<u64> {
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
    fn a_repeated_warning_waits_and_says_how_many_there_were() {
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
