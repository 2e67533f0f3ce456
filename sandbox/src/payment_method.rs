//! The methods by which a payer can pay, and the list of `GET /v3/merchants/{id}/paymentMethods`.

use serde::Serialize;

use crate::catalogue::logo_url;

/// How the payer reaches the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Simplified,
    Regular,
}

impl Method {
    pub(crate) const ALL: [Self; 2] = [Self::Simplified, Self::Regular];

    /// By its id or its name.
    pub(crate) fn find(id: &str) -> Option<Self> {
        let mut methods = Self::ALL.into_iter();
        methods.find(|method| method.id().eq_ignore_ascii_case(id))
    }

    /// The ids, for the text of an error.
    pub(crate) fn ids() -> String {
        Self::ALL.map(Self::id).join(", ")
    }

    /// The method of a page of the bank; `None` where the payer has the choice.
    pub(crate) fn of_page(variant: &str) -> Option<Self> {
        let mut methods = Self::ALL.into_iter();
        methods.find(|method| method.page() == variant)
    }

    /// The page of the bank that pays by this method.
    pub(crate) fn page(self) -> &'static str {
        match self {
            Self::Simplified => "simplified",
            Self::Regular => "manual",
        }
    }

    /// In the list of methods: upper case, since Khipu's own plugins compare it so.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Simplified => "SIMPLIFIED_TRANSFER",
            Self::Regular => "REGULAR_TRANSFER",
        }
    }

    /// The value of `payment_method`: lower case, as Khipu's description lists it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Simplified => "simplified_transfer",
            Self::Regular => "regular_transfer",
        }
    }
}

#[derive(Serialize)]
pub(crate) struct PaymentMethodsAnswer {
    #[serde(rename = "paymentMethods")]
    payment_methods: [PaymentMethodEntry; Method::ALL.len()],
}

#[derive(Serialize)]
struct PaymentMethodEntry {
    id: &'static str,
    name: &'static str,
    logo_url: String,
}

/// `GET /v3/merchants/{id}/paymentMethods`
pub(crate) fn payment_methods(base_url: &str) -> PaymentMethodsAnswer {
    PaymentMethodsAnswer {
        payment_methods: Method::ALL.map(|method| PaymentMethodEntry {
            id: method.id(),
            name: method.name(),
            logo_url: logo_url(base_url),
        }),
    }
}
