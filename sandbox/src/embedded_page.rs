//! The demo bank in a frame over the shop's page, and the scripts that open it: `/js/kws.js` stands in for Khipu's
//! start library. The frame's script passes the operation's result to `kws.js`, which calls the shop back.

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use crate::bank_page::{ANOTHER_PAYER, asset, see_other};
use crate::embedded_view::{Ending, choices_page, exit_page, unknown_exit_page};
use crate::payment::{Action, Payer, Payment, Status, StatusDetail};
use crate::simulator::{Refusal, Simulator};

pub(crate) fn routes() -> Router<Simulator> {
    Router::new()
        .route("/js/kws.js", get(library))
        .route("/assets/embedded.js", get(script))
        .route("/embedded/{id}", get(show))
        .route("/embedded/{id}/{choice}", post(choose))
        .route("/embedded/{id}/exit/{ending}", get(show_exit))
}

/// The buttons, by the last segment of their path.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Choice {
    Authorize,
    SecondSignature,
    AuthorizeAsAnother,
    BankFailure,
    Continue,
    Cancel,
}

async fn library() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("kws.js"))
}

async fn script() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("embedded.js"),
    )
}

/// The buttons, or the exit page of a payment that takes no further attempt.
async fn show(State(simulator): State<Simulator>, Path(id): Path<String>) -> Response {
    match simulator.payment(&id) {
        Ok(payment) if payment.may_authorize(jiff::Timestamp::now()) => choices_page(&payment),
        Ok(payment) => exit_page(&payment, standing(&payment), simulator.base_url()),
        Err(_) => unknown_exit_page(&id),
    }
}

/// Applies a choice and leads to its exit page, or back to the frame's first page if it is not possible.
async fn choose(
    State(simulator): State<Simulator>,
    Path((id, choice)): Path<(String, Choice)>,
) -> Response {
    let payer = Payer::default;
    let (chosen, ending) = match choice {
        Choice::Authorize => (simulator.pay(&id, payer()), Ending::Authorized),
        Choice::SecondSignature => (
            simulator.act(&id, Action::Authorize(payer())),
            Ending::SecondSignatureMissing,
        ),
        Choice::AuthorizeAsAnother => {
            let another = Payer {
                personal_identifier: Some(ANOTHER_PAYER.to_owned()),
                ..payer()
            };
            (simulator.pay(&id, another), Ending::Authorized)
        }
        Choice::BankFailure => (simulator.payment(&id), Ending::BankFailed),
        Choice::Continue => (simulator.payment(&id), Ending::ContinuesElsewhere),
        Choice::Cancel => (simulator.payment(&id), Ending::Cancelled),
    };
    let ending = match chosen {
        Ok(_) => ending,
        Err(Refusal::Payer(_)) => Ending::AnotherPayer,
        Err(Refusal::UnknownPayment) => return unknown_exit_page(&id),
        Err(_) => return see_other(&format!("/embedded/{id}")),
    };
    see_other(&format!("/embedded/{id}/exit/{}", ending.name()))
}

async fn show_exit(
    State(simulator): State<Simulator>,
    Path((id, ending)): Path<(String, Ending)>,
) -> Response {
    match simulator.payment(&id) {
        Ok(payment) => exit_page(&payment, ending, simulator.base_url()),
        Err(_) => unknown_exit_page(&id),
    }
}

/// What an operation for a payment that cannot be paid any more ends with.
fn standing(payment: &Payment) -> Ending {
    match payment.status {
        Status::Pending | Status::Verifying => Ending::Authorized,
        Status::Done(
            StatusDetail::Normal
            | StatusDetail::MarkedPaidByReceiver
            | StatusDetail::PartiallyRefunded,
        ) => Ending::AlreadyPaid,
        Status::Done(_) | Status::Deleted => Ending::NotPayable,
    }
}
