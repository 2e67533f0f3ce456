//! Authentication: a merchant's back end by its API key, a browser by its status token. Query strings are never read for
//! secrets.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use chasqui_core::{Account, Permission, clock};
use chasqui_payment::PaymentId;

use super::app_state::AppState;
use super::origin;
use super::problem::ApiProblem;
use crate::api_key;

/// Where a merchant's back end sends its key.
const API_KEY_HEADER: &str = "x-api-key";

/// Whether a merchant's back end asks, not a page.
pub(super) fn is_back_end(headers: &HeaderMap) -> bool {
    headers.contains_key(API_KEY_HEADER)
}

/// A merchant's back end, by the key in `x-api-key`. The account is to be had for a permission only.
#[derive(Debug)]
pub(super) struct MerchantAuth {
    account: Arc<Account>,
    allow: Vec<Permission>,
}

impl MerchantAuth {
    /// The key's account, if the key has the permission.
    pub(super) fn require(self, permission: Permission) -> Result<Arc<Account>, ApiProblem> {
        if self.allow.contains(&permission) {
            return Ok(self.account);
        }
        Err(ApiProblem::new(
            StatusCode::FORBIDDEN,
            "key_not_allowed",
            "this API key may not do that; the key's `allow` in the configuration lists what it may do",
        ))
    }
}

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
    // A key that is not text matches none.
    let text = headers.get(API_KEY_HEADER)?.to_str().unwrap_or_default();
    Some(authenticate(state, text))
}

fn authenticate(state: &AppState, text: &str) -> Result<MerchantAuth, ApiProblem> {
    let known = state
        .payments
        .accounts
        .by_api_key_hash(&api_key::hash(text));
    let (account, key) = known.ok_or_else(|| {
        ApiProblem::unauthorized(
            "invalid_api_key",
            if api_key::is_well_formed(text) {
                "no account has this key; make one with `chasqui keys new` and add its hash to the account's api_keys"
            } else {
                "this is not a Chasqui key (chq_…), or it is cut short or mistyped; Khipu's own key does not work here"
            },
        )
    })?;
    if key.expires_at.is_some_and(|expiry| expiry <= clock::now()) {
        return Err(ApiProblem::unauthorized(
            "expired_api_key",
            "this key has expired; make one with `chasqui keys new` and add its hash to the account's api_keys",
        ));
    }
    if let Err(wait) = state.key_limiter.admit(&key.hash) {
        return Err(ApiProblem::rate_limited(wait));
    }
    Ok(MerchantAuth {
        account: Arc::clone(account),
        allow: key.allow.clone(),
    })
}

/// Authenticates a watcher, by the payment's token or the merchant's key, and checks its origin.
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

/// A text that cannot be a payment's id names no payment.
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
        return merchant?.require(Permission::Payments);
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
        return Err(invalid("the status token is for another payment"));
    }
    let account = state.payments.accounts.by_name(&subject.account);
    account
        .cloned()
        .ok_or_else(|| invalid("the status token's account is no longer configured"))
}
