//! Scenario tests: the real gateway against the real sandbox, over HTTP and WebSocket. One file for each part of the URL
//! tree or each kind of failure.
//!
//! | part of the URL tree | file |
//! |---|---|
//! | `/v3/payments`, `/v1/payments` | `creating`, `facade`, `idempotency` (the `Idempotency-Key` header) |
//! | the rest of `/v3` | `forwarding` (and what an API key may do), `refunds` |
//! | `/webhooks/khipu/{account}` | `notifications` (signature and form), `notification_verdicts` (compared with the payment) |
//! | `/v1/payments/{id}/status` | `status` (JSON and long poll), `websocket` |
//! | `/return/{ref}` | `return_hop` |
//! | `/openapi.json`, and each operation with another account's credentials | `api_description` |
//! | `/metrics` on the admin listener | `metrics` |
//!
//! | subject | file |
//! |---|---|
//! | a payment from creation to delivery | `payment_lifecycle` |
//! | several accounts on one gateway | `account_isolation` |
//! | reading Khipu | `khipu_polling` (pace and coalescing), `checks` (payments without watchers), `adoption` (payments unknown here) |
//! | the merchant's webhook | `deliveries` |
//! | a payment's history, and the erasure of its payer's data | `timeline`, `personal_data` (the store's files) |
//! | a payer who tries again | `resuming` |
//! | limits on connections | `connection_limits`, `unauthenticated` |
//! | events at the same time | `concurrency` |
//! | failures | `khipu_failures`, `durability` (the disk), `crash` (SIGKILL), `simulation` (all at once) |
//! | several instances on one Redis | `instances` |
//! | SIGTERM, the command line | `shutdown`, `command_line` |
//! | the examples | `examples` (shops), `three_instances_example` |
//! | clients that others wrote | `clients` |
//! | the source tree | `house` |
//!
//! `both_stores` runs a scenario on SQLite and on Redis.

#![expect(clippy::expect_used, reason = "a test fails by a panic")]

mod account_isolation;
mod adoption;
mod api_description;
mod both_stores;
mod checks;
mod clients;
mod command_line;
mod concurrency;
mod connection_limits;
mod crash;
mod creating;
mod deliveries;
mod documents;
mod durability;
mod events;
mod examples;
mod facade;
mod forwarding;
mod house;
mod idempotency;
mod instances;
mod khipu_failures;
mod khipu_polling;
mod listing;
mod merchant_outage;
mod metrics;
mod notification_verdicts;
mod notifications;
mod payment_lifecycle;
mod personal_data;
mod redelivery;
mod refunds;
mod resuming;
mod return_hop;
mod shutdown;
mod simulation;
mod status;
mod three_instances_example;
mod timeline;
mod unauthenticated;
mod websocket;
