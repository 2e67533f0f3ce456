//! A network that fails on demand: a TCP proxy whose connections can be cut, or swallow what is sent.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards to one address. Its connections can be made to fail; later ones fail the same way until [`restore`](Self::restore).
#[derive(Debug)]
pub struct ChaosProxy {
    /// The target's URL with the proxy's address, to be used in its place.
    pub url: String,
    state: watch::Sender<NetworkState>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NetworkState {
    stalled: bool,
    /// What connections of an earlier generation send is lost.
    generation: u64,
    /// Those of a generation before this one are reset.
    cut_before: u64,
}

impl NetworkState {
    fn begin_generation(&mut self) {
        self.stalled = false;
        self.generation += 1;
    }

    /// Whether what a connection sends is lost.
    fn swallows(self, generation: u64) -> bool {
        self.stalled || self.generation != generation
    }
}

impl ChaosProxy {
    /// `target` is a URL of any scheme without a path.
    pub async fn start(target: &str) -> Self {
        let (scheme, address) = target.split_once("://").expect("a URL");
        let target: Arc<str> = address.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("{scheme}://{}", listener.local_addr().expect("bound"));
        let state = watch::Sender::new(NetworkState {
            stalled: false,
            generation: 0,
            cut_before: 0,
        });
        let states = state.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, Arc::clone(&target), states.clone()));
            }
        });
        Self { url, state, task }
    }

    /// Resets every connection.
    pub fn cut(&self) {
        self.state.send_modify(|state| {
            let stalled = state.stalled;
            state.begin_generation();
            state.stalled = stalled;
            state.cut_before = state.generation;
        });
    }

    /// From now on both sides' bytes are taken and never arrive.
    pub fn stall(&self) {
        self.state.send_modify(|state| state.stalled = true);
    }

    /// New connections work again. Bytes were lost on those that were stalled, so these are cut.
    pub fn restore(&self) {
        self.state.send_modify(|state| {
            state.begin_generation();
            state.cut_before = state.generation;
        });
    }

    /// New connections work again. The old ones stay open and stay broken.
    pub fn restore_for_newcomers(&self) {
        self.state.send_modify(NetworkState::begin_generation);
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, target: Arc<str>, states: watch::Receiver<NetworkState>) {
    let generation = states.borrow().generation;
    let Ok(mut server) = TcpStream::connect(&*target).await else {
        return;
    };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let mut cuts = states.clone();
    let both = async {
        tokio::join!(
            pump(from_client, to_server, &states, generation),
            pump(from_server, to_client, &states, generation),
        )
    };
    tokio::select! {
        _ = both => {}
        _ = cuts.wait_for(|state| generation < state.cut_before) => {
            // Closing then resets: neither side may take it for an orderly end.
            for stream in [&client, &server] {
                let _ = stream.set_zero_linger();
            }
        }
    }
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    states: &watch::Receiver<NetworkState>,
    generation: u64,
) {
    let mut buffer = [0; 8192];
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        let state = *states.borrow();
        // What came while stalled may be read only after the restoring, and is lost all the same.
        if !state.swallows(generation) && to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
