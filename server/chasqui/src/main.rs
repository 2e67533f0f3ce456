//! The command line: flags, configuration, listeners, and then [`chasqui::app::run`].

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command writes to its terminal"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chasqui::app::{self, Listeners};
use chasqui::config::{Config, StorageConfig};
use chasqui::{api_key, telemetry};
use chasqui_core::clock;
use chasqui_payment::PaymentId;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Returns memory after many watchers leave, which glibc's allocator does not, and uses less for each: measured with
/// 19,000 watchers (tests/load/RESULTS.md).
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Real-time payment-status gateway for Khipu.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Serve {
        /// The configuration file; the environment overrides each key (CHASQUI_SERVER__LISTEN=…).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check the configuration, the storage and the calls to Khipu; report every problem at once.
    Check {
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Manage API keys for merchants' back ends.
    Keys {
        #[command(subcommand)]
        command: Keys,
    },
    /// Print a status token for a payment.
    Token {
        payment_id: String,
        /// The payment's account; required if several are configured.
        #[arg(long)]
        account: Option<String>,
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Keys {
    /// Generate a key. Give the key to the merchant's back end, and add its hash to the account's api_keys.
    New,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve { config } => serve(config.as_deref()).await,
        Command::Check { config } => check(config.as_deref()).await,
        Command::Keys { command: Keys::New } => {
            let key = api_key::generate();
            println!("key   {key}\nhash  {}", api_key::hash_text(&key));
            Ok(())
        }
        Command::Token {
            payment_id,
            account,
            config,
        } => token(&payment_id, account.as_deref(), config.as_deref()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(file: Option<&Path>) -> Result<(), String> {
    let config = load(file)?;
    telemetry::start_logging(&config.log)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let shutdown =
        first_signal().map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let listeners = Listeners::bind(&config)
        .await
        .map_err(|error| error.to_string())?;
    if let (Ok(public), Ok(admin)) = (listeners.public.local_addr(), listeners.admin.local_addr()) {
        println!("chasqui listening on http://{public}, admin on http://{admin}");
    }
    app::run(config, listeners, shutdown)
        .await
        .map_err(|error| error.to_string())
}

/// Completes at the first SIGTERM or SIGINT. A second one ends the process at once: its work is already durable.
fn first_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(0);
        });
    })
}

async fn check(file: Option<&Path>) -> Result<(), String> {
    let config = load(file)?;
    for warning in &config.warnings {
        println!("warning: {warning}");
    }
    let findings = app::check(&config).await;
    let mut problems = Vec::new();
    for finding in findings {
        match finding {
            Ok(fine) => println!("ok: {fine}"),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("\n"))
    }
}

fn token(payment_id: &str, account: Option<&str>, file: Option<&Path>) -> Result<(), String> {
    let config = load(file)?;
    let id = PaymentId::parse(payment_id).map_err(|error| error.to_string())?;
    let mut accounts = config
        .accounts
        .iter()
        .filter(|known| account.is_none_or(|name| name == known.name.as_str()));
    let account = match (accounts.next(), accounts.next()) {
        (Some(account), None) => account,
        (None, _) => return Err("--account: no such account in the configuration".into()),
        (Some(_), Some(_)) => {
            return Err("several accounts are configured; choose one with --account".into());
        }
    };
    if config.storage == StorageConfig::Memory && config.server.signing_keys.is_empty() {
        return Err(
            "with sqlite::memory: each process has its own signing key; set server.signing_keys"
                .into(),
        );
    }
    let tokens = app::status_tokens(&config).map_err(|error| error.to_string())?;
    println!("{}", tokens.mint(&id, &account.name, clock::now()).text);
    Ok(())
}

fn load(file: Option<&Path>) -> Result<Config, String> {
    Config::load(file).map_err(|error| error.to_string())
}
