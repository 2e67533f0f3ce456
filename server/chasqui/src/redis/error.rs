//! What can go wrong with a command, sorted by what to do about it.

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use super::settings::NodeAddress;

/// Why a call has no reply; for people, without payer data. It may have had its effect all the same.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct CallError(pub String);

#[derive(Debug, Clone)]
pub(super) enum CommandError {
    /// The server does not have the script: send its text.
    NoScript,
    /// Another node has the slot.
    Moved(NodeAddress),
    /// Another node is about to have the slot, and has this key.
    Ask(NodeAddress),
    /// The server cannot do it now and may soon: a failover, a slot on its way, a data set being loaded.
    Unsettled(String),
    /// The server is no master any more. Its name may lead to another by now, so the connection is made anew.
    Demoted(String),
    /// The connection broke. It may have been done.
    Lost(String),
    /// No answer in time. It may have been done, or still be.
    TimedOut,
    /// There is no connection just now, so it was not sent.
    Unreachable(String),
    /// The same, and for so long that waiting makes no sense.
    Gone(String),
    /// It was done and is not durable enough.
    Unreplicated(String),
    /// The server will not do it.
    Refused(String),
}

impl CommandError {
    /// `asked`: who answered, for an answer that names a node by its port alone.
    pub(super) fn new(error: &RedisError, asked: &NodeAddress) -> Self {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::NoScript,
            ErrorKind::Server(kind @ (ServerErrorKind::Moved | ServerErrorKind::Ask)) => {
                let target = error
                    .redirect_node()
                    .and_then(|(node, _)| NodeAddress::from_redirection(node, asked));
                match (target, kind) {
                    (Some(target), ServerErrorKind::Ask) => Self::Ask(target),
                    (Some(target), _) => Self::Moved(target),
                    (None, _) => Self::Unsettled(text),
                }
            }
            ErrorKind::Server(
                ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::BusyLoading,
            ) => Self::Unsettled(text),
            ErrorKind::Server(ServerErrorKind::MasterDown | ServerErrorKind::ReadOnly) => {
                Self::Demoted(text)
            }
            // The master was made a replica while it waited for its own.
            ErrorKind::Extension if error.code() == Some("UNBLOCKED") => Self::Lost(text),
            ErrorKind::Io if error.is_timeout() => Self::TimedOut,
            ErrorKind::Io | ErrorKind::Parse => Self::Lost(text),
            _ => Self::Refused(text),
        }
    }

    /// Whether the connection that it came by is to be given up.
    pub(super) fn breaks_connection(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::TimedOut | Self::Demoted(_))
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        match self {
            Self::NoScript => "redis forgot a script while it was being used".into(),
            Self::Moved(to) | Self::Ask(to) => format!("redis keeps sending us on, last to {to}"),
            Self::TimedOut => "redis does not answer".into(),
            Self::Unsettled(text)
            | Self::Demoted(text)
            | Self::Lost(text)
            | Self::Unreachable(text)
            | Self::Gone(text)
            | Self::Unreplicated(text)
            | Self::Refused(text) => text.clone(),
        }
    }
}
