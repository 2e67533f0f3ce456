//! The actions of `POST /sandbox/payments/{id}/actions` by their names, and the parser of its body.

use axum::http::StatusCode;
use serde::Deserialize;

use crate::api_error::ApiError;
use crate::payment::{Action, Payer, PayerMismatch, Status};
use crate::payment_method::Method;
use crate::simulator::Refusal;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ActionName {
    Authorize,
    Conciliate,
    Reject,
    Abuse,
    Reverse,
    MarkPaid,
    Expire,
    PayRefunds,
}

/// An action with its name, for the text of a refusal.
pub(crate) struct ActionRequest {
    pub(crate) name: ActionName,
    pub(crate) action: Action,
    /// False suppresses the notification.
    pub(crate) is_notified: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionBody {
    action: ActionName,
    /// Only with an action that Khipu notifies.
    notify: Option<bool>,
    /// Only with `authorize`, as is the next.
    payment_method: Option<String>,
    personal_identifier: Option<String>,
}

impl ActionName {
    pub(crate) const ALL: [Self; 8] = [
        Self::Authorize,
        Self::Conciliate,
        Self::MarkPaid,
        Self::Reject,
        Self::Abuse,
        Self::Expire,
        Self::PayRefunds,
        Self::Reverse,
    ];

    pub(crate) fn find(name: &str) -> Option<Self> {
        let mut names = Self::ALL.into_iter();
        names.find(|known| known.name() == name)
    }

    /// Whether Khipu notifies the merchant of it.
    pub(crate) fn is_notified(self) -> bool {
        matches!(self, Self::Conciliate | Self::MarkPaid)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Conciliate => "conciliate",
            Self::Reject => "reject",
            Self::Abuse => "abuse",
            Self::Reverse => "reverse",
            Self::MarkPaid => "mark-paid",
            Self::Expire => "expire",
            Self::PayRefunds => "pay-refunds",
        }
    }

    /// The action by `payer`, which only `authorize` needs.
    pub(crate) fn action(self, payer: Payer) -> Action {
        match self {
            Self::Authorize => Action::Authorize(payer),
            Self::Conciliate => Action::Conciliate,
            Self::Reject => Action::Reject,
            Self::Abuse => Action::Abuse,
            Self::Reverse => Action::Reverse,
            Self::MarkPaid => Action::MarkPaid,
            Self::Expire => Action::Expire,
            Self::PayRefunds => Action::PayRefunds,
        }
    }
}

impl ActionRequest {
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let body: ActionBody = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        let name = body.action;
        let is_authorize = matches!(name, ActionName::Authorize);
        if body.notify.is_some() && !name.is_notified() {
            let text = "is for conciliate and mark-paid:";
            return Err(ApiError::field(
                "notify",
                format!("{text} {} is never notified", name.name()),
            ));
        }
        for (field, is_given) in [
            ("payment_method", body.payment_method.is_some()),
            ("personal_identifier", body.personal_identifier.is_some()),
        ] {
            if is_given && !is_authorize {
                return Err(ApiError::field(field, "is for authorize"));
            }
        }
        let method = match &body.payment_method {
            None => None,
            Some(id) => Some(Method::find(id).ok_or_else(|| {
                ApiError::field("payment_method", format!("use one of {}", Method::ids()))
            })?),
        };
        let payer = Payer {
            method,
            personal_identifier: body.personal_identifier,
        };
        Ok(Self {
            name,
            action: name.action(payer),
            is_notified: body.notify != Some(false),
        })
    }
}

/// The answer to an action that is refused.
pub(crate) fn refusal_error(refusal: Refusal, action: ActionName) -> ApiError {
    match refusal {
        Refusal::UnknownPayment => ApiError::not_found("no such payment"),
        Refusal::Impossible { status } => {
            let state = match status {
                Status::Done(_) => format!("done ({})", status.detail()),
                _ => status.name().to_owned(),
            };
            ApiError::new(
                StatusCode::CONFLICT,
                format!("cannot {}: the payment is {state}", action.name()),
            )
        }
        Refusal::Payer(mismatch) => {
            let field = match mismatch {
                PayerMismatch::Method => "mandatory_payment_method",
                PayerMismatch::PersonalIdentifier => "fixed_payer_personal_identifier",
            };
            ApiError::new(
                StatusCode::CONFLICT,
                format!("cannot {}: the payment has another {field}", action.name()),
            )
        }
        other => other.into(),
    }
}
