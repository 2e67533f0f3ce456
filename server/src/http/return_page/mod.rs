//! The payer's way back from the bank: tells the gateway, then sends the payer on to the shop with a fresh token in the
//! fragment; or, where the shop has no page for it, shows one.
//!
//! Nobody who has just paid meets an error page: whatever is down, unknown or too late, the answer is calm.

mod page;
mod texts;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Shared;
use crate::clock;
use crate::gateway::{Gateway, GatewayError};
use crate::payment::{Intent, Payment, Ref, Status};
use page::Page;
use texts::Language;

/// How long a payer is kept waiting for the ledger. Then the page that needs none of it is shown, and tries again by itself.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn returned(
    site: Shared,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Response {
    hop(site, &reference, &headers, Way::Returned).await
}

pub(super) async fn gave_up(
    site: Shared,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Response {
    hop(site, &reference, &headers, Way::GaveUp).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Returned,
    GaveUp,
}

async fn hop(State(site): Shared, reference: &str, headers: &HeaderMap, way: Way) -> Response {
    let language = Language::of(headers);
    let Ok(reference) = Ref::parse(reference) else {
        return unknown(language);
    };
    let arriving = tokio::time::timeout(PATIENCE, arrive(&site.gateway, &reference, way));
    let (intent, payment) = match arriving.await {
        Ok(Ok(Some(arrival))) => arrival,
        Ok(Ok(None)) => return unknown(language),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a payer came back and could not be looked up or recorded");
            return being_verified(language);
        }
        Err(_) => {
            tracing::warn!("a payer came back and the ledger kept silent");
            return being_verified(language);
        }
    };
    let token = payment.as_ref().map(|payment| {
        site.tokens
            .mint(&payment.id, &payment.account, clock::now())
            .text
    });
    let onward = match way {
        Way::Returned => intent.urls.return_url,
        Way::GaveUp => intent.urls.cancel_url,
    };
    match (onward, payment, token) {
        (Some(url), _, token) => {
            see_other(&url, token.as_deref()).unwrap_or_else(|| being_verified(language))
        }
        (None, Some(payment), Some(token)) => page(
            StatusCode::OK,
            &Page {
                language,
                status: payment.state.status,
                token: Some(token),
                resume_url: resume_url(&payment),
                reload: !payment.state.status.is_final(),
            },
        ),
        // Khipu made the payment but its answer was never recorded; Khipu's notification will bring it.
        (None, ..) => being_verified(language),
    }
}

/// Tells the gateway of the payer, and answers with what is then known. `None`: nobody was sent out with this reference.
async fn arrive(
    gateway: &Arc<Gateway>,
    reference: &Ref,
    way: Way,
) -> Result<Option<(Intent, Option<Payment>)>, GatewayError> {
    let Some((intent, payment)) = gateway.returning(reference).await? else {
        return Ok(None);
    };
    let Some(mut payment) = payment else {
        return Ok(Some((intent, None)));
    };
    match way {
        Way::Returned => payment.state = gateway.payer_returned(&payment).await?,
        Way::GaveUp => gateway.payer_gave_up(&payment),
    }
    Ok(Some((intent, Some(payment))))
}

/// Somebody who has not paid can still do so.
fn resume_url(payment: &Payment) -> Option<String> {
    let open = payment.state.status == Status::Pending;
    payment
        .payment_url
        .clone()
        .filter(|url| open && (url.starts_with("https://") || url.starts_with("http://")))
}

/// On to the shop. The token is in the fragment, which reaches no server and no server's log.
fn see_other(url: &str, token: Option<&str>) -> Option<Response> {
    let location = match token {
        Some(token) if url.contains('#') => format!("{url}&chasqui={token}"),
        Some(token) => format!("{url}#chasqui={token}"),
        None => url.to_owned(),
    };
    let location = HeaderValue::from_str(&location).ok()?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, location);
    Some(private(response))
}

/// What anybody sees when there is nothing better to say.
fn being_verified(language: Language) -> Response {
    page(
        StatusCode::OK,
        &Page {
            language,
            status: Status::Verifying,
            token: None,
            resume_url: None,
            reload: true,
        },
    )
}

fn unknown(language: Language) -> Response {
    let html = page::unknown(language).into_string();
    private(
        (
            StatusCode::NOT_FOUND,
            [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
            html,
        )
            .into_response(),
    )
}

fn page(status: StatusCode, page: &Page) -> Response {
    let html = page.render().into_string();
    private(
        (
            status,
            [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
            html,
        )
            .into_response(),
    )
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
        let response = see_other(url, token).expect("a location");
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
    fn a_url_that_cannot_be_a_header_is_not_followed() {
        assert!(see_other("https://shop.example/\r\nset-cookie: a=b", Some("t")).is_none());
    }
}
