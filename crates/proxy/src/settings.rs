//! What a proxy is told to do.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use client::{Bundle, Chain, Endpoint};

use crate::access::Access;
use crate::listen::{Listen, SocketMode};

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL's.
    PostgreSql,
    /// MySQL's, and MariaDB's.
    MySql,
}

impl Engine {
    /// The engine that usually has a port.
    pub fn by_port(port: u16) -> Option<Self> {
        match port {
            5432 => Some(Self::PostgreSql),
            3306 => Some(Self::MySql),
            _ => None,
        }
    }
}

/// What time it is, for tokens and credentials.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The database behind a proxy.
#[derive(Clone)]
pub struct Target {
    /// Whom the certificate must name, and what tokens are for.
    pub endpoint: Endpoint,
    /// Another host and port to dial, such as a tunnel's; the certificate and the tokens stay those of `endpoint`.
    pub connect_to: Option<(String, u16)>,
    /// Who may vouch for the database.
    pub bundle: Bundle,
    /// Where credentials come from. Proxies may share one.
    pub chain: Arc<Chain>,
}

/// How much and how long.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Sessions at a time, those that are logging in included.
    pub connections: usize,
    /// Connections at a time that are no sessions yet. More wait to be accepted.
    pub startups: usize,
    /// How long a client may take to say who it is.
    pub startup: Duration,
    /// How long one address of the database may take to answer.
    pub connect: Duration,
    /// How long a login may take altogether: credentials, connection, the database's decision, a second attempt.
    pub login: Duration,
    /// How long a session may pass no byte; none for as long as it likes.
    pub idle: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1000,
            startups: 256,
            startup: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            login: Duration::from_secs(30),
            idle: None,
        }
    }
}

/// One proxy.
#[derive(Clone)]
pub struct Settings {
    /// The `proxy` of its metrics and log lines.
    pub name: String,
    /// Which protocol.
    pub engine: Engine,
    /// Where clients connect.
    pub listen: Vec<Listen>,
    /// Who may connect to its Unix sockets.
    pub socket_mode: SocketMode,
    /// The database.
    pub target: Target,
    /// The database user that every session logs in as; none for the client's.
    pub user: Option<String>,
    /// What is demanded of clients.
    pub access: Access,
    /// How much and how long.
    pub limits: Limits,
    /// What time it is.
    pub clock: Clock,
}
