//! Towards the database: its addresses, a connection, TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use client::connection::{TalkError, server_name, start_tls};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::failure::{Failure, Reason, Told};
use crate::settings::Target;
use crate::stream::dial;

/// The database as connections see it.
pub(crate) struct Database {
    /// Whom the certificate must name.
    host: String,
    port: u16,
    dial: (String, u16),
    origin: String,
    config: Option<Arc<ClientConfig>>,
    patience: Duration,
}

impl Database {
    pub(crate) fn new(target: &Target, patience: Duration) -> Self {
        let endpoint = &target.endpoint;
        Self {
            host: endpoint.host.clone(),
            port: endpoint.port,
            dial: target.connect_to.clone().unwrap_or_else(|| (endpoint.host.clone(), endpoint.port)),
            origin: target.bundle.origin().to_owned(),
            // One for all: sessions of TLS are resumed.
            config: target.bundle.client_config().ok(),
            patience,
        }
    }

    /// A person's name for it.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn dialled(&self) -> String {
        let (host, port) = &self.dial;
        let through = if (host, *port) == (&self.host, self.port) {
            String::new()
        } else {
            format!(" by way of `{host}:{port}`")
        };
        format!("`{}`{through}", self.name())
    }

    /// A connection to the first of its addresses that takes one.
    pub(crate) async fn connect(&self) -> Result<(TcpStream, SocketAddr), Failure> {
        let (host, port) = &self.dial;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let unreachable = |why: &dyn std::fmt::Display| {
            Failure::new(Reason::Unreachable, format!("cannot connect to {}: {why}", self.dialled()))
        };
        // Each time anew: after a failover the name stands for another machine.
        let addresses = timeout(self.patience, tokio::net::lookup_host((bare, *port))).await;
        let addresses = addresses
            .map_err(|_| unreachable(&"its name is not resolved in time"))?
            .map_err(|error| unreachable(&format_args!("its name is not resolved: {error}")))?;
        let mut last = None;
        for address in addresses {
            match timeout(self.patience, dial(address)).await {
                Ok(Ok(stream)) => return Ok((stream, address)),
                Ok(Err(error)) => last = Some(format!("{address}: {error}")),
                Err(_) => {
                    last = Some(format!("{address} does not answer within {} s", self.patience.as_secs()));
                }
            }
        }
        let last = last.unwrap_or_else(|| "its name has no address".to_owned());
        Err(unreachable(&last).hint(
            "Check that the database is available, that its security group or firewall lets this machine in, and \
             host and port.",
        ))
    }

    /// A connection to one address, for a request that belongs to a session there.
    pub(crate) async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        timeout(self.patience, dial(address)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Begins TLS. Whatever is not the database that was asked for ends it here, before anything secret is sent.
    pub(crate) async fn secure(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let failed = |why: &dyn std::fmt::Display| {
            Failure::new(Reason::ServerTls, format!("no trusted TLS connection to {}: {why}", self.dialled()))
        };
        let name = server_name(&self.host).map_err(|error| failed(&error))?;
        let config = self.config.clone().ok_or_else(|| failed(&"the trusted authorities cannot be used"))?;
        start_tls(stream, config, name).await.map_err(|error| {
            failed(&error).hint(format!("Trusted are the authorities of {}; see --ca-bundle.", self.origin))
        })
    }

    /// What ended a conversation with the database. `ended` explains the conversation's own reasons.
    pub(crate) fn talk_failure<E: std::error::Error>(
        &self,
        error: TalkError<E>,
        ended: impl FnOnce(E) -> Failure,
    ) -> Failure {
        match error {
            TalkError::Ended(error) => ended(error),
            broken => {
                Failure::new(Reason::Unreachable, format!("the login to {} failed: {broken}", self.dialled()))
            }
        }
    }

    /// It speaks, but not as it should.
    pub(crate) fn protocol_failure(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::new(Reason::ServerProtocol, format!("the login to {} failed: {error}", self.dialled()))
    }

    /// It refused, and its words are the client's.
    pub(crate) fn refusal(&self, words: &dyn std::fmt::Display, verbatim: bytes::Bytes) -> Failure {
        Failure {
            reason: Reason::Refused,
            message: format!("{} refused the login: {words}", self.dialled()),
            hint: None,
            told: Told::Verbatim(verbatim),
        }
    }

    /// It took too long.
    pub(crate) fn too_slow(&self, patience: Duration) -> Failure {
        Failure::new(
            Reason::LoginTimeout,
            format!("the login to {} took longer than {} s", self.dialled(), patience.as_secs()),
        )
    }
}
