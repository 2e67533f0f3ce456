//! The visitor's data in a request: language, cart, address. None of it is trusted.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::cart::{self, Cart};
use super::language::Language;

pub(super) const LANGUAGE_COOKIE: &str = "nudo_lang";

#[derive(Debug)]
pub(super) struct Visit {
    pub(super) language: Language,
    pub(super) cart: Cart,
    /// For the links that change the language.
    pub(super) path: String,
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let language = chosen_language(parts.uri.query())
            .or_else(|| cookie(&parts.headers, LANGUAGE_COOKIE).and_then(Language::parse))
            .unwrap_or_else(|| Language::accepted(&parts.headers));
        Ok(Self {
            language,
            cart: cookie(&parts.headers, cart::COOKIE).map_or_else(Cart::default, Cart::parse),
            path: parts.uri.path().to_owned(),
        })
    }
}

/// `?lang=en`
pub(super) fn chosen_language(query: Option<&str>) -> Option<Language> {
    let mut parameters = query?.split('&');
    parameters.find_map(|parameter| Language::parse(parameter.strip_prefix("lang=")?))
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split("; "))
        .find_map(|cookie| cookie.strip_prefix(name)?.strip_prefix('='))
}
