//! Pages with a single notice: not found, not available.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::layout::ShopPage;
use crate::shop::order::Order;
use crate::shop::state::Shop;
use crate::shop::visit::Visit;

/// Also for an order that was lost at a restart of the demo.
pub(in crate::shop) async fn missing(_shop: State<Arc<Shop>>, visit: Visit) -> Response {
    let t = |spanish, english| visit.language.pick(spanish, english);
    let title = t("Aquí no hay nada tejido", "Nothing is woven here");
    let body = html! {
        div.wrap.narrow.notice {
            h1 { (title) }
            p.lead {
                (t("La dirección no existe, o la demo se reinició: los pedidos viven en su memoria.",
                   "This address does not exist, or the demo was restarted: its orders live in memory."))
            }
            p.actions { a.button href="/" { (t("Volver a la tienda", "Back to the shop")) } }
        }
    };
    let page = ShopPage {
        title,
        head: html! {},
        body,
    };
    (StatusCode::NOT_FOUND, page.answer(&visit)).into_response()
}

/// The gateway created no payment. The order stays, and a retry cannot create two payments.
pub(in crate::shop) fn no_payment(_shop: &Shop, visit: &Visit, order: &Order) -> Response {
    let t = |spanish, english| visit.language.pick(spanish, english);
    let title = t("No pudimos abrir el pago", "We could not open the payment");
    let body = html! {
        div.wrap.narrow.notice {
            h1 { (title) }
            p.lead {
                (t("Tu pedido está guardado y no se te cobró nada. Suele pasar en un momento.",
                   "Your order is saved and nothing was charged. It is usually over in a moment."))
            }
            form method="post" action={ "/orders/" (order.id) "/pay" } {
                p.actions {
                    button.button { (t("Intentar de nuevo", "Try again")) }
                    a.quiet href={ "/orders/" (order.id) } { (t("Ver tu pedido", "See your order")) }
                }
            }
        }
    };
    let page = ShopPage {
        title,
        head: html! {},
        body,
    };
    (StatusCode::BAD_GATEWAY, page.answer(visit)).into_response()
}
