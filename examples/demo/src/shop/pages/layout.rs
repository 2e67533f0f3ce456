//! The parts of every page: head, demo bar, header, footer.

use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use crate::shop::cart::Line;
use crate::shop::catalogue::{Product, pesos};
use crate::shop::language::Language;
use crate::shop::visit::Visit;

/// One page. `head` holds the extra head elements of some pages.
pub(super) struct ShopPage<'a> {
    pub(super) title: &'a str,
    pub(super) head: Markup,
    pub(super) body: Markup,
}

impl ShopPage<'_> {
    pub(super) fn answer(self, visit: &Visit) -> Response {
        Html(self.draw(visit).into_string()).into_response()
    }

    fn draw(self, visit: &Visit) -> Markup {
        let t = |spanish, english| visit.language.pick(spanish, english);
        html! {
            (DOCTYPE)
            html lang=(visit.language.tag()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Nudo" }
                    link rel="icon" href="/assets/mark.svg" type="image/svg+xml";
                    link rel="stylesheet" href="/assets/shop.css";
                    (self.head)
                }
                body {
                    a.skip href="#main" { (t("Saltar al contenido", "Skip to content")) }
                    div.demo-bar role="note" {
                        p {
                            strong { "Demo" } " "
                            (t("Ningún dinero se mueve: tienda y banco son de mentira.",
                               "No money moves: shop and bank are make-believe."))
                            " " a href="/#demo" { (t("Qué pasa aquí", "What happens here")) }
                        }
                    }
                    (header(visit))
                    main #main { (self.body) }
                    (footer(visit))
                }
            }
        }
    }
}

fn header(visit: &Visit) -> Markup {
    let t = |spanish, english| visit.language.pick(spanish, english);
    let pieces = visit.cart.pieces();
    html! {
        header.site {
            div.wrap {
                a.brand href="/" {
                    img src="/assets/mark.svg" alt="" width="36" height="36";
                    span { "Nudo" }
                }
                nav aria-label=(t("Principal", "Main")) {
                    a.wide-only href="/#catalogue" { (t("Tejidos", "Textiles")) }
                    a href="/orders" { (t("Pedidos", "Orders")) }
                    a href="/cart" {
                        (t("Carro", "Cart"))
                        @if pieces > 0 {
                            span.count { span.unseen { ": " } (pieces) }
                        }
                    }
                    @match visit.language {
                        Language::Spanish => a.tongue href={ (visit.path) "?lang=en" } lang="en" hreflang="en" aria-label="English" { "EN" },
                        Language::English => a.tongue href={ (visit.path) "?lang=es" } lang="es" hreflang="es" aria-label="Español" { "ES" },
                    }
                }
            }
            div.greca {}
        }
    }
}

fn footer(visit: &Visit) -> Markup {
    let t = |spanish, english| visit.language.pick(spanish, english);
    html! {
        footer.site {
            div.wrap {
                p {
                    strong { "Nudo" } " · "
                    (t("Una tienda inventada, hecha para probar Chasqui: el estado de un pago con Khipu, al instante.",
                       "An invented shop, made to try Chasqui: the status of a Khipu payment, the moment it changes."))
                }
            }
        }
    }
}

pub(super) fn picture(visit: &Visit, product: &Product) -> Markup {
    html! {
        img src={ "/assets/" (product.slug) ".svg" } alt=(visit.language.of(product.picture)) width="600" height="750";
    }
}

/// The lines of an order and its total.
pub(super) fn receipt(visit: &Visit, lines: &[Line], total: u64) -> Markup {
    html! {
        ul.receipt {
            @for line in lines {
                li {
                    img src={ "/assets/" (line.product.slug) ".svg" } alt="" width="56" height="70";
                    span.what {
                        (visit.language.of(line.product.name))
                        @if line.quantity > 1 { span.times { " × " (line.quantity) } }
                    }
                    span.sum { (pesos(line.total())) }
                }
            }
            li.total {
                span.what { "Total" }
                span.sum { (pesos(total)) " " small { "CLP" } }
            }
        }
    }
}

/// The time of day, to the second, with its zone (UTC).
pub(super) fn clock(at: Timestamp) -> Markup {
    // RFC 3339: 2026-11-22T06:30:00Z
    let written = format!("{at:.0}");
    let hour = written.get(11..19).unwrap_or(&written);
    html! { time datetime=(at) { (hour) " UTC" } }
}
