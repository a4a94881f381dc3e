//! The frames of the doors' socket protocol, without I/O: bytes in, values out, and back.
//!
//! ```text
//! header    "CSGN"  version u8 = 1  kind u8 ('Q' or 'A')  length u32: bytes that follow
//! question  door u8  user  token  remote                      each field: length u32, then the bytes
//! answer    request id u64  status u8  principal
//! ```
//!
//! Numbers are big-endian. A frame is at most [`MAX_FRAME`] bytes and has exactly the fields of its kind: a
//! byte too many is as wrong as one too few, so that two readers can never see two different questions in it.

use std::fmt;

use crate::secret::Secret;

/// Length of a frame's header, in bytes.
pub const HEADER: usize = 10;

/// The longest frame, header included, in bytes. PostgreSQL passes on passwords of up to 65,530 bytes.
pub const MAX_FRAME: usize = 80 * 1024;

const MAGIC: [u8; 4] = *b"CSGN";
const VERSION: u8 = 1;
const QUESTION: u8 = b'Q';
const ANSWER: u8 = b'A';

/// May the bearer of this token log in as this user? Which database asks is said by the socket.
///
/// The fields are bytes as the database server has them: it is the answering side that decides what is text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The kind of module that asks.
    pub door: Door,
    /// The database user that the client named.
    pub user: &'a [u8],
    /// What the client sent as its password.
    pub token: &'a [u8],
    /// The client's address as the database server writes it; empty when it gives none.
    pub remote: &'a [u8],
}

/// The kind of module that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Door {
    /// `pam_countersign.so`, in a PostgreSQL backend.
    Pam = 1,
    /// The authentication plugin of MySQL or MariaDB.
    Mysql = 2,
}

/// What Countersign says to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Answer {
    /// Names the decision in Countersign's log; the database's log repeats it, and no reason.
    pub request_id: RequestId,
    /// The decision.
    pub status: Status,
}

/// A decision as a door sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Status {
    /// The client may log in.
    Allowed {
        /// ARN of the principal whose credential signed the token.
        principal: String,
    },
    /// The client may not log in. The reason is in Countersign's log only.
    Refused,
    /// Countersign could not decide; the door refuses.
    Unavailable,
}

/// Names one decision; written as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);

/// Why bytes are not a frame of this protocol, or why a value cannot be written as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// The bytes do not start with the protocol's four letters.
    Magic,
    /// Another version of the protocol: the door and Countersign are of different releases.
    Version(u8),
    /// A kind of frame that is not expected here.
    Kind(u8),
    /// The frame is, or would be, longer than [`MAX_FRAME`].
    TooLong(usize),
    /// The fields do not fill the frame exactly.
    Fields,
    /// A kind of door that this version does not know.
    Door(u8),
    /// A status that this version does not know, or one that may not carry a principal and does.
    Status(u8),
    /// The principal is empty or not text.
    Principal,
}

impl<'a> Question<'a> {
    /// Writes the question as a frame. The result carries the token and is wiped when dropped.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] if the fields do not fit into [`MAX_FRAME`].
    pub fn encode(&self) -> Result<Secret, FrameError> {
        let fields = [self.user, self.token, self.remote];
        let body =
            fields.iter().fold(1_usize, |sum, field| sum.saturating_add(4).saturating_add(field.len()));
        let mut frame = Secret::with_capacity(HEADER.saturating_add(body).min(MAX_FRAME));
        frame.extend(&header(QUESTION, body)?);
        frame.extend(&[self.door as u8]);
        for field in fields {
            frame.extend(&length(field)?);
            frame.extend(field);
        }
        Ok(frame)
    }

    /// Reads a question from the start of `bytes`, and how many bytes it took; `None` if more are needed.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the bytes can no longer become a question.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((mut body, taken)) = body(QUESTION, bytes)? else { return Ok(None) };
        let door = match body.u8()? {
            1 => Door::Pam,
            2 => Door::Mysql,
            other => return Err(FrameError::Door(other)),
        };
        let question = Question { door, user: body.field()?, token: body.field()?, remote: body.field()? };
        body.end()?;
        Ok(Some((question, taken)))
    }

    /// The whole length, in bytes, of the question that starts with `header`: what to read before decoding.
    ///
    /// # Errors
    /// [`FrameError`] if no question starts so.
    pub fn length(header: &[u8; HEADER]) -> Result<usize, FrameError> {
        // A whole header always tells the length.
        Ok(frame_length(QUESTION, header)?.unwrap_or(HEADER))
    }
}

impl Answer {
    /// Writes the answer as a frame.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] if the principal does not fit, [`FrameError::Principal`] if it is empty.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let (status, principal) = match &self.status {
            Status::Allowed { principal } if principal.is_empty() => return Err(FrameError::Principal),
            Status::Allowed { principal } => (ALLOWED, principal.as_bytes()),
            Status::Refused => (REFUSED, &[][..]),
            Status::Unavailable => (UNAVAILABLE, &[][..]),
        };
        let mut frame = header(ANSWER, principal.len().saturating_add(13))?.to_vec();
        frame.extend(self.request_id.0.to_be_bytes());
        frame.push(status);
        frame.extend(length(principal)?);
        frame.extend(principal);
        Ok(frame)
    }

    /// Reads an answer from the start of `bytes`, and how many bytes it took; `None` if more are needed.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the bytes can no longer become an answer.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((mut body, taken)) = body(ANSWER, bytes)? else { return Ok(None) };
        let request_id = RequestId(body.u64()?);
        let status = body.u8()?;
        let principal = body.field()?;
        body.end()?;
        let status = match (status, principal) {
            (ALLOWED, []) => return Err(FrameError::Principal),
            (ALLOWED, text) => Status::Allowed {
                principal: std::str::from_utf8(text).map_err(|_| FrameError::Principal)?.to_owned(),
            },
            (REFUSED, []) => Status::Refused,
            (UNAVAILABLE, []) => Status::Unavailable,
            (other, _) => return Err(FrameError::Status(other)),
        };
        Ok(Some((Answer { request_id, status }, taken)))
    }
}

// Four bits apart from one another, and from 0 and 255: no single flipped bit turns a refusal into a login.
const ALLOWED: u8 = 0x69;
const REFUSED: u8 = 0x96;
const UNAVAILABLE: u8 = 0x0f;

fn header(kind: u8, body: usize) -> Result<[u8; HEADER], FrameError> {
    let total = body.saturating_add(HEADER);
    if total > MAX_FRAME {
        return Err(FrameError::TooLong(total));
    }
    let [a, b, c, d] = MAGIC;
    let [w, x, y, z] = u32::try_from(body).map_err(|_| FrameError::TooLong(total))?.to_be_bytes();
    Ok([a, b, c, d, VERSION, kind, w, x, y, z])
}

fn length(field: &[u8]) -> Result<[u8; 4], FrameError> {
    u32::try_from(field.len()).map(u32::to_be_bytes).map_err(|_| FrameError::TooLong(field.len()))
}

/// The whole frame's length once the header is complete. Wrong bytes are told at the first one that is wrong.
fn frame_length(kind: u8, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
    if bytes.iter().zip(MAGIC).any(|(have, want)| *have != want) {
        return Err(FrameError::Magic);
    }
    match bytes.get(4) {
        Some(&version) if version != VERSION => return Err(FrameError::Version(version)),
        _ => {}
    }
    match bytes.get(5) {
        Some(&other) if other != kind => return Err(FrameError::Kind(other)),
        _ => {}
    }
    let Some(length) = bytes.get(6..HEADER).and_then(|length| <[u8; 4]>::try_from(length).ok()) else {
        return Ok(None);
    };
    let total = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX).saturating_add(HEADER);
    if total > MAX_FRAME { Err(FrameError::TooLong(total)) } else { Ok(Some(total)) }
}

fn body(kind: u8, bytes: &[u8]) -> Result<Option<(Fields<'_>, usize)>, FrameError> {
    let Some(total) = frame_length(kind, bytes)? else { return Ok(None) };
    Ok(bytes.get(HEADER..total).map(|body| (Fields(body), total)))
}

/// What is left to read of a frame's body.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(FrameError::Fields)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, FrameError> {
        self.take().map(u8::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        self.take().map(u64::from_be_bytes)
    }

    fn field(&mut self) -> Result<&'a [u8], FrameError> {
        let length = usize::try_from(u32::from_be_bytes(self.take()?)).map_err(|_| FrameError::Fields)?;
        let (field, rest) = self.0.split_at_checked(length).ok_or(FrameError::Fields)?;
        self.0 = rest;
        Ok(field)
    }

    fn end(&self) -> Result<(), FrameError> {
        if self.0.is_empty() { Ok(()) } else { Err(FrameError::Fields) }
    }
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question")
            .field("door", &self.door)
            .field("user", &self.user.escape_ascii().to_string())
            .field("token", &format_args!("{} bytes", self.token.len()))
            .field("remote", &self.remote.escape_ascii().to_string())
            .finish()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not Countersign's door protocol"),
            Self::Version(version) => {
                write!(
                    f,
                    "door protocol version `{version}`, expected `{VERSION}`: install both sides of one release"
                )
            }
            Self::Kind(kind) => write!(f, "unexpected kind of frame `{}`", kind.escape_ascii()),
            Self::TooLong(length) => {
                write!(f, "a frame of `{length}` bytes, at most {MAX_FRAME} are allowed")
            }
            Self::Fields => f.write_str("the frame's fields do not fill it exactly"),
            Self::Door(door) => write!(f, "unknown kind of door `{door}`"),
            Self::Status(status) => write!(f, "unknown or inconsistent status `{status}`"),
            Self::Principal => f.write_str("an allowed answer without a readable principal"),
        }
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question() -> Question<'static> {
        Question { door: Door::Pam, user: b"jane", token: b"db:5432/?Action=connect", remote: b"::1" }
    }

    #[test]
    fn the_layout_is_fixed() {
        let frame = question().encode().unwrap();
        assert_eq!(
            frame.as_slice(),
            b"CSGN\x01Q\0\0\0\x2b\x01\0\0\0\x04jane\0\0\0\x17db:5432/?Action=connect\0\0\0\x03::1"
        );
        let answer = Answer { request_id: RequestId(0xfeed), status: Status::Refused }.encode().unwrap();
        assert_eq!(answer, b"CSGN\x01A\0\0\0\x0d\0\0\0\0\0\0\xfe\xed\x96\0\0\0\0");
    }

    #[test]
    fn every_single_bit_matters_to_an_answer() {
        let refused = Answer { request_id: RequestId(0), status: Status::Refused }.encode().unwrap();
        let unavailable = Answer { request_id: RequestId(0), status: Status::Unavailable }.encode().unwrap();
        for frame in [refused, unavailable] {
            for bit in 0..frame.len() * 8 {
                let mut flipped = frame.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                if let Ok(Some((answer, _))) = Answer::decode(&flipped) {
                    assert!(!matches!(answer.status, Status::Allowed { .. }), "bit {bit}");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_at_the_first_wrong_byte() {
        assert_eq!(Answer::decode(b"HTTP"), Err(FrameError::Magic));
        assert_eq!(Answer::decode(b"CSGN\x02"), Err(FrameError::Version(2)));
        assert_eq!(Answer::decode(b"CSGN\x01Q"), Err(FrameError::Kind(b'Q')));
        assert_eq!(
            Answer::decode(b"CSGN\x01A\xff\xff\xff\xff"),
            Err(FrameError::TooLong(0xffff_ffff + HEADER))
        );
        assert_eq!(Answer::decode(b"CSGN\x01A\0\0\0\0"), Err(FrameError::Fields));
        assert_eq!(Question::decode(b"CSGN\x01Q\0\0\0\x01\x07"), Err(FrameError::Door(7)));
        let mut refused = Answer { request_id: RequestId(1), status: Status::Refused }.encode().unwrap();
        refused.push(0);
        refused[9] += 1;
        assert_eq!(Answer::decode(&refused), Err(FrameError::Fields));
        let mut allowed =
            Answer { request_id: RequestId(1), status: Status::Allowed { principal: "arn".into() } }
                .encode()
                .unwrap();
        allowed[18] = REFUSED;
        assert_eq!(Answer::decode(&allowed), Err(FrameError::Status(REFUSED)));
    }

    #[test]
    fn a_frame_is_at_most_80_kib() {
        let fits = vec![b'x'; MAX_FRAME - HEADER - 13];
        let frame = Question { token: &fits, user: b"", remote: b"", ..question() }.encode().unwrap();
        assert_eq!(frame.as_slice().len(), MAX_FRAME);
        assert!(Question::decode(frame.as_slice()).unwrap().is_some());
        let error = Question { token: &fits, user: b"u", remote: b"", ..question() }.encode().unwrap_err();
        assert_eq!(error, FrameError::TooLong(MAX_FRAME + 1));
    }

    #[test]
    fn debug_hides_the_token() {
        let shown = format!("{:?}", question());
        assert!(shown.contains("jane") && shown.contains("23 bytes") && !shown.contains("Action"), "{shown}");
    }

    fn status() -> impl Strategy<Value = Status> {
        prop_oneof![
            ".{1,80}".prop_map(|principal| Status::Allowed { principal }),
            Just(Status::Refused),
            Just(Status::Unavailable),
        ]
    }

    proptest! {
        #[test]
        fn a_question_reads_as_written(
            mysql: bool,
            user: Vec<u8>,
            token in proptest::collection::vec(any::<u8>(), 0..4_000),
            remote: Vec<u8>,
            rest: Vec<u8>,
        ) {
            let door = if mysql { Door::Mysql } else { Door::Pam };
            let question = Question { door, user: &user, token: &token, remote: &remote };
            let mut bytes = question.encode().unwrap().as_slice().to_vec();
            let length = bytes.len();
            prop_assert_eq!(Question::length(bytes.first_chunk().unwrap()), Ok(length));
            for cut in (0..length).step_by(7) {
                prop_assert_eq!(Question::decode(&bytes[..cut]), Ok(None));
            }
            bytes.extend(rest);
            prop_assert_eq!(Question::decode(&bytes), Ok(Some((question, length))));
        }

        #[test]
        fn an_answer_reads_as_written(id: u64, status in status()) {
            let answer = Answer { request_id: RequestId(id), status };
            let bytes = answer.encode().unwrap();
            prop_assert_eq!(Answer::decode(&bytes), Ok(Some((answer, bytes.len()))));
            for cut in 0..bytes.len() {
                prop_assert_eq!(Answer::decode(&bytes[..cut]), Ok(None));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic_and_only_canonical_ones_are_taken(
            kind in prop_oneof![Just(b'Q'), Just(b'A')],
            body: Vec<u8>,
            noise: Vec<u8>,
        ) {
            prop_assert!(!matches!(Answer::decode(&noise), Ok(Some(_))));
            let mut frame = header(kind, body.len()).unwrap().to_vec();
            frame.extend(body);
            if let Ok(Some((question, taken))) = Question::decode(&frame) {
                let again = question.encode().unwrap();
                prop_assert_eq!(again.as_slice(), &frame[..taken]);
            }
            if let Ok(Some((answer, taken))) = Answer::decode(&frame) {
                let again = answer.encode().unwrap();
                prop_assert_eq!(again.as_slice(), &frame[..taken]);
            }
        }
    }
}
