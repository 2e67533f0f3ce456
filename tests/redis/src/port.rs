//! A reserved port.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port that the system gives to no other process while this lives: bound, but not listening. A program whose
/// configuration names its port can bind it too (both allow reuse), as often as it is restarted.
#[derive(Debug)]
pub struct HeldPort {
    pub address: SocketAddr,
    _socket: TcpSocket,
}

impl HeldPort {
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("reuse");
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("a free port");
        Self {
            address: socket.local_addr().expect("bound"),
            _socket: socket,
        }
    }
}
