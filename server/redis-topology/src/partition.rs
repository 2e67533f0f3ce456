//! Where a key lives: in one of 64 partitions, each a hash tag, so that the keys of a partition share a cluster's slot.

use std::fmt;

use crc::{CRC_16_XMODEM, Crc};

/// How many there are. A partition is part of every key's name: with another number no key would be found.
pub(super) const PARTITIONS: u8 = 64;

/// What a Redis Cluster divides keys into.
const SLOTS: u16 = 16384;

const CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// CRC16 of a name, modulo 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(u8);

impl Partition {
    /// The partition of what is stored under `name`.
    #[expect(clippy::expect_used, reason = "a remainder of 64")]
    pub fn of(name: &str) -> Self {
        let number = CRC16.checksum(name.as_bytes()) % u16::from(PARTITIONS);
        Self(u8::try_from(number).expect("under 64"))
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..PARTITIONS).map(Self)
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The cluster slot of every key of this partition.
    pub fn slot(self) -> u16 {
        CRC16.checksum(format!("p{:02}", self.0).as_bytes()) % SLOTS
    }
}

/// The hash tag that every key of the partition must contain: `{p07}`.
impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{p{:02}}}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_that_redis_uses() {
        assert_eq!(CRC16.checksum(b"123456789"), 0x31C3);
    }

    #[test]
    fn a_name_decides_the_partition_and_the_partition_the_slot() {
        let partition = Partition::of("zfxnocsow6mz");
        assert_eq!(partition, Partition::of("zfxnocsow6mz"));
        assert_eq!(Partition(0).to_string(), "{p00}");
        let slots: std::collections::HashSet<_> = Partition::all().map(Partition::slot).collect();
        assert_eq!(slots.len(), usize::from(PARTITIONS), "no two share a slot");
    }
}
