//! What is measured: a gateway and its sandbox as processes, in a directory that is deleted with them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use crate::failure::Failure;
use crate::process::{ChildProcess, START_DEADLINE};

const KHIPU_KEY: &str = "sandbox-api-key-not-real";
const KHIPU_SECRET: &str = "sandbox-secret-not-real";
const RECEIVER_ID: u64 = 990_939;

/// Creations in progress at once.
const CREATING: usize = 64;

/// The programs to start.
#[derive(Debug, Args)]
pub(crate) struct ProgramPaths {
    /// The gateway; by default the one beside this program.
    #[arg(long, value_name = "PATH")]
    gateway_bin: Option<PathBuf>,
    /// The sandbox; by default the one beside this program.
    #[arg(long, value_name = "PATH")]
    sandbox_bin: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Installation {
    // Fields are dropped in order: the gateway before the sandbox that it calls, then the files.
    pub(crate) gateway: ChildProcess,
    sandbox: ChildProcess,
    _directory: TempDir,
    /// Where the gateway listens.
    pub(crate) address: SocketAddr,
    /// The output of `chasqui --version`.
    pub(crate) version: String,
    key: String,
}

/// What differs from one measurement to the next.
#[derive(Debug, Default)]
pub(crate) struct InstallationOptions<'a> {
    pub(crate) watchers: usize,
    /// Watchers of one payment.
    pub(crate) per_payment: usize,
    /// `storage.url`; a file of its own if there is none.
    pub(crate) storage: Option<&'a str>,
    /// Where deliveries go, if anywhere.
    pub(crate) notify_url: Option<&'a str>,
}

/// What a payer's page has of a payment.
#[derive(Debug, Deserialize)]
pub(crate) struct PagePayment {
    #[serde(rename = "payment_id")]
    pub(crate) id: String,
    #[serde(rename = "status_token")]
    pub(crate) token: String,
}

/// Interval between two readiness probes.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits for the storage, too: a gateway listens before it has one.
async fn until_ready(address: SocketAddr) -> Result<(), Failure> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{address}/readyz");
    let ready = async {
        loop {
            match client.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return,
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    };
    tokio::time::timeout(START_DEADLINE, ready)
        .await
        .map_err(|_| "the gateway did not become ready; its reason is above".into())
}

impl Installation {
    /// Starts both. The gateway's limits on watchers are raised to their number, because all come from one address.
    pub(crate) async fn start(
        programs: &ProgramPaths,
        options: &InstallationOptions<'_>,
    ) -> Result<Self, Failure> {
        let gateway_bin = program(programs.gateway_bin.as_deref(), "chasqui")?;
        let sandbox_bin = program(programs.sandbox_bin.as_deref(), "khipu-sandbox")?;
        let directory = tempfile::Builder::new().prefix("chasqui-load-").tempdir()?;
        let (key, hash) = merchant_key(&gateway_bin)?;

        let sandbox = ChildProcess::start(&sandbox_bin, &["--listen", "127.0.0.1:0"]).await?;
        let khipu_url = listening_at(&sandbox.greeting)?;
        // The gateway gives Khipu its own notify_url, so its port must be known before it starts.
        let address = free_address()?;
        let storage = options.storage.map_or_else(
            || format!("sqlite:{}", directory.path().join("chasqui.db").display()),
            str::to_owned,
        );
        let notify_url = options
            .notify_url
            .map(|url| {
                format!("notify_url = {url:?}\nallow_private_destinations = [\"127.0.0.0/8\"]")
            })
            .unwrap_or_default();
        let config = format!(
            r#"
[server]
listen = "{address}"
admin_listen = "127.0.0.1:0"
public_url = "http://{address}"
signing_keys = ["signing-key-not-real-0123456789abcdef"]
[storage]
url = "{storage}"
[khipu]
base_url = "{khipu_url}"
[[accounts]]
name = "shop"
receiver_id = {RECEIVER_ID}
khipu_api_key = "{KHIPU_KEY}"
khipu_secrets = ["{KHIPU_SECRET}"]
api_keys = ["{hash}"]
{notify_url}
[limits]
watchers = {watchers}
watchers_per_address = {watchers}
watchers_per_payment = {per_payment}
requests_per_second = 100000
[log]
filter = "warn"
"#,
            watchers = options.watchers + 1,
            per_payment = options.per_payment.clamp(1, options.watchers + 1),
        );
        let file = directory.path().join("chasqui.toml");
        std::fs::write(&file, config)?;
        let gateway = ChildProcess::start(
            &gateway_bin,
            &["serve", "--config", &file.display().to_string()],
        )
        .await?;
        until_ready(address).await?;
        Ok(Self {
            gateway,
            sandbox,
            _directory: directory,
            address,
            version: output(&gateway_bin, &["--version"])?.trim().to_owned(),
            key,
        })
    }

    /// Pays every payment, which Khipu then notifies. As many are in progress at once as while creating.
    pub(crate) async fn pay(&self, payments: &[PagePayment]) -> Result<(), Failure> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let khipu_url = listening_at(&self.sandbox.greeting)?;
        stream::iter(payments)
            .map(|payment| {
                let (client, id) = (&client, &payment.id);
                let url = format!("{khipu_url}/sandbox/payments/{id}/actions");
                async move {
                    for action in ["authorize", "conciliate"] {
                        let request = client
                            .post(&url)
                            .header("content-type", "application/json")
                            .body(json!({ "action": action }).to_string());
                        let status = request.send().await?.status();
                        if !status.is_success() {
                            return Err(format!("{action} of {id}: {status}").into());
                        }
                    }
                    Ok::<(), Failure>(())
                }
            })
            .buffer_unordered(CREATING)
            .try_collect()
            .await
    }

    /// Creates payments as a merchant would. Its connections are closed afterwards.
    pub(crate) async fn create_payments(&self, count: usize) -> Result<Vec<PagePayment>, Failure> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}/v3/payments", self.address);
        stream::iter(0..count)
            .map(|i| {
                let request = client
                    .post(&url)
                    .header("x-api-key", &self.key)
                    .header("chasqui-answer-extras", "on")
                    .header("content-type", "application/json")
                    .body(
                        json!({
                            "subject": "Pedido",
                            "amount": 1000,
                            "currency": "CLP",
                            "transaction_id": format!("load-{i}"),
                            "return_url": "https://shop.example/gracias",
                        })
                        .to_string(),
                    );
                async move {
                    let response = request.send().await?;
                    let status = response.status();
                    let body = response.text().await?;
                    if !status.is_success() {
                        return Err(format!("a payment was not created: {status} {body}").into());
                    }
                    Ok::<PagePayment, Failure>(serde_json::from_str(&body)?)
                }
            })
            .buffer_unordered(CREATING)
            .try_collect()
            .await
    }
}

fn program(given: Option<&Path>, name: &str) -> Result<PathBuf, Failure> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name(name),
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(format!(
        "there is no {}; build it: cargo build --release -p chasqui -p khipu-sandbox -p chasqui-tests --bins",
        path.display()
    )
    .into())
}

/// A key for the merchant's back end, and its hash for the configuration.
fn merchant_key(gateway: &Path) -> Result<(String, String), Failure> {
    let text = output(gateway, &["keys", "new"])?;
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map(|value| value.trim().to_owned())
    };
    field("key")
        .zip(field("hash"))
        .ok_or_else(|| "`chasqui keys new` has another form than expected".into())
}

fn output(program: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program).args(arguments).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

/// The first URL of a line like `khipu-sandbox listening on http://127.0.0.1:9090`.
fn listening_at(greeting: &str) -> Result<&str, Failure> {
    greeting
        .split_ascii_whitespace()
        .find(|word| word.starts_with("http://"))
        .map(|url| url.trim_end_matches(','))
        .ok_or_else(|| format!("no address in: {greeting}").into())
}

/// A port that was free a moment ago. The system picks such ports at random, so it is very likely still free.
fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
