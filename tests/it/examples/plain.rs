//! Shops that are written against Khipu's API themselves.

use std::fs;

use chasqui_tests::deadline::eventually;
use chasqui_tests::gateway_client::{client, send};
use chasqui_tests::notification::{body, now_ms};
use serde_json::json;

use super::delivery::{signed, signed_at, signed_by_another};
use super::shop::{Order, Shop, flask, node, php};

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
    let changed = genuine.replace("DemoBank", "OtherBank");
    let to_shop = |body: &str| shop.webhook(paths.webhook, body);
    for forged in [
        to_shop(genuine),
        signed_by_another(to_shop(genuine), genuine),
        signed(to_shop(&changed), genuine),
        signed_at(to_shop(genuine), genuine, now_ms() - 3_600_000),
    ] {
        send(forged).await.expect(401);
    }
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
    let mut shop = php("php/shop.php").await;
    sells(&mut shop, &USUAL).await;
}

#[tokio::test]
async fn the_shop_on_python_and_flask_sells_and_refuses_forged_deliveries() {
    let mut shop = flask("python-flask").await;
    sells(&mut shop, &USUAL).await;
}

#[tokio::test]
async fn the_static_shop_with_a_function_sells_and_refuses_forged_deliveries() {
    let mut shop = Shop::start(node("static-serverless", "local.js"), |_| Vec::new()).await;
    let paths = Paths {
        create: "/api/orders",
        webhook: "/api/khipu",
        page: "/order.html?id={}",
        state: "/api/orders/{}",
        written: "orders/{}.paid.json",
    };
    sells(&mut shop, &paths).await;
}
