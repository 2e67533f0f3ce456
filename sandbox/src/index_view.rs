//! The markup of the page at `/`. Forms without script: it works in every browser.

use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};
use url::form_urlencoded;

use crate::action_request::ActionName;
use crate::answers::date;
use crate::options::SandboxAccount;
use crate::payment::{Payer, Payment, Status, StatusDetail};

const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(crate) struct IndexPage<'a> {
    pub(crate) base_url: &'a str,
    pub(crate) accounts: &'a [AccountRow<'a>],
    /// The account whose payments are shown; `None`: all.
    pub(crate) selected: Option<&'a str>,
    /// Newest first.
    pub(crate) payments: &'a [Payment],
    /// The number of payments on all pages.
    pub(crate) total: usize,
    pub(crate) page: usize,
    pub(crate) pages: usize,
    /// Why an action was refused.
    pub(crate) error: Option<&'a str>,
}

pub(crate) struct AccountRow<'a> {
    pub(crate) account: &'a SandboxAccount,
    pub(crate) is_individual: bool,
    pub(crate) payments: usize,
}

pub(crate) fn render(status: StatusCode, index: &IndexPage<'_>) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { "khipu-sandbox" }
                link rel="icon" href="/assets/bank.svg" type="image/svg+xml";
                link rel="stylesheet" href="/assets/bank.css";
                link rel="stylesheet" href="/assets/index.css";
            }
            body {
                header {
                    img src="/assets/bank.svg" alt="" width="36" height="36";
                    p class="brand" { "khipu-sandbox" }
                    p class="ribbon" { "Simulator" }
                }
                main {
                    @if let Some(error) = index.error { p class="error" role="alert" { (error) } }
                    (introduction(index))
                    (payments(index))
                }
                footer { p { "No money moves. Everything is forgotten when the sandbox stops." } }
            }
        }
    };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, markup.into_string()).into_response()
}

fn introduction(index: &IndexPage<'_>) -> Markup {
    let base = index.base_url;
    html! {
        section class="panel" {
            h1 { "A simulator of Khipu's payment API 3.0" }
            p class="lead" {
                "It answers as Khipu does, shows a bank page where a payer authorises, and signs and repeats "
                "notifications. Use the buttons below to move a payment to any state."
            }
            dl {
                div { dt { "Khipu's API" } dd { code { (base) "/v3" } } }
                (document("Start library", "/js/kws.js"))
                (document("Payments", "/sandbox/payments"))
                (document("Notifications sent", "/sandbox/notifications"))
                (document("Injected failures", "/sandbox/behaviour"))
            }
            p class="hint" { "sandbox/README.md documents every control." }
        }
    }
}

fn document(name: &str, path: &str) -> Markup {
    html! { div { dt { (name) } dd { a href=(path) { code { (path) } } } } }
}

fn payments(index: &IndexPage<'_>) -> Markup {
    let shown = index.selected.is_none();
    html! {
        nav class="accounts" aria-label="Accounts" {
            @if index.accounts.len() > 1 {
                a href="/" aria-current=[shown.then_some("page")] { "All accounts" }
            }
            @for row in index.accounts {
                @let is_current = index.selected == Some(&*row.account.name);
                a href=(link(Some(&row.account.name), 1)) aria-current=[is_current.then_some("page")] {
                    (row.account.name) " "
                    span class="label" {
                        (row.account.receiver_id) @if row.is_individual { ", individual" } " · " (row.payments)
                    }
                }
            }
        }
        h2 { "Payments" }
        @if index.payments.is_empty() {
            div class="panel" {
                p { "There is no payment yet. Create one with the account's API key:" }
                pre tabindex="0" {
                    "curl " (index.base_url) "/v3/payments -H 'x-api-key: API_KEY' \\\n"
                    "  -d '{\"amount\":1000,\"currency\":\"CLP\",\"subject\":\"Test\"}'"
                }
            }
        }
        @for payment in index.payments { (entry(payment, index)) }
        @if index.pages > 1 {
            nav class="pages" aria-label="Pages" {
                @if index.page > 1 { a class="button" href=(link(index.selected, index.page - 1)) { "Newer" } }
                p { "Page " (index.page) " of " (index.pages) ", " (index.total) " payments" }
                @if index.page < index.pages { a class="button" href=(link(index.selected, index.page + 1)) { "Older" } }
            }
        }
    }
}

fn entry(payment: &Payment, index: &IndexPage<'_>) -> Markup {
    let order = &payment.order;
    let id = &payment.id;
    let mut accounts = index.accounts.iter();
    let account = accounts.find(|row| row.account.receiver_id == payment.receiver_id);
    html! {
        article class="panel" id=(id) {
            div class="first-line" {
                p class="amount" { (order.amount.for_people(&order.currency)) }
                (state(payment))
            }
            p class="subject" { (order.subject) }
            dl {
                div { dt { "Payment" } dd { code { (id) } } }
                @if !order.transaction_id.is_empty() {
                    div { dt { "transaction_id" } dd { (order.transaction_id) } }
                }
                @if let Some(row) = account { div { dt { "Account" } dd { (row.account.name) } } }
                div { dt { "Created" } dd { time datetime=(date(payment.created_at)) { (date(payment.created_at)) } } }
            }
            p class="links" {
                a href={ "/payment/info/" (id) } { "Bank page" }
                a href={ "/sandbox/payments/" (id) } { "JSON" }
                a href={ "/sandbox/notifications?payment_id=" (id) } { "Notifications" }
            }
            (actions(payment, index))
        }
    }
}

fn state(payment: &Payment) -> Markup {
    let tone = match payment.status {
        Status::Done(
            StatusDetail::Normal
            | StatusDetail::MarkedPaidByReceiver
            | StatusDetail::PartiallyRefunded,
        ) => "good",
        Status::Verifying => "waiting",
        _ => "muted",
    };
    html! {
        p class={ "state " (tone) } {
            (payment.status.name())
            @if matches!(payment.status, Status::Done(_)) { ", " (payment.status.detail()) }
            @if payment.status == Status::Pending && payment.is_expired(Timestamp::now()) { ", expired" }
        }
    }
}

/// A button for every action that is possible now.
fn actions(payment: &Payment, index: &IndexPage<'_>) -> Markup {
    let now = Timestamp::now();
    let is_possible = |name: &ActionName| {
        let action = name.action(Payer::default());
        payment.clone().act(action, now).is_ok()
    };
    let possible: Vec<_> = ActionName::ALL.into_iter().filter(is_possible).collect();
    html! {
        @if !possible.is_empty() {
            form method="post" action="/" class="actions" {
                input type="hidden" name="payment_id" value=(payment.id);
                input type="hidden" name="page" value=(index.page);
                @if let Some(account) = index.selected { input type="hidden" name="account" value=(account); }
                @for name in &possible {
                    button class="button" name="action" value=(name.name()) { (name.name()) }
                }
                @if possible.iter().any(|name| name.is_notified()) {
                    label { input type="checkbox" name="notify" value="false"; " never notify" }
                }
            }
        }
    }
}

/// A page of the payments of an account or of all.
fn link(account: Option<&str>, page: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(account) = account {
        query.append_pair("account", account);
    }
    if page > 1 {
        query.append_pair("page", &page.to_string());
    }
    format!("/?{}", query.finish())
}
