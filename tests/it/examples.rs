//! The examples of shops: each runs as its README says, sells an order through the gateway, and refuses what is forged.
//!
//! `tests/prepare.sh` installs their packages. `shop` runs one, `delivery` signs what it receives.

mod delivery;
mod plain;
mod shop;
mod woocommerce;
