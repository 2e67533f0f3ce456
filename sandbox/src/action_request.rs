//! The actions of `POST /sandbox/payments/{id}/actions` by their names, and the parser of its body.

use serde::Deserialize;

use crate::api_error::ApiError;
use crate::payment::{Action, Payer};
use crate::payment_method::Method;

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
        let can_notify = matches!(name, ActionName::Conciliate | ActionName::MarkPaid);
        if body.notify.is_some() && !can_notify {
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
