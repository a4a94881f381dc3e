//! A client of MySQL's protocol without a password: to see what a server does before it has asked for one.

use std::io::{Read, Write};

/// What a server says to a client that has named its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The session begins.
    Ok,
    /// An error: its number and text.
    Error(u16, String),
    /// It asks for what this plugin of the client's has to say.
    Switch(String),
    /// Anything else, as it came.
    Other(Vec<u8>),
}

/// Names a user, without TLS, without a password, and as one that would use `plugin`; what the server says to that.
///
/// # Errors
/// The connection broke.
pub fn introduce(stream: impl Read + Write, user: &str, plugin: &str) -> std::io::Result<Reply> {
    respond(stream, user, None, plugin)
}

/// The same with a database, and as one that would use `mysql_native_password`.
///
/// # Errors
/// The connection broke.
pub fn log_in(stream: impl Read + Write, user: &str, database: &str) -> std::io::Result<Reply> {
    respond(stream, user, Some(database), "mysql_native_password")
}

fn respond(
    mut stream: impl Read + Write,
    user: &str,
    database: Option<&str>,
    plugin: &str,
) -> std::io::Result<Reply> {
    /// LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH.
    const CAPABILITIES: u32 = 0x1 | 0x200 | 0x8000 | 0x8_0000;
    const CONNECT_WITH_DB: u32 = 0x8;
    /// utf8mb4_general_ci.
    const COLLATION: u8 = 45;
    let (number, greeting) = packet(&mut stream)?;
    if greeting.first() == Some(&0xff) {
        return Ok(reply(&greeting));
    }
    let capabilities = CAPABILITIES | if database.is_some() { CONNECT_WITH_DB } else { 0 };
    let mut response = capabilities.to_le_bytes().to_vec();
    response.extend(0x0100_0000_u32.to_le_bytes());
    response.push(COLLATION);
    response.extend([0; 23]);
    response.extend(user.bytes().chain([0]));
    // What the plugin says at once: nothing.
    response.push(0);
    response.extend(database.into_iter().flat_map(|database| database.bytes().chain([0])));
    response.extend(plugin.bytes().chain([0]));
    let mut framed = (response.len() as u32).to_le_bytes()[..3].to_vec();
    framed.push(number + 1);
    framed.extend(response);
    stream.write_all(&framed)?;
    Ok(reply(&packet(&mut stream)?.1))
}

fn packet(stream: &mut impl Read) -> std::io::Result<(u8, Vec<u8>)> {
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let [a, b, c, number] = header;
    let mut body = vec![0; u32::from_le_bytes([a, b, c, 0]) as usize];
    stream.read_exact(&mut body)?;
    Ok((number, body))
}

fn reply(body: &[u8]) -> Reply {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match body {
        [0, ..] => Reply::Ok,
        [0xff, low, high, said @ ..] => {
            // `#` and five characters of SQLSTATE, once the client has said that it knows of them.
            let said = if said.first() == Some(&b'#') { said.get(6..).unwrap_or_default() } else { said };
            Reply::Error(u16::from_le_bytes([*low, *high]), text(said))
        }
        [0xfe, plugin @ ..] => {
            Reply::Switch(text(plugin.split(|byte| *byte == 0).next().unwrap_or_default()))
        }
        other => Reply::Other(other.to_owned()),
    }
}
