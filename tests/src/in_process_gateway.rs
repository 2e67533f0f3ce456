//! The gateway inside this process: quick to start, and ended with the test.

use std::net::SocketAddr;

use chasqui::app::{self, AppError, Listeners};
use chasqui::config::Config;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::deadline::{eventually, within};
use crate::gateway_client::GatewayClient;
use crate::gateway_settings::GatewaySettings;

#[derive(Debug)]
pub struct InProcessGateway {
    pub url: String,
    pub admin_url: String,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), AppError>>,
}

impl InProcessGateway {
    /// Runs it on free ports; ready when this returns.
    pub async fn start(settings: &GatewaySettings) -> Self {
        let (public, listen) = listener().await;
        let (admin, admin_listen) = listener().await;
        let config = Config::from_toml(&settings.to_toml(listen, admin_listen))
            .expect("the settings are valid");
        let (stop, stopped) = oneshot::channel::<()>();
        let listeners = Listeners { public, admin };
        let task = tokio::spawn(Box::pin(app::run(config, listeners, async {
            let _ = stopped.await;
        })));
        let gateway = Self {
            url: format!("http://{listen}"),
            admin_url: format!("http://{admin_listen}"),
            stop: Some(stop),
            task,
        };
        ready(&gateway.url).await;
        gateway
    }

    /// Requests a stop, without waiting.
    pub fn request_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops it and waits until it has.
    pub async fn stop(mut self) {
        self.request_stop();
        within("the gateway stops", &mut self.task)
            .await
            .expect("the gateway does not panic")
            .expect("the gateway ends well");
    }
}

impl Drop for InProcessGateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// Waits until the gateway at `url` is ready.
pub async fn ready(url: &str) {
    let api = GatewayClient::new(url, "");
    eventually("/readyz answers 200", async || {
        api.try_get("/readyz")
            .await
            .filter(|answer| answer.status == 200)
    })
    .await;
}
