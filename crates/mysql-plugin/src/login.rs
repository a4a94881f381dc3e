//! One login with a token: over which connection, who, from where; what Countersign says; what the server is told.
//!
//! Everything but Countersign's "allowed" refuses. The log names the request and what an operator can do about
//! it, never the token and never the reason of a refusal, which Countersign keeps in its own log.

use ipc::{Answer, Door, MAX_FRAME, Question, Secret, Status};

use crate::countersign::Countersign;
use crate::log::Level;

/// What the server is told, by the numbers of the plugin interface. A refused client sees the same error
/// whichever of the three refusals it is, and nothing of what Countersign said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
#[repr(i32)]
pub(crate) enum Outcome {
    Allowed = -1,
    /// The user is not who he says.
    Refused = 1,
    /// Whether he is could not be found out; also a client that hung up. Not the number for a failed handshake,
    /// 2: of that one the servers count 100 in a row and then block the client's whole address, and the commonest
    /// mistake with tokens is a client without its clear-text plugin, which hangs up when it is asked.
    Failed = 3,
}

/// The connection, as the server tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) protocol: Protocol,
    /// Absent where neither the server tells nor its status variable does: MySQL 8.
    pub(crate) tls: Option<bool>,
    /// Whether the server refuses TCP connections without TLS.
    pub(crate) secure_transport_required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Tcp,
    UnixSocket,
    Other,
}

/// Why there is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoToken {
    /// The client hung up or broke the protocol.
    HungUp,
    /// What came is of this many bytes, more than any question has room for.
    TooLong(usize),
}

/// The server and its client. No C in here: the tests stand in for both.
pub(crate) trait Client {
    /// Whether the client's first packet was read, and with it the switch to TLS if there is one.
    fn introduced(&self) -> bool;

    /// The user that the client named; absent until the server tells, which may be as late as with the token.
    fn user(&self) -> Option<Vec<u8>>;

    /// Describes the connection.
    fn channel(&mut self) -> Channel;

    /// Asks the client for its password. It may wait as long as the server allows.
    fn token(&mut self) -> Result<Secret, NoToken>;

    /// The client's address; empty if it has none.
    fn remote(&mut self) -> String;

    /// Has a refused client told that a password was used.
    fn password_used(&mut self);

    /// Says that the account has no password. MariaDB takes one that was used for one that can have expired, and
    /// with `default_password_lifetime` would soon let nobody in.
    fn no_password(&mut self);

    /// Gives the session its `@@external_user`; false, and nothing is changed, if the name does not fit.
    fn external_user(&mut self, name: &str) -> bool;

    /// Writes a line to the server's error log.
    fn log(&self, level: Level, line: &str);
}

/// Authenticates `client` by a token, within the timeout once the token is there.
pub(crate) fn authenticate(client: &mut impl Client, countersign: &Countersign<'_>) -> Outcome {
    // Where the plugin is the server's default, the token may come with the first packet, and before it there is
    // no TLS to ask about. That packet may as well call for another plugin, which looks like a hang-up here.
    let early = (!client.introduced()).then(|| client.token());
    if matches!(early, Some(Err(NoToken::HungUp))) {
        return Outcome::Failed;
    }
    if let Err(why) = travels_safely(client.channel()) {
        let who = match client.user() {
            Some(user) => format!("`{}`", user.escape_ascii()),
            None => match client.remote() {
                remote if remote.is_empty() => "a login".to_owned(),
                remote => format!("a login from `{remote}`"),
            },
        };
        client.log(Level::Warning, &format!("refused {who}: {why}"));
        return Outcome::Refused;
    }
    let token = early.unwrap_or_else(|| client.token());
    let user = client.user().unwrap_or_default();
    let shown = user.escape_ascii();
    let token = match token {
        Ok(token) => token,
        // A client that hangs up is no event worth a line.
        Err(NoToken::HungUp) => return Outcome::Failed,
        Err(NoToken::TooLong(length)) => {
            client.password_used();
            client
                .log(Level::Warning, &format!("refused `{shown}`: a password of {length} bytes is no token"));
            return Outcome::Refused;
        }
    };
    if !token.as_slice().is_empty() {
        client.password_used();
    }
    let remote = client.remote();
    let question =
        Question { door: Door::Mysql, user: &user, token: token.as_slice(), remote: remote.as_bytes() };
    let asked = countersign.ask(&question);
    drop(token);
    match asked {
        Ok(Answer { request_id, status: Status::Allowed { principal } }) => {
            let mut line =
                format!("allowed `{shown}` as `{}`, request {request_id}", principal.escape_debug());
            // Never cut, which could make it somebody else's; nor left out, since a server leaves the name of the
            // session's user before COM_CHANGE_USER in the place of an empty one.
            if !client.external_user(&principal) && client.external_user(&format!("request {request_id}")) {
                line.push_str("; the name is too long for @@external_user, which shows the request");
            }
            client.no_password();
            client.log(Level::Info, &line);
            Outcome::Allowed
        }
        Ok(Answer { request_id, status: Status::Refused }) => {
            let line = format!("refused `{shown}`, request {request_id}; Countersign's log has the reason");
            client.log(Level::Warning, &line);
            Outcome::Refused
        }
        Ok(Answer { request_id, status: Status::Unavailable }) => {
            let line = format!("Countersign cannot decide now, request {request_id}; its log has the reason");
            client.log(Level::Error, &line);
            Outcome::Failed
        }
        Err(why) => {
            let socket = countersign.socket.display().to_string();
            client
                .log(Level::Error, &format!("cannot ask Countersign at `{}`: {why}", socket.escape_debug()));
            Outcome::Failed
        }
    }
}

/// Whether the connection keeps a token secret. It is looked at before the client is asked for one.
fn travels_safely(channel: Channel) -> Result<(), &'static str> {
    match (channel.tls, channel.protocol) {
        (Some(true), _) => Ok(()),
        (Some(false), Protocol::UnixSocket) => {
            Err("tokens travel in TLS only; connect to the server's TCP port with TLS")
        }
        (Some(false), _) => Err("tokens travel in TLS only; connect with TLS"),
        (None, Protocol::Tcp) if channel.secure_transport_required => Ok(()),
        (None, Protocol::Tcp) => {
            Err("this server does not tell whether a connection has TLS, and tokens travel in TLS only; \
             set require_secure_transport=ON, or use MySQL 9.7 or MariaDB 11.4 or newer")
        }
        (None, _) => Err("tokens travel in TLS only; connect to the server's TCP port with TLS"),
    }
}

/// The token in a client's packet: `mysql_clear_password` ends it with one NUL. Any other NUL is left to
/// Countersign, which refuses it.
pub(crate) fn token_of(packet: &[u8]) -> Result<Secret, NoToken> {
    let token = packet.strip_suffix(b"\0").unwrap_or(packet);
    if token.len() > MAX_FRAME {
        return Err(NoToken::TooLong(token.len()));
    }
    let mut secret = Secret::with_capacity(token.len());
    secret.extend(token);
    Ok(secret)
}

/// Whether an account's string is RDS's: `RDS`, in any case, or nothing at all.
pub(crate) fn is_rds(string: &[u8]) -> bool {
    string.is_empty() || string.eq_ignore_ascii_case(b"RDS")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::countersign::Idle;
    use std::cell::RefCell;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::thread;
    use std::time::{Duration, Instant};

    use ipc::RequestId;

    fn authenticate(client: &mut impl Client, socket: &Path, timeout: Duration) -> Outcome {
        super::authenticate(client, &Countersign { socket, timeout, idle: &Idle::new() })
    }

    const TLS: Channel =
        Channel { protocol: Protocol::Tcp, tls: Some(true), secure_transport_required: false };

    struct Fake {
        user: Option<&'static [u8]>,
        /// Introduced, but the user is told with the first packet only: MariaDB.
        named_late: bool,
        /// Not even introduced: the server's default plugin.
        default_plugin: bool,
        channel: Channel,
        packet: Option<&'static [u8]>,
        packets_read: usize,
        password_used: bool,
        external_user: Option<String>,
        log: RefCell<Vec<(Level, String)>>,
    }

    impl Default for Fake {
        fn default() -> Self {
            Self {
                user: Some(b"jane"),
                named_late: false,
                default_plugin: false,
                channel: TLS,
                packet: Some(b"the-token\0"),
                packets_read: 0,
                password_used: false,
                external_user: None,
                log: RefCell::default(),
            }
        }
    }

    impl Client for Fake {
        fn introduced(&self) -> bool {
            !self.default_plugin || self.packets_read > 0
        }

        fn user(&self) -> Option<Vec<u8>> {
            let named = !(self.named_late || self.default_plugin) || self.packets_read > 0;
            self.user.filter(|_| named).map(<[u8]>::to_vec)
        }

        fn channel(&mut self) -> Channel {
            self.channel
        }

        fn token(&mut self) -> Result<Secret, NoToken> {
            self.packets_read += 1;
            self.packet.ok_or(NoToken::HungUp).and_then(token_of)
        }

        fn remote(&mut self) -> String {
            "192.0.2.7".to_owned()
        }

        fn password_used(&mut self) {
            self.password_used = true;
        }

        fn no_password(&mut self) {
            self.password_used = false;
        }

        fn external_user(&mut self, name: &str) -> bool {
            if name.len() < 512 {
                self.external_user = Some(name.to_owned());
            }
            name.len() < 512
        }

        fn log(&self, level: Level, line: &str) {
            self.log.borrow_mut().push((level, line.to_owned()));
        }
    }

    impl Fake {
        fn only_line(&self) -> (Level, String) {
            let log = self.log.borrow();
            assert_eq!(log.len(), 1, "{log:?}");
            log[0].clone()
        }
    }

    const SHORT: Duration = Duration::from_millis(200);

    /// Logs in against a server that reads a question for `token` and writes `reply`.
    fn against(client: &mut Fake, token: &'static [u8], reply: Vec<u8>) -> Outcome {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("countersign.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 512];
            let read = stream.read(&mut bytes).unwrap();
            let (question, _) = Question::decode(&bytes[..read]).unwrap().unwrap();
            let expected = Question { door: Door::Mysql, user: b"jane", token, remote: b"192.0.2.7" };
            assert_eq!((question, question.token), (expected, token));
            stream.write_all(&reply).unwrap();
            // Until the plugin hangs up: an answer that is not complete is waited for.
            stream.read_to_end(&mut Vec::new()).ok();
        });
        let outcome = authenticate(client, &path, SHORT);
        server.join().unwrap();
        outcome
    }

    fn answer(status: Status) -> Vec<u8> {
        Answer { request_id: RequestId(0xbeef), status }.encode().unwrap()
    }

    fn allowed(principal: &str) -> Vec<u8> {
        answer(Status::Allowed { principal: principal.to_owned() })
    }

    const JANE: &str = "arn:aws:iam::123456789012:user/jane";

    #[test]
    fn only_allowed_is_allowed() {
        let mut client = Fake::default();
        assert_eq!(against(&mut client, b"the-token", allowed(JANE)), Outcome::Allowed);
        let line = "allowed `jane` as `arn:aws:iam::123456789012:user/jane`, request 000000000000beef";
        assert_eq!(client.only_line(), (Level::Info, line.to_owned()));
        assert_eq!((client.external_user.as_deref(), client.password_used), (Some(JANE), false));

        let mut client = Fake::default();
        assert_eq!(against(&mut client, b"the-token", answer(Status::Refused)), Outcome::Refused);
        let line = "refused `jane`, request 000000000000beef; Countersign's log has the reason";
        assert_eq!(client.only_line(), (Level::Warning, line.to_owned()));
        assert_eq!((client.external_user, client.password_used), (None, true));

        let garbage = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        let twice = [allowed(JANE), allowed(JANE)].concat();
        for reply in [answer(Status::Unavailable), garbage, twice, Vec::new(), allowed(JANE)[..20].to_vec()] {
            let mut client = Fake::default();
            assert_eq!(against(&mut client, b"the-token", reply), Outcome::Failed);
            assert_eq!(client.only_line().0, Level::Error);
            assert_eq!((client.external_user, client.password_used), (None, true));
        }
    }

    #[test]
    fn a_name_that_does_not_fit_is_replaced_and_not_cut() {
        let mut client = Fake::default();
        let long = format!("{JANE}{}", "x".repeat(477));
        assert_eq!(against(&mut client, b"the-token", allowed(&long)), Outcome::Allowed);
        assert_eq!(client.external_user.as_deref(), Some("request 000000000000beef"));
        assert!(client.only_line().1.ends_with("too long for @@external_user, which shows the request"));
    }

    #[test]
    fn an_empty_token_is_asked_about_and_no_password() {
        for packet in [&b""[..], b"\0"] {
            let mut client = Fake { packet: Some(packet), ..Fake::default() };
            assert_eq!(against(&mut client, b"", answer(Status::Refused)), Outcome::Refused);
            assert!(!client.password_used);
        }
    }

    #[test]
    fn only_the_last_nul_is_the_protocols() {
        for (packet, token) in
            [(&b"a\0b\0"[..], &b"a\0b"[..]), (b"a\0\0", b"a\0"), (b"ab", b"ab"), (b"\0a", b"\0a")]
        {
            let mut client = Fake { packet: Some(packet), ..Fake::default() };
            assert_eq!(against(&mut client, token, answer(Status::Refused)), Outcome::Refused);
            assert!(client.password_used);
        }
    }

    #[test]
    fn nothing_is_asked_of_a_client_without_tls() {
        use Protocol::{Other, Tcp, UnixSocket};
        let channel =
            |protocol, tls, secure_transport_required| Channel { protocol, tls, secure_transport_required };
        for refused in [
            channel(Tcp, Some(false), false),
            channel(Tcp, Some(false), true),
            channel(UnixSocket, Some(false), true),
            channel(UnixSocket, None, true),
            channel(Other, None, true),
            channel(Other, Some(false), true),
            channel(Tcp, None, false),
        ] {
            let mut client = Fake { channel: refused, ..Fake::default() };
            let outcome = authenticate(&mut client, Path::new("/nonexistent/c.sock"), SHORT);
            assert_eq!((outcome, client.packets_read), (Outcome::Refused, 0), "{refused:?}");
            let (level, line) = client.only_line();
            assert!(level == Level::Warning && line.starts_with("refused `jane`: "), "{line}");
            let untold = refused == channel(Tcp, None, false);
            assert_eq!(line.contains("require_secure_transport=ON"), untold, "{line}");
        }
        for safe in [
            TLS,
            channel(UnixSocket, Some(true), false),
            channel(Tcp, None, true),
            channel(Tcp, Some(true), true),
        ] {
            let mut client = Fake { channel: safe, ..Fake::default() };
            assert_eq!(against(&mut client, b"the-token", allowed(JANE)), Outcome::Allowed, "{safe:?}");
        }
    }

    #[test]
    fn a_user_named_with_the_token_is_not_waited_for_without_tls() {
        let mut client = Fake { named_late: true, ..Fake::default() };
        assert_eq!(against(&mut client, b"the-token", allowed(JANE)), Outcome::Allowed);
        assert_eq!(client.packets_read, 1);
        let channel = Channel { tls: Some(false), ..TLS };
        let mut client = Fake { named_late: true, channel, ..Fake::default() };
        assert_eq!(authenticate(&mut client, Path::new("/nonexistent/c"), SHORT), Outcome::Refused);
        assert_eq!(client.packets_read, 0);
        let line = "refused a login from `192.0.2.7`: tokens travel in TLS only; connect with TLS";
        assert_eq!(client.only_line().1, line);
    }

    #[test]
    fn the_default_plugin_reads_first_and_still_wants_tls() {
        let mut client = Fake { default_plugin: true, ..Fake::default() };
        assert_eq!(against(&mut client, b"the-token", allowed(JANE)), Outcome::Allowed);
        assert_eq!(client.packets_read, 1);
        let channel = Channel { tls: Some(false), ..TLS };
        let mut client = Fake { default_plugin: true, channel, ..Fake::default() };
        assert_eq!(authenticate(&mut client, Path::new("/nonexistent/c"), SHORT), Outcome::Refused);
        assert!(client.only_line().1.starts_with("refused `jane`: tokens travel in TLS only"));
        // A client of another plugin's account.
        let mut client = Fake { default_plugin: true, channel, packet: None, ..Fake::default() };
        assert_eq!(authenticate(&mut client, Path::new("/nonexistent/c"), SHORT), Outcome::Failed);
        assert!(client.log.borrow().is_empty());
    }

    #[test]
    fn a_client_that_hangs_up_leaves_no_line() {
        let mut client = Fake { packet: None, ..Fake::default() };
        assert_eq!(authenticate(&mut client, Path::new("/nonexistent/c"), SHORT), Outcome::Failed);
        assert!(client.log.borrow().is_empty() && !client.password_used);
    }

    #[test]
    fn a_token_that_fits_no_frame_is_refused() {
        let long: &'static [u8] = vec![b'x'; 130_000].leak();
        let mut client = Fake { packet: Some(long), ..Fake::default() };
        assert_eq!(authenticate(&mut client, Path::new("/nonexistent/c"), SHORT), Outcome::Refused);
        assert_eq!(client.only_line().1, "refused `jane`: a password of 130000 bytes is no token");
        assert!(client.password_used);

        // Fits by itself, but not with what else is in the frame.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut client = Fake { packet: Some(&long[..MAX_FRAME]), ..Fake::default() };
        assert_eq!(authenticate(&mut client, &path, SHORT), Outcome::Failed);
        assert!(client.only_line().1.contains("at most 81920 are allowed"));
    }

    #[test]
    fn nobody_there_or_nobody_answering_is_said_with_what_to_do() {
        let mut client = Fake { user: Some(b"ja\nne`\xff"), ..Fake::default() };
        let socket = Path::new("/nonexistent/c.sock");
        assert_eq!(authenticate(&mut client, socket, SHORT), Outcome::Failed);
        let line = "cannot ask Countersign at `/nonexistent/c.sock`: no such socket; \
                    is `countersign serve` running, and does it know this data directory?";
        assert_eq!(client.only_line(), (Level::Error, line.to_owned()));

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut client = Fake::default();
        let asked = Instant::now();
        assert_eq!(authenticate(&mut client, &path, SHORT), Outcome::Failed);
        assert!(asked.elapsed() >= SHORT && asked.elapsed() < Duration::from_secs(1));
        assert!(client.only_line().1.contains("no answer in time"));
    }

    #[test]
    fn names_are_escaped_in_the_log() {
        let channel = Channel { tls: Some(false), ..TLS };
        let mut client = Fake { user: Some(b"ja\nne\xff"), channel, ..Fake::default() };
        assert_eq!(authenticate(&mut client, Path::new("/nonexistent/c"), SHORT), Outcome::Refused);
        assert!(client.only_line().1.starts_with(r"refused `ja\nne\xff`: "));
    }

    #[test]
    fn the_string_of_an_account_is_rds_or_nothing() {
        for string in [&b"RDS"[..], b"rds", b"Rds", b""] {
            assert!(is_rds(string));
        }
        for string in [&b"RDS "[..], b"RD", b"RDS\0", b"password"] {
            assert!(!is_rds(string));
        }
    }
}
