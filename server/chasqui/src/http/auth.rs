//! Who is asking: a merchant's back end by its key, or a browser by its status token. No secret is ever read from a
//! query string.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::problem::ApiProblem;
use super::{AppState, origin};
use crate::api_key;
use chasqui_core::Account;
use chasqui_payment::PaymentId;

/// The account whose key came in `x-api-key`.
#[derive(Debug)]
pub(super) struct MerchantAuth(pub(super) Arc<Account>);

impl FromRequestParts<Arc<AppState>> for MerchantAuth {
    type Rejection = ApiProblem;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &Arc<AppState>,
    ) -> Result<Self, ApiProblem> {
        merchant(state, &parts.headers).unwrap_or_else(|| {
            Err(ApiProblem::unauthorized(
                "missing_api_key",
                "send the account's Chasqui key in the header x-api-key",
            ))
        })
    }
}

/// `None`: no key was sent.
fn merchant(state: &AppState, headers: &HeaderMap) -> Option<Result<MerchantAuth, ApiProblem>> {
    let key = headers.get("x-api-key")?.to_str().unwrap_or_default();
    let account = state.payments.accounts.by_api_key_hash(&api_key::hash(key));
    Some(account.map(|account| MerchantAuth(Arc::clone(account))).ok_or_else(|| {
        ApiProblem::unauthorized(
            "invalid_api_key",
            if api_key::is_well_formed(key) {
                "this key is no account's; `chasqui keys new` makes one, and its hash goes into the account's api_keys"
            } else {
                "this is not a Chasqui key (chq_…), or it was cut short or mistyped; Khipu's own key does not work here"
            },
        )
    }))
}

/// Who may watch a payment, and whose it is: whoever holds its token, from a page of its account's, or its merchant.
pub(super) fn admit(
    state: &AppState,
    headers: &HeaderMap,
    subprotocol_token: Option<&str>,
    id: &str,
) -> Result<(Arc<Account>, PaymentId), ApiProblem> {
    let id = payment_id(id)?;
    let account = watcher(state, headers, subprotocol_token, &id)?;
    origin::check(state, &account, headers)?;
    Ok((account, id))
}

/// What cannot be a payment's id is nobody's payment.
pub(super) fn payment_id(text: &str) -> Result<PaymentId, ApiProblem> {
    PaymentId::parse(text).map_err(|_| ApiProblem::unknown_payment())
}

fn watcher(
    state: &AppState,
    headers: &HeaderMap,
    subprotocol_token: Option<&str>,
    payment_id: &PaymentId,
) -> Result<Arc<Account>, ApiProblem> {
    if let Some(merchant) = merchant(state, headers) {
        return merchant.map(|merchant| merchant.0);
    }
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let token = subprotocol_token.or(bearer).ok_or_else(|| {
        ApiProblem::unauthorized(
            "missing_token",
            "send the payment's status token: Authorization: Bearer <token>",
        )
    })?;
    let invalid = |detail: &str| ApiProblem::unauthorized("invalid_token", detail);
    let subject = state
        .tokens
        .verify(token)
        .map_err(|error| invalid(&error.to_string()))?;
    if subject.payment_id != *payment_id {
        return Err(invalid("the status token is another payment's"));
    }
    let account = state.payments.accounts.by_name(&subject.account);
    account
        .cloned()
        .ok_or_else(|| invalid("the status token's account is no longer configured"))
}
