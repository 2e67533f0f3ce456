//! Scenario tests: the real gateway against the real sandbox, over HTTP and WebSocket. One file for each part of the URL
//! tree or each kind of trouble.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

mod asking;
mod both_stores;
mod closed_page;
mod command_line;
mod connections;
mod crash;
mod durability;
mod facade;
mod house;
mod idempotency;
mod instances;
mod khipu_trouble;
mod metrics;
mod notifications;
mod notified_payments;
mod outbox;
mod ownership;
mod races;
mod resuming;
mod return_hop;
mod simulation;
mod status;
mod stopping;
mod strangers;
mod three_instances;
mod websocket;
mod whole_path;
