//! The binary: its output, requirements and exit.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use khipu_sandbox::SandboxOptions;

struct RunningSandbox {
    process: Child,
    url: String,
}

fn start(flags: &[&str]) -> RunningSandbox {
    let mut process = Command::new(env!("CARGO_BIN_EXE_khipu-sandbox"))
        .args(["--listen", "127.0.0.1:0"])
        .args(flags)
        // http must work on a machine without CA certificates.
        .env("SSL_CERT_FILE", "/nonexistent")
        .env("SSL_CERT_DIR", "/nonexistent")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let url = line
        .trim_end()
        .strip_prefix("khipu-sandbox listening on ")
        .unwrap()
        .to_owned();
    RunningSandbox { process, url }
}

fn exits_with_success_after(mut running: RunningSandbox, signal: &str) {
    let id = running.process.id().to_string();
    let sent = Command::new("kill").args([signal, &id]).status().unwrap();
    assert!(sent.success());
    assert_eq!(running.process.wait().unwrap().code(), Some(0), "{signal}");
}

#[tokio::test]
async fn it_prints_its_real_port_and_serves_there_without_ca_certificates() {
    let running = start(&["--api-key", "k1"]);
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    let banks = format!("{}/v3/banks", running.url);
    let answer = client.get(&banks).header("x-api-key", "k1").send().await;
    assert_eq!(answer.unwrap().status(), 200);
    let answer = client
        .get(&banks)
        .header("x-api-key", SandboxOptions::default().api_key)
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), 401);
    exits_with_success_after(running, "-TERM");
}

#[test]
fn ctrl_c_exits_with_success() {
    exits_with_success_after(start(&[]), "-INT");
}
