//! Asks Countersign. A connection on which an answer came is kept for the next login, so that most logins neither
//! connect nor have Countersign take a connection.
//!
//! Which connection a question goes by decides nothing: the socket in the data directory says who asks, and who
//! listens there was looked at when it was connected.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dial::dial;
use ipc::{Answer, AskError, Question};
use rustix::io::Errno;
use rustix::net::RecvFlags;

/// More logins than this at one moment connect anew.
const MOST: usize = 16;

/// Connections that wait for the next question.
pub(crate) struct Idle(Mutex<Vec<UnixStream>>);

impl Idle {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The one that was used last. Nobody waits for it: whoever finds another login here connects anew.
    fn take(&self) -> Option<UnixStream> {
        loop {
            let stream = self.0.try_lock().ok()?.pop()?;
            if is_open(&stream) {
                return Some(stream);
            }
        }
    }

    fn keep(&self, stream: UnixStream) {
        if let Ok(mut idle) = self.0.try_lock()
            && idle.len() < MOST
        {
            idle.push(stream);
        }
    }

    /// Closes them all, before the library that holds them is unloaded.
    pub(crate) fn close(&self) {
        // Poisoned or not, what is in it is dropped.
        let mut idle = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *idle = Vec::new();
    }
}

/// Whether nothing has come from the other side since the last answer: neither its end, as when Countersign has closed a
/// connection that was idle for long, nor bytes that nobody asked for.
fn is_open(stream: &UnixStream) -> bool {
    let mut byte = [0_u8; 1];
    let peeked = rustix::net::recv(stream.as_fd(), &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
    matches!(peeked, Err(Errno::AGAIN))
}

/// Where Countersign is asked, and for how long an answer is waited for.
#[derive(Clone, Copy)]
pub(crate) struct Countersign<'a> {
    pub(crate) socket: &'a Path,
    pub(crate) timeout: Duration,
    pub(crate) idle: &'a Idle,
}

impl Countersign<'_> {
    /// Asks. The time starts here, after the conversation: how long a client may take is the server's business.
    pub(crate) fn ask(&self, question: &Question<'_>) -> Result<Answer, String> {
        let deadline = Instant::now() + self.timeout;
        if let Some(stream) = self.idle.take() {
            match ipc::ask(stream, question, deadline) {
                Ok((answer, stream)) => {
                    self.idle.keep(stream);
                    return Ok(answer);
                }
                // Closed between the look at it and the question: the same question over a new connection.
                Err(AskError::Closed) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let stream = dial(self.socket, deadline).map_err(|error| error.to_string())?;
        let (answer, stream) = ipc::ask(stream, question, deadline).map_err(|error| error.to_string())?;
        self.idle.keep(stream);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipc::{Door, RequestId, Status};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::thread;

    const QUESTION: Question<'static> = Question { door: Door::Mysql, user: b"u", token: b"t", remote: b"" };

    /// Answers questions with the numbers given, one after the other, as many as each connection is worth.
    fn serve(listener: UnixListener, answers: Vec<Vec<u64>>) -> thread::JoinHandle<()> {
        thread::spawn(move || {
            for numbers in answers {
                let (mut stream, _) = listener.accept().unwrap();
                for number in numbers {
                    let asked = stream.read(&mut [0; 256]).unwrap();
                    assert!(asked > 0, "no question");
                    let answer = Answer { request_id: RequestId(number), status: Status::Refused };
                    stream.write_all(&answer.encode().unwrap()).unwrap();
                }
            }
        })
    }

    #[test]
    fn a_connection_serves_logins_until_it_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let server = serve(UnixListener::bind(&path).unwrap(), vec![vec![1, 2, 3], vec![4]]);
        let idle = Idle::new();
        let countersign = Countersign { socket: &path, timeout: Duration::from_secs(2), idle: &idle };
        for number in 1..=4 {
            assert_eq!(countersign.ask(&QUESTION).unwrap().request_id, RequestId(number));
        }
        server.join().unwrap();
        // Nobody listens any more, and what was kept is closed.
        drop(std::fs::remove_file(&path));
        assert!(countersign.ask(&QUESTION).unwrap_err().contains("no such socket"));
    }

    #[test]
    fn what_nobody_asked_for_is_not_an_answer() {
        let (kept, mut other) = UnixStream::pair().unwrap();
        let allowed = Status::Allowed { principal: "arn:aws:iam::123456789012:user/x".into() };
        other.write_all(&Answer { request_id: RequestId(1), status: allowed }.encode().unwrap()).unwrap();
        let idle = Idle::new();
        idle.keep(kept);
        let nowhere =
            Countersign { socket: Path::new("/nonexistent/s"), timeout: Duration::from_secs(2), idle: &idle };
        assert!(nowhere.ask(&QUESTION).is_err());
    }

    #[test]
    fn an_unanswered_question_is_not_asked_twice() {
        let (kept, _other) = UnixStream::pair().unwrap();
        let idle = Idle::new();
        idle.keep(kept);
        let socket = Path::new("/nonexistent/s");
        let countersign = Countersign { socket, timeout: Duration::from_millis(100), idle: &idle };
        assert_eq!(countersign.ask(&QUESTION).unwrap_err(), AskError::Timeout.to_string());
        assert!(idle.take().is_none(), "a late answer would be read as another question's");
    }

    #[test]
    fn no_more_are_kept_than_are_worth_it() {
        let idle = Idle::new();
        let pairs: Vec<_> = (0..MOST + 4).map(|_| UnixStream::pair().unwrap()).collect();
        let mut others = Vec::new();
        for (kept, other) in pairs {
            idle.keep(kept);
            others.push(other);
        }
        assert_eq!(std::iter::from_fn(|| idle.take()).count(), MOST);
        idle.keep(UnixStream::pair().unwrap().0);
        assert!(idle.take().is_none(), "its other end is closed");
        idle.close();
    }
}
