//! The shop over HTTP, with a gateway that answers one call.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;

use super::{ShopConfig, run};

const SECRET: &str = "the account's secret";
const BANK_PAGE: &str = "http://127.0.0.1:9/payment/info/zfxnocsow6mz";

/// The gateway's request: idempotency key and body.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

struct Try {
    url: String,
    http: reqwest::Client,
    asked: Asked,
}

impl Try {
    async fn start() -> Self {
        let (gateway, gateway_url) = listener().await;
        let asked = Asked::default();
        let facade = Router::new()
            .route("/v3/payments", post(create_payment))
            .with_state(Arc::clone(&asked));
        tokio::spawn(async { axum::serve(gateway, facade).await });
        Self::with_gateway(gateway_url, asked).await
    }

    async fn with_gateway(gateway_url: String, asked: Asked) -> Self {
        let (shop, url) = listener().await;
        let config = ShopConfig {
            public_url: url.clone(),
            gateway_url,
            bank_url: "http://127.0.0.1:9".to_owned(),
            api_key: "chq_test".to_owned(),
            khipu_secret: SECRET.to_owned(),
        };
        tokio::spawn(run(config, shop, std::future::pending()));
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none());
        let http = http.build().expect("a client");
        Self { url, http, asked }
    }

    async fn page(&self, path: &str) -> String {
        let answer = send(self.http.get(format!("{}{path}", self.url))).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        text(answer).await
    }

    async fn form(&self, path: &str, cart: &str, form: &str) -> Response {
        let request = self
            .http
            .post(format!("{}{path}", self.url))
            .header(header::COOKIE, format!("nudo_cart={cart}"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.to_owned());
        send(request).await
    }

    /// Buys two key rings, up to the redirect to the bank.
    async fn order(&self, id: &str) -> Response {
        let form = format!("order={id}&name=Ficticia+Quispe&email=ficticia%40ejemplo.example");
        self.form("/checkout", "llavero.2", &form).await
    }

    async fn notify(&self, order: &str, amount: &str, secret: &str) -> StatusCode {
        let body = format!(
            r#"{{"payment_id":"zfxnocsow6mz","transaction_id":"{order}","amount":"{amount}","currency":"CLP","receipt_url":"https:\/\/khipu.com\/r.pdf"}}"#
        );
        let t = Timestamp::now().as_millisecond();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
        mac.update(format!("{t}.{body}").as_bytes());
        let s = BASE64.encode(mac.finalize().into_bytes());
        let request = self
            .http
            .post(format!("{}/khipu", self.url))
            .header("x-khipu-signature", format!("t={t},s={s}"))
            .body(body);
        send(request).await.status()
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, format!("http://{address}"))
}

async fn create_payment(
    State(asked): State<Asked>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> ([(&'static str, &'static str); 1], Json<Value>) {
    assert_eq!(headers["x-api-key"], "chq_test");
    let key = headers["idempotency-key"]
        .to_str()
        .expect("text")
        .to_owned();
    asked.lock().expect("whole").push((key, body));
    let payment = json!({ "payment_id": "zfxnocsow6mz", "payment_url": BANK_PAGE });
    ([("chasqui-status-token", "a-token")], Json(payment))
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn text(answer: Response) -> String {
    answer.text().await.expect("text")
}

fn named(answer: &Response, name: header::HeaderName) -> &str {
    let value = answer.headers().get(name).expect("header");
    value.to_str().expect("text")
}

#[tokio::test]
async fn checkout_creates_the_payment_and_leads_to_the_bank() {
    let shop = Try::start().await;
    let answer = shop.order("AAAAAAAAAA").await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(named(&answer, header::LOCATION), BANK_PAGE);

    let asked = shop.asked.lock().expect("whole").clone();
    let [(key, body)] = &asked[..] else {
        panic!("one call, not {asked:?}");
    };
    assert_eq!(key, "AAAAAAAAAA");
    assert_eq!(body["amount"], 11_980);
    assert_eq!(body["transaction_id"], "AAAAAAAAAA");
    let page = format!("{}/orders/AAAAAAAAAA", shop.url);
    assert_eq!(body["return_url"], format!("{page}/return"));
    assert_eq!(body["cancel_url"], format!("{page}/cancel"));
    assert_eq!(body["notify_url"], format!("{}/khipu", shop.url));
}

#[tokio::test]
async fn a_buyer_who_stays_gets_a_page_that_watches_the_payment() {
    let shop = Try::start().await;
    let form = "order=AAAAAAAAAA&name=Ficticia&email=f%40ejemplo.example&way=here";
    for _ in 0..2 {
        let answer = shop.form("/checkout", "llavero.2", form).await;
        let page = named(&answer, header::LOCATION);
        assert_eq!(page, "/orders/AAAAAAAAAA/pay#chasqui=a-token");
    }
    assert_eq!(shop.asked.lock().expect("whole").len(), 1);
    let page = shop.page("/orders/AAAAAAAAAA/pay").await;
    assert!(
        page.contains(r#"<chasqui-status payment="zfxnocsow6mz">"#),
        "{page}"
    );
    assert!(
        !page.contains("a-token"),
        "the token is in the address alone"
    );
    assert!(page.contains(BANK_PAGE), "without scripts there is a link");
    shop.notify("AAAAAAAAAA", "11980.0000", SECRET).await;
    let paid = format!("{}/orders/AAAAAAAAAA/pay", shop.url);
    let answer = send(shop.http.get(paid)).await;
    assert_eq!(named(&answer, header::LOCATION), "/orders/AAAAAAAAAA");
}

#[tokio::test]
async fn a_double_click_is_one_payment() {
    let shop = Try::start().await;
    shop.order("AAAAAAAAAA").await;
    let again = shop.order("AAAAAAAAAA").await;
    assert_eq!(named(&again, header::LOCATION), BANK_PAGE);
    assert_eq!(shop.asked.lock().expect("whole").len(), 1);
}

#[tokio::test]
async fn only_the_notification_makes_an_order_paid() {
    let shop = Try::start().await;
    shop.order("AAAAAAAAAA").await;
    let returned = shop.page("/orders/AAAAAAAAAA/return").await;
    assert!(returned.contains("Estamos verificando"));
    // Without the address, a page that was opened with a fragment would never reload.
    assert!(returned.contains(r#"content="10; url=/orders/AAAAAAAAAA/return""#));
    assert!(
        shop.page("/orders/AAAAAAAAAA")
            .await
            .contains("Pago pendiente")
    );

    let status = shop.notify("AAAAAAAAAA", "11980.0000", SECRET).await;
    assert_eq!(status, StatusCode::OK);
    let paid = shop.page("/orders/AAAAAAAAAA").await;
    assert!(paid.contains("Pagado ✓") && paid.contains("Confirmado por webhook a las"));
    assert!(shop.page("/orders").await.contains("Pagado ✓"));
    assert!(
        !shop
            .page("/orders/AAAAAAAAAA/return")
            .await
            .contains("http-equiv")
    );
}

#[tokio::test]
async fn a_notification_that_comes_twice_changes_nothing() {
    let shop = Try::start().await;
    shop.order("AAAAAAAAAA").await;
    for _ in 0..3 {
        let status = shop.notify("AAAAAAAAAA", "11980.0000", SECRET).await;
        assert_eq!(status, StatusCode::OK);
    }
    let page = shop.page("/orders/AAAAAAAAAA").await;
    assert_eq!(page.matches("Aviso verificado: pagado").count(), 1);
    assert_eq!(page.matches("El mismo aviso otra vez").count(), 1);
}

#[tokio::test]
async fn a_wrong_signature_is_refused() {
    let shop = Try::start().await;
    shop.order("AAAAAAAAAA").await;
    let status = shop
        .notify("AAAAAAAAAA", "11980.0000", "another secret")
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let unsigned = shop.http.post(format!("{}/khipu", shop.url)).body("{}");
    assert_eq!(send(unsigned).await.status(), StatusCode::UNAUTHORIZED);
    assert!(
        shop.page("/orders/AAAAAAAAAA")
            .await
            .contains("Pago pendiente")
    );
}

#[tokio::test]
async fn another_amount_or_another_order_is_refused() {
    let shop = Try::start().await;
    shop.order("AAAAAAAAAA").await;
    for (order, amount) in [("AAAAAAAAAA", "1198.0000"), ("BBBBBBBBBB", "11980.0000")] {
        let status = shop.notify(order, amount, SECRET).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{order} {amount}");
    }
    assert!(
        shop.page("/orders/AAAAAAAAAA")
            .await
            .contains("Pago pendiente")
    );
}

#[tokio::test]
async fn a_payer_who_cancelled_sees_no_failure() {
    let shop = Try::start().await;
    shop.order("AAAAAAAAAA").await;
    let page = shop.page("/orders/AAAAAAAAAA/cancel").await;
    assert!(page.contains("Tu pedido te espera") && page.contains(BANK_PAGE));
    for word in ["fall", "error", "rechaz", "cancel"] {
        let main = page.split("<main").nth(1).expect("main").to_lowercase();
        assert!(!main.contains(word), "{word}");
    }
}

#[tokio::test]
async fn a_gateway_that_is_down_loses_no_order() {
    let shop = Try::with_gateway("http://127.0.0.1:9".to_owned(), Asked::default()).await;
    let answer = shop.order("AAAAAAAAAA").await;
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(text(answer).await.contains("/orders/AAAAAAAAAA/pay"));
    assert!(shop.page("/orders").await.contains("AAAAAAAAAA"));
}

#[tokio::test]
async fn pages_allow_no_foreign_code_but_the_gateways() {
    let shop = Try::start().await;
    let answer = send(shop.http.get(&shop.url)).await;
    let policy = named(&answer, header::CONTENT_SECURITY_POLICY);
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(
        policy.contains("connect-src http://127.0.0.1:") && policy.contains(" ws://127.0.0.1:")
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(!text(answer).await.contains("style="));
}

#[tokio::test]
async fn every_page_exists_in_both_languages() {
    let shop = Try::start().await;
    shop.order("AAAAAAAAAA").await;
    let order = ["", "/pay", "/return", "/cancel"].map(|page| format!("/orders/AAAAAAAAAA{page}"));
    let others = ["/", "/products/manta", "/cart", "/orders"].map(str::to_owned);
    for path in order.iter().chain(&others) {
        assert!(
            shop.page(path).await.contains(r#"<html lang="es-CL">"#),
            "{path}"
        );
        let english = shop.page(&format!("{path}?lang=en")).await;
        assert!(english.contains(r#"<html lang="en">"#), "{path}");
    }
    let asked = shop
        .http
        .get(&shop.url)
        .header(header::ACCEPT_LANGUAGE, "fr, en-GB;q=0.8");
    assert!(
        text(send(asked).await)
            .await
            .contains("Every knot keeps count")
    );
}

#[tokio::test]
async fn a_cart_can_be_filled_changed_and_emptied() {
    let shop = Try::start().await;
    let cart = async |before: &str, form: &str| {
        let answer = shop.form("/cart", before, form).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = named(&answer, header::SET_COOKIE);
        cookie.split(['=', ';']).nth(1).expect("value").to_owned()
    };
    assert_eq!(cart("", "product=manta&quantity=1&add=1").await, "manta.1");
    assert_eq!(
        cart("manta.1", "product=manta&quantity=2&add=1").await,
        "manta.3"
    );
    assert_eq!(
        cart("manta.3_faja.1", "product=manta&quantity=0").await,
        "faja.1"
    );
    assert_eq!(cart("faja.1", "product=nothing&quantity=1").await, "faja.1");
}

#[tokio::test]
async fn an_unknown_page_is_404_with_a_page() {
    let shop = Try::start().await;
    for path in [
        "/nothing",
        "/products/nothing",
        "/orders/CCCCCCCCCC",
        "/orders/CCCCCCCCCC/return",
    ] {
        let answer = send(shop.http.get(format!("{}{path}", shop.url))).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(text(answer).await.contains("Volver a la tienda"));
    }
}
