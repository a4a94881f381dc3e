//! One login: who asks, with which password, from where; what Countersign says; what the host is told.
//!
//! Everything but Countersign's "allowed" refuses. The log names the request and what an operator can do about
//! it, never the token and never the reason of a refusal, which Countersign keeps in its own log.

use std::time::Instant;

use dial::dial;
use ipc::{Answer, Door, Question, Secret, Status};

use crate::arguments::Arguments;
use crate::host::{Code, Host, Level};

/// Authenticates the host's client by a token.
pub(crate) fn authenticate(host: &mut impl Host, words: &[&[u8]]) -> Code {
    let arguments = match Arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(error) => {
            report(host, Level::Error, &format!("{error}; correct the service file in /etc/pam.d"));
            return Code::SERVICE_ERR;
        }
    };
    let user = match host.user() {
        Ok(user) => user,
        Err(code) => return refusal(code),
    };
    // A client that hangs up or sends no password is no event worth a line.
    let token = match host.password() {
        Ok(token) => token,
        Err(code) => return refusal(code),
    };
    let remote = host.remote();
    let shown = user.escape_ascii();
    let asked = ask(&arguments, &user, &token, &remote);
    drop(token);
    match asked {
        Ok(Answer { request_id, status: Status::Allowed { principal } }) => {
            let principal = principal.escape_debug();
            host.log(Level::Info, &format!("allowed `{shown}` as `{principal}`, request {request_id}"));
            Code::SUCCESS
        }
        Ok(Answer { request_id, status: Status::Refused }) => {
            let line = format!("refused `{shown}`, request {request_id}; Countersign's log has the reason");
            report(host, Level::Notice, &line);
            Code::AUTH_ERR
        }
        Ok(Answer { request_id, status: Status::Unavailable }) => {
            let line = format!("Countersign cannot decide now, request {request_id}; its log has the reason");
            report(host, Level::Error, &line);
            Code::AUTHINFO_UNAVAIL
        }
        Err(why) => {
            let socket = arguments.socket.display().to_string();
            report(
                host,
                Level::Error,
                &format!("cannot ask Countersign at `{}`: {why}", socket.escape_debug()),
            );
            Code::AUTHINFO_UNAVAIL
        }
    }
}

/// The time starts here, after the conversation: how long a client may take to type is the host's business.
fn ask(arguments: &Arguments<'_>, user: &[u8], token: &Secret, remote: &[u8]) -> Result<Answer, String> {
    let deadline = Instant::now() + arguments.timeout;
    let stream = dial(arguments.socket, deadline).map_err(|error| error.to_string())?;
    let question = Question { door: Door::Pam, user, token: token.as_slice(), remote };
    ipc::ask(stream, &question, deadline).map(|(answer, _)| answer).map_err(|error| error.to_string())
}

/// The host's own failure as this module's, and never a success.
fn refusal(code: Code) -> Code {
    if code == Code::SUCCESS || code == Code::IGNORE { Code::SERVICE_ERR } else { code }
}

fn report(host: &mut impl Host, level: Level, line: &str) {
    host.log(level, line);
    host.tell(&format!("pam_countersign: {line}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use ipc::RequestId;

    struct Client {
        user: Result<&'static [u8], Code>,
        password: Result<&'static [u8], Code>,
        log: Vec<(Level, String)>,
        told: Vec<String>,
    }

    impl Default for Client {
        fn default() -> Self {
            Self { user: Ok(b"jane"), password: Ok(b"the-token"), log: Vec::new(), told: Vec::new() }
        }
    }

    impl Host for Client {
        fn user(&mut self) -> Result<Vec<u8>, Code> {
            self.user.map(<[u8]>::to_vec)
        }

        fn password(&mut self) -> Result<Secret, Code> {
            self.password.map(|password| {
                let mut secret = Secret::new();
                secret.extend(password);
                secret
            })
        }

        fn remote(&mut self) -> Vec<u8> {
            b"192.0.2.7".to_vec()
        }

        fn log(&mut self, level: Level, line: &str) {
            self.log.push((level, line.to_owned()));
        }

        fn tell(&mut self, line: &str) {
            self.told.push(line.to_owned());
        }
    }

    /// Logs in against a server that reads a question and writes `reply`.
    fn against(client: &mut Client, reply: Vec<u8>) -> Code {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("countersign.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 512];
            let read = stream.read(&mut bytes).unwrap();
            let (question, _) = Question::decode(&bytes[..read]).unwrap().unwrap();
            assert_eq!(
                question,
                Question { door: Door::Pam, user: b"jane", token: b"the-token", remote: b"192.0.2.7" }
            );
            stream.write_all(&reply).unwrap();
            // Until the module hangs up: an answer that is not complete is waited for.
            stream.read_to_end(&mut Vec::new()).ok();
        });
        let socket = format!("socket={}", path.display());
        let code = authenticate(client, &[socket.as_bytes(), b"timeout_ms=200"]);
        server.join().unwrap();
        code
    }

    fn answer(status: Status) -> Vec<u8> {
        Answer { request_id: RequestId(0xbeef), status }.encode().unwrap()
    }

    #[test]
    fn only_allowed_is_success() {
        let principal = "arn:aws:iam::123456789012:user/jane".to_owned();
        let mut client = Client::default();
        assert_eq!(against(&mut client, answer(Status::Allowed { principal })), Code::SUCCESS);
        assert_eq!(
            client.log,
            [(
                Level::Info,
                "allowed `jane` as `arn:aws:iam::123456789012:user/jane`, request 000000000000beef"
                    .to_owned()
            )]
        );
        assert!(client.told.is_empty());

        let mut client = Client::default();
        assert_eq!(against(&mut client, answer(Status::Refused)), Code::AUTH_ERR);
        let line =
            "pam_countersign: refused `jane`, request 000000000000beef; Countersign's log has the reason";
        assert_eq!(client.told, [line]);

        for reply in [answer(Status::Unavailable), b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Vec::new()] {
            let mut client = Client::default();
            assert_eq!(against(&mut client, reply), Code::AUTHINFO_UNAVAIL);
            assert!(matches!(client.log[..], [(Level::Error, _)]), "{:?}", client.log);
            assert_eq!(client.told.len(), 1);
        }
    }

    #[test]
    fn nobody_there_is_said_with_what_to_do() {
        let mut client = Client::default();
        assert_eq!(authenticate(&mut client, &[b"socket=/nonexistent/c.sock"]), Code::AUTHINFO_UNAVAIL);
        let line = "cannot ask Countersign at `/nonexistent/c.sock`: no such socket; \
                    is `countersign serve` running, and does it know this data directory?";
        assert_eq!(client.log, [(Level::Error, line.to_owned())]);
    }

    #[test]
    fn a_wrong_service_file_refuses_before_the_client_is_asked() {
        let mut client = Client { password: Ok(b""), user: Err(Code(1)), ..Client::default() };
        assert_eq!(authenticate(&mut client, &[b"debug"]), Code::SERVICE_ERR);
        assert!(client.log[0].1.contains("`debug`"));
    }

    #[test]
    fn the_hosts_failure_is_passed_on_and_never_as_a_success() {
        let mut client = Client { password: Err(Code::CONV_ERR), ..Client::default() };
        assert_eq!(authenticate(&mut client, &[]), Code::CONV_ERR);
        assert!(client.log.is_empty());
        for code in [Code::SUCCESS, Code::IGNORE] {
            let mut client = Client { user: Err(code), ..Client::default() };
            assert_eq!(authenticate(&mut client, &[]), Code::SERVICE_ERR);
            let mut client = Client { password: Err(code), ..Client::default() };
            assert_eq!(authenticate(&mut client, &[]), Code::SERVICE_ERR);
        }
    }

    #[test]
    fn a_token_that_fits_no_frame_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let long: &'static [u8] = vec![b'x'; ipc::MAX_FRAME].leak();
        let mut client = Client { password: Ok(long), ..Client::default() };
        let socket = format!("socket={}", path.display());
        assert_eq!(authenticate(&mut client, &[socket.as_bytes()]), Code::AUTHINFO_UNAVAIL);
        assert!(client.log[0].1.contains("at most 81920 are allowed"), "{:?}", client.log);
    }
}
