//! The cart.

use axum::response::Response;
use maud::{Markup, html};

use super::layout::Page;
use crate::shop::cart::{LARGEST_QUANTITY, Line};
use crate::shop::catalogue::pesos;
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
    Page {
        title: t("Tu carro", "Your cart"),
        head: html! {},
        body,
    }
    .answer(&visit)
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
