//! The demo bank at payment_url, where a payer authorises or cancels, and the target of each button. Plain HTML
//! forms without script, so that it works in every browser and under every policy. The markup is in `bank_view`.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use url::Url;

use crate::bank_view::{another_payer_page, cancelled_page, payment_page, unknown_page};
use crate::payment::{Action, Payer, PayerMismatch, Payment, Status};
use crate::payment_method::Method;
use crate::simulator::{Refusal, Simulator};

/// Another person than any test names as its payer.
pub(crate) const ANOTHER_PAYER: &str = "55.555.555-5";

pub(crate) fn routes() -> Router<Simulator> {
    Router::new()
        .route("/payment/{variant}/{id}", get(show))
        .route("/payment/{variant}/{id}/authorize", post(authorize))
        .route(
            "/payment/{variant}/{id}/second-signature",
            post(await_second_signature),
        )
        .route(
            "/payment/{variant}/{id}/authorize-as-another",
            post(authorize_as_another),
        )
        .route(
            "/payment/{variant}/{id}/another-payer",
            get(show_another_payer),
        )
        .route("/payment/{variant}/{id}/cancel", post(cancel))
        .route("/payment/{variant}/{id}/cancelled", get(show_cancelled))
        .route("/assets/bank.css", get(style))
        .route("/assets/bank.svg", get(logo))
}

async fn show(
    State(simulator): State<Simulator>,
    Path((variant, id)): Path<(String, String)>,
) -> Response {
    match simulator.payment(&id) {
        Ok(payment) if is_variant(&variant) => payment_page(&payment, &variant),
        _ => unknown_page(),
    }
}

/// "Authorise": verifying now, conciliated after the behaviour's delay.
async fn authorize(
    State(simulator): State<Simulator>,
    Path((variant, id)): Path<(String, String)>,
) -> Response {
    after_authorisation(&simulator, &variant, &id, || {
        simulator.pay(&id, payer(&variant))
    })
}

/// "A second signature is missing": verifying, without an automatic conciliation.
async fn await_second_signature(
    State(simulator): State<Simulator>,
    Path((variant, id)): Path<(String, String)>,
) -> Response {
    after_authorisation(&simulator, &variant, &id, || {
        simulator.act(&id, Action::Authorize(payer(&variant)))
    })
}

/// "With another RUT": refused, since this button exists only where the payment is for one payer.
async fn authorize_as_another(
    State(simulator): State<Simulator>,
    Path((variant, id)): Path<(String, String)>,
) -> Response {
    let payer = Payer {
        personal_identifier: Some(ANOTHER_PAYER.to_owned()),
        ..payer(&variant)
    };
    after_authorisation(&simulator, &variant, &id, || simulator.pay(&id, payer))
}

async fn show_another_payer(
    State(simulator): State<Simulator>,
    Path((variant, id)): Path<(String, String)>,
) -> Response {
    match simulator.payment(&id) {
        Ok(payment) if is_variant(&variant) => another_payer_page(&payment, &variant),
        _ => unknown_page(),
    }
}

/// Leaves the payment unchanged: the payer may return and resume.
async fn cancel(
    State(simulator): State<Simulator>,
    Path((variant, id)): Path<(String, String)>,
) -> Response {
    match simulator.payment(&id) {
        Ok(payment) if payment.order.cancel_url.is_empty() => {
            see_other(&format!("/payment/{variant}/{id}/cancelled"))
        }
        Ok(payment) => see_other(&payment.order.cancel_url),
        Err(_) => unknown_page(),
    }
}

async fn show_cancelled(
    State(simulator): State<Simulator>,
    Path((variant, id)): Path<(String, String)>,
) -> Response {
    match simulator.payment(&id) {
        Ok(payment) if is_variant(&variant) && payment.status == Status::Pending => {
            cancelled_page(&payment, &variant)
        }
        Ok(_) => see_other(&format!("/payment/info/{id}")),
        Err(_) => unknown_page(),
    }
}

async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("bank.css"))
}

async fn logo() -> Response {
    asset("image/svg+xml", include_str!("bank.svg"))
}

fn is_variant(variant: &str) -> bool {
    matches!(variant, "info" | "simplified" | "manual" | "receipt")
}

/// The test payer, with the method of the page.
fn payer(variant: &str) -> Payer {
    Payer {
        method: Method::of_page(variant),
        personal_identifier: None,
    }
}

/// Redirects to the shop, also when the payer presses twice. Without a return_url, or when the payment can
/// no longer be authorised, the page shows the payment's state.
fn after_authorisation(
    simulator: &Simulator,
    variant: &str,
    id: &str,
    authorise: impl FnOnce() -> Result<Payment, Refusal>,
) -> Response {
    let payment = match authorise() {
        Err(Refusal::UnknownPayment) => return unknown_page(),
        Err(Refusal::Payer(PayerMismatch::PersonalIdentifier)) => {
            return see_other(&format!("/payment/{variant}/{id}/another-payer"));
        }
        Err(_) => simulator.payment(id).ok(),
        Ok(payment) => Some(payment),
    };
    match payment {
        Some(payment)
            if payment.status == Status::Verifying && !payment.order.return_url.is_empty() =>
        {
            see_other(&payment.order.return_url)
        }
        _ => see_other(&format!("/payment/{variant}/{id}")),
    }
}

pub(crate) fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

/// The merchant's URL unchanged, unless it has characters that a header cannot carry.
pub(crate) fn see_other(url: &str) -> Response {
    let location = Some(url)
        .filter(|url| url.bytes().all(|byte| byte.is_ascii_graphic()))
        .and_then(|url| HeaderValue::from_str(url).ok())
        .or_else(|| HeaderValue::from_str(Url::parse(url).ok()?.as_str()).ok());
    match location {
        Some(location) => (
            StatusCode::SEE_OTHER,
            [
                (LOCATION, location),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            ],
        )
            .into_response(),
        None => unknown_page(),
    }
}
