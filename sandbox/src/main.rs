//! Command line of the sandbox: flags to [`SandboxOptions`], a listener, and a stop on SIGTERM or ctrl-c.

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::Parser;
use khipu_sandbox::{SandboxAccount, SandboxOptions};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// A stateful simulator of Khipu's payment API 3.0. No money moves.
#[derive(Parser)]
struct Flags {
    /// Address to listen on; port 0 selects a free port
    #[arg(long, default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// The key that clients of the account `default` send as x-api-key
    #[arg(long, default_value_t = SandboxOptions::default().api_key)]
    api_key: String,
    /// The secret of the account `default`, which signs its notifications
    #[arg(long, default_value_t = SandboxOptions::default().secret)]
    secret: String,
    /// The receiver_id of the account `default`
    #[arg(long, default_value_t = SandboxOptions::default().receiver_id)]
    receiver_id: u64,
    /// One more collection account; repeatable
    #[arg(long = "account", value_name = "NAME:RECEIVER_ID:API_KEY:SECRET")]
    accounts: Vec<SandboxAccount>,
    /// Name of an account that belongs to an individual: 50,000 CLP a payment at most; repeatable
    #[arg(long = "individual", value_name = "NAME")]
    individuals: Vec<String>,
    /// Base of the URLs in answers; the listening address if absent
    #[arg(long)]
    public_url: Option<String>,
    /// Seed of the random decisions of /sandbox/behaviour
    #[arg(long, default_value_t = SandboxOptions::default().seed)]
    seed: u64,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::builder()
                .with_default_directive(tracing::Level::WARN.into())
                .from_env_lossy(),
        )
        .with_writer(io::stderr)
        .init();
    let flags = Flags::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(flags.listen).await.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!(
                "cannot listen on {}: {error}; choose another with --listen",
                flags.listen
            ),
        )
    })?;
    writeln!(
        io::stdout(),
        "khipu-sandbox listening on http://{}",
        listener.local_addr()?
    )?;
    let options = SandboxOptions {
        api_key: flags.api_key,
        secret: flags.secret,
        receiver_id: flags.receiver_id,
        accounts: flags.accounts,
        individuals: flags.individuals,
        public_url: flags.public_url,
        seed: flags.seed,
        ..SandboxOptions::default()
    };
    khipu_sandbox::run(options, listener, async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await
}
