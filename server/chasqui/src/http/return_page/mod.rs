//! The payer's return from the bank: records it, then redirects to the shop with a new token in the fragment. Where the
//! shop has no page for it, shows one.
//!
//! A payer never sees an error page: with the store down the page says that the payment is being verified.

mod page;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chasqui_core::{Payments, clock};
use chasqui_payment::{Payment, PaymentReference, StatusKind};
use page::Page;
use texts::Language;

use super::app_state::SharedState;
use super::peer;

/// How long a payer waits for the store to be read, and then for the return to be recorded. Without an answer the payer
/// gets a page that needs no store and reloads itself.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

#[utoipa::path(
    get,
    path = "/return/{ref}",
    tag = "Payer's way back",
    params(("ref" = String, Path)),
    responses((status = 303, description = "To the shop"), (status = 200, description = "The hosted page, where the shop has none", content_type = "text/html"), (status = 404, description = "An unknown link", content_type = "text/html"), (status = 503, description = "To a browser that prefetches")),
    security(())
)]
pub(super) async fn returned(
    state: SharedState,
    Path(reference): Path<String>,
    request: Request,
) -> Response {
    hop(state, &reference, request, Way::Returned).await
}

#[utoipa::path(
    get,
    path = "/return/{ref}/cancel",
    tag = "Payer's way back",
    params(("ref" = String, Path)),
    responses((status = 303, description = "To the shop"), (status = 200, description = "The hosted page, where the shop has none", content_type = "text/html"), (status = 404, description = "An unknown link", content_type = "text/html"), (status = 503, description = "To a browser that prefetches")),
    security(())
)]
pub(super) async fn gave_up(
    state: SharedState,
    Path(reference): Path<String>,
    request: Request,
) -> Response {
    hop(state, &reference, request, Way::GaveUp).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Returned,
    GaveUp,
}

async fn hop(State(state): SharedState, reference: &str, request: Request, way: Way) -> Response {
    let address = peer::of(&request, &state.server.trusted_proxies);
    let language = Language::of(request.headers());
    let visitor = Visitor::of(request.method(), request.headers());
    drop(request);
    if visitor == Visitor::Prefetch {
        return not_yet();
    }
    let Ok(reference) = PaymentReference::parse(reference) else {
        return unknown(language);
    };
    let looking =
        tokio::time::timeout(LOOKUP_TIMEOUT, state.payments.find_by_reference(&reference));
    let (intent, mut payment) = match looking.await {
        Ok(Ok(Some(found))) => found,
        Ok(Ok(None)) => return unknown(language),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store cannot look up a returning payer's payment; the page reloads until it can");
            return being_verified(language);
        }
        Err(_) => {
            tracing::warn!(
                "the store did not look up a returning payer's payment in time; the page reloads until it does"
            );
            return being_verified(language);
        }
    };
    if payment.is_none() && visitor == Visitor::Payer {
        let adopting = state.payments.adopt_intent(&intent);
        payment = tokio::time::timeout(LOOKUP_TIMEOUT, adopting)
            .await
            .unwrap_or(None);
    }
    let token = match visitor {
        Visitor::Payer => payment.as_ref().map(|payment| {
            let token = state
                .tokens
                .mint(&payment.id, &payment.account, clock::now());
            token.text
        }),
        Visitor::Prefetch | Visitor::Reader => None,
    };
    let mut is_recorded = true;
    if let (Visitor::Payer, Some(payment)) = (visitor, &mut payment)
        && state.payments.admit_visit(&payment.id, address)
    {
        is_recorded = arrive(&state.payments, payment, way).await;
    }
    let onward = match way {
        Way::Returned => intent.urls.return_url,
        Way::GaveUp => intent.urls.cancel_url,
    };
    match (onward, payment, token) {
        (Some(url), _, token) => see_other(&url, token.as_deref()),
        // The stored status is older than the payer's return.
        (None, Some(_), _) if !is_recorded => being_verified(language),
        (None, Some(payment), token) => {
            let resume_url = payment.resume_url(clock::now());
            page(&Page {
                language,
                kind: payment.state.version.kind(),
                token,
                resume_url: resume_url.map(str::to_owned),
                reload: !payment.state.is_final(),
            })
        }
        // Khipu's answer to the creation was never recorded; its notification brings the payment.
        (None, None, _) => being_verified(language),
    }
}

/// What opens the link. Only a payer's visit changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visitor {
    Payer,
    /// A browser that fetches or renders before a click. It is answered 503, so that the click requests it again.
    Prefetch,
    /// `HEAD`, or a program that previews links. It is redirected without a token.
    Reader,
}

/// Parts of the user agents of link previews, in lower case. PROTOCOL.md lists them.
const PREVIEW_AGENTS: [&str; 13] = [
    "facebookexternalhit",
    "facebot",
    "whatsapp",
    "telegrambot",
    "twitterbot",
    "slackbot",
    "slack-imgproxy",
    "discordbot",
    "linkedinbot",
    "skypeuripreview",
    "microsoftpreview",
    "googlebot",
    "bingbot",
];

impl Visitor {
    fn of(method: &Method, headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_ascii_lowercase()
        };
        let ahead_of_a_click =
            ["sec-purpose", "purpose", "x-purpose", "x-moz"]
                .iter()
                .any(|name| {
                    let purpose = text(name);
                    purpose.contains("prefetch") || purpose.contains("prerender")
                });
        let agent = text("user-agent");
        if ahead_of_a_click {
            Self::Prefetch
        } else if method == Method::HEAD || PREVIEW_AGENTS.iter().any(|name| agent.contains(name)) {
            Self::Reader
        } else {
            Self::Payer
        }
    }
}

/// Records the payer's visit; returns whether it could. A payer whose return cannot be recorded goes on to the shop, where
/// the page learns the status as soon as there is one.
async fn arrive(payments: &Arc<Payments>, payment: &mut Payment, way: Way) -> bool {
    match way {
        Way::GaveUp => {
            payments.payer_cancelled(payment);
            true
        }
        Way::Returned => {
            let returned = payments.payer_returned(payment);
            match tokio::time::timeout(LOOKUP_TIMEOUT, returned).await {
                Ok(Ok(state)) => {
                    payment.state = state;
                    true
                }
                Ok(Err(error)) => {
                    tracing::warn!(payment_id = %payment.id, %error, "a payer's return could not be recorded; the payer goes on to the shop");
                    false
                }
                Err(_) => {
                    tracing::warn!(payment_id = %payment.id, "a payer's return was not recorded in time; the payer goes on to the shop");
                    false
                }
            }
        }
    }
}

/// Answers a browser that prefetches.
fn not_yet() -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store")];
    (StatusCode::SERVICE_UNAVAILABLE, headers).into_response()
}

/// Redirects to the shop. The token is in the fragment, which no server receives or logs.
fn see_other(url: &str, token: Option<&str>) -> Response {
    let url = as_header_text(url);
    let location = match token {
        Some(token) if url.contains('#') => format!("{url}&chasqui={token}"),
        Some(token) => format!("{url}#chasqui={token}"),
        None => url,
    };
    #[expect(clippy::expect_used, reason = "it has visible ASCII alone")]
    let location = HeaderValue::try_from(location).expect("a header's text");
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    private(response)
}

/// A merchant's URL as it came, with what a header cannot hold percent-encoded, as a browser would.
fn as_header_text(url: &str) -> String {
    let mut text = String::with_capacity(url.len());
    for byte in url.trim().bytes() {
        match byte {
            b'!'..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// The page when nothing more is known.
fn being_verified(language: Language) -> Response {
    page(&Page {
        language,
        kind: StatusKind::Returned,
        token: None,
        resume_url: None,
        reload: true,
    })
}

fn unknown(language: Language) -> Response {
    html(StatusCode::NOT_FOUND, page::unknown(language).into_string())
}

fn page(page: &Page) -> Response {
    html(StatusCode::OK, page.render().into_string())
}

fn html(status: StatusCode, html: String) -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    private((status, content_type, html).into_response())
}

fn private(mut response: Response) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                          form-action 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(url: &str, token: Option<&str>) -> String {
        let response = see_other(url, token);
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        assert_eq!(response.headers()["referrer-policy"], "no-referrer");
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.headers()["location"]
            .to_str()
            .expect("text")
            .to_owned()
    }

    #[test]
    fn the_token_travels_in_the_fragment_only() {
        assert_eq!(
            location("https://shop.example/r?o=1", Some("t")),
            "https://shop.example/r?o=1#chasqui=t"
        );
        assert_eq!(
            location("https://shop.example/#/r", Some("t")),
            "https://shop.example/#/r&chasqui=t"
        );
        assert_eq!(
            location("https://shop.example/r", None),
            "https://shop.example/r"
        );
    }

    #[test]
    fn only_a_payers_own_click_is_a_visit() {
        let visitor = |method: &Method, name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            Visitor::of(method, &headers)
        };
        for (name, value, expected) in [
            ("sec-purpose", "prefetch;prerender", Visitor::Prefetch),
            ("purpose", "prefetch", Visitor::Prefetch),
            ("x-moz", "prefetch", Visitor::Prefetch),
            ("user-agent", "WhatsApp/2.23.20.0", Visitor::Reader),
            (
                "user-agent",
                "Mozilla/5.0 (compatible; Googlebot/2.1)",
                Visitor::Reader,
            ),
            (
                "user-agent",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0)",
                Visitor::Payer,
            ),
            ("sec-purpose", "", Visitor::Payer),
        ] {
            assert_eq!(
                visitor(&Method::GET, name, value),
                expected,
                "{name}: {value}"
            );
        }
        let browser = visitor(&Method::HEAD, "user-agent", "Mozilla/5.0");
        assert_eq!(browser, Visitor::Reader);
    }

    #[test]
    fn raw_text_in_a_url_is_percent_encoded() {
        assert_eq!(
            location(
                "https://shop.example/órdenes/17?q=a b&x=%C3%B1#ñ",
                Some("t")
            ),
            "https://shop.example/%C3%B3rdenes/17?q=a%20b&x=%C3%B1#%C3%B1&chasqui=t"
        );
        assert_eq!(
            location("https://shop.example/\r\nset-cookie: a=b ", None),
            "https://shop.example/%0D%0Aset-cookie:%20a=b"
        );
    }
}
