//! Limits concurrent connections, in all and from one address.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    limit: usize,
    limit_per_address: usize,
    count: AtomicUsize,
    by_address: DashMap<IpAddr, u32>,
}

/// One counted connection, until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
}

/// Which limit is reached. Both conditions pass by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitReached {
    Instance,
    Address,
}

impl ConnectionLimiter {
    pub(super) fn new(limit: usize, limit_per_address: usize) -> Self {
        Self {
            limit,
            limit_per_address,
            count: AtomicUsize::new(0),
            by_address: DashMap::new(),
        }
    }

    pub(super) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Result<ConnectionPermit, LimitReached> {
        let address = network_of(address);
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(LimitReached::Instance);
        }
        let mut from_address = self.by_address.entry(address).or_insert(0);
        if *from_address as usize >= self.limit_per_address {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(LimitReached::Address);
        }
        *from_address += 1;
        drop(from_address);
        Ok(ConnectionPermit {
            limiter: Arc::clone(self),
            address,
        })
    }
}

/// The unit that is counted. One household or machine controls a whole IPv6 /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut from_address) = self.limiter.by_address.entry(self.address) {
            *from_address.get_mut() -= 1;
            if *from_address.get() == 0 {
                from_address.remove();
            }
        }
        self.limiter.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_refuses_one_more_and_a_dropped_permit_is_free() {
        let limiter = Arc::new(ConnectionLimiter::new(3, 2));
        let [a, b]: [IpAddr; 2] = [
            "10.0.0.1".parse().expect("v4"),
            "2001:db8::1".parse().expect("v6"),
        ];
        let first = limiter.admit(a).expect("first");
        let _second = limiter.admit(a).expect("second");
        assert_eq!(limiter.admit(a).err(), Some(LimitReached::Address));
        let third = limiter.admit(b).expect("third");
        assert_eq!(limiter.admit(b).err(), Some(LimitReached::Instance));
        drop((first, third));
        assert!(limiter.admit(a).is_ok());
        assert!(!limiter.by_address.contains_key(&network_of(b)));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let limiter = Arc::new(ConnectionLimiter::new(10, 1));
        let _held = limiter
            .admit("2001:db8:0:1::1".parse().expect("v6"))
            .expect("first");
        let neighbour = "2001:db8:0:1:ffff::2".parse().expect("v6");
        assert_eq!(limiter.admit(neighbour).err(), Some(LimitReached::Address));
        assert!(
            limiter
                .admit("2001:db8:0:2::1".parse().expect("v6"))
                .is_ok()
        );
    }
}
