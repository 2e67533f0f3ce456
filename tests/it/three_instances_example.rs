//! The example of three gateways behind a balancer: run as it stands, by its own script.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{GatewayClient, TestPayment};
use chasqui_tests::program::chasqui;
use redis_processes::port::HeldPort;
use redis_processes::running::Running;
use serde_json::{Value, json};

struct Example {
    running: Running,
    stdout: String,
    api: GatewayClient,
    sandbox: GatewayClient,
    /// Its ports, held until it has ended.
    _ports: Vec<HeldPort>,
    _directory: tempfile::TempDir,
}

impl Example {
    /// Starts the example; every part answers when this returns.
    async fn start() -> Self {
        let ports: Vec<_> = (0..9).map(|_| HeldPort::take()).collect();
        let port = |i: usize| ports[i].address.port().to_string();
        let three = |first: usize| (first..first + 3).map(port).collect::<Vec<_>>().join(" ");
        let directory = tempfile::tempdir().expect("a directory for the test");
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/three-instances/run.sh");
        let programs = chasqui().parent().expect("a directory of programs");
        let running = Running::start(
            Command::new(script)
                .env("BIN", programs)
                .env("BALANCER_PORT", port(0))
                .env("REDIS_PORT", port(1))
                .env("SANDBOX_PORT", port(2))
                .env("GATEWAY_PORTS", three(3))
                .env("ADMIN_PORTS", three(6)),
            directory.path(),
        );
        let stdout = eventually("the example prints how to use it", async || {
            let stdout = running.stdout();
            stdout.contains("Ctrl-C stops everything").then_some(stdout)
        })
        .await;
        let key = between(&stdout, "x-api-key: ", "'").to_owned();
        Self {
            api: GatewayClient::new(&format!("http://127.0.0.1:{}", port(0)), &key),
            sandbox: GatewayClient::new(&format!("http://127.0.0.1:{}", port(2)), ""),
            running,
            stdout,
            _ports: ports,
            _directory: directory,
        }
    }

    /// Its processes by their names.
    fn processes(&self) -> HashMap<String, String> {
        let state = PathBuf::from(between(&self.stdout, "processes and logs: ", "\n"));
        let list = fs::read_to_string(state.join("processes")).expect("the list of processes");
        list.lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(id, name)| (name.to_owned(), id.to_owned()))
            .collect()
    }

    async fn pay(&self, payment: &TestPayment) {
        for action in ["authorize", "conciliate"] {
            let path = format!("/sandbox/payments/{}/actions", payment.id);
            let body = json!({ "action": action }).to_string();
            self.sandbox.post(&path, body).await.expect(200);
        }
    }

    async fn confirmed(&self, payment: &TestPayment) -> Value {
        eventually("the payment is confirmed", async || {
            let status = self.api.status(payment).await;
            (status["status"] == "confirmed").then_some(status)
        })
        .await
    }
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).expect("what comes before");
    rest.split_once(after).expect("what comes after").0
}

fn is_running(id: &str) -> bool {
    Path::new("/proc").join(id).exists()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_takes_payments_goes_on_without_one_gateway_and_ends_all_of_its_processes() {
    let mut example = Example::start().await;
    let first = example.api.create(json!({})).await;
    example.pay(&first).await;
    example.confirmed(&first).await;

    let processes = example.processes();
    assert_eq!(processes.len(), 6, "{processes:?}");
    let gateway = processes
        .iter()
        .find_map(|(name, id)| name.starts_with("gateway").then_some(id))
        .expect("a gateway");
    let ended = Command::new("kill").arg(gateway).status().expect("kill");
    assert!(ended.success());
    eventually("the gateway has drained", async || {
        // Its parent, the script, waits for it only at the end: until then it is a zombie.
        let status = fs::read_to_string(format!("/proc/{gateway}/status")).unwrap_or_default();
        (!status.contains("State:\tR") && !status.contains("State:\tS")).then_some(())
    })
    .await;
    for _ in 0..6 {
        let payment = example.api.create(json!({})).await;
        example.pay(&payment).await;
        example.confirmed(&payment).await;
    }

    example.running.terminate();
    assert!(example.running.ended().await.success());
    for (name, id) in &processes {
        assert!(!is_running(id), "{name} is left");
    }
}
