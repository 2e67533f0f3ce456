//! Khipu, as far as Chasqui speaks with it: the client of its API 3.0, its words ([`wire`]) and its signature ([`signature`]).
//!
//! Khipu's field names stop in this crate. It decides nothing: it asks, and says what the answer means. Parsers are pure;
//! only the client logs and counts.

mod client;
mod json_object;
pub mod signature;
pub mod wire;

pub use client::{KhipuClient, KhipuError, KhipuResponse};
pub use json_object::{InvalidJsonObject, JsonObject};
