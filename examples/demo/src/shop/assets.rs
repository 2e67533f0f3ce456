//! The shop's files, embedded in the binary, and the headers of every answer.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::state::Shop;
use super::visit::{LANGUAGE_COOKIE, chosen_language};

const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($name:literal) => {
        include_str!(concat!("../../assets/", $name))
    };
}

/// `GET /assets/{name}`
pub(super) async fn file(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "shop.css" => (CSS, asset!("shop.css")),
        "pay.js" => (JS, asset!("pay.js")),
        "return.js" => (JS, asset!("return.js")),
        "chal.svg" => (SVG, asset!("chal.svg")),
        "cojin.svg" => (SVG, asset!("cojin.svg")),
        "faja.svg" => (SVG, asset!("faja.svg")),
        "greca.svg" => (SVG, asset!("greca.svg")),
        "hero.svg" => (SVG, asset!("hero.svg")),
        "khipu.svg" => (SVG, asset!("khipu.svg")),
        "llavero.svg" => (SVG, asset!("llavero.svg")),
        "manta.svg" => (SVG, asset!("manta.svg")),
        "mark.svg" => (SVG, asset!("mark.svg")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    // Short, so that a new version of the shop appears soon; one visit still fetches each picture once.
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "public, max-age=60"),
    ];
    (headers, text).into_response()
}

/// Adds the headers of every answer, and stores the language of `?lang=` in a cookie.
pub(super) async fn headers(
    State(shop): State<Arc<Shop>>,
    request: Request,
    next: Next,
) -> Response {
    let language = chosen_language(request.uri().query());
    let starts_khipu = request.uri().path().ends_with("/pay");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let policy = [
        (
            header::CONTENT_SECURITY_POLICY,
            security_policy(&shop, starts_khipu),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "same-origin".to_owned()),
    ];
    for (name, value) in policy {
        set(headers, name, &value);
    }
    // Orders, carts and states change and belong to one visitor.
    if !headers.contains_key(header::CACHE_CONTROL) {
        set(headers, header::CACHE_CONTROL, "no-store");
    }
    if let Some(language) = language {
        let tag = language.tag();
        let cookie = format!("{LANGUAGE_COOKIE}={tag}; Path=/; HttpOnly; SameSite=Lax");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            headers.append(header::SET_COOKIE, cookie);
        }
    }
    response
}

fn set(headers: &mut axum::http::HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Only the gateway's script and connection are foreign. The bank is listed because browsers also apply `form-action`
/// to the redirect after a form. Where Khipu is started in the page, its library and its frame come from there too.
fn security_policy(shop: &Shop, starts_khipu: bool) -> String {
    let gateway = &shop.config.gateway_url;
    let socket = gateway.replacen("http", "ws", 1);
    let bank = &shop.config.bank_url;
    let (script, frame) = match starts_khipu {
        true => (format!(" {bank}"), format!("frame-src {bank}; ")),
        false => (String::new(), String::new()),
    };
    format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self' {gateway}{script}; \
         {frame}connect-src {gateway} {socket}; form-action 'self' {bank}; base-uri 'none'; frame-ancestors 'none'"
    )
}
