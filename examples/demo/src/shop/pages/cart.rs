//! The cart.

use axum::Form;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::layout::ShopPage;
use crate::shop::cart::{LARGEST_QUANTITY, Line};
use crate::shop::catalogue::{Product, pesos};
use crate::shop::visit::Visit;

/// `GET /cart`
pub(in crate::shop) async fn cart(visit: Visit) -> Response {
    let t = |spanish, english| visit.language.pick(spanish, english);
    let body = html! {
        div.wrap.narrow {
            h1 { (t("Tu carro", "Your cart")) }
            @if visit.cart.lines.is_empty() {
                p.lead { (t("Está vacío por ahora.", "It is empty for now.")) }
                p.actions { a.button href="/#catalogue" { (t("Ver los tejidos", "See the textiles")) } }
            } @else {
                ul.cart { @for line in &visit.cart.lines { (row(&visit, line)) } }
                div.sum-up {
                    p { "Total " strong { (pesos(visit.cart.total())) } " " small { "CLP" } }
                    p.actions {
                        a.button href="/checkout" { (t("Ir a pagar", "Check out")) }
                        a.quiet href="/#catalogue" { (t("Seguir mirando", "Keep looking")) }
                    }
                }
            }
        }
    };
    ShopPage {
        title: t("Tu carro", "Your cart"),
        head: html! {},
        body,
    }
    .answer(&visit)
}

#[derive(Deserialize)]
pub(in crate::shop) struct CartChange {
    product: String,
    quantity: u8,
    /// If present, adds to the quantity in the cart.
    add: Option<String>,
}

/// `POST /cart`
pub(in crate::shop) async fn change_cart(
    mut visit: Visit,
    Form(change): Form<CartChange>,
) -> Response {
    if let Some(product) = Product::find(&change.product) {
        let before = change.add.map_or(0, |_| visit.cart.quantity(product));
        visit
            .cart
            .set(product, before.saturating_add(change.quantity));
    }
    let cookie = [(header::SET_COOKIE, visit.cart.cookie())];
    (cookie, Redirect::to("/cart")).into_response()
}

fn row(visit: &Visit, line: &Line) -> Markup {
    let t = |spanish, english| visit.language.pick(spanish, english);
    let Line { product, quantity } = line;
    let name = visit.language.of(product.name);
    let field = format!("quantity-{}", product.slug);
    html! {
        li {
            a.thumb href={ "/products/" (product.slug) } tabindex="-1" aria-hidden="true" {
                img src={ "/assets/" (product.slug) ".svg" } alt="" width="96" height="120";
            }
            div.words {
                h2 { a href={ "/products/" (product.slug) } { (name) } }
                p.material { (pesos(product.price)) " " (t("c/u", "each")) }
            }
            p.price { (pesos(line.total())) }
            form method="post" action="/cart" {
                input type="hidden" name="product" value=(product.slug);
                label.unseen for=(field) { (t("Cantidad de", "Quantity of")) " " (name) }
                select id=(field) name="quantity" {
                    option value="0" { (t("0 (quitar)", "0 (remove)")) }
                    @for n in 1..=LARGEST_QUANTITY { option value=(n) selected[n == *quantity] { (n) } }
                }
                button.small { (t("Cambiar", "Update")) }
            }
        }
    }
}
