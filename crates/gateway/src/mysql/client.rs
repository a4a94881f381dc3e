//! What a client says of itself in its answer to a greeting: reading one client's, and writing the one that a server gets.

use bytes::{BufMut as _, Bytes};
use zeroize::Zeroizing;

use super::capability::Capabilities;
use super::packet::{Fields, ProtocolError, packet, put_integer};

/// The length of what comes before the user's name, and of a request for TLS, which is nothing else.
pub(crate) const FIXED: usize = 32;

/// Filler; MariaDB's clients have their extended capabilities in the four bytes behind it.
const FILLER: usize = 18;

/// `utf8mb4_general_ci`, which every server has.
const UTF8MB4: u16 = 45;

/// The longest packet that a client without an opinion takes later, in bytes.
const LATER_PACKETS: u32 = 16 * 1024 * 1024;

/// What a client has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// What it can do, as far as it was shown it.
    pub capabilities: Capabilities,
    /// The longest packet it takes later, in bytes.
    pub max_packet: u32,
    /// The number of its collation.
    pub charset: u16,
    /// The user.
    pub user: Bytes,
    /// The database to begin in.
    pub database: Option<Bytes>,
    /// The authentication plugin that it answered with.
    pub plugin: Option<Bytes>,
    /// Its connection attributes, as sent, without their length.
    pub attributes: Option<Bytes>,
    /// Its level of compression by zstd.
    pub zstd_level: Option<u8>,
    /// Whether it speaks over TLS.
    pub tls: bool,
    /// The sequence id of the next packet to it.
    pub sequence: u8,
}

impl Client {
    /// A client that is nobody's, for a login without a session to follow.
    #[must_use]
    pub fn new(user: &str, database: Option<&str>) -> Self {
        Self {
            capabilities: Capabilities::REQUIRED
                | Capabilities::MYSQL
                | Capabilities::LONG_FLAG
                | Capabilities::TRANSACTIONS
                | Capabilities::MULTI_RESULTS,
            max_packet: LATER_PACKETS,
            charset: UTF8MB4,
            user: Bytes::copy_from_slice(user.as_bytes()),
            database: database.map(|name| Bytes::copy_from_slice(name.as_bytes())),
            plugin: None,
            attributes: None,
            zstd_level: None,
            tls: false,
            sequence: 0,
        }
    }

    /// The server's OK or ERR, given without its header, as the next packet to this client.
    #[must_use]
    pub fn packet(&self, payload: &[u8]) -> Bytes {
        packet(self.sequence, payload)
    }
}

/// A client's answer to a greeting.
pub(crate) struct Answer {
    pub(crate) client: Client,
    /// What it says to the challenge: proof of a password, or the password.
    pub(crate) proof: Zeroizing<Vec<u8>>,
}

impl Answer {
    /// Reads the answer to a greeting with the capabilities `shown`.
    pub(crate) fn parse(payload: &[u8], shown: Capabilities) -> Result<Self, ProtocolError> {
        let mut fields = Fields::new(payload, "client's answer to the greeting");
        let sent = fields.u32()?;
        let max_packet = fields.u32()?;
        // One byte in the protocol's description, two from clients with collations above 255.
        let charset = fields.u16()?;
        fields.bytes(FILLER)?;
        let extended = fields.u32()?;
        // As servers do: what is not shown is not heard. A client may call itself MySQL's to a MariaDB all the same.
        let capabilities = Capabilities::new(sent, extended) & (shown | Capabilities::MYSQL);
        let capabilities = if capabilities.contains(Capabilities::MYSQL) {
            capabilities.without(Capabilities::MARIADB)
        } else {
            capabilities
        };

        let user = fields.name()?;
        let proof = if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            fields.counted()?
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let length = fields.u8()?;
            fields.bytes(length.into())?
        } else {
            fields.name()?
        };
        let database = match capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            true => Some(fields.name()?),
            false => None,
        };
        // The rest is left out by some clients that said they would send it; servers bear with that.
        let plugin = match capabilities.contains(Capabilities::PLUGIN_AUTH) && !fields.is_empty() {
            true => Some(fields.name()?),
            false => None,
        };
        let attributes = match capabilities.contains(Capabilities::CONNECT_ATTRS) {
            true if fields.is_empty() => Some(&[][..]),
            true => Some(fields.counted()?),
            false => None,
        };
        let zstd_level = match capabilities.contains(Capabilities::ZSTD_COMPRESSION_ALGORITHM) {
            true => Some(fields.u8()?),
            false => None,
        };
        let client = Client {
            capabilities,
            max_packet,
            charset,
            user: Bytes::copy_from_slice(user),
            database: database.map(Bytes::copy_from_slice),
            plugin: plugin.map(Bytes::copy_from_slice),
            attributes: attributes.map(Bytes::copy_from_slice),
            zstd_level,
            tls: false,
            sequence: 0,
        };
        Ok(Self { client, proof: Zeroizing::new(proof.to_vec()) })
    }

    /// The payload.
    pub(crate) fn print(&self) -> Zeroizing<Vec<u8>> {
        let Client { capabilities, user, database, plugin, attributes, zstd_level, .. } = &self.client;
        let proof = self.proof.as_slice();
        let parts = [Some(user), database.as_ref(), plugin.as_ref(), attributes.as_ref()];
        let parts: usize = parts.into_iter().flatten().map(Bytes::len).sum();
        // Enough at once, so that no copy of the proof is left behind by growing: a length takes nine bytes at most.
        let mut payload = Zeroizing::new(Vec::with_capacity(FIXED + parts + proof.len() + 32));
        payload.extend_from_slice(&self.client.print_fixed());
        payload.put_slice(user);
        payload.put_u8(0);
        if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            put_integer(&mut payload, proof.len());
            payload.put_slice(proof);
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let proof = proof.get(..proof.len().min(u8::MAX.into())).unwrap_or_default();
            payload.put_uint_le(proof.len() as u64, 1);
            payload.put_slice(proof);
        } else {
            payload.put_slice(proof);
            payload.put_u8(0);
        }
        if capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            payload.put_slice(database.as_deref().unwrap_or_default());
            payload.put_u8(0);
        }
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            payload.put_slice(plugin.as_deref().unwrap_or_default());
            payload.put_u8(0);
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            let attributes = attributes.as_deref().unwrap_or_default();
            put_integer(&mut payload, attributes.len());
            payload.put_slice(attributes);
        }
        if capabilities.contains(Capabilities::ZSTD_COMPRESSION_ALGORITHM) {
            payload.put_u8(zstd_level.unwrap_or_default());
        }
        payload
    }
}

impl Client {
    /// The payload's first part.
    pub(crate) fn print_fixed(&self) -> Vec<u8> {
        let mut fixed = Vec::with_capacity(FIXED);
        fixed.put_u32_le(self.capabilities.basic());
        fixed.put_u32_le(self.max_packet);
        fixed.put_u16_le(self.charset);
        fixed.put_bytes(0, FILLER);
        fixed.put_u32_le(self.capabilities.extended());
        fixed
    }
}
