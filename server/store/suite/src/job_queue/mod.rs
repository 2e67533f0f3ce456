//! A job has one holder at a time, and no job is lost.

pub(crate) mod leases;
mod leasing;
mod priorities;
mod scheduling;

pub use self::leasing::*;
pub use self::priorities::*;
pub use self::scheduling::*;
