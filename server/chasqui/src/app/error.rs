//! Why the gateway cannot start, or ends.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use chasqui_store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("cannot listen on {address}: {error}")]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },
    #[error("storage.url: cannot open the store: {0}")]
    Store(StoreError),
    #[error("storage.url: {0}")]
    Redis(String),
    /// One line each.
    #[error("storage.url: this Redis would lose payments; change its settings:\n{0}")]
    Unfit(String),
    #[error("cannot read or create the signing key {path}: {error}")]
    SigningKey { path: PathBuf, error: io::Error },
    #[error("cannot set up the HTTP client: {0}")]
    HttpClient(#[from] reqwest::Error),
    #[error("deliveries and checks cannot be set up: {0}")]
    Jobs(String),
    #[error("a background task ended: {0}")]
    Broken(String),
}
