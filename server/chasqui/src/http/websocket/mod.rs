//! The status over WebSocket: the handshake. [`session`] runs the connection, [`close_reason`] says how it ends.

mod close_reason;
mod frame_limit;
mod session;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use chasqui_core::{Account, spawn_detached};
use chasqui_payment::{PaymentId, WatchTransport};
use chasqui_store::Visit;
use close_reason::CloseReason;
use frame_limit::FrameLimit;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use session::{Session, Socket};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::app_state::AppState;
use super::auth;
use super::connection_limiter::ConnectionPermit;
use super::problem::ApiProblem;

const SUBPROTOCOL: &str = "chasqui.v1";
const TOKEN_SUBPROTOCOL: &str = "chasqui.token.";

/// The largest message of a client; a receipt is a dozen bytes. A larger one closes 1009.
const MAX_CLIENT_MESSAGE: usize = 1024;

/// Small, because each watcher has one and clients send next to nothing.
const READ_BUFFER: usize = 128;

/// A status object is under 200 bytes. What does not fit waits in the watcher's slot, where a newer one replaces it.
const MAX_WRITE_BUFFER: usize = 4096;

pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Completes the handshake, or refuses it. A bad token and an unknown payment are reported by a close code afterwards,
/// because a browser cannot read why a handshake failed.
pub(super) fn upgrade(
    state: Arc<AppState>,
    id: &str,
    address: IpAddr,
    mut request: Request,
) -> Result<Response, ApiProblem> {
    let headers = request.headers();
    let accept = accept_key(&request)?;
    let offered = Offered::read(headers);
    let admission = auth::admit(&state, headers, offered.token, id).and_then(|(account, id)| {
        let permit = state.watchers.admit(address)?;
        Ok((account, id, permit))
    });
    let admitted = match admission {
        Ok(admitted) => Ok(admitted),
        // A foreign page needs no close code.
        Err(problem) if problem.status == StatusCode::FORBIDDEN => return Err(problem),
        // A close code costs a connection; beyond the limit the refusal is an HTTP answer.
        Err(problem) => match state.refusals.admit(address) {
            Ok(permit) => Err((CloseReason::from(problem), permit)),
            Err(_) => return Err(problem),
        },
    };
    let echo_subprotocol = offered.subprotocol;
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(ApiProblem::bad_request(
            "no_upgrade",
            "this connection cannot become a WebSocket",
        ));
    };
    let limit = state.limits.handshake_timeout;
    spawn_detached("websocket handshake", async move {
        let Ok(Ok(upgraded)) = tokio::time::timeout(limit, upgrade).await else {
            return;
        };
        let socket = socket(upgraded).await;
        match admitted {
            Ok((account, id, permit)) => begin(state, account, id, permit, socket).await,
            Err((close_reason, permit)) => Session::closing(socket, close_reason, permit).await,
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let answer = response.headers_mut();
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if echo_subprotocol {
        answer.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    Ok(response)
}

/// What the client offers in `Sec-WebSocket-Protocol`.
struct Offered<'a> {
    subprotocol: bool,
    token: Option<&'a str>,
}

impl<'a> Offered<'a> {
    fn read(headers: &'a HeaderMap) -> Self {
        let mut offered = Self {
            subprotocol: false,
            token: None,
        };
        let values = headers
            .get_all(SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok());
        for protocol in values.flat_map(|value| value.split(',')).map(str::trim) {
            match protocol.strip_prefix(TOKEN_SUBPROTOCOL) {
                Some(token) => offered.token = Some(token),
                None => offered.subprotocol |= protocol == SUBPROTOCOL,
            }
        }
        offered
    }
}

fn accept_key(request: &Request) -> Result<HeaderValue, ApiProblem> {
    let headers = request.headers();
    let refused = |detail: &str| ApiProblem::bad_request("invalid_handshake", detail);
    if request.method() != Method::GET
        || headers
            .get("sec-websocket-version")
            .is_none_or(|version| version != "13")
    {
        return Err(refused(
            "a WebSocket handshake is a GET with Sec-WebSocket-Version: 13",
        ));
    }
    let key = headers
        .get("sec-websocket-key")
        .ok_or_else(|| refused("Sec-WebSocket-Key is missing"))?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| refused("Sec-WebSocket-Key is not valid"))
}

/// Unwraps the TCP connection: hyper's wrapper would cost memory for the life of the socket.
#[expect(clippy::expect_used, reason = "the listener serves TCP alone")]
async fn socket(upgraded: Upgraded) -> Socket {
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .expect("a TCP connection");
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(MAX_CLIENT_MESSAGE))
        .max_frame_size(Some(MAX_CLIENT_MESSAGE));
    let early = parts.read_buf.to_vec();
    let stream = FrameLimit::new(parts.io.into_inner(), &early);
    if early.is_empty() {
        WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await
    } else {
        WebSocketStream::from_partially_read(stream, early, Role::Server, Some(config)).await
    }
}

async fn begin(
    state: Arc<AppState>,
    account: Arc<Account>,
    id: PaymentId,
    permit: ConnectionPermit,
    socket: Socket,
) {
    match state.payments.watch(&account, &id).await {
        Ok(watch) => {
            state.payments.keep_alive(&watch);
            let visit = Visit::Watched(WatchTransport::WebSocket);
            state.payments.record_visit(&id, visit);
            // A new task: this one holds what the handshake needed.
            spawn_detached("websocket", Session::watching(socket, watch, permit));
        }
        Err(error) => Session::closing(socket, error.into(), permit).await,
    }
}
