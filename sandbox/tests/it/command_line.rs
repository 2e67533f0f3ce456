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

#[tokio::test]
async fn each_account_has_its_own_key() {
    let running = start(&[
        "--account",
        "libros:77:key-77:secret-77",
        "--account",
        "discos:78:key-78:secret-78",
    ]);
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    for (receiver_id, key) in [
        (990_939, SandboxOptions::default().api_key),
        (77, "key-77".to_owned()),
        (78, "key-78".to_owned()),
    ] {
        let url = format!("{}/v3/merchants/{receiver_id}/paymentMethods", running.url);
        let answer = client.get(url).header("x-api-key", key).send().await;
        assert_eq!(answer.unwrap().status(), 200, "{receiver_id}");
    }
    exits_with_success_after(running, "-TERM");
}

#[test]
fn an_invalid_account_stops_the_start() {
    for (accounts, expected) in [
        (&["libros:77:key"][..], "name:receiver_id:api_key:secret"),
        (
            &["libros:77:k:s", "discos:77:l:s"],
            "receiver_id of the account discos",
        ),
        (
            &["libros:77:k:s", "discos:78:k:s"],
            "API key of the account discos",
        ),
        (&["default:77:k:s"], "name of the account default"),
        (&["ana:77:k:s", "--individual=eva"], "no account eva"),
    ] {
        let flags = accounts.iter().map(|value| match value.split_once('=') {
            Some(_) => (*value).to_owned(),
            None => format!("--account={value}"),
        });
        let ended = Command::new(env!("CARGO_BIN_EXE_khipu-sandbox"))
            .args(["--listen", "127.0.0.1:0"])
            .args(flags)
            .output()
            .unwrap();
        assert!(!ended.status.success(), "{accounts:?}");
        let error = String::from_utf8(ended.stderr).unwrap();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn ctrl_c_exits_with_success() {
    exits_with_success_after(start(&[]), "-INT");
}
