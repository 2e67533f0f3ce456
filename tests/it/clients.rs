//! Clients of Khipu's API that others wrote: each works with the gateway as it does with Khipu, and fails clearly when Khipu
//! does.
//!
//! `tests/clients` has the programs, and `tests/prepare.sh` installs their packages. `generation` makes the clients from
//! `/openapi.json`, `client` runs one.

mod client;
mod drop_in;
mod fuzzing;
mod generation;
mod khipu_faults;
mod standard_webhooks;
