//! LDAPv3 messages (RFC 4511) without I/O: the requests a bind door can be sent, and the answers it gives.
//!
//! Bytes are hostile. Only definite lengths are read, of four octets at most, a message is at most
//! [`MAX_MESSAGE`] bytes, and nothing is read recursively: the depth is that of the types below.

/// The longest message, in bytes. PostgreSQL passes on passwords of up to 65,530 bytes.
pub const MAX_MESSAGE: usize = 70 * 1024;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Chosen by the client, never zero; the answer repeats it.
    pub id: u32,
    /// What is asked for.
    pub operation: Operation<'a>,
    /// Whether it carries a control that must not be ignored.
    pub critical_control: bool,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Authenticate the connection.
    Bind(Bind<'a>),
    /// The client is done; there is no answer.
    Unbind,
    /// Forget an earlier request; there is no answer.
    Abandon,
    /// Go on in TLS.
    StartTls,
    /// A request that this door does not serve, by the kind of its answer.
    Other(ResponseKind),
}

/// A bind request.
#[derive(Clone, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The protocol version; only 3 is LDAPv3.
    pub version: u32,
    /// The distinguished name, as sent.
    pub name: &'a [u8],
    /// How the client proves to be that name.
    pub credentials: Credentials<'a>,
}

/// A bind's credentials.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// A password.
    Simple(&'a [u8]),
    /// A mechanism of SASL, which this door has none of.
    Sasl,
}

/// The kinds of answer, by their tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "named as in RFC 4511")]
pub enum ResponseKind {
    Bind = 0x61,
    SearchDone = 0x65,
    Modify = 0x67,
    Add = 0x69,
    Delete = 0x6b,
    ModifyDn = 0x6d,
    Compare = 0x6f,
    Extended = 0x78,
}

/// The result codes that this door gives (RFC 4511, appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "named as in RFC 4511")]
pub enum ResultCode {
    Success = 0,
    ProtocolError = 2,
    AuthMethodNotSupported = 7,
    UnavailableCriticalExtension = 12,
    ConfidentialityRequired = 13,
    InvalidDnSyntax = 34,
    InvalidCredentials = 49,
    UnwillingToPerform = 53,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    /// The request's id.
    pub id: u32,
    /// The kind that belongs to the request.
    pub kind: ResponseKind,
    /// The outcome.
    pub code: ResultCode,
    /// A sentence for the client's log. PostgreSQL prints it as `LDAP diagnostics`.
    pub diagnostic: &'a str,
}

/// Why bytes are not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A length without an end, or in more than four octets.
    #[error("a length in a form that LDAP does not allow")]
    Length,
    /// Longer than [`MAX_MESSAGE`].
    #[error("a message of `{0}` bytes, at most {MAX_MESSAGE} are allowed")]
    TooLong(usize),
    /// Another element than the one that belongs there.
    #[error("an element with tag `{0:#04x}` where it does not belong")]
    Tag(u8),
    /// An element ends before its parts do, or after them.
    #[error("an element that its parts do not fill exactly")]
    Parts,
    /// A number that is negative, too large or zero where it may not be.
    #[error("a number out of its range")]
    Number,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SIMPLE: u8 = 0x80;
const SASL: u8 = 0xa3;
const CONTROLS: u8 = 0xa0;
const RESPONSE_NAME: u8 = 0x8a;
/// The request's name as the one part of an extended request (RFC 4511, 4.12 and 4.14.1).
const START_TLS: &[u8] = b"\x80\x161.3.6.1.4.1.1466.20037";
/// RFC 4511, 4.4.1.
const NOTICE_OF_DISCONNECTION: &[u8] = b"1.3.6.1.4.1.1466.20036";

/// How many bytes, at least, the message has that begins with `bytes`. Once that many are there it is the whole
/// message, and its exact length.
///
/// # Errors
/// [`MessageError`] if no message begins so.
pub fn needed(bytes: &[u8]) -> Result<usize, MessageError> {
    let (Some(&tag), Some(&first)) = (bytes.first(), bytes.get(1)) else {
        return match bytes.first() {
            Some(&tag) if tag != SEQUENCE => Err(MessageError::Tag(tag)),
            _ => Ok(2),
        };
    };
    if tag != SEQUENCE {
        return Err(MessageError::Tag(tag));
    }
    let head = 2 + length_octets(first)?;
    let Some(octets) = bytes.get(2..head) else { return Ok(head) };
    let total = head.saturating_add(length(first, octets));
    if total > MAX_MESSAGE { Err(MessageError::TooLong(total)) } else { Ok(total) }
}

impl<'a> Request<'a> {
    /// Reads a request from the start of `bytes`, and how many bytes it took; `None` if more are needed.
    ///
    /// # Errors
    /// [`MessageError`] if they are not, or can no longer become, a request.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, MessageError> {
        let total = needed(bytes)?;
        let Some(message) = bytes.get(..total) else { return Ok(None) };
        let mut outer = Elements(message);
        let mut parts = Elements(outer.expect(SEQUENCE)?);
        let id = number(parts.expect(INTEGER)?)?;
        if id == 0 {
            return Err(MessageError::Number);
        }
        let (tag, content) = parts.next()?;
        let operation = match tag {
            0x60 => Operation::Bind(Bind::read(Elements(content))?),
            0x42 => Operation::Unbind,
            0x50 => Operation::Abandon,
            0x63 => Operation::Other(ResponseKind::SearchDone),
            0x66 => Operation::Other(ResponseKind::Modify),
            0x68 => Operation::Other(ResponseKind::Add),
            0x4a => Operation::Other(ResponseKind::Delete),
            0x6c => Operation::Other(ResponseKind::ModifyDn),
            0x6e => Operation::Other(ResponseKind::Compare),
            0x77 if content == START_TLS => Operation::StartTls,
            0x77 => Operation::Other(ResponseKind::Extended),
            other => return Err(MessageError::Tag(other)),
        };
        let critical_control = if parts.is_empty() { false } else { critical(parts.expect(CONTROLS)?)? };
        parts.end()?;
        Ok(Some((Self { id, operation, critical_control }, total)))
    }
}

impl<'a> Bind<'a> {
    fn read(mut parts: Elements<'a>) -> Result<Self, MessageError> {
        let version = number(parts.expect(INTEGER)?)?;
        let name = parts.expect(OCTET_STRING)?;
        let credentials = match parts.next()? {
            (SIMPLE, password) => Credentials::Simple(password),
            (SASL, _) => Credentials::Sasl,
            (other, _) => return Err(MessageError::Tag(other)),
        };
        parts.end()?;
        Ok(Self { version, name, credentials })
    }
}

impl Response<'_> {
    /// Writes the answer.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.write(&[])
    }

    /// Tells a client why the server closes the connection: the answer to what could not be read.
    #[must_use]
    pub fn disconnection(diagnostic: &str) -> Vec<u8> {
        let response =
            Response { id: 0, kind: ResponseKind::Extended, code: ResultCode::ProtocolError, diagnostic };
        response.write(&element(RESPONSE_NAME, NOTICE_OF_DISCONNECTION))
    }

    fn write(&self, tail: &[u8]) -> Vec<u8> {
        let mut result = element(ENUMERATED, &[self.code as u8]);
        // The matched name: there is no directory to match in.
        result.extend(element(OCTET_STRING, b""));
        result.extend(element(OCTET_STRING, self.diagnostic.as_bytes()));
        result.extend(tail);
        let mut message = integer(self.id);
        message.extend(element(self.kind as u8, &result));
        element(SEQUENCE, &message)
    }
}

/// Whether one of the controls must not be ignored.
fn critical(controls: &[u8]) -> Result<bool, MessageError> {
    let mut controls = Elements(controls);
    let mut any = false;
    while !controls.is_empty() {
        let mut parts = Elements(controls.expect(SEQUENCE)?);
        parts.expect(OCTET_STRING)?;
        if parts.peek() == Some(BOOLEAN) {
            match parts.expect(BOOLEAN)? {
                [value] => any |= *value != 0,
                _ => return Err(MessageError::Parts),
            }
        }
        if parts.peek() == Some(OCTET_STRING) {
            parts.expect(OCTET_STRING)?;
        }
        parts.end()?;
    }
    Ok(any)
}

/// Elements one after the other, each a tag, a length and a content.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    fn next(&mut self) -> Result<(u8, &'a [u8]), MessageError> {
        let [tag, first, rest @ ..] = self.0 else { return Err(MessageError::Parts) };
        let (octets, rest) = rest.split_at_checked(length_octets(*first)?).ok_or(MessageError::Parts)?;
        let (content, rest) = rest.split_at_checked(length(*first, octets)).ok_or(MessageError::Parts)?;
        self.0 = rest;
        Ok((*tag, content))
    }

    fn expect(&mut self, tag: u8) -> Result<&'a [u8], MessageError> {
        let (found, content) = self.next()?;
        if found == tag { Ok(content) } else { Err(MessageError::Tag(found)) }
    }

    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn end(&self) -> Result<(), MessageError> {
        if self.is_empty() { Ok(()) } else { Err(MessageError::Parts) }
    }
}

/// How many octets of length follow the first one.
fn length_octets(first: u8) -> Result<usize, MessageError> {
    match first {
        0..=0x7f => Ok(0),
        // The indefinite form, which LDAP rules out.
        0x80 => Err(MessageError::Length),
        0x81..=0x84 => Ok(usize::from(first & 0x7f)),
        0x85..=0xff => Err(MessageError::Length),
    }
}

/// The length told by the first octet and those that follow it, of which there are at most four.
fn length(first: u8, octets: &[u8]) -> usize {
    if first < 0x80 {
        return usize::from(first);
    }
    octets
        .iter()
        .fold(0, |length: usize, octet| (length.saturating_mul(256)).saturating_add(usize::from(*octet)))
}

/// A number from 0 to 2^31 - 1, as LDAP's are.
fn number(content: &[u8]) -> Result<u32, MessageError> {
    match content {
        [0..=0x7f] | [0..=0x7f, _] | [0..=0x7f, _, _] | [0..=0x7f, _, _, _] => {
            Ok(content.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
        }
        _ => Err(MessageError::Number),
    }
}

fn integer(number: u32) -> Vec<u8> {
    let octets = number.to_be_bytes();
    // As few octets as hold it with the sign bit clear. A number has at most 31 bits here.
    let skip = octets
        .iter()
        .zip(octets.iter().skip(1))
        .take_while(|(octet, next)| **octet == 0 && **next < 0x80)
        .count();
    element(INTEGER, octets.get(skip..).unwrap_or_default())
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    let length = content.len();
    match u8::try_from(length) {
        Ok(short @ ..0x80) => element.push(short),
        _ => {
            let octets = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
            element.push(0x84);
            element.extend(octets);
        }
    }
    element.extend(content);
    element
}

impl std::fmt::Debug for Bind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bind")
            .field("version", &self.version)
            .field("name", &self.name.escape_ascii().to_string())
            .field("credentials", &self.credentials)
            .finish()
    }
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Simple(password) => write!(f, "Simple({} bytes)", password.len()),
            Self::Sasl => f.write_str("Sasl"),
        }
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! The client's side, for the door's tests.

    use super::*;

    /// A request of any kind.
    pub(in super::super) fn request(id: u32, tag: u8, content: &[u8]) -> Vec<u8> {
        element(SEQUENCE, &[integer(id), element(tag, content)].concat())
    }

    /// A simple bind.
    pub(in super::super) fn bind(id: u32, name: &[u8], password: &[u8]) -> Vec<u8> {
        request(id, 0x60, &bind_content(3, name, SIMPLE, password))
    }

    pub(in super::super) fn bind_content(
        version: u32,
        name: &[u8],
        method: u8,
        credentials: &[u8],
    ) -> Vec<u8> {
        [integer(version), element(OCTET_STRING, name), element(method, credentials)].concat()
    }

    /// A request with one control.
    pub(in super::super) fn controlled(id: u32, critical: bool) -> Vec<u8> {
        let control = [element(OCTET_STRING, b"1.2.3"), element(BOOLEAN, &[if critical { 0xff } else { 0 }])];
        let controls = element(CONTROLS, &element(SEQUENCE, &control.concat()));
        let bind = element(0x60, &bind_content(3, b"cn=x", SIMPLE, b"y"));
        element(SEQUENCE, &[integer(id), bind, controls].concat())
    }

    /// An answer's id, tag, result code and diagnostic.
    pub(in super::super) fn answer(bytes: &[u8]) -> (u32, u8, u8, String) {
        let mut parts = Elements(Elements(bytes).expect(SEQUENCE).unwrap());
        let id = number(parts.expect(INTEGER).unwrap()).unwrap();
        let (tag, content) = parts.next().unwrap();
        let mut result = Elements(content);
        let code = result.expect(ENUMERATED).unwrap()[0];
        assert_eq!(result.expect(OCTET_STRING).unwrap(), b"");
        (id, tag, code, String::from_utf8(result.expect(OCTET_STRING).unwrap().to_vec()).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{answer, bind, bind_content, controlled, request};
    use super::*;
    use proptest::prelude::*;

    fn decoded(bytes: &[u8]) -> Request<'_> {
        let (request, taken) = Request::decode(bytes).unwrap().unwrap();
        assert_eq!(taken, bytes.len());
        request
    }

    #[test]
    fn reads_what_openldaps_client_sends() {
        // A bind as libldap writes it, with lengths in as few octets as they need.
        let bytes = b"\x30\x13\x02\x01\x01\x60\x0e\x02\x01\x03\x04\x04cn=u\x80\x03tok";
        let expected = Bind { version: 3, name: b"cn=u", credentials: Credentials::Simple(b"tok") };
        assert_eq!(
            decoded(bytes),
            Request { id: 1, operation: Operation::Bind(expected), critical_control: false }
        );
        assert_eq!(decoded(b"\x30\x05\x02\x01\x02\x42\x00").operation, Operation::Unbind);
        assert_eq!(decoded(b"\x30\x06\x02\x01\x03\x50\x01\x02").operation, Operation::Abandon);
        // A length may have more octets than it needs.
        assert_eq!(decoded(b"\x30\x84\0\0\0\x05\x02\x01\x02\x42\x00").operation, Operation::Unbind);
    }

    #[test]
    fn writes_what_rfc_4511_says() {
        let response = Response {
            id: 1,
            kind: ResponseKind::Bind,
            code: ResultCode::InvalidCredentials,
            diagnostic: "refused",
        };
        assert_eq!(response.encode(), b"\x30\x13\x02\x01\x01\x61\x0e\x0a\x01\x31\x04\x00\x04\x07refused");
        let gone = Response::disconnection("x");
        assert_eq!(answer(&gone), (0, 0x78, 2, "x".to_owned()));
        assert!(gone.ends_with(b"\x8a\x161.3.6.1.4.1.1466.20036"));
    }

    #[test]
    fn other_requests_are_known_by_their_answer() {
        for (tag, kind) in [
            (0x63, ResponseKind::SearchDone),
            (0x66, ResponseKind::Modify),
            (0x68, ResponseKind::Add),
            (0x4a, ResponseKind::Delete),
            (0x6c, ResponseKind::ModifyDn),
            (0x6e, ResponseKind::Compare),
            (0x77, ResponseKind::Extended),
        ] {
            assert_eq!(decoded(&request(9, tag, b"anything")).operation, Operation::Other(kind));
        }
        assert_eq!(Request::decode(&request(9, 0x7f, b"")), Err(MessageError::Tag(0x7f)));
        let sasl = request(1, 0x60, &bind_content(3, b"", SASL, b"\x04\x05PLAIN"));
        assert!(matches!(
            decoded(&sasl).operation,
            Operation::Bind(Bind { credentials: Credentials::Sasl, .. })
        ));
    }

    #[test]
    fn a_critical_control_is_seen() {
        assert!(decoded(&controlled(1, true)).critical_control);
        assert!(!decoded(&controlled(1, false)).critical_control);
    }

    #[test]
    fn hostile_lengths_and_numbers_are_refused() {
        assert_eq!(Request::decode(b"\x30\x80"), Err(MessageError::Length));
        assert_eq!(Request::decode(b"\x30\x85"), Err(MessageError::Length));
        assert_eq!(Request::decode(b"\x30\xff"), Err(MessageError::Length));
        assert_eq!(Request::decode(b"\x30\x84\xff\xff\xff\xff"), Err(MessageError::TooLong(0xffff_ffff + 6)));
        assert_eq!(Request::decode(b"\x30\x83\x01\x18\0"), Err(MessageError::TooLong(MAX_MESSAGE + 5)));
        assert_eq!(Request::decode(b"\x30\0"), Err(MessageError::Parts));
        assert_eq!(Request::decode(b"GET / HTTP/1.1"), Err(MessageError::Tag(b'G')));
        assert_eq!(Request::decode(b"\x16"), Err(MessageError::Tag(0x16)));
        // Inside: indefinite, longer than what surrounds it, followed by more.
        assert_eq!(Request::decode(b"\x30\x05\x02\x01\x02\x42\x80"), Err(MessageError::Length));
        assert_eq!(Request::decode(b"\x30\x05\x02\x01\x02\x42\x01"), Err(MessageError::Parts));
        assert_eq!(Request::decode(b"\x30\x07\x02\x01\x02\x42\x00\x05\x00"), Err(MessageError::Tag(5)));
        for id in [&b"\x00"[..], b"\xff", b"\x00\x80\x00\x00\x00", b""] {
            let bytes = element(SEQUENCE, &[element(INTEGER, id), element(0x42, b"")].concat());
            assert_eq!(Request::decode(&bytes), Err(MessageError::Number), "{id:?}");
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let shown = format!("{:?}", decoded(&bind(1, b"cn=u", b"s3cret")));
        assert!(shown.contains("cn=u") && !shown.contains("s3cret"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..300),
            position: proptest::sample::Index,
            byte: u8,
        ) {
            if let Ok(Some((_, taken))) = Request::decode(&noise) {
                prop_assert!(taken <= noise.len());
            }
            let mut bytes = bind(1, b"cn=jane,dc=db-ABC,dc=countersign", &noise);
            let position = position.index(bytes.len());
            bytes[position] = byte;
            if let Ok(Some((_, taken))) = Request::decode(&bytes) {
                prop_assert!(taken <= bytes.len());
            }
        }

        #[test]
        fn a_bind_reads_as_written_and_only_when_whole(
            id in 1..=i32::MAX.cast_unsigned(),
            name in proptest::collection::vec(any::<u8>(), 0..300),
            password in proptest::collection::vec(any::<u8>(), 0..2_000),
            rest: Vec<u8>,
        ) {
            let mut bytes = bind(id, &name, &password);
            let length = bytes.len();
            for cut in (0..length).step_by(5) {
                prop_assert_eq!(Request::decode(&bytes[..cut]), Ok(None));
                let needed = needed(&bytes[..cut]).unwrap();
                prop_assert!(cut < needed && needed <= length);
            }
            bytes.extend(rest);
            let operation = Operation::Bind(Bind {
                version: 3,
                name: &name,
                credentials: Credentials::Simple(&password),
            });
            let request = Request { id, operation, critical_control: false };
            prop_assert_eq!(Request::decode(&bytes), Ok(Some((request, length))));
        }

        #[test]
        fn an_answer_reads_as_written(id in 0..=i32::MAX.cast_unsigned(), diagnostic in ".{0,200}") {
            let kind = ResponseKind::Bind;
            let bytes = Response { id, kind, code: ResultCode::Success, diagnostic: &diagnostic }.encode();
            prop_assert_eq!(answer(&bytes), (id, 0x61, 0, diagnostic));
        }
    }
}
