//! Why a connection does not become a session: one word for log and metric, and what the client may read.

use bytes::Bytes;

/// Why a connection was refused. The word of each is the `reason` of log and metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// `max-connections` are there.
    TooManyConnections,
    /// The proxy is about to end.
    ShuttingDown,
    /// The client took too long to say who it is.
    StartupTimeout,
    /// The client broke the protocol, or hung up in the middle of it.
    ClientProtocol,
    /// TLS with the client failed: no certificate, or one that is not accepted.
    ClientTls,
    /// The local password is wrong.
    LocalPassword,
    /// A replication connection.
    Replication,
    /// There are no AWS credentials, or no token can be made.
    Credentials,
    /// The database cannot be reached.
    Unreachable,
    /// The database has not shown who it is.
    ServerTls,
    /// What answers speaks another protocol, or asks for another way of logging in.
    ServerProtocol,
    /// The database took too long.
    LoginTimeout,
    /// The database refused the login.
    Refused,
}

impl Reason {
    /// All.
    pub const ALL: [Self; 13] = [
        Self::TooManyConnections,
        Self::ShuttingDown,
        Self::StartupTimeout,
        Self::ClientProtocol,
        Self::ClientTls,
        Self::LocalPassword,
        Self::Replication,
        Self::Credentials,
        Self::Unreachable,
        Self::ServerTls,
        Self::ServerProtocol,
        Self::LoginTimeout,
        Self::Refused,
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooManyConnections => "too-many-connections",
            Self::ShuttingDown => "shutting-down",
            Self::StartupTimeout => "startup-timeout",
            Self::ClientProtocol => "client-protocol",
            Self::ClientTls => "client-tls",
            Self::LocalPassword => "local-password",
            Self::Replication => "replication",
            Self::Credentials => "credentials",
            Self::Unreachable => "unreachable",
            Self::ServerTls => "server-tls",
            Self::ServerProtocol => "server-protocol",
            Self::LoginTimeout => "login-timeout",
            Self::Refused => "refused",
        }
    }
}

/// What became of a connection that is no session.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    /// What happened, for the log and, where the client is to read it, for the client.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// What the client is told.
    pub(crate) told: Told,
}

/// Who tells the client.
#[derive(Debug)]
pub(crate) enum Told {
    /// Nobody: it has been told by the conversation, or is gone.
    Nothing,
    /// The proxy, in its own words.
    Ours,
    /// The database, in its words as they came.
    Verbatim(Bytes),
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), hint: None, told: Told::Ours }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The client needs no words any more.
    pub(crate) fn silent(self) -> Self {
        Self { told: Told::Nothing, ..self }
    }
}

/// Why an attempt to log in failed, and whether another token may help.
pub(crate) struct Refused {
    pub(crate) failure: Failure,
    pub(crate) by_token: bool,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, by_token: false }
    }
}
