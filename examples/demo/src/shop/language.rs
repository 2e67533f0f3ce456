//! The two languages of the shop. Each text is written in both at its place of use.

use axum::http::{HeaderMap, header};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Spanish,
    English,
}

impl Language {
    /// From `es`, `en-GB`, …: `None` if it is neither.
    pub(super) fn parse(tag: &str) -> Option<Self> {
        match tag.trim().split(['-', ';']).next()? {
            "es" => Some(Self::Spanish),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    /// The browser's first supported language; else the Spanish of Chile.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        headers
            .get(header::ACCEPT_LANGUAGE)
            .and_then(|value| value.to_str().ok())
            .and_then(|languages| languages.split(',').find_map(Self::parse))
            .unwrap_or(Self::Spanish)
    }

    pub(super) fn tag(self) -> &'static str {
        self.pick("es-CL", "en")
    }

    pub(super) fn pick<T>(self, spanish: T, english: T) -> T {
        match self {
            Self::Spanish => spanish,
            Self::English => english,
        }
    }
}
