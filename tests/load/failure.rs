//! What ends a measurement early, as text for a person.

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
