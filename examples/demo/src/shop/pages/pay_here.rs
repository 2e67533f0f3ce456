//! Paying without leaving the shop: Khipu's start library opens the bank over this page, and the status is beside it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::layout::{ShopPage, receipt};
use super::notice::missing;
use crate::shop::cart::Cart;
use crate::shop::state::Shop;
use crate::shop::visit::Visit;

/// `GET /orders/{id}/pay`, to which `checkout` adds the payment's status token as `#chasqui=…`.
pub(in crate::shop) async fn pay_here(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<String>,
    mut visit: Visit,
) -> Response {
    let Some(order) = shop.orders.find(&id) else {
        return missing(State(shop), visit).await;
    };
    let (Some(payment), None) = (&order.payment, order.paid_at) else {
        return Redirect::to(&format!("/orders/{id}")).into_response();
    };
    visit.cart = Cart::default();
    let t = |spanish, english| visit.language.pick(spanish, english);
    let body = html! {
        div.wrap.narrow {
            h1.calm { (t("Paga tu pedido", "Pay for your order")) }
            div aria-live="polite" {
                p.lead data-words="paying" hidden {
                    (t("Autoriza la transferencia en la ventana de Khipu.", "Authorise the transfer in Khipu's window."))
                }
                p.lead data-words="watching" hidden {
                    (t("No hace falta que hagas nada más: el estado de abajo se actualiza solo.",
                       "There is nothing else to do: the status below updates by itself."))
                }
                p.lead data-words="error" hidden {
                    (t("La ventana de Khipu se cerró sin terminar. Si ya autorizaste la transferencia en tu banco, no pagues de nuevo; \
                        si no, puedes intentarlo otra vez.",
                       "Khipu's window closed before it was done. If you already authorised the transfer at your bank, do not pay \
                        again; if not, you can try once more."))
                }
            }
            chasqui-status payment=(payment.id) {
                div.notice { p { strong { (t("Esperamos tu pago", "We are waiting for your payment")) } } }
            }
            p.actions {
                button.button #pay type="button" data-payment=(payment.id) data-url=(payment.url) { (t("Pagar con Khipu (demo)", "Pay with Khipu (demo)")) }
                a.button #order-link hidden href={ "/orders/" (order.id) } { (t("Ver tu pedido", "See your order")) }
            }
            noscript {
                p { a href=(payment.url) { (t("Pagar en la página de Khipu", "Pay at Khipu's page")) } }
            }
            section.panel aria-label=(t("Tu pedido", "Your order")) {
                dl.facts { div { dt { (t("Pedido", "Order")) } dd.code { (order.id) } } }
                (receipt(&visit, &order.lines, order.total))
            }
        }
    };
    let head = html! {
        script src={ (shop.config.bank_url) "/js/kws.js" } {}
        script src="/assets/pay.js" defer {}
        script type="module" src={ (shop.config.gateway_url) "/js/chasqui.js" } {}
    };
    let page = ShopPage {
        title: t("Paga tu pedido", "Pay for your order"),
        head,
        body,
    }
    .answer(&visit);
    // The cart is now this order.
    ([(header::SET_COOKIE, Cart::default().cookie())], page).into_response()
}
