//! What every door asks, and what all of them share: the question in the verifier's terms, and how
//! connections are taken, limited and let go. A door decides nothing itself.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The longest that a database server waits for a decision: what a door gives one question, reading included.
pub const DEADLINE: Duration = ipc::DEADLINE;

/// What a door asks the verifier.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// Resource id of the database that asks. It comes from the door itself, never from the client.
    pub database: &'a str,
    /// The database user that the client named.
    pub user: &'a str,
    /// What the client sent as its password.
    pub token: &'a str,
    /// The client's address, if the database server tells it.
    pub client: Option<IpAddr>,
    /// The door that asks.
    pub door: DoorKind,
}

/// The ways in which the question arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DoorKind {
    /// `pam_countersign.so`, over the socket in the data directory.
    Pam,
    /// PostgreSQL's own `ldap` method.
    Ldap,
    /// The authentication plugin of MySQL or MariaDB, over the socket in the data directory.
    Mysql,
}

/// Decides logins. Called on the door's own task: it must not block, and takes about a microsecond.
pub trait Judge: Send + Sync + 'static {
    /// Decides one login, and records it.
    fn judge(&self, login: &Login<'_>) -> Verdict;
}

/// A decision as the doors pass it on: without the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    /// The decision.
    pub answer: Answer,
    /// Names the decision in the log; the database server's log shows it too.
    pub request_id: u64,
}

/// Whether the client may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// It may.
    Allowed {
        /// ARN of the principal whose credential signed the token.
        principal: Arc<str>,
    },
    /// It may not.
    Refused,
}

impl DoorKind {
    /// The word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pam => "pam",
            Self::Ldap => "ldap",
            Self::Mysql => "mysql",
        }
    }
}

impl fmt::Display for DoorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("database", &self.database)
            .field("user", &self.user)
            .field("token", &format_args!("{} bytes", self.token.len()))
            .field("client", &self.client)
            .field("door", &self.door)
            .finish()
    }
}

/// A login as it came off the wire, before it is known to be text.
pub(crate) struct RawLogin<'a> {
    pub(crate) database: &'a str,
    pub(crate) user: &'a [u8],
    pub(crate) token: &'a [u8],
    pub(crate) client: Option<IpAddr>,
    pub(crate) door: DoorKind,
}

impl RawLogin<'_> {
    /// Asks `judge`, and refuses a user or token that is not text whatever the judge says.
    ///
    /// Such a login is still judged, with the token left out, so that it is recorded like any other refusal.
    pub(crate) fn judge(&self, judge: &dyn Judge) -> Verdict {
        let Self { database, client, door, .. } = *self;
        match (text(self.user), text(self.token)) {
            (Some(user), Some(token)) => judge.judge(&Login { database, user, token, client, door }),
            _ => {
                let user = String::from_utf8_lossy(self.user);
                let verdict = judge.judge(&Login { database, user: &user, token: "", client, door });
                Verdict { answer: Answer::Refused, ..verdict }
            }
        }
    }
}

/// A NUL ends a string in the database server and not here: both must see the same.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// Takes connections and serves each on a task of its own until `stop` turns true or its sender is gone; then
/// those being served have [`DEADLINE`] to end.
///
/// With `limit` connections open, the next ones wait in the listener's backlog.
pub(crate) async fn keep_open<C, A, S, AF, SF>(
    accept: A,
    limit: usize,
    mut stop: watch::Receiver<bool>,
    serve: S,
) where
    A: Fn() -> AF,
    AF: Future<Output = io::Result<C>>,
    S: Fn(C, watch::Receiver<bool>) -> SF,
    SF: Future<Output = ()> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(limit));
    let mut guests = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed.
            let seat = Arc::clone(&seats).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((seat, accept().await?))
        };
        let next = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            next = next => next,
        };
        match next {
            Ok((seat, connection)) => {
                let served = serve(connection, stop.clone());
                guests.spawn(async move {
                    served.await;
                    drop(seat);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: trying again at once would only burn the processor.
                tracing::warn!(%error, "cannot take a connection, trying again");
                tokio::select! {
                    () = stopped(&mut stop) => break,
                    () = sleep(Duration::from_millis(100)) => {}
                }
            }
        }
        while guests.try_join_next().is_some() {}
    }
    let ended = timeout(DEADLINE, async { while guests.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!(open = guests.len(), "closing connections that did not end by themselves");
    }
}

/// Returns when `stop` is true or nobody can make it true any more.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        tracing::debug!("nobody is left to stop the door, stopping it");
    }
}

/// Runs an I/O operation for `limit` at most.
pub(crate) async fn within<T>(
    limit: Duration,
    operation: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    timeout(limit, operation).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
pub(crate) mod testing {
    //! A judge for the doors' tests.

    use super::*;
    use std::sync::Mutex;

    pub(crate) const PRINCIPAL: &str = "arn:aws:iam::123456789012:user/jane";

    /// Allows the token `good-USER` for each user, and remembers what it was asked.
    #[derive(Default)]
    pub(crate) struct Book(Mutex<Vec<String>>);

    impl Book {
        /// `door database user client token-length` of each question so far.
        pub(crate) fn entries(&self) -> Vec<String> {
            self.0.lock().unwrap().clone()
        }
    }

    impl Judge for Book {
        fn judge(&self, login: &Login<'_>) -> Verdict {
            let mut book = self.0.lock().unwrap();
            let client = login.client.map_or("-".to_owned(), |client| client.to_string());
            let length = login.token.len();
            book.push(format!("{} {} {} {client} {length}", login.door, login.database, login.user));
            let answer = if login.token.strip_prefix("good-") == Some(login.user) {
                Answer::Allowed { principal: PRINCIPAL.into() }
            } else {
                Answer::Refused
            };
            Verdict { answer, request_id: book.len() as u64 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Book;
    use super::*;

    #[test]
    fn what_is_not_text_is_refused_and_recorded() {
        /// Allows whatever it is asked.
        struct Naive;
        impl Judge for Naive {
            fn judge(&self, _: &Login<'_>) -> Verdict {
                Verdict { answer: Answer::Allowed { principal: "x".into() }, request_id: 7 }
            }
        }
        for (user, token) in [(&b"u\xff"[..], &b"t"[..]), (b"u", b"t\xff"), (b"u\0", b"t"), (b"u", b"t\0")] {
            let login = RawLogin { database: "db-1", user, token, client: None, door: DoorKind::Pam };
            assert_eq!(login.judge(&Naive), Verdict { answer: Answer::Refused, request_id: 7 });
            let book = Book::default();
            assert_eq!(login.judge(&book).answer, Answer::Refused);
            assert!(book.entries()[0].ends_with(" - 0"), "the token is left out");
        }
    }

    #[test]
    fn debug_hides_the_token() {
        let login =
            Login { database: "db-1", user: "u", token: "s3cret", client: None, door: DoorKind::Ldap };
        assert!(!format!("{login:?}").contains("s3cret"));
    }
}
