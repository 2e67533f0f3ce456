//! The examples of shops: each runs as its README says, sells an order through the gateway, and refuses what is forged.
//!
//! `tests/prepare.sh` installs their packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{HttpResponse, client, send, try_send};
use chasqui_tests::gateway_settings::{KHIPU_SECRET, WEBHOOK_SECRET};
use chasqui_tests::notification::{body, now_ms, signature};
use chasqui_tests::testbed::Testbed;
use hmac::{Hmac, KeyInit, Mac};
use redis_processes::port::HeldPort;
use redis_processes::running::Running;
use reqwest::RequestBuilder;
use serde_json::json;
use sha2::Sha256;

/// An example that runs, with its gateway and Khipu.
struct Shop {
    testbed: Testbed,
    url: String,
    command: Command,
    running: Running,
    /// Dropped after the process that listens on it.
    _port: HeldPort,
    directory: tempfile::TempDir,
}

/// An order that was placed in a [`Shop`].
struct Order {
    id: String,
    payment_id: String,
    /// Where the payer was sent.
    location: String,
}

impl Shop {
    /// Starts `command`; `port` makes its arguments from the port to listen on. It keeps its data in a directory of the
    /// test.
    async fn start(mut command: Command, arguments: impl Fn(u16) -> Vec<String>) -> Self {
        let testbed = Testbed::start().await;
        let port = HeldPort::take();
        let url = format!("http://{}", port.address);
        command
            .args(arguments(port.address.port()))
            .env("CHASQUI_URL", &testbed.gateway.url)
            .env("CHASQUI_API_KEY", &testbed.api.key)
            .env("CHASQUI_WEBHOOK_SECRET", WEBHOOK_SECRET)
            .env("KHIPU_SECRET", KHIPU_SECRET)
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
    async fn restart(&mut self) {
        self.running.kill();
        self.running = Running::start(&mut self.command, self.directory.path());
        self.ready().await;
    }

    async fn get(&self, path: &str) -> HttpResponse {
        send(client().get(format!("{}{path}", self.url))).await
    }

    /// Places an order as its button does.
    async fn order(&self, path: &str) -> Order {
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

    fn webhook(&self, path: &str, body: &str) -> RequestBuilder {
        client()
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .body(body.to_owned())
    }

    /// Lines that it wrote.
    fn lines_with(&self, text: &str) -> usize {
        let output = self.running.stdout() + &self.running.log();
        output.lines().filter(|line| line.contains(text)).count()
    }
}

/// What the plain examples have in common, by the paths where it is.
struct Paths {
    create: &'static str,
    webhook: &'static str,
    /// The order's return page, and where its state is; `{}` is the order's id.
    page: &'static str,
    state: &'static str,
    /// A file that it writes when an order is paid: a directory in its place makes that fail. `{}` is the order's id.
    written: &'static str,
}

const USUAL: Paths = Paths {
    create: "/orders",
    webhook: "/khipu",
    page: "/orders/{}",
    state: "/orders/{}",
    written: "orders.db-journal",
};

/// An order from its creation to its payment, with everything between that must not count as one.
async fn sells(shop: &mut Shop, paths: &Paths) {
    let order = shop.order(paths.create).await;
    let payment = shop.testbed.sandbox.payment(&order.payment_id).await;
    assert_eq!(payment["payment_url"], order.location);
    let state_path = paths.state.replace("{}", &order.id);
    let state = async |shop: &Shop| shop.get(&state_path).await.expect(200).text();
    let before = state(shop).await;
    assert!(before.contains("awaiting the transfer"), "{before}");

    // The page to which the payer returns has the element, and the token in its address.
    let page_path = paths.page.replace("{}", &order.id);
    let hop = payment["return_url"].as_str().expect("a return_url");
    let returned = send(client().get(hop)).await.expect(303);
    let location = returned.header("location");
    let expected = format!("{}{page_path}#chasqui=", shop.url);
    assert!(location.starts_with(&expected), "{location}");
    let page = shop.get(&page_path).await.expect(200).text();
    assert!(page.contains("/js/chasqui.js\"></script>"), "{page}");
    assert!(page.contains("<chasqui-status"), "{page}");

    let genuine = body(
        &order.payment_id,
        &json!({ "transaction_id": order.id, "amount": "24990.0000" }),
    );
    refuses_forgeries(shop, paths, &genuine).await;
    refuses_other_payments(shop, paths, &order).await;
    let obstacle = shop
        .directory
        .path()
        .join(paths.written.replace("{}", &order.id));
    fs::create_dir(&obstacle).expect("a directory in place of the file");
    send(signed(shop.webhook(paths.webhook, &genuine), &genuine))
        .await
        .expect(500);
    fs::remove_dir(&obstacle).expect("it is empty");
    assert_eq!(state(shop).await, before);

    let sandbox = &shop.testbed.sandbox;
    sandbox.act(&order.payment_id, "authorize").await;
    sandbox.act(&order.payment_id, "conciliate").await;
    let paid = eventually("the order is paid", async || {
        Some(state(shop).await).filter(|state| state.contains("paid"))
    })
    .await;

    // A repeated delivery changes nothing; neither does the end of the process.
    let paid_line = format!("order {} is paid", order.id);
    send(signed(shop.webhook(paths.webhook, &genuine), &genuine))
        .await
        .expect(200);
    shop.restart().await;
    send(signed(shop.webhook(paths.webhook, &genuine), &genuine))
        .await
        .expect(200);
    assert_eq!(state(shop).await, paid);
    assert_eq!(shop.lines_with(&paid_line), 1);

    let second = genuine.replace(&order.payment_id, "second000000");
    send(signed(shop.webhook(paths.webhook, &second), &second))
        .await
        .expect(200);
    assert_eq!(state(shop).await, paid);
    assert_eq!(
        shop.lines_with("was paid twice: refund payment second000000"),
        1
    );
}

async fn refuses_forgeries(shop: &Shop, paths: &Paths, genuine: &str) {
    let unsigned = shop.webhook(paths.webhook, genuine);
    send(unsigned).await.expect(401);
    let key = BASE64_STANDARD.encode("another secret, of the forger's");
    let seconds = (now_ms() / 1000).to_string();
    let now = now_ms().to_string();
    let by_another = with_signatures(
        shop.webhook(paths.webhook, genuine),
        &key,
        &seconds,
        genuine,
        &signature("another secret", &now, genuine),
    );
    send(by_another).await.expect(401);
    let changed = genuine.replace("DemoBank", "OtherBank");
    let of_other_bytes = signed(shop.webhook(paths.webhook, &changed), genuine);
    send(of_other_bytes).await.expect(401);
    let (old_seconds, old) = (now_ms() / 1000 - 3600, now_ms() - 3_600_000);
    let recorded = with_signatures(
        shop.webhook(paths.webhook, genuine),
        secret_of_webhooks(),
        &old_seconds.to_string(),
        genuine,
        &signature(KHIPU_SECRET, &old.to_string(), genuine),
    );
    send(recorded).await.expect(401);
}

/// Genuine notifications of something else than the order.
async fn refuses_other_payments(shop: &Shop, paths: &Paths, order: &Order) {
    for other in [
        json!({ "transaction_id": order.id, "amount": "10.0000" }),
        json!({ "transaction_id": order.id, "currency": "USD" }),
        json!({ "transaction_id": "no-such-order" }),
        json!({ "transaction_id": "../orders" }),
    ] {
        let other = body(&order.payment_id, &other);
        let request = signed(shop.webhook(paths.webhook, &other), &other);
        send(request).await.expect(400);
    }
}

/// With the signatures of `body` that the gateway gives a delivery.
fn signed(request: RequestBuilder, body: &str) -> RequestBuilder {
    let seconds = (now_ms() / 1000).to_string();
    let by_khipu = signature(KHIPU_SECRET, &now_ms().to_string(), body);
    with_signatures(request, secret_of_webhooks(), &seconds, body, &by_khipu)
}

fn with_signatures(
    request: RequestBuilder,
    key: &str,
    seconds: &str,
    body: &str,
    by_khipu: &str,
) -> RequestBuilder {
    let id = "msg_test_confirmed";
    let key = BASE64_STANDARD.decode(key).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    let digest = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    request
        .header("webhook-id", id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", format!("v1,{digest}"))
        .header("x-khipu-signature", by_khipu)
}

fn secret_of_webhooks() -> &'static str {
    WEBHOOK_SECRET.strip_prefix("whsec_").expect("a prefix")
}

fn example(path: &str) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let file = examples.join(path);
    assert!(file.exists(), "no {}: run tests/prepare.sh", file.display());
    file.canonicalize().expect("a path")
}

/// A Node example, whose packages are installed.
fn node(folder: &str, file: &str) -> Command {
    example(&format!("{folder}/node_modules"));
    let mut command = Command::new("node");
    command.arg(example(&format!("{folder}/{file}")));
    command
}

#[tokio::test]
async fn the_shop_on_node_and_express_sells_and_refuses_forged_deliveries() {
    let mut shop = Shop::start(node("node-express", "shop.js"), |_| Vec::new()).await;
    let paths = Paths {
        written: "orders.json.new",
        ..USUAL
    };
    sells(&mut shop, &paths).await;
}

#[tokio::test]
async fn the_shop_in_plain_php_sells_and_refuses_forged_deliveries() {
    let mut shop = Shop::start(Command::new("php"), |port| {
        let script = example("php/shop.php").display().to_string();
        vec!["-S".into(), format!("127.0.0.1:{port}"), script]
    })
    .await;
    sells(&mut shop, &USUAL).await;
}
