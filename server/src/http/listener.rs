//! Accepts connections and speaks HTTP/1.1 on them, within limits, until told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::peer::Peer;
use crate::push::Admission;

/// What a request's head may take; hyper answers 431 beyond it.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// After an error that will pass (too many open files), rather than spinning on it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long the other end may take nothing of what it is sent, as long as the connection lives and whatever it speaks.
/// The kernel watches over it, so that it costs no timer here; a WebSocket whose phone is gone ends by it too.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// What one listener grants.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// Connections that speak HTTP at once; one that became a WebSocket no longer counts.
    pub(crate) connections: usize,
    /// Of these, from one address; a further one is closed. Proxies that are trusted speak for many.
    pub(crate) connections_per_address: usize,
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// From accept, or from the last answer, to the end of a request's head.
    pub(crate) head_timeout: Duration,
}

/// Serves until `stop` is done; then accepts nothing more, lets the requests under way finish, and returns.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    grant: Grant,
    stop: impl Future<Output = ()>,
) {
    let (stopping, stopped) = watch::channel(());
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(grant.connections));
    let addresses = Arc::new(Admission::new(
        grant.connections,
        grant.connections_per_address,
    ));
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, peer, place) = accepted;
        let is_trusted = grant
            .trusted_proxies
            .iter()
            .any(|network| network.contains(&peer.ip().to_canonical()));
        let permit = if is_trusted {
            None
        } else {
            Some(addresses.admit(peer.ip()))
        };
        if let Some(Err(_)) = permit {
            metrics::counter!("chasqui_connections_refused_total").increment(1);
            continue;
        }
        let connection = speak(
            stream,
            peer,
            router.clone(),
            grant.head_timeout,
            stopped.clone(),
        );
        connections.spawn(async move {
            connection.await;
            drop((place, permit));
        });
    }
    drop(listener);
    drop(stopping);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (
    TcpStream,
    SocketAddr,
    Option<tokio::sync::OwnedSemaphorePermit>,
) {
    // First a place, then a connection: those for whom there is none wait in the kernel. The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn speak(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    head_timeout: Duration,
    mut stopped: watch::Receiver<()>,
) {
    // A frame is small and must not wait for another.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED_AFTER));
    let service = TowerToHyperService::new(router.map_request(
        move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request.map(axum::body::Body::new) as Request
        },
    ));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended badly");
    }
}
