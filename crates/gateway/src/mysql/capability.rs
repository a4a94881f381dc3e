//! What the two ends of a connection can do, a bit each: MySQL's 32, and above them MariaDB's own.

use std::ops::{BitAnd, BitOr};

/// Capabilities. The lower half is what MySQL and MariaDB share, the upper half is MariaDB's "extended capabilities", which
/// travel in bytes that MySQL leaves empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Set by every MySQL; a MariaDB server leaves it out to say that it has extended capabilities, and a client of it to
    /// say that it sends its own. `CLIENT_LONG_PASSWORD` in MySQL, `CLIENT_MYSQL` in MariaDB.
    pub const MYSQL: Self = Self(1);
    /// `CLIENT_LONG_FLAG`.
    pub const LONG_FLAG: Self = Self(1 << 2);
    /// A database is named in the client's answer.
    pub const CONNECT_WITH_DB: Self = Self(1 << 3);
    /// The protocol since MySQL 4.1.
    pub const PROTOCOL_41: Self = Self(1 << 9);
    /// TLS.
    pub const SSL: Self = Self(1 << 11);
    /// The state of transactions is told.
    pub const TRANSACTIONS: Self = Self(1 << 13);
    /// Passwords since MySQL 4.1. `CLIENT_RESERVED2` in newer sources.
    pub const SECURE_CONNECTION: Self = Self(1 << 15);
    /// More than one result for a question.
    pub const MULTI_RESULTS: Self = Self(1 << 17);
    /// Authentication plugins are named.
    pub const PLUGIN_AUTH: Self = Self(1 << 19);
    /// Connection attributes are sent.
    pub const CONNECT_ATTRS: Self = Self(1 << 20);
    /// The answer to the first challenge may be longer than 255 bytes, as a token is.
    pub const PLUGIN_AUTH_LENENC_CLIENT_DATA: Self = Self(1 << 21);
    /// Changes of the session's state are told in OK packets.
    pub const SESSION_TRACK: Self = Self(1 << 23);
    /// OK packets where older ones have EOF packets.
    pub const DEPRECATE_EOF: Self = Self(1 << 24);
    /// Compression by zstd; its level is in the client's answer.
    pub const ZSTD_COMPRESSION_ALGORITHM: Self = Self(1 << 26);
    /// MySQL 8: several factors of authentication, one after the other.
    pub const MULTI_FACTOR_AUTHENTICATION: Self = Self(1 << 28);
    /// Kept by MySQL for 64 bits of capabilities. MariaDB had progress reports there.
    pub const CAPABILITY_EXTENSION: Self = Self(1 << 29);
    /// Those of MariaDB's that are known, and matter only once a session has begun: progress reports, `COM_MULTI`, bulk
    /// execution with and without its results, extended metadata, cached metadata.
    pub const MARIADB: Self = Self(0x3f << 32);

    /// What both ends must have for a login by a plugin.
    pub(crate) const REQUIRED: Self =
        Self(Self::PROTOCOL_41.0 | Self::SECURE_CONNECTION.0 | Self::PLUGIN_AUTH.0);

    /// From the two fields of the wire.
    pub(crate) fn new(basic: u32, extended: u32) -> Self {
        Self(u64::from(basic) | u64::from(extended) << 32)
    }

    /// Whether all of `these` are among them.
    #[must_use]
    pub const fn contains(self, these: Self) -> bool {
        self.0 & these.0 == these.0
    }

    /// Those that are not among `these`.
    #[must_use]
    pub const fn without(self, these: Self) -> Self {
        Self(self.0 & !these.0)
    }

    /// These if `present`, else without them.
    pub(crate) const fn with(self, these: Self, present: bool) -> Self {
        if present { Self(self.0 | these.0) } else { self.without(these) }
    }

    /// The lower half, as on the wire.
    #[expect(clippy::cast_possible_truncation, reason = "the half that is meant")]
    pub(crate) const fn basic(self) -> u32 {
        self.0 as u32
    }

    /// The upper half, as on the wire.
    pub(crate) const fn extended(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
