//! The client's address. `X-Forwarded-For` counts only from trusted proxies.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::HeaderMap;
use ipnet::IpNet;

/// The connection's remote address; the listener adds it to each request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The address of the client that sent the request.
#[expect(clippy::expect_used, reason = "the listener puts it into each request")]
pub(super) fn of(request: &Request, trusted: &[IpNet]) -> IpAddr {
    let peer = request.extensions().get().expect("a request has a peer");
    address(*peer, request.headers(), trusted)
}

/// The nearest address that is not a trusted proxy's. Hops are read from the right up to the first untrusted one; what
/// stands before it is the client's own text.
pub(super) fn address(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut address = peer.0.ip().to_canonical();
    let forwarded = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = forwarded
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    for hop in hops.into_iter().rev() {
        if !is_trusted(address) {
            break;
        }
        // Some proxies add the port.
        let Ok(next) = hop
            .parse::<IpAddr>()
            .or_else(|_| hop.parse::<SocketAddr>().map(|hop| hop.ip()))
        else {
            break;
        };
        address = next.to_canonical();
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().expect("header"));
        }
        let trusted: Vec<IpNet> = trusted
            .iter()
            .map(|text| text.parse().expect("network"))
            .collect();
        address(
            Peer(SocketAddr::new(peer.parse().expect("ip"), 1)),
            &headers,
            &trusted,
        )
        .to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(seen("10.0.0.1", &["1.2.3.4"], &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["1.2.3.4"], &["10.0.0.0/8"]), "1.2.3.4");
    }

    #[test]
    fn hops_before_an_untrusted_one_are_ignored() {
        assert_eq!(
            seen(
                "10.0.0.1",
                &["6.6.6.6, 1.2.3.4", "10.0.0.2"],
                &["10.0.0.0/8"]
            ),
            "1.2.3.4"
        );
        assert_eq!(seen("10.0.0.1", &["nonsense"], &["10.0.0.0/8"]), "10.0.0.1");
    }
}
