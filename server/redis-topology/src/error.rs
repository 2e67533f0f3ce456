//! Errors: of a command, by what to do about them, and of a call.

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use super::settings::NodeAddress;

/// Why a call failed; for people. It may have had its effect all the same.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct CallError(pub String);

/// Shown as a text for people.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum CommandError {
    /// The server does not have the script: send its text.
    #[error("redis lost a script while it was in use")]
    NoScript,
    /// Another node has the slot.
    #[error("redis keeps redirecting, last to {0}")]
    Moved(NodeAddress),
    /// Another node is about to have the slot, and has this key.
    #[error("redis keeps redirecting, last to {0}")]
    Ask(NodeAddress),
    /// The server cannot run it now and may soon: a failover, a moving slot, a data set being loaded.
    #[error("{0}")]
    Unsettled(String),
    /// The server is no longer a master. Its name may lead to another by now, so the connection is dropped.
    #[error("{0}")]
    Demoted(String),
    /// The connection broke. The command may have run.
    #[error("{0}")]
    Lost(String),
    /// No reply in time. The command may have run, or run yet.
    #[error("redis does not reply")]
    TimedOut,
    /// There is no connection now, so the command was not sent.
    #[error("{0}")]
    Unreachable(String),
    /// There has been no connection for so long that waiting makes no sense.
    #[error("{0}")]
    Gone(String),
    /// The command ran, and too few replicas have it.
    #[error("{0}")]
    Unreplicated(String),
    /// The server rejects the command.
    #[error("{0}")]
    Refused(String),
}

impl CommandError {
    /// `sender` is the server that replied, for a reply that names a node by its port alone.
    pub(super) fn new(error: &RedisError, sender: &NodeAddress) -> Self {
        let text = error.to_string();
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::NoScript,
            ErrorKind::Server(kind @ (ServerErrorKind::Moved | ServerErrorKind::Ask)) => {
                let target = error
                    .redirect_node()
                    .and_then(|(node, _)| NodeAddress::from_redirection(node, sender));
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

    /// Whether the connection must be dropped.
    pub(super) fn breaks_connection(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::TimedOut | Self::Demoted(_))
    }
}
