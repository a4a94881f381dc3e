//! Error messages: those of a server, kept as they came and read where a person or a decision needs it, and our own.

use std::borrow::Cow;
use std::fmt;

use bytes::{Bytes, BytesMut};

use super::message::{Malformed, Message, put, split_string};

/// What a server said when it refused.
///
/// The message is kept as it came. What is read of it is for people: of any encoding, and without control characters but
/// for line ends and tabs.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerError {
    message: Bytes,
    before: Bytes,
    authenticated: bool,
}

impl ServerError {
    /// `message` is an error message, `before` what the server has sent for the client until then.
    pub(super) fn new(message: &Message, before: Bytes, authenticated: bool) -> Result<Self, Malformed> {
        let mut rest = message.body();
        // Fields until an empty one, and nothing after it.
        while let Some((field, after)) = split_string(rest) {
            if field.is_empty() {
                if !after.is_empty() {
                    break;
                }
                return Ok(Self { message: Bytes::copy_from_slice(&message.whole), before, authenticated });
            }
            rest = after;
        }
        Err(message.layout())
    }

    /// The message as it came, for the client.
    #[must_use]
    pub fn message(&self) -> &Bytes {
        &self.message
    }

    /// What came for the client before it: notices, or what the server had begun to say of the session.
    #[must_use]
    pub fn before(&self) -> &Bytes {
        &self.before
    }

    /// `FATAL` for most, not translated where the server is of version 9.6 or later.
    #[must_use]
    pub fn severity(&self) -> Cow<'_, str> {
        self.field(b'V').or_else(|| self.field(b'S')).unwrap_or_default()
    }

    /// The five letters of the condition, such as `28P01`.
    #[must_use]
    pub fn sqlstate(&self) -> Cow<'_, str> {
        self.field(b'C').unwrap_or_default()
    }

    /// The words.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        self.field(b'M').unwrap_or_default()
    }

    /// More words.
    #[must_use]
    pub fn detail(&self) -> Option<Cow<'_, str>> {
        self.field(b'D')
    }

    /// What the server advises.
    #[must_use]
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        self.field(b'H')
    }

    /// Whether the login was refused, and not what comes after it: too many connections, say, or a database that
    /// does not exist. Only then may another token help.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        !self.authenticated && self.sqlstate().starts_with("28")
    }

    fn field(&self, code: u8) -> Option<Cow<'_, str>> {
        let mut rest = self.message.get(5..)?;
        loop {
            let (field, after) = split_string(rest)?;
            let (&kind, value) = field.split_first()?;
            if kind == code {
                return Some(printable(String::from_utf8_lossy(value)));
            }
            rest = after;
        }
    }
}

/// Without what a terminal would obey.
fn printable(text: Cow<'_, str>) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    if text.contains(obeyed) { text.replace(obeyed, "\u{fffd}").into() } else { text }
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerError")
            .field("severity", &self.severity())
            .field("sqlstate", &self.sqlstate())
            .field("text", &self.text())
            .field("authenticated", &self.authenticated)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.sqlstate())
    }
}

/// An error message that ends a connection, for a client: of severity `FATAL`, in five letters and in words. NUL bytes are left out.
#[must_use]
pub fn error_response(sqlstate: &str, message: &str, detail: Option<&str>, hint: Option<&str>) -> Bytes {
    let mut body = Vec::new();
    let fields = [
        (b'S', Some("FATAL")),
        (b'V', Some("FATAL")),
        (b'C', Some(sqlstate)),
        (b'M', Some(message)),
        (b'D', detail),
        (b'H', hint),
    ];
    for (code, value) in fields {
        let Some(value) = value else { continue };
        body.push(code);
        body.extend(value.bytes().filter(|&byte| byte != 0));
        body.push(0);
    }
    body.push(0);
    let mut output = BytesMut::new();
    put(&mut output, Some(b'E'), &[&body]);
    output.freeze()
}
