//! The client of Khipu's API 3.0, the API's field names and values ([`wire`]) and its signature ([`signature`]).
//!
//! Khipu's field names stop in this crate. It decides nothing. Parsers are pure; only the client logs and counts.

mod client;
mod json_object;
pub mod signature;
pub mod wire;

pub use client::{ForwardedHeaders, KhipuCall, KhipuClient, KhipuError, KhipuResponse};
pub use json_object::{InvalidJsonObject, JsonObject};
