//! Hosts as people type them: a name or an address, and nothing beside it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use iam::RdsHost;

/// A DNS name or an IP address, the case as typed, an IPv6 address in brackets, a name without a dot at the end.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Host(String);

/// Why a text is no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// A whole address of something.
    #[error("`{0}` is a URL: give the host name alone, and the port with --port")]
    Url(String),
    /// With a port.
    #[error("`{text}` has a port: give `{host}` as the host, and {port} with --port")]
    Port {
        /// What was given.
        text: String,
        /// The host in it.
        host: String,
        /// The port in it.
        port: String,
    },
    /// With a user.
    #[error("`{0}` has a user: give the host name alone, and the user with --user")]
    User(String),
    /// Anything else.
    #[error("`{0}` is not a host: expected a DNS name or an IP address")]
    Malformed(String),
}

/// A text that may be anything, for a message: a password that was pasted before an `@` is not repeated.
fn shown(text: &str) -> String {
    let text = text.rsplit('@').next().unwrap_or_default();
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

impl Host {
    /// The host as tokens, certificates' checks and messages spell it: an IPv6 address in brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host as resolvers and client programs want it: an IPv6 address without brackets.
    pub fn bare(&self) -> &str {
        self.0.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&self.0)
    }

    /// What it says if it is a name that Amazon RDS gave out.
    pub fn rds(&self) -> Option<RdsHost> {
        RdsHost::parse(&self.0)
    }

    /// Whether it is this machine, by its name or address.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }
}

/// Whether a host, IPv6 in brackets or without, is this machine by its name or address.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.contains("://") {
            return Err(HostError::Url(shown(text)));
        }
        if text.contains('@') {
            return Err(HostError::User(shown(text)));
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(ip) = bare.unwrap_or(text).parse::<Ipv6Addr>() {
            return Ok(Self(format!("[{ip}]")));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if bare.is_none() && (name.parse::<std::net::Ipv4Addr>().is_ok() || is_dns_name(name)) {
            return Ok(Self(name.to_owned()));
        }
        if let Some((host, port)) = text.rsplit_once(':')
            && !port.is_empty()
            && port.bytes().all(|b| b.is_ascii_digit())
            && host.parse::<Self>().is_ok()
        {
            return Err(HostError::Port { text: shown(text), host: host.to_owned(), port: port.to_owned() });
        }
        Err(HostError::Malformed(shown(text)))
    }
}

/// Underscores are no part of host names, but of names that resolve (Docker Compose).
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    // What ends in a number is an IPv4 address or nothing (WHATWG URL, "ends in a number").
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    name.len() <= 253 && name.split('.').all(is_label) && !name.rsplit('.').next().is_none_or(numeric)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a text is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a port: expected a number from 1 to 65535")]
pub struct PortError(String);

/// A TCP port that something can listen on.
///
/// # Errors
/// It is not a number from 1 to 65535.
pub fn port(text: &str) -> Result<u16, PortError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err(PortError(shown(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_hosts() {
        for (text, host, bare) in [
            ("mydb.c7tj4example.us-east-1.rds.amazonaws.com", "", ""),
            ("MyDB.Example.COM.", "MyDB.Example.COM", "MyDB.Example.COM"),
            ("localhost", "", ""),
            ("my_db", "", ""),
            ("127.0.0.1", "", ""),
            ("::1", "[::1]", "::1"),
            ("[::1]", "[::1]", "::1"),
            ("2001:DB8:0::1", "[2001:db8::1]", "2001:db8::1"),
        ] {
            let parsed: Host = text.parse().unwrap();
            let or_text = |expected: &'static str| if expected.is_empty() { text } else { expected };
            assert_eq!((parsed.as_str(), parsed.bare()), (or_text(host), or_text(bare)), "{text}");
        }
        assert!("[::1]".parse::<Host>().unwrap().is_loopback());
        assert!("LOCALHOST".parse::<Host>().unwrap().is_loopback());
        assert!(!"localhost.example".parse::<Host>().unwrap().is_loopback());
    }

    #[test]
    fn what_was_pasted_with_it_is_named() {
        for (text, said) in [
            ("db.example.com:5432", "give `db.example.com` as the host, and 5432 with --port"),
            ("[::1]:5432", "give `[::1]` as the host, and 5432 with --port"),
            ("https://db.example.com/", "is a URL"),
            ("postgresql://u:secret@db.example.com:5432/x", "`db.example.com:5432/x` is a URL"),
            ("u:secret@db.example.com", "has a user"),
            ("db.example.com/postgres", "is not a host"),
            ("db example", "is not a host"),
            (" db", "is not a host"),
            ("db\n", "`db\\n` is not a host"),
            ("", "is not a host"),
            (".", "is not a host"),
            ("a..b", "is not a host"),
            ("-a", "is not a host"),
            ("1.2.3.4.5", "is not a host"),
            ("127.1", "is not a host"),
            ("[127.0.0.1]", "is not a host"),
            ("fe80::1%eth0", "is not a host"),
            ("db?x=y", "is not a host"),
        ] {
            let error = text.parse::<Host>().unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("secret"), "{text}: {error}");
        }
        assert!("a".repeat(64).parse::<Host>().is_err());
        assert!(vec!["a".repeat(60); 5].join(".").parse::<Host>().is_err());
    }

    #[test]
    fn ports() {
        assert_eq!((port("1"), port("65535")), (Ok(1), Ok(65535)));
        for text in ["0", "65536", "-1", "+1", "", "5432x", " 1"] {
            assert!(port(text).is_err(), "{text}");
        }
    }
}
