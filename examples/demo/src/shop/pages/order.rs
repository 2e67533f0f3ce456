//! The orders of the back end, whose state comes from the verified notification only.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use jiff::Timestamp;
use maud::{Markup, html};

use super::layout::{ShopPage, clock, receipt};
use super::notice::missing;
use crate::shop::catalogue::pesos;
use crate::shop::order::{Happening, Order, OrderEvent};
use crate::shop::state::Shop;
use crate::shop::visit::Visit;

/// How often the page of an unpaid order reloads.
const REFRESH_S: u8 = 3;

/// `GET /orders/{id}`
pub(in crate::shop) async fn order(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<String>,
    visit: Visit,
) -> Response {
    let Some(order) = shop.orders.find(&id) else {
        return missing(State(shop), visit).await;
    };
    let t = |spanish, english| visit.language.pick(spanish, english);
    let title = format!("{} {}", t("Pedido", "Order"), order.id);
    let body = html! {
        div.wrap.narrow {
            p.eyebrow { a href="/orders" { (t("← Todos los pedidos", "← All orders")) } }
            h1 { (t("Pedido", "Order")) " " span.code { (order.id) } }
            (state(&visit, &order))
            section.panel aria-labelledby="story-title" {
                h2 #story-title { (t("Lo que sabe la tienda", "What the shop knows")) }
                ol.timeline { @for event in &order.events { (happening(&visit, event, order.placed_at())) } }
            }
            section.panel aria-labelledby="lines-title" {
                h2 #lines-title { (t("Detalle", "Details")) }
                dl.facts {
                    div { dt { (t("Para", "For")) } dd { (order.name) } }
                    div { dt { (t("Correo", "E-mail")) } dd { (order.email) } }
                    @if let Some(payment) = &order.payment {
                        div { dt { (t("Cobro", "Payment")) } dd.code { (payment.id) } }
                    }
                }
                (receipt(&visit, &order.lines, order.total))
            }
        }
    };
    let head = html! {
        @if order.paid_at.is_none() { meta http-equiv="refresh" content=(REFRESH_S); }
    };
    ShopPage {
        title: &title,
        head,
        body,
    }
    .answer(&visit)
}

fn state(visit: &Visit, order: &Order) -> Markup {
    let t = |spanish, english| visit.language.pick(spanish, english);
    html! {
        @if let Some(at) = order.paid_at {
            div.state.good {
                p.headline { (t("Pagado ✓", "Paid ✓")) }
                p { (t("Confirmado por webhook a las ", "Confirmed by webhook at ")) (clock(at)) }
            }
        } @else {
            div.state {
                p.headline { (t("Pago pendiente", "Payment pending")) }
                p {
                    (t("La tienda espera el aviso firmado. Esta página mira de nuevo cada ",
                       "The shop is waiting for the signed notification. This page looks again every "))
                    (REFRESH_S) " s."
                }
                @match &order.payment {
                    // A payer who returned may have paid: do not offer to pay again.
                    Some(_) if order.knows(&Happening::PayerReturned) => p { strong { (t("Si ya transferiste, no pagues de nuevo.", "If you already transferred, do not pay again.")) } },
                    Some(payment) => p { a href=(payment.url) { (t("Retomar el pago en el banco", "Resume the payment at the bank")) } },
                    None => form method="post" action={ "/orders/" (order.id) "/pay" } {
                        button.small { (t("Ir a pagar", "Go and pay")) }
                    },
                }
            }
        }
    }
}

fn happening(visit: &Visit, event: &OrderEvent, start: Timestamp) -> Markup {
    let t = |spanish, english| visit.language.pick(spanish, english);
    let (text, detail) = match &event.what {
        Happening::Placed => (
            t("Pedido guardado", "Order saved"),
            t("antes de crear el cobro", "before the payment is created"),
        ),
        Happening::PaymentCreated(id) => (t("Cobro creado", "Payment created"), id.as_str()),
        Happening::PayerReturned => (
            t("Volviste del banco", "You came back from the bank"),
            t("eso no prueba un pago", "which proves no payment"),
        ),
        Happening::PayerWentBack => (
            t(
                "Dejaste el pago para después",
                "You left the payment for later",
            ),
            t("se puede retomar", "it can be resumed"),
        ),
        Happening::Mismatch => (
            t("Aviso rechazado", "Notification refused"),
            t(
                "firma buena, otro monto",
                "good signature, different amount",
            ),
        ),
        Happening::Paid => (
            t("Aviso verificado: pagado", "Notification verified: paid"),
            "POST /khipu",
        ),
        Happening::NotifiedAgain => (
            t("El mismo aviso otra vez", "The same notification again"),
            t("no cambia nada", "nothing changes"),
        ),
    };
    let since = format!("{:.1}", event.at.duration_since(start).as_secs_f64());
    let since = since.replace('.', t(",", "."));
    html! {
        li.good[event.what == Happening::Paid] {
            p { strong { (text) } " " span.detail { (detail) } }
            p.when { (clock(event.at)) " · +" (since) " s" }
        }
    }
}

/// `GET /orders`
pub(in crate::shop) async fn orders(State(shop): State<Arc<Shop>>, visit: Visit) -> Response {
    let t = |spanish, english| visit.language.pick(spanish, english);
    let orders = shop.orders.newest_first();
    let body = html! {
        div.wrap.narrow {
            h1 { (t("Pedidos", "Orders")) }
            p.lead {
                (t("El lado de la tienda: un pedido está pagado cuando llegó el aviso firmado, no antes.",
                   "The shop's side: an order is paid when the signed notification came, not before."))
            }
            @if orders.is_empty() {
                p.actions { a.button href="/#catalogue" { (t("Hacer el primero", "Place the first")) } }
            } @else {
                ul.orders {
                    @for order in &orders {
                        li {
                            a href={ "/orders/" (order.id) } {
                                span.code { (order.id) }
                                span.pieces { (clock(order.placed_at())) }
                                span.sum { (pesos(order.total)) }
                                @if order.paid_at.is_some() { span.badge.good { (t("Pagado ✓", "Paid ✓")) } }
                                @else { span.badge { (t("Pago pendiente", "Pending")) } }
                            }
                        }
                    }
                }
            }
        }
    };
    ShopPage {
        title: t("Pedidos", "Orders"),
        head: html! {},
        body,
    }
    .answer(&visit)
}
