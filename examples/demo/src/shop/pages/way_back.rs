//! The payer's return from the bank. A return does not prove a payment, and a cancellation is not a failure: both
//! pages show the known state and never suggest to pay again while a transfer may be on its way.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{Markup, html};

use super::layout::{ShopPage, receipt};
use super::notice::missing;
use crate::shop::cart::Cart;
use crate::shop::order::{Happening, Order};
use crate::shop::state::Shop;
use crate::shop::visit::Visit;

/// `GET /orders/{id}/return`, to which the gateway adds the payment's status token as `#chasqui=…`.
pub(in crate::shop) async fn returned(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<String>,
    mut visit: Visit,
) -> Response {
    let Some(order) = order_with(&shop, &id, Happening::PayerReturned) else {
        return missing(State(shop), visit).await;
    };
    visit.cart = Cart::default();
    let t = |spanish, english| visit.language.pick(spanish, english);
    let body = html! {
        div.wrap.narrow {
            h1.calm { (t("Gracias por tu compra", "Thank you for your order")) }
            chasqui-status { div.notice { (what_the_shop_knows(&visit, &order)) } }
            p.actions #order-link hidden {
                a.button href={ "/orders/" (order.id) } { (t("Ver tu pedido", "See your order")) }
            }
            noscript { p { a href={ "/orders/" (order.id) } { (t("Ver tu pedido", "See your order")) } } }
            section.panel aria-labelledby="paid-title" {
                h2 #paid-title { (t("Lo que pagaste", "What you paid for")) }
                dl.facts {
                    div { dt { (t("A", "To")) } dd { "Nudo, tejidos de los Andes" } }
                    div { dt { (t("Pedido", "Order")) } dd.code { (order.id) } }
                    div { dt { (t("Medio", "Method")) } dd { (t("Transferencia con Khipu", "Bank transfer with Khipu")) } }
                }
                (receipt(&visit, &order.lines, order.total))
            }
        }
    };
    let head = html! {
        script src="/assets/return.js" defer {}
        script type="module" src={ (shop.config.gateway_url) "/js/chasqui.js" } {}
        // Without scripts the page reloads itself, as Khipu's guide proposes. The refresh names the address without the
        // token's fragment; with it browsers would treat the refresh as navigation within the page.
        @if order.paid_at.is_none() {
            noscript { meta http-equiv="refresh" content={ "10; url=/orders/" (order.id) "/return" }; }
        }
    };
    let page = ShopPage {
        title: t("Tu pago", "Your payment"),
        head,
        body,
    }
    .answer(&visit);
    // The cart is now this order.
    ([(header::SET_COOKIE, Cart::default().cookie())], page).into_response()
}

/// The element's fallback until it has a status, or without the script: the back end's state.
fn what_the_shop_knows(visit: &Visit, order: &Order) -> Markup {
    let t = |spanish, english| visit.language.pick(spanish, english);
    html! {
        @if order.paid_at.is_some() {
            p { strong { (t("Pago confirmado", "Payment confirmed")) } }
            p { (t("Recibimos tu transferencia.", "We received your transfer.")) }
        } @else {
            p { strong { (t("Estamos verificando tu transferencia", "We are verifying your transfer")) } }
            p { (t("No pagues de nuevo.", "Do not pay again.")) }
            noscript {
                p { (t("Esta página se recarga sola cada 10 segundos; también puedes recargarla tú.",
                       "This page reloads itself every 10 seconds; you can also reload it.")) }
            }
        }
    }
}

/// `GET /orders/{id}/cancel`
pub(in crate::shop) async fn cancelled(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<String>,
    visit: Visit,
) -> Response {
    let Some(order) = order_with(&shop, &id, Happening::PayerWentBack) else {
        return missing(State(shop), visit).await;
    };
    let t = |spanish, english| visit.language.pick(spanish, english);
    let paid = order.paid_at.is_some();
    let title = if paid {
        t("Tu pedido está pagado", "Your order is paid")
    } else {
        t("Tu pedido te espera", "Your order is waiting for you")
    };
    let body = html! {
        div.wrap.narrow {
            h1 { (title) }
            p.lead {
                @if paid {
                    (t("No tienes que hacer nada más.", "There is nothing else to do."))
                } @else {
                    (t("Lo guardamos tal como lo dejaste. Puedes retomar el pago cuando quieras; si ya autorizaste \
                        la transferencia en tu banco, no pagues de nuevo: el pedido se actualizará solo.",
                       "We kept it as you left it. You can resume the payment whenever you like; if you already \
                        authorised the transfer at your bank, do not pay again: the order will update itself."))
                }
            }
            p.actions {
                @if let Some(payment) = order.payment.as_ref().filter(|_| !paid) {
                    a.button href=(payment.url) { (t("Retomar el pago", "Resume the payment")) }
                }
                a.quiet href={ "/orders/" (order.id) } { (t("Ver tu pedido", "See your order")) }
            }
            section.panel aria-label=(t("Tu pedido", "Your order")) {
                dl.facts { div { dt { (t("Pedido", "Order")) } dd.code { (order.id) } } }
                (receipt(&visit, &order.lines, order.total))
            }
        }
    };
    ShopPage {
        title,
        head: html! {},
        body,
    }
    .answer(&visit)
}

fn order_with(shop: &Shop, id: &str, what: Happening) -> Option<Order> {
    shop.orders.update(id, |order| {
        order.note(what, Timestamp::now());
        order.clone()
    })
}
