//! The demo bank's pages: their markup, in the Spanish of Chile. `bank_page` handles the buttons.

use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};

use crate::bank_layout::{Notice, page};
use crate::payment::{Payment, Status, StatusDetail};
use crate::payment_method::Method;

/// The buttons, the payment's state, or both for a payer who can resume.
pub(crate) fn payment_page(payment: &Payment, variant: &str) -> Response {
    let now = Timestamp::now();
    if let Some(method) = other_method(payment, variant)
        && payment.may_authorize(now)
    {
        return other_method_page(payment, method);
    }
    let base = format!("/payment/{variant}/{}", payment.id);
    let current = notice(payment, now);
    let title = current
        .as_ref()
        .map_or("Autoriza tu pago", |notice| notice.title);
    page(
        StatusCode::OK,
        title,
        &html! {
            div class="card" {
                (summary(payment))
                section class="step" {
                    @match current {
                        Some(notice) => {
                            (notice.markup())
                            @if payment.may_authorize(now) {
                                (choices(payment, &base, &html! {}))
                            } @else {
                                (way_back(&payment.order.return_url))
                            }
                        }
                        None => {
                            h1 { "Autoriza tu pago" }
                            p class="lead" {
                                "Ningún dinero se mueve: elige cómo termina esta transferencia de prueba."
                            }
                            (choices(payment, &base, &html! {}))
                        }
                    }
                }
            }
        },
    )
}

/// The method to pay by, if it is another than the page's.
fn other_method(payment: &Payment, variant: &str) -> Option<Method> {
    let mandatory = payment.order.mandatory_method?;
    Method::of_page(variant)
        .is_some_and(|method| method != mandatory)
        .then_some(mandatory)
}

/// The merchant admits one method, and this is the page of another.
fn other_method_page(payment: &Payment, method: Method) -> Response {
    let (title, link) = match method {
        Method::Simplified => (
            "Este cobro se paga con transferencia simplificada",
            "Pagar con transferencia simplificada",
        ),
        Method::Regular => (
            "Este cobro se paga con transferencia normal",
            "Pagar con transferencia normal",
        ),
    };
    let notice = Notice {
        tone: "muted",
        mark: "!",
        title,
        text: "El comercio admite un solo medio de pago para este cobro.",
    };
    let way_on = html! {
        a class="button primary" href={ "/payment/" (method.page()) "/" (payment.id) } { (link) }
    };
    notice_page(payment, &notice, &way_on)
}

/// After an attempt with another identifier than the payment is for.
pub(crate) fn another_payer_page(payment: &Payment, variant: &str) -> Response {
    let notice = Notice {
        tone: "muted",
        mark: "!",
        title: "No puedes pagar este cobro",
        text: "El comercio indicó quién lo paga, y el RUT de esta cuenta es otro.",
    };
    let way_on = html! {
        a class="button primary" href={ "/payment/" (variant) "/" (payment.id) } {
            "Pagar con el RUT " (payment.test_payer())
        }
    };
    notice_page(payment, &notice, &way_on)
}

fn notice_page(payment: &Payment, notice: &Notice, way_on: &Markup) -> Response {
    page(
        StatusCode::OK,
        notice.title,
        &html! {
            div class="card" {
                (summary(payment))
                section class="step" { (notice.markup()) (way_on) }
            }
        },
    )
}

/// After a cancel, for a merchant that gave no cancel_url.
pub(crate) fn cancelled_page(payment: &Payment, variant: &str) -> Response {
    let notice = Notice {
        tone: "muted",
        mark: "↩",
        title: "No autorizaste el pago",
        text: "El cobro sigue pendiente: puedes retomarlo cuando quieras, o volver al comercio.",
    };
    let way_on = html! {
        a class="button primary" href={ "/payment/" (variant) "/" (payment.id) } { "Retomar el pago" }
        (way_back(&payment.order.return_url))
    };
    notice_page(payment, &notice, &way_on)
}

pub(crate) fn unknown_page() -> Response {
    let notice = Notice {
        tone: "muted",
        mark: "?",
        title: "No encontramos este pago",
        text: "Revisa el enlace. El simulador olvida todo cuando se reinicia.",
    };
    page(
        StatusCode::NOT_FOUND,
        notice.title,
        &html! {
            div class="card single" { section class="step" { (notice.markup()) } }
        },
    )
}

/// The payment's state. A payer who can resume gets the buttons too.
pub(crate) fn notice(payment: &Payment, now: Timestamp) -> Option<Notice> {
    let (tone, mark, title, text) = match payment.status {
        Status::Pending if payment.is_expired(now) => (
            "muted",
            "!",
            "Este cobro venció",
            "Pasó la fecha del cobro. Todavía puedes retomarlo: cada intento de pago tiene su propio plazo de tres horas.",
        ),
        Status::Pending => return None,
        Status::Verifying if payment.may_authorize(now) => (
            "waiting",
            "…",
            "Tu intento de pago terminó",
            "Khipu no vio llegar la transferencia en tres horas. Puedes retomar el pago.",
        ),
        Status::Verifying => (
            "waiting",
            "…",
            "Transferencia autorizada",
            "Khipu está verificando que llegó. No pagues de nuevo: el comercio sabrá apenas se confirme.",
        ),
        Status::Deleted => (
            "muted",
            "×",
            "Este cobro ya no existe",
            "El comercio lo eliminó. No hay nada que pagar.",
        ),
        Status::Done(
            StatusDetail::Normal
            | StatusDetail::MarkedPaidByReceiver
            | StatusDetail::PartiallyRefunded,
        ) => (
            "good",
            "✓",
            "Pago confirmado",
            "Khipu verificó que la transferencia llegó.",
        ),
        Status::Done(StatusDetail::RejectedByPayer) => (
            "muted",
            "×",
            "Rechazaste este cobro",
            "Declaraste que no lo vas a pagar. Si cambiaste de idea, puedes retomarlo.",
        ),
        Status::Done(StatusDetail::MarkedAsAbuse) => (
            "muted",
            "×",
            "Cobro denunciado",
            "Declaraste que no solicitaste este cobro. Si fue un error, puedes retomarlo.",
        ),
        Status::Done(StatusDetail::FullyRefunded | StatusDetail::Reversed) => (
            "muted",
            "↩",
            "Pago devuelto",
            "El comercio devolvió el dinero de este pago.",
        ),
    };
    Some(Notice {
        tone,
        mark,
        title,
        text,
    })
}

/// Subject, amount and receiver, shown beside the buttons and beside a notice. Khipu's API has no merchant
/// name, and its URLs may be a gateway's, so no name is derived from them.
pub(crate) fn summary(payment: &Payment) -> Markup {
    let order = &payment.order;
    html! {
        section class="summary" aria-label="Resumen del pago" {
            p class="label" {
                @if payment.may_authorize(Timestamp::now()) { "Total a pagar" } @else { "Monto del pago" }
            }
            p class="amount" { (order.amount.for_people(&order.currency)) }
            p class="subject" { (order.subject) }
            @if !order.body.is_empty() { p class="body" { (order.body) } }
            dl {
                div {
                    dt { "Pagas a" }
                    dd { "Comercio de prueba" }
                }
                div { dt { "Cuenta de cobro" } dd { (payment.receiver_id) } }
                @if !order.transaction_id.is_empty() {
                    div { dt { "Orden" } dd { (order.transaction_id) } }
                }
                div { dt { "Id de pago" } dd { code { (payment.id) } } }
            }
        }
    }
}

/// The payer's buttons, `more` before the last; each posts to its name below `base`.
pub(crate) fn choices(payment: &Payment, base: &str, more: &Markup) -> Markup {
    let action = |name: &str| format!("{base}/{name}");
    html! {
        div class="account" {
            span class="account-name" { "Cuenta corriente" }
            span class="account-number" { "•••• 4444" }
            span class="account-owner" { "Persona de prueba · RUT " (payment.test_payer()) }
        }
        form method="post" action=(action("authorize")) {
            button class="button primary" { "Autorizar el pago" }
        }
        form method="post" action=(action("second-signature")) {
            button class="button" aria-describedby="second-signature" {
                "Autorizar, falta una segunda firma"
            }
            p id="second-signature" class="hint" {
                "Queda en verificación: otra persona debe firmar antes de que llegue."
            }
        }
        @if !payment.order.fixed_payer_personal_identifier.is_empty() {
            form method="post" action=(action("authorize-as-another")) {
                button class="button" aria-describedby="another-payer" { "Autorizar con otro RUT" }
                p id="another-payer" class="hint" {
                    "El comercio indicó quién paga: otra persona no puede."
                }
            }
        }
        (more)
        form method="post" action=(action("cancel")) {
            button class="button quiet" { "Cancelar" }
        }
    }
}

fn way_back(return_url: &str) -> Markup {
    html! {
        @if return_url.is_empty() {
            p class="hint" { "Ya puedes cerrar esta página y volver al comercio." }
        } @else {
            a class="button" href=(return_url) { "Volver al comercio" }
        }
    }
}
