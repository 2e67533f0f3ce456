//! Where a delivery may go. A notify_url comes from outside, and this process reaches private addresses.
//!
//! [`DestinationPolicy::check`] checks the URL, and a host that is an address in any spelling. As the HTTP client's resolver,
//! [`DestinationPolicy`] checks a name's addresses when the client connects, so that the name cannot resolve differently
//! between check and use. Never connects itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use chasqui_payment::AccountName;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::ip_ranges;
use crate::account::{Account, has_user_info};

/// What one account's deliveries may connect to: public addresses over https, and the private networks that its
/// configuration lists.
#[derive(Debug, Clone)]
pub(super) struct DestinationPolicy {
    account: AccountName,
    allowed: Arc<[IpNet]>,
    /// Whether http may go to public addresses.
    allow_http: bool,
    /// Whether public addresses are permitted at all.
    public: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DestinationError {
    #[error("notify_url is not a URL: {0}")]
    NotAUrl(url::ParseError),
    #[error("notify_url must begin with https:// or http://")]
    Scheme,
    #[error("notify_url must not carry a user name or password")]
    UserInfo,
    #[error(
        "{ip} is a private address ({range}); for development list it in \
         accounts.{account}.allow_private_destinations"
    )]
    Private {
        ip: IpAddr,
        range: &'static str,
        account: AccountName,
    },
    #[error("{name} resolves to no public address: {refused}")]
    PrivateName {
        name: String,
        /// Always [`DestinationError::Private`].
        refused: Box<DestinationError>,
    },
    #[error(
        "a delivery holds personal data and goes to a public address over https only; use an https URL, or set \
         accounts.{account}.allow_http_destinations"
    )]
    PlainHttp { account: AccountName },
    #[error("{0} resolves to no address")]
    NoAddress(String),
}

impl DestinationPolicy {
    pub(super) fn of(account: &Account) -> Self {
        Self {
            account: account.name.clone(),
            allowed: account.allow_private_destinations.as_slice().into(),
            allow_http: account.allow_http_destinations,
            public: true,
        }
    }

    /// The policy of a scheme: without encryption a delivery may go to listed networks only.
    pub(super) fn for_scheme(&self, scheme: &str) -> Self {
        Self {
            public: self.allow_http || scheme == "https",
            ..self.clone()
        }
    }

    /// Checks what can be checked before a name is resolved.
    pub(super) fn check(&self, notify_url: &str) -> Result<Url, DestinationError> {
        let url = Url::parse(notify_url).map_err(DestinationError::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(DestinationError::Scheme);
        }
        if has_user_info(&url) {
            return Err(DestinationError::UserInfo);
        }
        let policy = self.for_scheme(url.scheme());
        match url.host() {
            // The parser has replaced 0x7f.1, 2130706433 and the like.
            Some(Host::Ipv4(ip)) => policy.permit(ip.into())?,
            Some(Host::Ipv6(ip)) => policy.permit(ip.into())?,
            Some(Host::Domain(_)) | None => {}
        }
        Ok(url)
    }

    fn permit(&self, ip: IpAddr) -> Result<(), DestinationError> {
        let listed = |ip: IpAddr| self.allowed.iter().any(|network| network.contains(&ip));
        if listed(ip) || listed(ip.to_canonical()) {
            return Ok(());
        }
        let account = self.account.clone();
        match ip_ranges::non_public_range(ip) {
            None if self.public => Ok(()),
            None => Err(DestinationError::PlainHttp { account }),
            Some(range) => Err(DestinationError::Private { ip, range, account }),
        }
    }

    /// The permitted addresses of a name; an error without any.
    fn permitted(
        &self,
        name: &str,
        addresses: impl Iterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, DestinationError> {
        let mut refused = None;
        let mut permitted = Vec::new();
        for address in addresses {
            match self.permit(address.ip()) {
                Ok(()) => permitted.push(address),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            _ if !permitted.is_empty() => Ok(permitted),
            Some(refused @ DestinationError::PlainHttp { .. }) => Err(refused),
            Some(refused) => Err(DestinationError::PrivateName {
                name: name.to_owned(),
                refused: Box::new(refused),
            }),
            None => Err(DestinationError::NoAddress(name.to_owned())),
        }
    }
}

impl Resolve for DestinationPolicy {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            // The client sets the URL's own port.
            let addresses = tokio::net::lookup_host((name, 0)).await?;
            let permitted = policy.permitted(name, addresses)?;
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str]) -> DestinationPolicy {
        DestinationPolicy {
            account: AccountName::parse("shop").expect("name"),
            allowed: allowed
                .iter()
                .map(|net| net.parse().expect("net"))
                .collect(),
            allow_http: true,
            public: true,
        }
    }

    #[test]
    fn without_encryption_only_listed_networks_are_permitted() {
        let strict = DestinationPolicy {
            allow_http: false,
            ..policy(&["10.0.0.0/8", "203.0.113.0/24"])
        };
        for url in [
            "http://10.1.2.3/khipu",
            "http://203.0.113.9/khipu",
            "https://192.0.43.8/khipu",
            // Its addresses are checked when the client connects.
            "http://shop.example/khipu",
        ] {
            assert!(strict.check(url).is_ok(), "{url}");
        }
        let refused = strict.check("http://192.0.43.8/khipu").expect_err("plain");
        assert!(
            refused
                .to_string()
                .contains("accounts.shop.allow_http_destinations")
        );

        let resolved = |scheme: &str, ip: [u8; 4]| {
            let address = SocketAddr::from((ip, 0));
            let policy = strict.for_scheme(scheme);
            policy
                .permitted("shop.example", [address].into_iter())
                .is_ok()
        };
        assert!(!resolved("http", [192, 0, 43, 8]));
        assert!(resolved("http", [10, 1, 2, 3]));
        assert!(resolved("https", [192, 0, 43, 8]));
    }

    #[test]
    fn a_private_address_is_refused_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f.1",
            "0x7F000001",
            "2130706433",
            "017700000001",
            "0177.0.0.01",
            "127.0.0.1.",
            "%31%32%37.0.0.1",
            "127。0。0。1",
            "１２７.0.0.1",
            "0",
            "0.0.0.0",
            "[::]",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::7f00:1]",
            "[2002:7f00:1::]",
            "[2001:0:7f00:1::]",
            "10.1.2.3",
            "169.254.169.254",
            "0xa9fea9fe",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "192.168.1.1",
            "172.16.0.1",
            "100.64.0.1",
        ] {
            let refused = policy(&[])
                .check(&format!("http://{host}:8080/khipu"))
                .expect_err(host);
            assert!(
                matches!(refused, DestinationError::Private { .. }),
                "{host}: {refused}"
            );
        }
    }

    #[test]
    fn the_error_names_the_setting_that_allows_it() {
        let refused = policy(&[])
            .check("http://127.0.0.1:9000/khipu")
            .expect_err("loopback");
        assert_eq!(
            refused.to_string(),
            "127.0.0.1 is a private address (loopback); for development list it in \
             accounts.shop.allow_private_destinations"
        );
    }

    #[test]
    fn only_web_urls_without_credentials_pass() {
        let check = |url| policy(&["127.0.0.0/8"]).check(url);
        for url in [
            "ftp://shop.example/",
            "file:///etc/passwd",
            "gopher://shop.example/",
        ] {
            assert_eq!(check(url), Err(DestinationError::Scheme), "{url}");
        }
        for url in [
            "https://user@shop.example/",
            "https://:password@shop.example/",
        ] {
            assert_eq!(check(url), Err(DestinationError::UserInfo), "{url}");
        }
        for url in ["", "shop.example/khipu", "https://", "http://[::1"] {
            assert!(
                matches!(check(url), Err(DestinationError::NotAUrl(_))),
                "{url}"
            );
        }
        assert!(check("https://shop.example:8443/khipu?x=1").is_ok());
        assert!(check("http://1.1.1.1/khipu").is_ok());
    }

    #[test]
    fn only_a_listed_network_is_allowed() {
        let listed = policy(&["127.0.0.0/8", "fd00::/8"]);
        assert!(listed.check("http://127.0.0.1/").is_ok());
        assert!(listed.check("http://[::ffff:127.0.0.1]/").is_ok());
        assert!(listed.check("http://[fd00::1]/").is_ok());
        assert!(listed.check("http://10.0.0.1/").is_err());
        assert!(listed.check("http://[::1]/").is_err());
    }

    #[test]
    fn a_name_keeps_only_its_public_addresses() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("address");
        let (public, private) = (address("1.1.1.1:0"), address("10.0.0.5:0"));
        let permitted = |addresses: &[SocketAddr]| {
            policy(&[]).permitted("shop.example", addresses.iter().copied())
        };
        assert_eq!(permitted(&[private, public]), Ok(vec![public]));
        assert_eq!(
            permitted(&[]),
            Err(DestinationError::NoAddress("shop.example".into()))
        );
        let refused = permitted(&[private]).expect_err("private").to_string();
        let expected = "shop.example resolves to no public address: 10.0.0.5 is a private address";
        assert!(refused.starts_with(expected), "{refused}");
        assert!(refused.contains("accounts.shop.allow_private_destinations"));
    }

    #[tokio::test]
    async fn localhost_is_refused_once_it_is_resolved() {
        let name = "localhost".parse::<Name>().expect("name");
        let Err(refused) = policy(&[]).resolve(name).await else {
            panic!("must be refused");
        };
        assert!(refused.downcast_ref::<DestinationError>().is_some());
    }
}
