//! A status's number, which only rises.

use std::fmt;

use super::name::Status;

/// A status's place within its round, and the two that end all rounds. The discriminant is the number's last digit;
/// higher overtakes lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusKind {
    /// Created; Khipu says pending.
    Created = 1,
    /// Verifying, because the payer came back from the bank.
    Returned = 2,
    /// Pending, because Khipu still says so after the payer came back, or says so again.
    Unpaid = 3,
    /// Verifying, because Khipu says so.
    Verifying = 4,
    Expired = 5,
    Cancelled = 6,
    Rejected = 7,
    Confirmed,
    Reversed,
}

impl StatusKind {
    /// The kinds of a round.
    const OF_A_ROUND: [Self; 7] = [
        Self::Created,
        Self::Returned,
        Self::Unpaid,
        Self::Verifying,
        Self::Expired,
        Self::Cancelled,
        Self::Rejected,
    ];

    pub const fn status(self) -> Status {
        match self {
            Self::Created | Self::Unpaid => Status::Pending,
            Self::Returned | Self::Verifying => Status::Verifying,
            Self::Expired => Status::Expired,
            Self::Cancelled => Status::Cancelled,
            Self::Rejected => Status::Rejected,
            Self::Confirmed => Status::Confirmed,
            Self::Reversed => Status::Reversed,
        }
    }
}

/// A status's number: 11 to 997, 1000 or 1001.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u16);

/// In the last round only final updates and higher kinds count. No payment comes near it.
pub(super) const LAST_ROUND: u16 = 99;

/// What the numbers of version 0.1 mean, from 1 on.
const OF_0_1: [Version; 7] = [
    Version(11),
    Version(12),
    Version(15),
    Version(16),
    Version(17),
    Version::CONFIRMED,
    Version::REVERSED,
];

impl Version {
    pub const FIRST: Self = Self(11);
    pub const CONFIRMED: Self = Self(1000);
    pub(super) const REVERSED: Self = Self(1001);

    pub fn from_number(number: u16) -> Option<Self> {
        let round = number / 10;
        let is_of_a_round = (1..=LAST_ROUND).contains(&round) && (1..=7).contains(&(number % 10));
        (is_of_a_round || matches!(number, 1000 | 1001)).then_some(Self(number))
    }

    /// A stored number, which may be one of version 0.1.
    pub fn from_stored(number: u16) -> Option<Self> {
        match number {
            0..10 => OF_0_1.get(usize::from(number).checked_sub(1)?).copied(),
            _ => Self::from_number(number),
        }
    }

    pub const fn number(self) -> u16 {
        self.0
    }

    pub fn kind(self) -> StatusKind {
        match self {
            Self::CONFIRMED => StatusKind::Confirmed,
            Self::REVERSED => StatusKind::Reversed,
            Self(number) => StatusKind::OF_A_ROUND[usize::from((number % 10).clamp(1, 7)) - 1],
        }
    }

    pub fn status(self) -> Status {
        self.kind().status()
    }

    /// Whether watchers have nothing more to wait for. Observations still count.
    pub fn is_final(self) -> bool {
        self >= Self::CONFIRMED
    }

    /// Its reporter, where the status alone does not show it.
    pub fn by(self) -> Option<&'static str> {
        match self.kind() {
            StatusKind::Returned => Some("payer"),
            StatusKind::Unpaid | StatusKind::Verifying => Some("khipu"),
            _ => None,
        }
    }

    /// The next number of this kind: in the same round if it is a higher kind, in the next if it is a lower one. `None`
    /// for the same kind, after the last round, and after a final status.
    pub(super) fn followed_by(self, kind: StatusKind) -> Option<Self> {
        let own = self.kind();
        let round = match kind {
            StatusKind::Confirmed => return (self < Self::CONFIRMED).then_some(Self::CONFIRMED),
            StatusKind::Reversed => return (self < Self::REVERSED).then_some(Self::REVERSED),
            _ if self.is_final() || kind == own => return None,
            _ if kind > own => self.0 / 10,
            _ => self.0 / 10 + 1,
        };
        (round <= LAST_ROUND).then_some(Self(round * 10 + kind as u16))
    }

    /// The same kind, one round later.
    pub(super) fn in_next_round(self) -> Option<Self> {
        Self::from_number(self.0 + 10).filter(|next| !next.is_final())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
