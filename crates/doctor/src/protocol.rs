//! The first bytes: which protocol answers at the port, and whether it begins TLS.
//!
//! Nothing is believed that comes before TLS, and nothing secret is sent; these bytes only tell a person what is there.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Engine;
use crate::finding::{Finding, Step};

/// How long the first bytes may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a server that speaks first may take for it, where it is not known to be one.
const SHORT: Duration = Duration::from_millis(1500);

/// A length of 8, and the code 1234.5679.
const POSTGRES_SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

const CLIENT_SSL: u32 = 0x0800;

/// What a port said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// PostgreSQL's answer to the request for TLS.
    Postgres { tls: bool },
    /// An error in its place, whose text may be anybody's.
    PostgresError,
    /// A greeting.
    MySql { version: String, tls: bool },
    /// An error in its place.
    MySqlError { code: u16, text: String },
    /// HTTP.
    Http,
    /// TLS without a word before it.
    Tls,
    /// Other bytes.
    Other(Vec<u8>),
    /// It hung up.
    Closed,
    /// It said nothing.
    Silent,
    /// The connection broke.
    Broken(String),
}

impl Spoken {
    /// The database that speaks so.
    pub(crate) fn engine(&self) -> Option<Engine> {
        match self {
            Self::Postgres { .. } | Self::PostgresError => Some(Engine::Postgres),
            Self::MySql { .. } | Self::MySqlError { .. } => Some(Engine::MySql),
            _ => None,
        }
    }
}

/// Finds out what answers at an address: as `engine`'s client would, or as either's where it is not known.
pub(crate) async fn listen(address: SocketAddr, engine: Option<Engine>) -> Spoken {
    let spoken = match engine {
        Some(Engine::Postgres) => ask(address, &POSTGRES_SSL_REQUEST, PATIENCE).await,
        Some(Engine::MySql) => ask(address, b"", PATIENCE).await,
        None => match ask(address, b"", SHORT).await {
            Spoken::Silent => ask(address, &POSTGRES_SSL_REQUEST, PATIENCE).await,
            spoken => spoken,
        },
    };
    match spoken {
        // A server that waits for the client's first word; and one that waits for more of it.
        Spoken::Silent if engine == Some(Engine::MySql) => {
            match ask(address, &POSTGRES_SSL_REQUEST, PATIENCE).await {
                spoken @ (Spoken::Postgres { .. } | Spoken::PostgresError | Spoken::Http | Spoken::Tls) => {
                    spoken
                }
                _ => ask_http(address).await,
            }
        }
        Spoken::Silent | Spoken::Closed | Spoken::Other(_) => match ask_http(address).await {
            Spoken::Http => Spoken::Http,
            _ => spoken,
        },
        spoken => spoken,
    }
}

async fn ask_http(address: SocketAddr) -> Spoken {
    ask(address, b"GET / HTTP/1.0\r\n\r\n", SHORT).await
}

async fn ask(address: SocketAddr, question: &[u8], patience: Duration) -> Spoken {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(question).await?;
        let mut answer = Vec::new();
        // Whole once it can be told: no database says this much in its first word.
        while answer.len() < 4096 && !is_whole(&answer) {
            if stream.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        io::Result::Ok(answer)
    };
    match tokio::time::timeout(patience, exchange).await {
        Ok(Ok(answer)) => read(&answer),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionReset => Spoken::Closed,
        Ok(Err(error)) => Spoken::Broken(error.to_string()),
        Err(_) => Spoken::Silent,
    }
}

fn is_whole(answer: &[u8]) -> bool {
    match answer {
        [] => false,
        // May be either's: PostgreSQL's is one byte.
        [b'S' | b'N'] => true,
        _ => match mysql_length(answer) {
            Some(length) => answer.len() >= length + 4,
            None => answer.len() >= 5,
        },
    }
}

/// The length of a first packet of MySQL's, as far as it looks like one.
fn mysql_length(answer: &[u8]) -> Option<usize> {
    match answer {
        [low, high, 0, 0, 0x0a | 0xff, ..] => Some(usize::from(*low) | usize::from(*high) << 8),
        _ => None,
    }
}

fn read(answer: &[u8]) -> Spoken {
    if let Some(length) = mysql_length(answer) {
        let payload = answer.get(4..4 + length).unwrap_or_default();
        if let Some(greeting) = read_mysql(payload) {
            return greeting;
        }
    }
    match answer {
        [] => Spoken::Closed,
        [b'S'] => Spoken::Postgres { tls: true },
        [b'N'] => Spoken::Postgres { tls: false },
        [b'H', b'T', b'T', b'P', ..] => Spoken::Http,
        // An alert.
        [0x15, 0x03, ..] => Spoken::Tls,
        // In the form of today, or in that of a server that could not even begin: a letter and a text.
        [b'E', ..] => Spoken::PostgresError,
        other => Spoken::Other(other.iter().copied().take(16).collect()),
    }
}

fn read_mysql(payload: &[u8]) -> Option<Spoken> {
    let (&kind, rest) = payload.split_first()?;
    if kind == 0xff {
        let (code, text) = rest.split_at_checked(2)?;
        let code = u16::from_le_bytes(code.try_into().ok()?);
        // Without the SQLSTATE that newer servers put before it.
        let text = if text.first() == Some(&b'#') { text.get(6..)? } else { text };
        return Some(Spoken::MySqlError { code, text: printable(text) });
    }
    let end = rest.iter().position(|&byte| byte == 0)?;
    let (version, rest) = rest.split_at_checked(end)?;
    // The NUL, the connection's number, eight bytes of salt, a NUL.
    let low = u16::from_le_bytes(rest.get(14..16)?.try_into().ok()?);
    Some(Spoken::MySql { version: printable(version), tls: u32::from(low) & CLIENT_SSL != 0 })
}

/// What a stranger sends, for a terminal.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(300).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Tells of the protocol.
pub(crate) fn explain(spoken: &Spoken, engine: Engine, port: u16) -> Finding {
    let step = Step::Protocol;
    let expected = format!("a {} server that begins TLS", engine.name());
    let other = |engine: Engine, what: &str| {
        Finding::failed(step, format!("port {port} is {what}"))
            .expected(expected.clone())
            .run("examine it as what it is", format!("countersign doctor --engine {} ...", engine.as_str()))
    };
    match (spoken, engine) {
        (Spoken::Postgres { tls: true }, Engine::Postgres) => {
            Finding::ok(step, "a PostgreSQL server, which begins TLS")
        }
        (Spoken::Postgres { tls: false }, Engine::Postgres) => {
            Finding::failed(step, "a PostgreSQL server that answers the request for TLS with no")
                .expected("TLS: a token is not sent without it")
                .run("turn TLS on in the server (on Amazon RDS it always is: is this a pooler or tunnel in between?)", "ALTER SYSTEM SET ssl = on")
        }
        (Spoken::PostgresError, Engine::Postgres) => {
            Finding::failed(step, "a server that answers the request for TLS with an error, which anybody may have written")
                .expected(expected)
                .mend("look into the server's log: it has too many connections, is starting up, or is no PostgreSQL of today")
        }
        (Spoken::MySql { version, tls: true }, Engine::MySql) => {
            Finding::ok(step, format!("a server of {}, version {version}, which has TLS", make(version)))
        }
        (Spoken::MySql { version, tls: false }, Engine::MySql) => {
            Finding::failed(step, format!("a server of {}, version {version}, without TLS", make(version)))
                .expected("TLS: a token is not sent without it")
                .mend("give the server a certificate: `ssl_cert` and `ssl_key` in its configuration (on Amazon RDS it always has one: is this a proxy in between?)")
        }
        (Spoken::MySqlError { code, text }, Engine::MySql) => {
            let finding = Finding::failed(step, format!("the server turns the connection away: {code} {text}"))
                .expected("a greeting");
            match code {
                1040 => finding.run(
                    "it has as many connections as it takes: close some, or raise the limit",
                    "SELECT user, host, COUNT(*) FROM information_schema.processlist GROUP BY user, host",
                ),
                1129 => finding.run(
                    "it blocks this machine after too many failed connections: clear its list",
                    "FLUSH HOSTS",
                ),
                1130 => finding.mend("no account may come from this machine's address: create one for it, as in 'user'@'%'"),
                _ => finding.mend("look into the server's log"),
            }
        }
        (Spoken::Postgres { .. } | Spoken::PostgresError, Engine::MySql) => {
            other(Engine::Postgres, "a PostgreSQL server's, not MySQL's or MariaDB's")
        }
        (Spoken::MySql { .. } | Spoken::MySqlError { .. }, Engine::Postgres) => {
            other(Engine::MySql, "a MySQL or MariaDB server's, not PostgreSQL's")
        }
        (Spoken::Http, _) => Finding::failed(step, format!("an HTTP server listens on port {port}"))
            .expected(expected)
            .mend("the host or the port is another service's: take both from the database's endpoint")
            .run("the databases of a Countersign here, with their ports", "countersign status"),
        (Spoken::Tls, _) => Finding::failed(step, format!("port {port} wants TLS from the first byte on"))
            .expected(expected)
            .mend("a TLS proxy stands there: dial the database itself"),
        (Spoken::Silent, _) => {
            Finding::failed(step, format!("port {port} takes connections and says nothing within {} s", PATIENCE.as_secs()))
                .expected(expected)
                .mend("something in between takes the connection and does not pass it on (a load balancer, a tunnel, a paused server): dial the database itself")
        }
        (Spoken::Closed, _) => Finding::failed(step, format!("port {port} takes connections and closes them at once"))
            .expected(expected)
            .mend("something in between, or a server that turns this machine away: look into its log"),
        (Spoken::Broken(why), _) => Finding::failed(step, format!("the connection breaks: {why}"))
            .expected(expected)
            .mend("look at what is between here and there"),
        (Spoken::Other(bytes), _) => {
            Finding::failed(step, format!("port {port} answers `{}`", bytes.escape_ascii()))
                .expected(expected)
                .mend("the host or the port is another service's: take both from the database's endpoint")
        }
    }
}

fn make(version: &str) -> &'static str {
    if version.contains("MariaDB") { "MariaDB" } else { "MySQL" }
}

/// Opens a connection and brings it to where TLS begins.
///
/// # Errors
/// It does not come to that.
pub(crate) async fn until_tls(address: SocketAddr, engine: Engine) -> io::Result<TcpStream> {
    let no_tls = || io::Error::new(ErrorKind::InvalidData, "the server does not begin TLS");
    let begin = async {
        let mut stream = TcpStream::connect(address).await?;
        match engine {
            Engine::Postgres => {
                stream.write_all(&POSTGRES_SSL_REQUEST).await?;
                // One byte: what comes behind it would be TLS's, and is not part of what is read here.
                if stream.read_u8().await? != b'S' {
                    return Err(no_tls());
                }
            }
            Engine::MySql => {
                let mut head = [0; 4];
                stream.read_exact(&mut head).await?;
                let length = usize::from(head[0]) | usize::from(head[1]) << 8;
                let mut greeting = vec![0; length];
                stream.read_exact(&mut greeting).await?;
                if !matches!(read_mysql(&greeting), Some(Spoken::MySql { tls: true, .. })) {
                    return Err(no_tls());
                }
                stream.write_all(&mysql_ssl_request()).await?;
            }
        }
        Ok(stream)
    };
    tokio::time::timeout(PATIENCE, begin).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

/// The packet that begins TLS: what the client can do, its longest packet, a character set, and padding.
fn mysql_ssl_request() -> Vec<u8> {
    // PROTOCOL_41, SSL, SECURE_CONNECTION, PLUGIN_AUTH.
    let capabilities: u32 = 0x0200 | CLIENT_SSL | 0x8000 | 0x0008_0000;
    let mut packet = vec![32, 0, 0, 1];
    packet.extend(capabilities.to_le_bytes());
    packet.extend((16_u32 << 20).to_le_bytes());
    packet.push(45);
    packet.resize(4 + 32, 0);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    /// A greeting as MariaDB 10.11 sends it.
    pub(crate) fn greeting(version: &str, tls: bool) -> Vec<u8> {
        let mut payload = vec![0x0a];
        payload.extend(version.as_bytes());
        payload.extend([0, 1, 0, 0, 0]);
        payload.extend([b'x'; 8]);
        payload.push(0);
        payload.extend(if tls { 0xffff_u16 } else { 0xf7ff }.to_le_bytes());
        payload.extend([0x2d, 2, 0]);
        payload.extend([0xff, 0x81, 21]);
        payload.extend([0; 10]);
        payload.extend([b'y'; 12]);
        payload.extend(b"\0mysql_native_password\0");
        let mut packet = vec![payload.len() as u8, 0, 0, 0];
        packet.extend(payload);
        packet
    }

    #[test]
    fn first_words_are_told_apart() {
        let version = "5.5.5-10.11.19-MariaDB".to_owned();
        assert_eq!(read(&greeting(&version, true)), Spoken::MySql { version: version.clone(), tls: true });
        assert_eq!(read(&greeting(&version, false)), Spoken::MySql { version, tls: false });
        let full = b"\x17\0\0\0\xff\x10\x04Too many connections";
        assert_eq!(read(full), Spoken::MySqlError { code: 1040, text: "Too many connections".to_owned() });
        let blocked = b"\x0d\0\0\0\xff\x69\x04#HY000text";
        assert_eq!(read(blocked), Spoken::MySqlError { code: 1129, text: "text".to_owned() });
        assert_eq!(read(b"S"), Spoken::Postgres { tls: true });
        assert_eq!(read(b"N"), Spoken::Postgres { tls: false });
        assert_eq!(read(b"EFATAL: x\0"), Spoken::PostgresError);
        assert_eq!(read(b"E\0\0\0\x20S"), Spoken::PostgresError);
        assert_eq!(read(b"HTTP/1.1 400 Bad Request\r\n"), Spoken::Http);
        assert_eq!(read(b"\x15\x03\x01\0\x02\x02\x28"), Spoken::Tls);
        assert_eq!(read(b"SSH-2.0-OpenSSH_9.2\r\n"), Spoken::Other(b"SSH-2.0-OpenSSH_".to_vec()));
        assert_eq!(read(b""), Spoken::Closed);
        // Cut in the middle, at every length: nothing panics.
        let whole = greeting("8.0.36", true);
        for length in 0..whole.len() {
            assert!(!matches!(read(&whole[..length]), Spoken::MySql { .. }) || length > 20);
        }
    }

    #[test]
    fn each_is_explained() {
        let text = |spoken: Spoken, engine| serde_json::to_string(&explain(&spoken, engine, 5432)).unwrap();
        assert!(text(Spoken::Http, Engine::Postgres).contains("an HTTP server"));
        assert!(text(Spoken::Postgres { tls: false }, Engine::Postgres).contains("ssl = on"));
        assert!(text(Spoken::Postgres { tls: true }, Engine::MySql).contains("--engine postgres"));
        let greeting = Spoken::MySql { version: "8.0.36".to_owned(), tls: true };
        assert!(text(greeting.clone(), Engine::Postgres).contains("--engine mysql"));
        assert_eq!(explain(&greeting, Engine::MySql, 3306).status, Status::Ok);
        for (code, mend) in [(1040, "processlist"), (1129, "FLUSH HOSTS"), (1130, "'user'@'%'"), (9, "log")] {
            let error = Spoken::MySqlError { code, text: "\u{1b}[31m".to_owned() };
            assert!(text(error, Engine::MySql).contains(mend), "{code}");
        }
        for spoken in [Spoken::Silent, Spoken::Closed, Spoken::Tls, Spoken::Other(vec![0x1b])] {
            let finding = explain(&spoken, Engine::MySql, 3306);
            assert_eq!(finding.status, Status::Failed);
            assert!(!finding.seen.contains('\u{1b}') && !finding.mend.is_empty(), "{finding:?}");
        }
    }
}
