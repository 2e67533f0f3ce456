//! Whose address a request came from, believing `X-Forwarded-For` only from proxies that the operator trusts.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::HeaderMap;
use ipnet::IpNet;

/// The other end of the connection; put into each request by the listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// The address of whoever sent the request.
#[expect(clippy::expect_used, reason = "the listener puts it into each request")]
pub(super) fn of(request: &Request, trusted: &[IpNet]) -> IpAddr {
    let peer = request.extensions().get().expect("a request has a peer");
    address(*peer, request.headers(), trusted)
}

/// The nearest address that is not a trusted proxy's. Reading from the right, whatever a client wrote itself is beyond
/// the first hop that cannot be trusted, and is never looked at.
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
        // Some proxies write the port too.
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
    fn nobody_is_believed_unless_trusted() {
        assert_eq!(seen("10.0.0.1", &["1.2.3.4"], &[]), "10.0.0.1");
        assert_eq!(seen("10.0.0.1", &["1.2.3.4"], &["10.0.0.0/8"]), "1.2.3.4");
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_looked_at() {
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
