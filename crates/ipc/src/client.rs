//! The asking side: one question over a connected Unix socket, one answer, before a deadline.
//!
//! Everything but a complete, well-formed answer in time is an [`AskError`], and an error is a refusal. No
//! thread, no signal, no retry: this runs inside a database server's own process.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::frame::{Answer, FrameError, MAX_FRAME, Question};

/// The longest that a login waits for Countersign, from connecting to the answer.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// Why a question has no answer. The door refuses the login. Shown, it says what to do about it.
#[derive(Debug)]
pub enum AskError {
    /// The deadline passed.
    Timeout,
    /// The connection was closed before the answer was complete.
    Closed,
    /// The socket failed.
    Io(io::Error),
    /// The question cannot be written as a frame: the token is too long.
    Question(FrameError),
    /// What came back is not an answer.
    Answer(FrameError),
    /// More came back than one answer.
    Trailing,
}

/// Asks `question` over `stream` and waits for the answer until `deadline`.
///
/// The stream is given back only with an answer, ready for the next question. After an error it is closed: the
/// answer to this question might still arrive on it, and must never be read as the answer to another one.
///
/// # Errors
/// [`AskError`], by `deadline` at the latest, whatever the other side does.
pub fn ask(
    stream: UnixStream,
    question: &Question<'_>,
    deadline: Instant,
) -> Result<(Answer, UnixStream), AskError> {
    let frame = question.encode().map_err(AskError::Question)?;
    write_all(&stream, frame.as_slice(), deadline)?;
    drop(frame);
    let answer = read_answer(&stream, deadline)?;
    Ok((answer, stream))
}

fn write_all(mut stream: &UnixStream, mut bytes: &[u8], deadline: Instant) -> Result<(), AskError> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(remaining(deadline)?)).map_err(AskError::Io)?;
        match stream.write(bytes) {
            Ok(0) => return Err(AskError::Closed),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) => retry(error)?,
        }
    }
    Ok(())
}

fn read_answer(mut stream: &UnixStream, deadline: Instant) -> Result<Answer, AskError> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 512];
    loop {
        stream.set_read_timeout(Some(remaining(deadline)?)).map_err(AskError::Io)?;
        match stream.read(&mut chunk) {
            Ok(0) => return Err(AskError::Closed),
            Ok(read) => bytes.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            Err(error) => retry(error)?,
        }
        match Answer::decode(&bytes).map_err(AskError::Answer)? {
            Some((answer, taken)) if taken == bytes.len() => return Ok(answer),
            Some(_) => return Err(AskError::Trailing),
            // The decoder refuses a longer frame at its header, so the buffer cannot outgrow one.
            None => debug_assert!(bytes.len() < MAX_FRAME),
        }
    }
}

/// The time left, never zero: the socket options take zero for "wait for ever".
fn remaining(deadline: Instant) -> Result<Duration, AskError> {
    match deadline.checked_duration_since(Instant::now()) {
        // The kernel counts in microseconds.
        Some(left) if left >= Duration::from_micros(1) => Ok(left),
        _ => Err(AskError::Timeout),
    }
}

fn retry(error: io::Error) -> Result<(), AskError> {
    match error.kind() {
        // The deadline is looked at again before the next attempt; a timer of the host may have interrupted.
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Ok(()),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
            Err(AskError::Closed)
        }
        _ => Err(AskError::Io(error)),
    }
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time; is `countersign serve` overloaded or stopped?"),
            Self::Closed => f.write_str(
                "the connection was closed before an answer came; is `countersign serve` overloaded or stopped?",
            ),
            Self::Io(error) => write!(f, "the socket failed: {error}"),
            Self::Question(error) => write!(f, "the question cannot be asked: {error}"),
            Self::Answer(error) => write!(
                f,
                "not an answer: {error}; is it Countersign that listens there, and of this module's release?"
            ),
            Self::Trailing => f.write_str(
                "not an answer: more than one frame came back; \
                 is it Countersign that listens there, and of this module's release?",
            ),
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Question(error) | Self::Answer(error) => Some(error),
            Self::Timeout | Self::Closed | Self::Trailing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Door, RequestId, Status};
    use std::thread;

    const QUESTION: Question<'static> = Question { door: Door::Mysql, user: b"u", token: b"t", remote: b"" };

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(100)
    }

    /// Asks a server that reads one question, writes `reply` and then closes or keeps the connection.
    fn answered(reply: &[u8], keep: bool) -> Result<Answer, AskError> {
        let (door, mut server) = UnixStream::pair().unwrap();
        server.write_all(reply).unwrap();
        let kept = keep.then_some(server);
        ask(door, &QUESTION, soon()).map(|(answer, _)| {
            drop(kept);
            answer
        })
    }

    #[test]
    fn a_connection_is_asked_again_and_again() {
        let (mut door, mut server) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let mut seen = Vec::new();
            let mut bytes = [0; 256];
            for id in 0..3 {
                let read = server.read(&mut bytes).unwrap();
                let (question, taken) = Question::decode(&bytes[..read]).unwrap().unwrap();
                assert_eq!((question, taken), (QUESTION, read));
                let status = Status::Allowed { principal: "arn:aws:iam::123456789012:user/u".into() };
                let answer = Answer { request_id: RequestId(id), status }.encode().unwrap();
                // In two pieces: an answer need not arrive whole.
                server.write_all(&answer[..5]).unwrap();
                server.write_all(&answer[5..]).unwrap();
                seen.push(id);
            }
            seen
        });
        for id in 0..3 {
            let (answer, back) = ask(door, &QUESTION, Instant::now() + DEADLINE).unwrap();
            assert_eq!(answer.request_id, RequestId(id));
            door = back;
        }
        assert_eq!(server.join().unwrap(), [0, 1, 2]);
    }

    #[test]
    fn all_but_one_whole_answer_is_an_error() {
        let refused = Answer { request_id: RequestId(1), status: Status::Refused }.encode().unwrap();
        assert_eq!(answered(&refused, true).unwrap().status, Status::Refused);
        assert!(matches!(answered(b"HTTP/1.1 200 OK", true), Err(AskError::Answer(FrameError::Magic))));
        assert!(matches!(
            answered(b"CSGN\x01A\x7f\0\0\0", true),
            Err(AskError::Answer(FrameError::TooLong(_)))
        ));
        assert!(matches!(answered(&refused[..12], false), Err(AskError::Closed)));
        assert!(matches!(answered(b"", false), Err(AskError::Closed)));
        assert!(matches!(answered(&refused[..12], true), Err(AskError::Timeout)));
        assert!(matches!(answered(&[&refused[..], &refused[..]].concat(), true), Err(AskError::Trailing)));
    }

    #[test]
    fn the_deadline_holds_against_a_server_that_drips() {
        let (door, mut server) = UnixStream::pair().unwrap();
        let dripping = thread::spawn(move || {
            let status = Status::Allowed { principal: "x".repeat(1_000) };
            for byte in (Answer { request_id: RequestId(1), status }).encode().unwrap() {
                thread::sleep(Duration::from_millis(5));
                if server.write_all(&[byte]).is_err() {
                    break;
                }
            }
        });
        let asked = Instant::now();
        assert!(matches!(ask(door, &QUESTION, soon()), Err(AskError::Timeout)));
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        dripping.join().unwrap();
    }

    #[test]
    fn the_deadline_holds_against_a_server_that_never_reads() {
        let (door, server) = UnixStream::pair().unwrap();
        fill(&door);
        let asked = Instant::now();
        assert!(matches!(ask(door, &QUESTION, soon()), Err(AskError::Timeout)));
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        drop(server);
    }

    /// Fills the socket's buffer, so that the next write waits.
    fn fill(mut door: &UnixStream) {
        door.set_nonblocking(true).unwrap();
        while door.write(&[0; 4096]).is_ok() {}
        while door.write(&[0]).is_ok() {}
        door.set_nonblocking(false).unwrap();
    }

    #[test]
    fn a_deadline_in_the_past_asks_nothing() {
        let (door, server) = UnixStream::pair().unwrap();
        assert!(matches!(ask(door, &QUESTION, Instant::now()), Err(AskError::Timeout)));
        server.set_nonblocking(true).unwrap();
        assert_eq!((&server).read(&mut [0; 8]).unwrap(), 0);
    }
}
