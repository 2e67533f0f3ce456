//! The frame of the demo bank's pages: head, header and footer, security headers, and the notice of a state.

use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// No form-action: browsers also apply it to the redirect after a form, which leads to the shop through
/// hosts that are unknown here.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'";

/// The same with one script of this origin.
const SCRIPT_POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; base-uri 'none'";

/// A page's main message.
pub(crate) struct Notice {
    pub(crate) tone: &'static str,
    pub(crate) mark: &'static str,
    pub(crate) title: &'static str,
    pub(crate) text: &'static str,
}

impl Notice {
    pub(crate) fn markup(&self) -> Markup {
        html! {
            div class={ "mark " (self.tone) } aria-hidden="true" { (self.mark) }
            h1 { (self.title) }
            p class="lead" { (self.text) }
        }
    }
}

/// A page without script.
pub(crate) fn page(status: StatusCode, title: &str, content: &Markup) -> Response {
    render(status, title, content, None)
}

/// A page with the script at this path.
pub(crate) fn scripted_page(
    status: StatusCode,
    title: &str,
    content: &Markup,
    script: &str,
) -> Response {
    render(status, title, content, Some(script))
}

fn render(status: StatusCode, title: &str, content: &Markup, script: Option<&str>) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="es-CL" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) " · Banco Demo" }
                link rel="icon" href="/assets/bank.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/bank.css";
                @if let Some(script) = script { script src=(script) defer {} }
            }
            body {
                header {
                    img src="/assets/bank.svg" alt="" width="36" height="36";
                    p class="brand" { "Banco Demo" }
                    p class="ribbon" { "Simulador" }
                }
                main { (content) }
                footer {
                    p {
                        strong { "Banco Demo · simulador, ningún dinero se mueve." }
                        " No es un banco real y no pide claves."
                    }
                }
            }
        }
    };
    let policy = script.map_or(POLICY, |_| SCRIPT_POLICY);
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        // The back button must show the payment's current state, not the buttons again.
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, markup.into_string()).into_response()
}
