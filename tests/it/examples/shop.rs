//! An example as a process, with its gateway and Khipu.

use std::path::{Path, PathBuf};
use std::process::Command;

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{HttpResponse, client, send, try_send};
use chasqui_tests::gateway_settings::{KHIPU_SECRET, RECEIVER_ID, WEBHOOK_SECRET};
use chasqui_tests::testbed::Testbed;
use redis_processes::port::HeldPort;
use redis_processes::running::Running;
use reqwest::RequestBuilder;

/// An example that runs, with its gateway and Khipu.
pub(super) struct Shop {
    pub(super) testbed: Testbed,
    pub(super) url: String,
    command: Command,
    running: Running,
    /// Dropped after the process that listens on it.
    _port: HeldPort,
    pub(super) directory: tempfile::TempDir,
}

/// An order that was placed in a [`Shop`].
pub(super) struct Order {
    pub(super) id: String,
    pub(super) payment_id: String,
    /// Where the payer was sent.
    pub(super) location: String,
}

impl Shop {
    /// Starts `command`; `port` makes its arguments from the port to listen on. It keeps its data in a directory of the
    /// test.
    pub(super) async fn start(
        mut command: Command,
        arguments: impl Fn(u16) -> Vec<String>,
    ) -> Self {
        let testbed = Testbed::start().await;
        let port = HeldPort::take();
        let url = format!("http://{}", port.address);
        command
            .args(arguments(port.address.port()))
            .env("CHASQUI_URL", &testbed.gateway.url)
            .env("CHASQUI_API_KEY", &testbed.api.key)
            .env("CHASQUI_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .env("KHIPU_SECRET", KHIPU_SECRET)
            .env("RECEIVER_ID", RECEIVER_ID.to_string())
            .env("SHOP_URL", &url)
            .env("PORT", port.address.port().to_string());
        let directory = tempfile::tempdir().expect("a directory for the test");
        let running = Running::start(&mut command, directory.path());
        let shop = Self {
            testbed,
            url,
            command,
            running,
            _port: port,
            directory,
        };
        shop.ready().await;
        shop
    }

    async fn ready(&self) {
        eventually("the shop answers", async || {
            try_send(client().get(&self.url)).await
        })
        .await
        .expect(200);
    }

    /// SIGKILL, and a start with the same data.
    pub(super) async fn restart(&mut self) {
        self.running.kill();
        self.running = Running::start(&mut self.command, self.directory.path());
        self.ready().await;
    }

    pub(super) async fn get(&self, path: &str) -> HttpResponse {
        send(client().get(format!("{}{path}", self.url))).await
    }

    /// Places an order as its button does.
    pub(super) async fn order(&self, path: &str) -> Order {
        let answer = send(client().post(format!("{}{path}", self.url)))
            .await
            .expect(303);
        let payments = self.testbed.sandbox.payments().await;
        let payment = payments.last().expect("a payment");
        let text = |name: &str| payment[name].as_str().expect("text").to_owned();
        Order {
            id: text("transaction_id"),
            payment_id: text("payment_id"),
            location: answer.header("location").to_owned(),
        }
    }

    pub(super) fn webhook(&self, path: &str, body: &str) -> RequestBuilder {
        client()
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(body.to_owned())
    }

    /// Lines that it wrote.
    pub(super) fn lines_with(&self, text: &str) -> usize {
        let output = self.running.stdout() + &self.running.log();
        output.lines().filter(|line| line.contains(text)).count()
    }
}

/// A PHP example under PHP's own server.
pub(super) async fn php(file: &str) -> Shop {
    Shop::start(Command::new("php"), |port| {
        let script = example(file).display().to_string();
        vec!["-S".into(), format!("127.0.0.1:{port}"), script]
    })
    .await
}

fn example(path: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let file = examples.join(path);
    assert!(file.exists(), "no {}: run tests/prepare.sh", file.display());
    file.canonicalize().expect("a path")
}

/// A Node example, whose packages are installed.
pub(super) fn node(folder: &str, file: &str) -> Command {
    example(&format!("{folder}/node_modules"));
    let mut command = Command::new("node");
    command.arg(example(&format!("{folder}/{file}")));
    command
}

/// A Flask example, whose packages are installed.
pub(super) async fn flask(folder: &str) -> Shop {
    let mut command = Command::new(example(&format!("{folder}/.venv/bin/flask")));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let script = example(&format!("{folder}/shop.py")).display().to_string();
    Shop::start(command, |port| {
        ["--app", &script, "run", "--port", &port.to_string()]
            .map(str::to_owned)
            .to_vec()
    })
    .await
}
