//! Packets: their frames, the fields inside, and the two that end a start-up, OK and ERR.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use zeroize::Zeroize as _;

/// The longest packet that a start-up takes, in bytes. MySQL takes 64 KiB of connection attributes; what clients send is a
/// few hundred bytes.
pub const MAX_PACKET: usize = 64 * 1024;

/// Length and sequence id before each packet.
const HEADER: usize = 4;

/// A packet of this length goes on in the next one.
const FULL: usize = 0xff_ffff;

/// The longest text of an error, as in MySQL.
const MAX_TEXT: usize = 511;

/// The peer broke the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Longer than [`MAX_PACKET`].
    #[error("a packet of {0} bytes came, where {MAX_PACKET} are the most")]
    TooLong(usize),
    /// Sequence ids count up from the greeting's, which is 0.
    #[error("packet number {found} came where number {expected} was due")]
    OutOfOrder {
        /// The one that was due.
        expected: u8,
        /// The one that came.
        found: u8,
    },
    /// A field ends outside of its packet, or without its end.
    #[error("the {0} is malformed")]
    Malformed(&'static str),
    /// The peer speaks another version of the protocol.
    #[error("the server speaks version {0} of MySQL's protocol, where version 10 was expected")]
    Version(u8),
    /// Too old a server: no authentication plugins.
    #[error("the server is too old: it has no authentication plugins")]
    NoPlugins,
    /// A packet that has no place here.
    #[error("a packet of the kind {0:#04x} came where none was due")]
    Unexpected(u8),
    /// Who puts bytes between the request for TLS and TLS may be someone in the middle.
    #[error("bytes came after TLS was asked for and before it began")]
    BeforeTls,
    /// It had ended.
    #[error("the start-up is over")]
    Over,
}

/// What a server said instead of OK.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} ({sqlstate}): {text}")]
pub struct ServerError {
    /// The packet without its header, as the server sent it.
    pub payload: Bytes,
    /// MySQL's number of it.
    pub code: u16,
    /// The SQLSTATE, `HY000` where none was sent.
    pub sqlstate: String,
    /// The server's words, without what could steer a terminal.
    pub text: String,
}

impl ServerError {
    /// Whether the server refused who the client is, rather than failing: a fresh token may help.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        // ER_ACCESS_DENIED_ERROR, ER_ACCESS_DENIED_NO_PASSWORD_ERROR
        matches!(self.code, 1045 | 1698)
    }

    /// From the payload of an ERR packet. Servers leave out the SQLSTATE before they know the client.
    pub(crate) fn parse(payload: Bytes) -> Result<Self, ProtocolError> {
        let mut fields = Fields::new(&payload, "server's error");
        fields.u8()?;
        let code = fields.u16()?;
        let (sqlstate, text) = match fields.rest().split_first() {
            Some((b'#', rest)) => {
                rest.split_at_checked(5).ok_or(ProtocolError::Malformed("server's error"))?
            }
            _ => (b"HY000".as_slice(), fields.rest()),
        };
        let (sqlstate, text) = (printable(sqlstate), printable(text));
        Ok(Self { code, sqlstate, text, payload })
    }
}

/// As text, without what could steer a terminal.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// An ERR packet with its header, for a client that speaks the protocol since 4.1 or has not been heard yet. A text longer
/// than MySQL's longest is cut.
#[must_use]
pub fn error_packet(sequence: u8, code: u16, sqlstate: &[u8; 5], message: &str) -> Bytes {
    framed_error(sequence, code, Some(sqlstate), message)
}

/// The same, without a SQLSTATE for clients of before 4.1.
pub(crate) fn framed_error(sequence: u8, code: u16, sqlstate: Option<&[u8; 5]>, message: &str) -> Bytes {
    let mut payload = BytesMut::new();
    payload.put_u8(ERR);
    payload.put_u16_le(code);
    if let Some(sqlstate) = sqlstate {
        payload.put_u8(b'#');
        payload.put_slice(sqlstate);
    }
    let end = message.floor_char_boundary(MAX_TEXT);
    payload.put_slice(message.get(..end).unwrap_or_default().as_bytes());
    packet(sequence, &payload)
}

/// `payload` with the header of the packet number `sequence`. An ERR that came in place of a greeting has number 0; for
/// everything later there is [`Client::packet`](super::Client::packet).
#[must_use]
pub fn packet(sequence: u8, payload: &[u8]) -> Bytes {
    let mut output = BytesMut::with_capacity(HEADER + payload.len());
    put_packet(&mut output, sequence, payload);
    output.freeze()
}

/// Appends `payload` with its header; the next sequence id.
pub(crate) fn put_packet(output: &mut BytesMut, sequence: u8, payload: &[u8]) -> u8 {
    let mut sequence = sequence;
    let mut rest = payload;
    // At once, so that no copy of a secret is left behind by growing.
    output.reserve(HEADER + payload.len());
    loop {
        let (part, after) = rest.split_at(rest.len().min(FULL));
        output.put_uint_le(part.len() as u64, 3);
        output.put_u8(sequence);
        output.put_slice(part);
        sequence = sequence.wrapping_add(1);
        rest = after;
        if part.len() < FULL {
            return sequence;
        }
    }
}

/// Takes the packet that must be number `sequence`, without its header; `None` until all of it is there. What is wrong with
/// it is seen at its header already.
pub(crate) fn take_packet(input: &mut BytesMut, sequence: u8) -> Result<Option<Payload>, ProtocolError> {
    let Some(&[a, b, c, found]) = input.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let [length @ .., _] = [a, b, c, found];
    let length = length.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if length > MAX_PACKET {
        return Err(ProtocolError::TooLong(length));
    }
    if found != sequence {
        return Err(ProtocolError::OutOfOrder { expected: sequence, found });
    }
    if input.len() < HEADER + length {
        return Ok(None);
    }
    input.advance(HEADER);
    Ok(Some(Payload(input.split_to(length))))
}

/// A packet without its header. It may hold a password, so it is wiped unless it is kept.
pub(crate) struct Payload(BytesMut);

impl Payload {
    pub(crate) fn keep(mut self) -> Bytes {
        std::mem::take(&mut self.0).freeze()
    }
}

impl std::ops::Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.0[..].zeroize();
    }
}

/// The first byte of an OK packet.
pub(crate) const OK: u8 = 0x00;
/// The first byte of what a plugin says outside of the greeting.
pub(crate) const MORE_DATA: u8 = 0x01;
/// The first byte of a request to use another plugin.
pub(crate) const AUTH_SWITCH: u8 = 0xfe;
/// The first byte of an ERR packet.
pub(crate) const ERR: u8 = 0xff;

/// The fields of a packet, from front to back.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    packet: &'static str,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(payload: &'a [u8], packet: &'static str) -> Self {
        Self { rest: payload, packet }
    }

    pub(crate) fn malformed(&self) -> ProtocolError {
        ProtocolError::Malformed(self.packet)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], ProtocolError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.malformed())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(self.malformed())?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ProtocolError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ProtocolError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ProtocolError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Up to a NUL, which must be there.
    pub(crate) fn name(&mut self) -> Result<&'a [u8], ProtocolError> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(self.malformed())?;
        let name = self.bytes(end)?;
        self.u8()?;
        Ok(name)
    }

    /// A "length encoded" integer.
    pub(crate) fn integer(&mut self) -> Result<u64, ProtocolError> {
        match self.u8()? {
            small @ 0..=0xfa => Ok(small.into()),
            0xfc => self.u16().map(u64::from),
            0xfd => self.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]).into()),
            0xfe => self.array().map(u64::from_le_bytes),
            // NULL and ERR, which are no integers.
            0xfb | 0xff => Err(self.malformed()),
        }
    }

    /// Bytes after their length as such an integer.
    pub(crate) fn counted(&mut self) -> Result<&'a [u8], ProtocolError> {
        let length = usize::try_from(self.integer()?).map_err(|_| self.malformed())?;
        self.bytes(length)
    }
}

/// Appends a "length encoded" integer.
pub(crate) fn put_integer(output: &mut Vec<u8>, integer: usize) {
    let integer = integer as u64;
    match integer {
        0..=0xfa => output.put_uint_le(integer, 1),
        0xfb..=0xffff => {
            output.put_u8(0xfc);
            output.put_uint_le(integer, 2);
        }
        0x1_0000..=0xff_ffff => {
            output.put_u8(0xfd);
            output.put_uint_le(integer, 3);
        }
        _ => {
            output.put_u8(0xfe);
            output.put_u64_le(integer);
        }
    }
}
