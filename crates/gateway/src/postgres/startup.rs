//! What a client says first: the start-up message, a request to cancel, or a request to encrypt.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::message::{Malformed, put, split_number, split_string, take_packet};

/// Codes in the place of a protocol version: major 1234, which no version will have.
const CANCEL_REQUEST: u32 = 1234 << 16 | 5678;
const SSL_REQUEST: u32 = 1234 << 16 | 5679;
const GSSENC_REQUEST: u32 = 1234 << 16 | 5680;

/// PostgreSQL 3.0, which every server speaks.
const VERSION_3_0: u32 = 3 << 16;

/// The length that a server takes, besides the length field itself.
const MAX_STARTUP: usize = 4 + 10_000;
/// A length and a version.
const MIN_STARTUP: usize = 8;

/// A start-up message: the version and the parameters of a session, as the client sent them, also those that are unknown here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Startup {
    version: u32,
    /// Names and values in the client's order.
    parameters: Vec<(Bytes, Bytes)>,
}

/// A name or a value that holds a NUL, which ends it on the wire: what follows would be read as other parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user, database or parameter of PostgreSQL cannot contain a NUL")]
pub struct NulByte;

/// Why the first packet of a client is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// A string is not ended by a NUL, a name has no value, or the list is not ended.
    #[error("invalid startup packet layout: expected terminator as last byte")]
    Layout,
    /// A protocol that is neither 3.0 nor a later one of that family.
    #[error("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2")]
    Version {
        /// The family.
        major: u16,
        /// The version in it.
        minor: u16,
    },
    /// No user, or an empty one.
    #[error("no PostgreSQL user name specified in startup packet")]
    NoUser,
    /// A request to encrypt or to cancel whose length is not that of one.
    #[error("invalid length of a request to encrypt or to cancel")]
    RequestLength,
}

impl Startup {
    /// A start-up of version 3.0 with these parameters. Without a database the server takes the one named as the user.
    ///
    /// # Errors
    /// [`NulByte`].
    pub fn new(user: &str, database: Option<&str>) -> Result<Self, NulByte> {
        let startup = Self { version: VERSION_3_0, parameters: Vec::new() }.with_user(user)?;
        match database {
            Some(database) => startup.with_database(database),
            None => Ok(startup),
        }
    }

    /// The protocol version: major and minor.
    #[must_use]
    pub fn version(&self) -> (u16, u16) {
        split_version(self.version)
    }

    /// The user. Not of any encoding, and not empty if a client sent it.
    #[must_use]
    pub fn user(&self) -> &[u8] {
        self.parameter("user").unwrap_or_default()
    }

    /// The database, if one is named. The server reads an empty one as none, and takes the one named as the user.
    #[must_use]
    pub fn database(&self) -> Option<&[u8]> {
        self.parameter("database").filter(|name| !name.is_empty())
    }

    /// A parameter's value. Of one that is there twice the last counts, as it does for the server.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&[u8]> {
        let found = self.parameters.iter().rev().find(|(known, _)| known == name.as_bytes());
        found.map(|(_, value)| value.as_ref())
    }

    /// The same with this user, in the place of all that were named.
    ///
    /// # Errors
    /// [`NulByte`].
    pub fn with_user(self, user: &str) -> Result<Self, NulByte> {
        self.with_parameter("user", user)
    }

    /// The same with this database, in the place of all that were named.
    ///
    /// # Errors
    /// [`NulByte`].
    pub fn with_database(self, database: &str) -> Result<Self, NulByte> {
        self.with_parameter("database", database)
    }

    /// The same with this value of the parameter, in the place of all that it had; the other parameters stay where they are.
    ///
    /// # Errors
    /// [`NulByte`], also for an empty `name`, which ends the list.
    pub fn with_parameter(mut self, name: &str, value: &str) -> Result<Self, NulByte> {
        if name.is_empty() || name.contains('\0') || value.contains('\0') {
            return Err(NulByte);
        }
        let value = Bytes::copy_from_slice(value.as_bytes());
        let mut placed = false;
        self.parameters.retain_mut(|(known, old)| {
            let keep = known != name.as_bytes() || !placed;
            if known == name.as_bytes() && !placed {
                old.clone_from(&value);
                placed = true;
            }
            keep
        });
        if !placed {
            self.parameters.push((Bytes::copy_from_slice(name.as_bytes()), value));
        }
        Ok(self)
    }

    /// Whether it asks for a replication connection. A value that no server understands counts as one.
    #[must_use]
    pub fn is_replication(&self) -> bool {
        let Some(value) = self.parameter("replication") else {
            return false;
        };
        // The server takes any beginning of these words that only one of them has.
        let begins =
            |word: &str| word.as_bytes().get(..value.len()).is_some_and(|b| b.eq_ignore_ascii_case(value));
        let off = match value.len() {
            0 => false,
            1 => begins("false") || begins("no") || begins("0"),
            _ => begins("false") || begins("no") || begins("off"),
        };
        !off
    }

    fn parse(version: u32, mut rest: &[u8]) -> Result<Self, StartupError> {
        let mut parameters = Vec::new();
        loop {
            let (name, after) = split_string(rest).ok_or(StartupError::Layout)?;
            if name.is_empty() {
                if !after.is_empty() {
                    return Err(StartupError::Layout);
                }
                break;
            }
            let (value, after) = split_string(after).ok_or(StartupError::Layout)?;
            parameters.push((Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
            rest = after;
        }
        let startup = Self { version, parameters };
        if startup.user().is_empty() { Err(StartupError::NoUser) } else { Ok(startup) }
    }

    pub(super) fn put(&self, output: &mut BytesMut) {
        let mut body = BytesMut::new();
        body.put_u32(self.version);
        for (name, value) in &self.parameters {
            for string in [name, value] {
                body.put_slice(string);
                body.put_u8(0);
            }
        }
        body.put_u8(0);
        put(output, None, &[&body]);
    }
}

fn split_version(version: u32) -> (u16, u16) {
    let [a, b, c, d] = version.to_be_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// What cancels the queries of a session: handed out by the server when it begins.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CancelKey {
    pid: u32,
    secret: Bytes,
}

impl CancelKey {
    /// Of the server's process id and the secret, which has 4 bytes in version 3.0 and up to 256 in 3.2; `None` if it has fewer or more.
    #[must_use]
    pub fn new(pid: u32, secret: &[u8]) -> Option<Self> {
        (4..=256).contains(&secret.len()).then(|| Self { pid, secret: Bytes::copy_from_slice(secret) })
    }

    /// The process id of the session, which is no secret.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let (pid, secret) = split_number(body)?;
        Self::new(pid, secret)
    }

    /// Appends the request to cancel.
    pub(super) fn put_request(&self, output: &mut BytesMut) {
        put(output, None, &[&CANCEL_REQUEST.to_be_bytes(), &self.pid.to_be_bytes(), &self.secret]);
    }
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// A packet without a letter.
#[derive(Debug)]
pub(super) enum First {
    Ssl,
    Gss,
    Cancel(CancelKey),
    Startup(Startup),
}

/// Takes the next packet of a client that has not started up, if all of it has come.
pub(super) fn take_first(input: &mut BytesMut) -> Result<Option<First>, FirstError> {
    let Some(packet) = take_packet(input, MIN_STARTUP, MAX_STARTUP)? else {
        return Ok(None);
    };
    let (code, rest) = split_number(&packet).ok_or(StartupError::Layout)?;
    let first = match code {
        SSL_REQUEST if rest.is_empty() => First::Ssl,
        GSSENC_REQUEST if rest.is_empty() => First::Gss,
        SSL_REQUEST | GSSENC_REQUEST => return Err(StartupError::RequestLength.into()),
        CANCEL_REQUEST => First::Cancel(CancelKey::parse(rest).ok_or(StartupError::RequestLength)?),
        version => match split_version(version) {
            (3, _) => First::Startup(Startup::parse(version, rest)?),
            (major, minor) => return Err(StartupError::Version { major, minor }.into()),
        },
    };
    Ok(Some(first))
}

/// Why there is no first packet.
#[derive(Debug)]
pub(super) enum FirstError {
    Malformed(Malformed),
    Startup(StartupError),
}

impl From<Malformed> for FirstError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl From<StartupError> for FirstError {
    fn from(error: StartupError) -> Self {
        Self::Startup(error)
    }
}

/// Appends a request for TLS.
pub(super) fn put_ssl_request(output: &mut BytesMut) {
    put(output, None, &[&SSL_REQUEST.to_be_bytes()]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::startup_packet;
    use super::*;

    fn parse(parameters: &[(&str, &str)]) -> Startup {
        let packet = startup_packet(parameters);
        match take_first(&mut BytesMut::from(&packet[..])) {
            Ok(Some(First::Startup(startup))) => startup,
            other => panic!("{other:?}"),
        }
    }

    fn printed(startup: &Startup) -> BytesMut {
        let mut output = BytesMut::new();
        startup.put(&mut output);
        output
    }

    #[test]
    fn the_last_of_a_name_counts_and_all_of_it_are_replaced() {
        let startup = parse(&[("user", "a"), ("x", "1"), ("user", "b"), ("database", "")]);
        assert_eq!(startup.user(), b"b");
        assert_eq!(startup.database(), None);
        let startup = startup.with_user("c").unwrap().with_database("d").unwrap();
        assert_eq!(printed(&startup), startup_packet(&[("user", "c"), ("x", "1"), ("database", "d")])[..]);
    }

    #[test]
    fn one_of_our_own() {
        let startup = Startup::new("alice", None).unwrap();
        assert_eq!(printed(&startup), startup_packet(&[("user", "alice")])[..]);
        let startup = Startup::new("alice", Some("app")).unwrap();
        assert_eq!(printed(&startup), startup_packet(&[("user", "alice"), ("database", "app")])[..]);
        assert_eq!(startup.version(), (3, 0));
    }

    #[test]
    fn no_parameter_is_smuggled_in() {
        assert_eq!(Startup::new("a\0database\0b", None), Err(NulByte));
        assert_eq!(Startup::new("a", Some("b\0")), Err(NulByte));
        let startup = Startup::new("a", None).unwrap();
        assert_eq!(startup.clone().with_parameter("", "x"), Err(NulByte));
        assert_eq!(startup.with_parameter("x\0", "x"), Err(NulByte));
    }

    #[test]
    fn replication() {
        for off in ["f", "false", "FALSE", "n", "no", "of", "off", "0"] {
            assert!(!parse(&[("user", "a"), ("replication", off)]).is_replication(), "{off}");
        }
        // An unclear one counts: the server's reading may differ.
        for on in ["database", "t", "true", "on", "yes", "1", "", "o", "falsey", "00", " off"] {
            assert!(parse(&[("user", "a"), ("replication", on)]).is_replication(), "{on}");
        }
        assert!(parse(&[("user", "a"), ("replication", "off"), ("replication", "on")]).is_replication());
        assert!(!parse(&[("user", "a")]).is_replication());
    }

    #[test]
    fn keys() {
        assert_eq!(CancelKey::new(1, &[0; 3]), None);
        assert_eq!(CancelKey::new(1, &[0; 257]), None);
        let key = CancelKey::new(1, b"hush").unwrap();
        assert_eq!(format!("{key:?}"), "CancelKey { pid: 1, .. }");
        let mut output = BytesMut::new();
        key.put_request(&mut output);
        assert_eq!(output, &b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01hush"[..]);
    }

    proptest! {
        #[test]
        fn prints_as_it_was_read(
            minor: u16,
            parameters in proptest::collection::vec(("[^\0]{1,9}", "[^\0]{0,20}"), 0..9),
            user in "[^\0]{1,9}",
        ) {
            let mut all: Vec<_> = parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            all.push(("user", &user));
            let mut packet = startup_packet(&all);
            packet[6..8].copy_from_slice(&minor.to_be_bytes());
            let mut input = BytesMut::from(&packet[..]);
            let Ok(Some(First::Startup(startup))) = take_first(&mut input) else {
                return Err(TestCaseError::fail("not a start-up"));
            };
            prop_assert!(input.is_empty());
            prop_assert_eq!(startup.user(), user.as_bytes());
            prop_assert_eq!(printed(&startup), &packet[..]);
            for cut in 0..packet.len() {
                let taken = take_first(&mut BytesMut::from(&packet[..cut]));
                prop_assert!(matches!(taken, Ok(None)));
            }
        }
    }
}
