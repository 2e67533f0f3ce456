//! One address for several gateways: each connection goes to the next one that accepts it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

#[derive(Debug)]
pub struct LoadBalancer {
    pub url: String,
    targets: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl LoadBalancer {
    /// Has no targets yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let targets = Arc::<Mutex<Vec<String>>>::default();
        let shared_targets = Arc::clone(&targets);
        let task = tokio::spawn(async move {
            let mut next = 0;
            while let Ok((client, _)) = listener.accept().await {
                let targets = shared_targets
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                next += 1;
                tokio::spawn(forward(client, targets, next));
            }
        });
        Self { url, targets, task }
    }

    /// Forwards to these gateways, by their URLs.
    pub fn set_targets(&self, gateway_urls: &[String]) {
        let addresses = gateway_urls
            .iter()
            .map(|url| url.trim_start_matches("http://").to_owned())
            .collect();
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }
}

impl Drop for LoadBalancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut client: TcpStream, targets: Vec<String>, next: usize) {
    let count = targets.len();
    for target in targets.iter().cycle().skip(next % count.max(1)).take(count) {
        if let Ok(mut gateway) = TcpStream::connect(target).await {
            for stream in [&client, &gateway] {
                let _ = stream.set_nodelay(true);
            }
            let _ = copy_bidirectional(&mut client, &mut gateway).await;
            return;
        }
    }
}
