//! The sandbox over real HTTP, used by a client, a merchant's receiver and a payer's browser.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets something unexpected has failed; the panic says where"
)]

mod accounts;
mod actions;
mod api;
mod bank_page;
mod behaviour;
mod command_line;
mod embedded_page;
mod harness;
mod index_page;
mod notifications;
mod order_fields;
mod readme;
mod refunds;
mod validation;
