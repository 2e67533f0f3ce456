//! The demo bank's pages in a frame: the payer's buttons, and the exit page, which carries the operation's result.

use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use crate::bank_layout::{Notice, scripted_page};
use crate::bank_view::{choices, summary};
use crate::payment::Payment;

/// Passes the result to the page above.
const SCRIPT: &str = "/assets/embedded.js";

/// How the operation ended for the payer. It is not the payment's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ending {
    Authorized,
    AlreadyPaid,
    SecondSignatureMissing,
    ContinuesElsewhere,
    Cancelled,
    BankFailed,
    AnotherPayer,
    NotPayable,
}

/// The callback's argument.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OperationResult<'a> {
    operation_id: &'a str,
    result: &'static str,
    exit_title: &'static str,
    exit_message: &'static str,
    exit_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continue_url: Option<String>,
    /// The steps of the operation, which the sandbox does not record.
    events: [(); 0],
}

impl Ending {
    /// The segment of its exit page's path.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Authorized => "authorized",
            Self::AlreadyPaid => "already-paid",
            Self::SecondSignatureMissing => "second-signature-missing",
            Self::ContinuesElsewhere => "continues-elsewhere",
            Self::Cancelled => "cancelled",
            Self::BankFailed => "bank-failed",
            Self::AnotherPayer => "another-payer",
            Self::NotPayable => "not-payable",
        }
    }

    fn result(self) -> &'static str {
        match self {
            Self::Authorized | Self::AlreadyPaid => "OK",
            Self::SecondSignatureMissing => "WARNING",
            Self::ContinuesElsewhere => "CONTINUE",
            Self::Cancelled | Self::BankFailed | Self::AnotherPayer | Self::NotPayable => "ERROR",
        }
    }

    /// Only USER_CANCELED is known of Khipu; the others are the sandbox's.
    fn failure_reason(self) -> Option<&'static str> {
        match self {
            Self::Cancelled => Some("USER_CANCELED"),
            Self::BankFailed => Some("BANK_FAILED"),
            Self::AnotherPayer => Some("ANOTHER_PAYER"),
            Self::NotPayable => Some("NOT_PAYABLE"),
            _ => None,
        }
    }

    fn notice(self) -> Notice {
        let (tone, mark, title, text) = match self {
            Self::Authorized => (
                "waiting",
                "…",
                "Transferencia autorizada",
                "Khipu está verificando que llegó. No pagues de nuevo: el comercio sabrá apenas se confirme.",
            ),
            Self::AlreadyPaid => (
                "good",
                "✓",
                "Pago confirmado",
                "Khipu verificó que la transferencia llegó.",
            ),
            Self::SecondSignatureMissing => (
                "waiting",
                "…",
                "Falta una segunda firma",
                "Otra persona debe firmar en el banco antes de que la transferencia llegue.",
            ),
            Self::ContinuesElsewhere => (
                "waiting",
                "→",
                "El pago sigue en otra página",
                "El banco pide terminar la transferencia en su propia página.",
            ),
            Self::Cancelled => (
                "muted",
                "↩",
                "No autorizaste el pago",
                "El cobro sigue pendiente: puedes retomarlo cuando quieras.",
            ),
            Self::BankFailed => (
                "muted",
                "!",
                "El banco no respondió",
                "La transferencia no se hizo. El cobro sigue pendiente: puedes intentarlo de nuevo.",
            ),
            Self::AnotherPayer => (
                "muted",
                "!",
                "No puedes pagar este cobro",
                "El comercio indicó quién lo paga, y el RUT de esta cuenta es otro.",
            ),
            Self::NotPayable => (
                "muted",
                "×",
                "Este cobro ya no se puede pagar",
                "El comercio lo eliminó o devolvió, o no existe.",
            ),
        };
        Notice {
            tone,
            mark,
            title,
            text,
        }
    }
}

/// The payer's buttons, with two more endings than the bank page has.
pub(crate) fn choices_page(payment: &Payment) -> Response {
    let base = format!("/embedded/{}", payment.id);
    let more = html! {
        form method="post" action={ (base) "/continue" } {
            button class="button" { "Seguir en la página del banco" }
        }
        form method="post" action={ (base) "/bank-failure" } {
            button class="button" { "El banco falla" }
        }
    };
    scripted_page(
        StatusCode::OK,
        "Autoriza tu pago",
        &html! {
            div class="card" {
                (summary(payment))
                section class="step" {
                    h1 { "Autoriza tu pago" }
                    p class="lead" {
                        "Ningún dinero se mueve: elige cómo termina esta transferencia de prueba."
                    }
                    (choices(payment, &base, &more))
                }
            }
        },
        SCRIPT,
    )
}

pub(crate) fn exit_page(payment: &Payment, ending: Ending, base_url: &str) -> Response {
    let order = &payment.order;
    let is_error = ending.result() == "ERROR";
    let result = OperationResult {
        exit_url: if is_error {
            &order.cancel_url
        } else {
            &order.return_url
        },
        continue_url: (ending == Ending::ContinuesElsewhere)
            .then(|| format!("{base_url}/payment/info/{}", payment.id)),
        ..result(&payment.id, ending)
    };
    render_exit(StatusCode::OK, ending, &result, &summary(payment))
}

pub(crate) fn unknown_exit_page(id: &str) -> Response {
    let ending = Ending::NotPayable;
    render_exit(
        StatusCode::NOT_FOUND,
        ending,
        &result(id, ending),
        &html! {},
    )
}

fn result(id: &str, ending: Ending) -> OperationResult<'_> {
    let notice = ending.notice();
    OperationResult {
        operation_id: id,
        result: ending.result(),
        exit_title: notice.title,
        exit_message: notice.text,
        exit_url: "",
        failure_reason: ending.failure_reason(),
        continue_url: None,
        events: [],
    }
}

#[expect(clippy::expect_used, reason = "strings always serialize")]
fn render_exit(
    status: StatusCode,
    ending: Ending,
    result: &OperationResult<'_>,
    summary: &Markup,
) -> Response {
    let json = serde_json::to_string(result).expect("a result is JSON");
    let notice = ending.notice();
    scripted_page(
        status,
        notice.title,
        &html! {
            div class="card" data-operation-result=(json) {
                (summary)
                section class="step" {
                    (notice.markup())
                    button class="button primary" type="button" data-exit { "Volver al comercio" }
                }
            }
        },
        SCRIPT,
    )
}
