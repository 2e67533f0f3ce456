//! All of Chasqui on one machine, for use with a browser: the gateway, the sandbox in place of Khipu and its bank,
//! and a small shop. Run `cargo run --release -p demo` and follow its output.
//!
//! `composition` runs the three; `shop` is a merchant's integration.

mod composition;
mod shop;

use std::error::Error;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Gateway, sandbox and a small shop in one process. No money moves.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Where the gateway (Chasqui) listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the sandbox (Khipu and the bank) listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    sandbox_listen: SocketAddr,
    /// Where the shop listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    shop_listen: SocketAddr,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    // Standard output is for the welcome. RUST_LOG=info shows the gateway at work.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match Box::pin(demo(&flags)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A failure to write to standard error cannot be reported.
            let _ = writeln!(std::io::stderr(), "demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn demo(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let listeners = composition::DemoListeners {
        gateway: bind(flags.listen, "--listen").await?,
        sandbox: bind(flags.sandbox_listen, "--sandbox-listen").await?,
        shop: bind(flags.shop_listen, "--shop-listen").await?,
        // Any port: the welcome prints the address of the metrics.
        admin: bind((Ipv4Addr::LOCALHOST, 0).into(), "the admin port").await?,
    };
    let urls = composition::Urls {
        gateway: url(&listeners.gateway)?,
        sandbox: url(&listeners.sandbox)?,
        shop: url(&listeners.shop)?,
        admin: url(&listeners.admin)?,
    };
    welcome(&urls)?;

    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => (),
            _ = terminate.recv() => (),
        }
    };
    Box::pin(composition::run(&urls, listeners, shutdown)).await
}

async fn bind(address: SocketAddr, flag: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|error| format!("{address}: {error}; choose another with {flag}"))
}

/// The listener's URL for a browser on this machine.
fn url(listener: &TcpListener) -> std::io::Result<String> {
    let mut address = listener.local_addr()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("http://{address}"))
}

/// Scripts parse the lines of a name and a URL; keep their form.
fn welcome(urls: &composition::Urls) -> std::io::Result<()> {
    let composition::Urls {
        gateway,
        sandbox,
        shop,
        admin,
    } = urls;
    let mut out = std::io::stdout().lock();
    write!(
        out,
        "
  Chasqui demo: no money moves, everything is on this machine and in memory.

shop     {shop}
gateway  {gateway}
sandbox  {sandbox}
metrics  {admin}/metrics

  1. Open the shop, put something into the cart, and press \"Pagar con Khipu (demo)\".
  2. Authorise at the simulated bank. You return to a page that shows \"verificando\".
  3. A few seconds later the page changes to \"confirmado\"; keep it open in two tabs.
  4. {shop}/orders lists the orders in the shop's back end.
     {sandbox}/sandbox/notifications lists every notification that \"Khipu\" sent.

  English: {shop}/?lang=en          Ctrl-C stops it.

"
    )?;
    out.flush()
}
