//! The front page: the hero, the catalogue, and an explanation of the demo.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::layout::{ShopPage, picture};
use crate::shop::catalogue::{PRODUCTS, pesos};
use crate::shop::state::{Shop, ShopConfig};
use crate::shop::visit::Visit;

/// `GET /`
pub(in crate::shop) async fn front(State(shop): State<Arc<Shop>>, visit: Visit) -> Response {
    let t = |spanish, english| visit.language.pick(spanish, english);
    let body = html! {
        section.hero.wrap {
            div.words {
                p.eyebrow { (t("Taller andino · hecho a mano", "Andean workshop · made by hand")) }
                h1 { (t("Cada nudo lleva la cuenta.", "Every knot keeps count.")) }
                p.lead {
                    (t("Mantas, fajas y khipus tejidos como siempre. Los pagas por transferencia, y sabes al tiro que llegó.",
                       "Blankets, sashes and khipus, woven as ever. Pay by bank transfer, and know at once that it arrived."))
                }
                p.actions {
                    a.button href="#catalogue" { (t("Ver los tejidos", "See the textiles")) }
                    a.quiet href="#demo" { (t("¿Qué muestra esta demo?", "What does this demo show?")) }
                }
            }
            img.window src="/assets/hero.svg" width="1000" height="900"
                alt=(t("Un khipu de cordeles de colores cuelga ante la cordillera al atardecer",
                       "A khipu of coloured cords hangs before the Andes at dusk"));
        }
        section #catalogue.wrap aria-labelledby="catalogue-title" {
            h2 #catalogue-title { (t("Del telar", "From the loom")) }
            ul.grid {
                @for product in &PRODUCTS {
                    li {
                        a.card href={ "/products/" (product.slug) } {
                            (picture(&visit, product))
                            span.name { (visit.language.of(product.name)) }
                            span.material { (visit.language.of(product.material)) }
                            span.price { (pesos(product.price)) }
                        }
                    }
                }
            }
        }
        (what_happens(&visit, &shop.config))
    };
    ShopPage {
        title: t("Tejidos de los Andes", "Textiles of the Andes"),
        head: html! {},
        body,
    }
    .answer(&visit)
}

fn what_happens(visit: &Visit, config: &ShopConfig) -> Markup {
    let t = |spanish, english| visit.language.pick(spanish, english);
    let steps = [
        (
            t(
                "Pagas en un banco de mentira",
                "You pay at a make-believe bank",
            ),
            t(
                "La tienda crea el cobro en Chasqui como si fuera Khipu, y te lleva al banco del sandbox.",
                "The shop creates the payment at Chasqui as if it were Khipu, and takes you to the sandbox's bank.",
            ),
        ),
        (
            t("Vuelves: «verificando»", "You come back: “verifying”"),
            t(
                "Volver no es haber pagado. La página lo dice, y queda conectada a Chasqui.",
                "Coming back is not having paid. The page says so, and stays connected to Chasqui.",
            ),
        ),
        (
            t("Khipu confirma, tú lo ves", "Khipu confirms, you see it"),
            t(
                "El sandbox concilia a los pocos segundos y avisa. Chasqui verifica la firma y la página cambia sola.",
                "The sandbox conciliates within seconds and notifies. Chasqui verifies the signature and the page changes by itself.",
            ),
        ),
        (
            t(
                "La tienda recibe el aviso",
                "The shop gets the notification",
            ),
            t(
                "Los mismos bytes y la misma firma de Khipu, con reintentos por días. Recién ahí el pedido está pagado.",
                "Khipu's same bytes and signature, retried for days. Only then is the order paid.",
            ),
        ),
    ];
    let ShopConfig {
        gateway_url,
        bank_url,
        ..
    } = config;
    html! {
        section #demo.demo aria-labelledby="demo-title" {
            div.wrap {
                h2 #demo-title { (t("Qué pasa en esta demo", "What happens in this demo")) }
                ol.steps {
                    @for (title, text) in steps {
                        li { h3 { (title) } p { (text) } }
                    }
                }
                p.try {
                    strong { (t("Pruébala: ", "Try it: ")) }
                    (t("abre la página de retorno en dos pestañas, recárgala, apaga la red del teléfono, o vuelve atrás sin pagar.",
                       "open the return page in two tabs, reload it, take the phone offline, or go back without paying."))
                }
                ul.doors {
                    li { a href="/orders" { strong { (t("Pedidos", "Orders")) } span { (t("lo que sabe la tienda", "what the shop knows")) } } }
                    li { a href={ (bank_url) "/sandbox/notifications" } { strong { (t("Avisos del sandbox", "Sandbox notifications")) } span { (t("cada intento, con su respuesta", "every attempt and its answer")) } } }
                    li { a href={ (gateway_url) "/healthz" } { strong { (t("Salud de Chasqui", "Chasqui's health")) } span { (t("parte por parte", "part by part")) } } }
                }
            }
        }
    }
}
