//! Accepts connections and serves HTTP/1.1 on them, within limits, until stopped.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::connection_limiter::{ConnectionLimiter, ConnectionPermit, LimitReached};
use super::connections::{Capacity, Connection, Connections, NoCapacity};
use super::peer::{self, Peer};
use super::problem::ApiProblem;
use super::request_id;
use super::router_slot::RouterSlot;
use super::timed_body::{BodyPace, TimedBody};

/// The largest request head; hyper answers 431 beyond it.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The pause after a passing error, as too many open files, so that accepting does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long sent data may stay unacknowledged, on HTTP and WebSocket alike. The kernel enforces it, without a timer here.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// How long an evicted connection has to finish writing.
const EVICTION_GRACE: Duration = Duration::from_millis(100);

/// When to repeat a request that was refused for capacity: answers take milliseconds, or seconds when Khipu is slow.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The limits of one listener.
#[derive(Debug, Clone)]
pub(crate) struct ListenerLimits {
    /// Requests being answered at once; one more is answered 503. WebSockets do not count.
    pub(crate) connections: usize,
    /// Connections beyond these, for incomplete requests and for those that are always answered.
    pub(crate) reserved_connections: usize,
    /// Connections from one address; one more is closed. Behind a trusted proxy: requests of one client at once; one
    /// more is answered 429.
    pub(crate) connections_per_address: usize,
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// From accept, or from the last answer, to the end of a request's head.
    pub(crate) head_timeout: Duration,
    pub(crate) body_pace: BodyPace,
    /// Whether requests to a path may use the reserve.
    pub(crate) is_always_answered: fn(&str) -> bool,
}

/// What all connections of a listener share.
struct Service {
    router: Arc<RouterSlot>,
    limits: ListenerLimits,
    addresses: Arc<ConnectionLimiter>,
}

/// The other end of one connection.
struct Client {
    service: Arc<Service>,
    peer: Peer,
    /// Counts against its address; `None` for a trusted proxy.
    permit: Option<ConnectionPermit>,
    connection: Arc<Connection>,
}

/// Serves until `stop` is cancelled; then stops accepting, waits for requests in flight, and returns.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Arc<RouterSlot>,
    limits: ListenerLimits,
    stop: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let connections = Connections::new(Capacity {
        answering: limits.connections,
        reserved: limits.reserved_connections,
    });
    let service = Arc::new(Service {
        router,
        // `connections` limits the total.
        addresses: Arc::new(ConnectionLimiter::new(
            usize::MAX,
            limits.connections_per_address,
        )),
        limits,
    });
    loop {
        let accepted = async {
            let (stream, peer) = accept(&listener).await;
            let client = service.admit(peer, &connections).await;
            (stream, client)
        };
        let (stream, client) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        match client {
            Ok(client) => {
                tasks.spawn(serve_connection(stream, client, stop.clone()));
            }
            Err(_) => metrics::counter!("chasqui_connections_refused_total").increment(1),
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; retrying");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, client: Client, stop: CancellationToken) {
    // Small frames must not wait for each other.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED_AFTER));
    let admitted = Arc::clone(&client.connection);
    let head_timeout = client.service.limits.head_timeout;
    let client = Arc::new(client);
    let service = service_fn(move |request| answer(Arc::clone(&client), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = admitted.evicted.cancelled() => {
            // An idle connection closes at once; an incomplete request is cut off.
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(EVICTION_GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "connection failed");
    }
}

/// One request, from its head to its answer.
async fn answer(
    client: Arc<Client>,
    mut request: hyper::Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let limits = &client.service.limits;
    let may_use_reserve = (limits.is_always_answered)(request.uri().path());
    let (mut response, permit, closes) = match client.admit(&request, may_use_reserve) {
        Ok(permit) => {
            request.extensions_mut().insert(client.peer);
            let connection = Arc::clone(&client.connection);
            let request = request.map(|body| {
                let pace = limits.body_pace;
                Body::new(TimedBody::new(body, pace, connection, may_use_reserve))
            });
            let router = client.service.router.current();
            let Ok(response) = router.oneshot(request).await;
            let closes = response.status() == StatusCode::REQUEST_TIMEOUT;
            (response, permit, closes)
        }
        Err(problem) => {
            metrics::counter!("chasqui_requests_refused_total", "code" => problem.code)
                .increment(1);
            let closes = problem.status == StatusCode::SERVICE_UNAVAILABLE;
            (request_id::refuse(&request, &problem), None, closes)
        }
    };
    if closes {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response.map(|body| Answer {
        body,
        connection: Arc::clone(&client.connection),
        _permit: permit,
    }))
}

impl Service {
    /// Admits a connection, unless its address has reached its limit.
    async fn admit(
        self: &Arc<Self>,
        peer: SocketAddr,
        connections: &Arc<Connections>,
    ) -> Result<Client, LimitReached> {
        let permit = match self.trusts(peer.ip().to_canonical()) {
            true => None,
            false => Some(self.addresses.admit(peer.ip())?),
        };
        Ok(Client {
            service: Arc::clone(self),
            peer: Peer(peer),
            permit,
            connection: Arc::new(connections.admit().await),
        })
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let mut proxies = self.limits.trusted_proxies.iter();
        proxies.any(|network| network.contains(&address))
    }
}

impl Client {
    /// Admits a request; returns the permit that counts against a client behind a trusted proxy.
    fn admit(
        &self,
        request: &hyper::Request<Incoming>,
        may_use_reserve: bool,
    ) -> Result<Option<ConnectionPermit>, ApiProblem> {
        let permit = match self.permit {
            Some(_) => None,
            None => self.forwarded_permit(request)?,
        };
        // A request with a body is complete when the body is.
        if request.body().is_end_stream() {
            self.connection.begin_answer(may_use_reserve)?;
        }
        Ok(permit)
    }

    fn forwarded_permit(
        &self,
        request: &hyper::Request<Incoming>,
    ) -> Result<Option<ConnectionPermit>, ApiProblem> {
        let Service {
            limits, addresses, ..
        } = &*self.service;
        let address = peer::address(self.peer, request.headers(), &limits.trusted_proxies);
        if self.service.trusts(address) {
            return Ok(None);
        }
        let permit = addresses.admit(address).map_err(|_| {
            let detail = "too many requests from this address are in flight; try again";
            ApiProblem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail)
                .retry_after(BUSY_RETRY_AFTER)
        });
        permit.map(Some)
    }
}

impl From<NoCapacity> for ApiProblem {
    fn from(_: NoCapacity) -> Self {
        let detail = "this instance is at capacity; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(BUSY_RETRY_AFTER)
    }
}

/// An answer's body. Hyper drops it when it is written.
struct Answer {
    body: Body,
    connection: Arc<Connection>,
    _permit: Option<ConnectionPermit>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.answered();
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
