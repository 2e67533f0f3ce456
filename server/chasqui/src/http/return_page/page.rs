//! The hosted page: rendered with the status, live with the script, reloading itself without it.

use chasqui_payment::{Status, StatusKind};
use maud::{DOCTYPE, Markup, html};

use super::texts::Language;

pub(super) struct Page {
    pub(super) language: Language,
    pub(super) kind: StatusKind,
    /// With it the page is live.
    pub(super) token: Option<String>,
    /// Where the payer can still pay.
    pub(super) resume_url: Option<String>,
    /// Whether the status can still change.
    pub(super) reload: bool,
}

impl Page {
    pub(super) fn render(&self) -> Markup {
        let texts = self.language.texts(self.kind);
        let reload = html! { meta http-equiv="refresh" content="10"; };
        let head = html! {
            @if let Some(_) = self.token {
                // In this order: page.js must listen before the first status arrives.
                @if self.resume_url.is_some() { script type="module" src="/assets/page.js" {} }
                script type="module" src="/js/chasqui.js" {}
                @if self.reload { noscript { (reload) } }
            } @else if self.reload {
                // Nothing live, so the page reloads with the script too.
                (reload)
            }
        };
        let body = html! {
            @match &self.token {
                Some(token) => {
                    // The script upgrades the element; without it, its content is the page.
                    chasqui-status token=(token) lang=(self.language.tag()) { (card(self.kind.status(), texts.title, texts.text)) }
                }
                None => { (card(self.kind.status(), texts.title, texts.text)) }
            }
            @if let Some(url) = &self.resume_url {
                a.action href=(url) { (self.language.resume()) }
            }
            @if self.reload {
                p.note { (self.language.closing()) }
                @if self.token.is_some() {
                    noscript { p.note { (self.language.reloading()) } }
                } @else {
                    p.note { (self.language.reloading()) }
                }
            }
        };
        document(self.language, &head, &body)
    }
}

pub(super) fn unknown(language: Language) -> Markup {
    let texts = language.unknown();
    document(
        language,
        &html! {},
        &card(Status::Pending, texts.title, texts.text),
    )
}

fn card(status: Status, title: &str, text: &str) -> Markup {
    html! {
        div.card data-status=(status.as_str()) {
            span.mark aria-hidden="true" {}
            h1 { (title) }
            p { (text) }
        }
    }
}

fn document(language: Language, head: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                meta name="color-scheme" content="light dark";
                title { (language.page_title()) }
                link rel="stylesheet" href="/assets/page.css";
                (head)
            }
            body { main { (body) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_with_a_resume_link_has_the_script_that_removes_it() {
        let page = |resume_url: Option<&str>| {
            let page = Page {
                language: Language::Spanish,
                kind: StatusKind::Created,
                token: Some("token".into()),
                resume_url: resume_url.map(Into::into),
                reload: true,
            };
            page.render().into_string()
        };
        let with = page(Some("https://khipu.example/pay"));
        let script = with.find("/assets/page.js").expect("the script");
        assert!(script < with.find("/js/chasqui.js").expect("the client"));
        assert!(with.contains("href=\"https://khipu.example/pay\""));
        assert!(!page(None).contains("page.js"));
    }
}
