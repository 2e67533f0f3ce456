//! One product.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use maud::html;

use super::layout::{ShopPage, picture};
use super::notice::missing;
use crate::shop::cart::LARGEST_QUANTITY;
use crate::shop::catalogue::{Product, pesos};
use crate::shop::state::Shop;
use crate::shop::visit::Visit;

/// `GET /products/{slug}`
pub(in crate::shop) async fn product(
    shop: State<Arc<Shop>>,
    Path(slug): Path<String>,
    visit: Visit,
) -> Response {
    let Some(product) = Product::find(&slug) else {
        return missing(shop, visit).await;
    };
    let language = visit.language;
    let t = |spanish, english| language.pick(spanish, english);
    let name = language.of(product.name);
    let body = html! {
        article.product.wrap {
            div.art { (picture(&visit, product)) }
            div.words {
                p.eyebrow { a href="/#catalogue" { (t("← Todos los tejidos", "← All textiles")) } }
                h1 { (name) }
                p.price.big { (pesos(product.price)) }
                p.lead { (language.of(product.story)) }
                dl.facts {
                    div { dt { (t("Material", "Material")) } dd { (language.of(product.material)) } }
                    div { dt { (t("Medidas", "Size")) } dd { (product.size) } }
                    div { dt { (t("En el telar", "On the loom")) } dd { (product.days) " " (if product.days == 1 { t("día", "day") } else { t("días", "days") }) } }
                }
                form.buy method="post" action="/cart" {
                    input type="hidden" name="product" value=(product.slug);
                    input type="hidden" name="add" value="1";
                    div.field {
                        label for="quantity" { (t("Cantidad", "Quantity")) }
                        select #quantity name="quantity" {
                            @for quantity in 1..=LARGEST_QUANTITY { option value=(quantity) { (quantity) } }
                        }
                    }
                    button.button { (t("Agregar al carro", "Add to cart")) }
                }
            }
        }
    };
    ShopPage {
        title: name,
        head: html! {},
        body,
    }
    .answer(&visit)
}
