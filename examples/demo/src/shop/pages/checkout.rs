//! The buyer's form, and the button that leads to the bank.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::layout::{ShopPage, receipt};
use crate::shop::catalogue::pesos;
use crate::shop::order::{LONGEST_FIELD, fresh_id};
use crate::shop::state::Shop;
use crate::shop::visit::Visit;

/// `GET /checkout`
pub(in crate::shop) async fn checkout(State(shop): State<Arc<Shop>>, visit: Visit) -> Response {
    if visit.cart.lines.is_empty() {
        return Redirect::to("/cart").into_response();
    }
    form(&shop, &visit, None)
}

/// The answer to a form that the browser should have refused.
pub(in crate::shop) fn unusable_form(shop: &Shop, visit: &Visit) -> Response {
    let alert = visit.language.pick(
        "Revisa tu nombre y tu correo.",
        "Please check your name and e-mail.",
    );
    let page = form(shop, visit, Some(alert));
    (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
}

fn form(_shop: &Shop, visit: &Visit, alert: Option<&str>) -> Response {
    let t = |spanish, english| visit.language.pick(spanish, english);
    let total = visit.cart.total();
    let body = html! {
        div.wrap.checkout {
            section aria-labelledby="checkout-title" {
                h1 #checkout-title { (t("Pagar", "Checkout")) }
                @if let Some(alert) = alert { p.alert role="alert" { (alert) } }
                form.stack method="post" action="/checkout" {
                    input type="hidden" name="order" value=(fresh_id());
                    div.field {
                        label for="name" { (t("Nombre", "Name")) }
                        input #name name="name" autocomplete="off" required maxlength=(LONGEST_FIELD) value="Ficticia Quispe";
                    }
                    div.field {
                        label for="email" { (t("Correo", "E-mail")) }
                        input #email name="email" type="email" autocomplete="off" required maxlength=(LONGEST_FIELD)
                            value="ficticia@ejemplo.example" aria-describedby="email-hint";
                        p #email-hint.hint {
                            (t("Datos inventados, como todo aquí: no hace falta poner los tuyos.",
                               "Invented, like everything here: no need to enter your own."))
                        }
                    }
                    fieldset.method {
                        legend { (t("Medio de pago", "Payment method")) }
                        label.choice {
                            input type="radio" name="way" value="redirect" checked;
                            strong { (t("Transferencia bancaria con Khipu", "Bank transfer with Khipu")) }
                            span { (t("Vas a tu banco, autorizas y vuelves. Aquí, a un banco de demostración.",
                                      "You go to your bank, authorise and come back. Here, to a demonstration bank.")) }
                        }
                        label.choice {
                            input type="radio" name="way" value="here";
                            strong { (t("Lo mismo, sin salir de la tienda", "The same, without leaving the shop")) }
                            span { (t("El banco se abre sobre esta página (kws.js). Necesita JavaScript.",
                                      "The bank opens over this page (kws.js). It needs JavaScript.")) }
                        }
                    }
                    button.button.pay { (t("Pagar con Khipu (demo)", "Pay with Khipu (demo)")) " · " (pesos(total)) }
                    p.hint.centre { (t("Ningún dinero se mueve.", "No money moves.")) }
                }
            }
            aside.panel aria-labelledby="summary-title" {
                h2 #summary-title { (t("Tu pedido", "Your order")) }
                (receipt(visit, &visit.cart.lines, total))
                p.hint { a href="/cart" { (t("Cambiar el carro", "Change the cart")) } }
            }
        }
    };
    ShopPage {
        title: t("Pagar", "Checkout"),
        head: html! {},
        body,
    }
    .answer(visit)
}
