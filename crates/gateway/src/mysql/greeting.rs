//! The server's greeting: reading a server's, and writing the one that a client is shown.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::capability::Capabilities;
use super::packet::{ERR, Fields, ProtocolError, ServerError, printable, take_packet};
use crate::{Conversation, Next};

/// The version of the protocol, of every server since MySQL 3.21.
const VERSION: u8 = 10;

/// How much of the challenge comes in front of the capabilities.
const FIRST_PART: usize = 8;

/// The least that comes behind them, its NUL included.
const SECOND_PART: usize = 13;

/// The reserved bytes; MariaDB has its extended capabilities in the last four.
const RESERVED: usize = 6;

/// What a server says of itself as soon as a client is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The server's version, such as `8.4.3` or `5.5.5-10.11.6-MariaDB-log`, as sent.
    pub version: Bytes,
    /// The connection's number, by which it can be killed.
    pub connection_id: u32,
    /// What the server can do.
    pub capabilities: Capabilities,
    /// The number of the server's collation, its lower byte.
    pub charset: u8,
    /// The status flags.
    pub status: u16,
    /// The plugin that `scramble` is for.
    pub plugin: Bytes,
    /// The challenge, 20 bytes or more, without its NUL.
    pub scramble: Bytes,
}

impl Greeting {
    /// Whether the server is a MariaDB.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        const NAME: &[u8] = b"mariadb";
        !self.capabilities.contains(Capabilities::MYSQL)
            || self.version.windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME))
    }

    /// Whether the server can do TLS.
    #[must_use]
    pub fn supports_tls(&self) -> bool {
        self.capabilities.contains(Capabilities::SSL)
    }

    /// The version as text for people, without what could steer a terminal and without the prefix by which MariaDB before
    /// 11 passes the replicas of MySQL.
    #[must_use]
    pub fn version_text(&self) -> String {
        let version = printable(&self.version);
        match version.strip_prefix("5.5.5-") {
            Some(version) if self.is_mariadb() => version.to_owned(),
            _ => version,
        }
    }

    pub(crate) fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let mut fields = Fields::new(payload, "server's greeting");
        match fields.u8()? {
            VERSION => {}
            other => return Err(ProtocolError::Version(other)),
        }
        let version = Bytes::copy_from_slice(fields.name()?);
        let connection_id = fields.u32()?;
        let mut scramble = BytesMut::from(fields.bytes(FIRST_PART)?);
        fields.u8()?;
        let lower = fields.u16()?;
        if fields.is_empty() {
            return Err(ProtocolError::NoPlugins);
        }
        let charset = fields.u8()?;
        let status = fields.u16()?;
        let basic = u32::from(fields.u16()?) << 16 | u32::from(lower);
        let length = usize::from(fields.u8()?);
        fields.bytes(RESERVED)?;
        let extended = fields.u32()?;
        // MySQL's reserved bytes mean nothing.
        let has_extended = basic & Capabilities::MYSQL.basic() == 0;
        let capabilities = Capabilities::new(basic, if has_extended { extended } else { 0 });
        if !capabilities.contains(Capabilities::REQUIRED) {
            return Err(ProtocolError::NoPlugins);
        }
        let second = fields.bytes(length.saturating_sub(FIRST_PART).max(SECOND_PART))?;
        scramble.put_slice(second.strip_suffix(&[0]).unwrap_or(second));
        let plugin = Bytes::copy_from_slice(fields.name()?);
        let scramble = scramble.freeze();
        Ok(Self { version, connection_id, capabilities, charset, status, plugin, scramble })
    }

    /// The payload.
    pub(crate) fn print(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        payload.put_u8(VERSION);
        payload.put_slice(&self.version);
        payload.put_u8(0);
        payload.put_u32_le(self.connection_id);
        let (first, second) = self.scramble.split_at(self.scramble.len().min(FIRST_PART));
        payload.put_slice(first);
        payload.put_u8(0);
        let [a, b, c, d] = self.capabilities.basic().to_le_bytes();
        payload.put_slice(&[a, b]);
        payload.put_u8(self.charset);
        payload.put_u16_le(self.status);
        payload.put_slice(&[c, d]);
        payload.put_u8(u8::try_from(self.scramble.len() + 1).unwrap_or(u8::MAX));
        payload.put_bytes(0, RESERVED);
        payload.put_u32_le(self.capabilities.extended());
        payload.put_slice(second);
        payload.put_u8(0);
        payload.put_slice(&self.plugin);
        payload.put_u8(0);
        payload
    }
}

/// Why there is no greeting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GreetError {
    /// The server wants no connection: too many of them (1040), or none from this host (1130, or 1129 after errors).
    #[error("the server refused the connection: {0}")]
    Refused(ServerError),
    /// It does not speak the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

/// Waits for a server's greeting. [`Login`](super::Login) goes on from there.
#[derive(Debug, Default)]
pub struct Greet {
    over: bool,
}

impl Greet {
    /// For a connection on which nothing has been read.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Conversation for Greet {
    type Outcome = Greeting;
    type Error = GreetError;

    fn advance(
        &mut self,
        input: &mut BytesMut,
        _output: &mut BytesMut,
    ) -> Result<Next<Greeting>, GreetError> {
        if self.over {
            return Err(ProtocolError::Over.into());
        }
        let payload = match take_packet(input, 0) {
            Ok(Some(payload)) => payload.keep(),
            Ok(None) => return Ok(Next::Read),
            Err(error) => {
                self.over = true;
                return Err(error.into());
            }
        };
        self.over = true;
        if payload.first() == Some(&ERR) {
            return Err(GreetError::Refused(ServerError::parse(payload)?));
        }
        Ok(Next::Done(Greeting::parse(&payload)?))
    }
}
