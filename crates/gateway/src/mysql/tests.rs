//! Both sides in memory: greetings as servers sent them, a client of each plugin's habits, scripted servers, and whatever a
//! hostile peer may send.

use bytes::{BufMut as _, Bytes, BytesMut};
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::capability::Capabilities;
use super::client::{Answer, FIXED};
use super::packet::{Fields, put_integer, put_packet};
use super::password::{Method, native_proof, sha2_proof};
use super::*;
use crate::{ClientTls, Conversation, Next};

/// The first packets of MySQL 9.7.4, MariaDB 10.11.19 and MariaDB 11.8.9, without their headers.
const MYSQL_9: &str = "0a392e372e342d32000a0000003c576e6f6c40103e00ffffff0200ffdf1500000000000000000000066c7e0a0416302751\
                       5127450063616368696e675f736861325f70617373776f726400";
const MARIADB_10: &str = "0a352e352e352d31302e31312e31392d4d6172696144422d302b6465623132753100060000004e6a4b793f6c267400feff\
                          080200ff81150000000000001d000000365174756f4d71736c475a70006d7973716c5f6e61746976655f70617373776f72\
                          6400";
const MARIADB_11: &str = "0a31312e382e392d4d6172696144422d302b646562313375312066726f6d2044656269616e00050000005326603525576a\
                          3000feff2d0200ff81150000000000003d0000004e7526596d3c212d5f796467006d7973716c5f6e61746976655f706173\
                          73776f726400";

/// An OK with the status flag for autocommit.
const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
const SCRAMBLE: &[u8; 20] = b"01234567890123456789";
const TOKEN: &str = "db.example:3306/?Action=connect&X-Amz-Signature=0f";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn greeting(hex: &str) -> Greeting {
    Greeting::parse(&bytes(hex)).unwrap()
}

/// What a conversation comes to, and all it sent.
type End<C> = (Result<Next<<C as Conversation>::Outcome>, <C as Conversation>::Error>, Vec<u8>, Vec<u8>);

/// Runs it with `plain` before TLS and `inside` after, each in pieces of the lengths that `cut` gives. TLS that begins in
/// the middle of `plain` ends it: its bytes are no TLS. The last two are what was sent before TLS, and after.
fn run<C: Conversation>(
    mut conversation: C,
    plain: &[u8],
    inside: &[u8],
    cut: &mut dyn FnMut() -> usize,
) -> End<C> {
    let mut input = BytesMut::new();
    let (mut rest, mut next_stream) = (plain, Some(inside));
    let mut sent = Vec::new();
    let mut before = Vec::new();
    loop {
        let mut output = BytesMut::new();
        let next = conversation.advance(&mut input, &mut output);
        sent.extend_from_slice(&output);
        match next {
            Ok(Next::Read) if !rest.is_empty() => {
                let (piece, after) = rest.split_at(cut().clamp(1, rest.len()));
                input.extend_from_slice(piece);
                rest = after;
            }
            Ok(Next::StartTls) => {
                assert!(input.is_empty());
                match next_stream.take() {
                    Some(stream) if rest.is_empty() => rest = stream,
                    _ => return (Ok(Next::StartTls), sent, Vec::new()),
                }
                before = std::mem::take(&mut sent);
            }
            end if next_stream.is_none() => return (end, before, sent),
            end => return (end, sent, Vec::new()),
        }
    }
}

fn whole() -> usize {
    usize::MAX
}

fn greet(payload: &[u8]) -> Result<Greeting, GreetError> {
    let (end, sent, _) = run(Greet::new(), &packet(0, payload), &[], &mut whole);
    assert!(sent.is_empty());
    match end? {
        Next::Done(greeting) => Ok(greeting),
        other => panic!("{other:?}"),
    }
}

#[test]
fn greetings_of_real_servers_are_read_and_written_as_they_are() {
    let my = greet(&bytes(MYSQL_9)).unwrap();
    assert_eq!((my.version_text().as_str(), my.connection_id), ("9.7.4-2", 10));
    assert!(!my.is_mariadb() && my.supports_tls());
    assert_eq!(my.capabilities, Capabilities::new(0xdfff_ffff, 0));
    assert_eq!((my.charset, my.status), (255, 2));
    assert_eq!(my.plugin, "caching_sha2_password");
    assert_eq!(my.scramble.len(), 20);

    let ten = greet(&bytes(MARIADB_10)).unwrap();
    assert_eq!(ten.version, "5.5.5-10.11.19-MariaDB-0+deb12u1");
    assert_eq!(ten.version_text(), "10.11.19-MariaDB-0+deb12u1");
    assert!(ten.is_mariadb() && ten.supports_tls());
    assert_eq!(ten.capabilities, Capabilities::new(0x81ff_fffe, 0x1d));

    let eleven = greet(&bytes(MARIADB_11)).unwrap();
    assert_eq!(eleven.version_text(), "11.8.9-MariaDB-0+deb13u1 from Debian");
    assert_eq!(eleven.capabilities, Capabilities::new(0x81ff_fffe, 0x3d));
    assert_eq!(eleven.plugin, "mysql_native_password");

    for (greeting, hex) in [(my, MYSQL_9), (ten, MARIADB_10), (eleven, MARIADB_11)] {
        assert_eq!(greeting.print(), bytes(hex));
    }
}

#[test]
fn a_server_may_refuse_instead_of_greeting() {
    // As MySQL and MariaDB send it before they know the client: without a SQLSTATE.
    let Err(GreetError::Refused(error)) = greet(b"\xff\x6a\x04Host 'h' is not allowed to connect") else {
        panic!("taken");
    };
    assert_eq!((error.code, error.sqlstate.as_str()), (1130, "HY000"));
    assert_eq!(error.text, "Host 'h' is not allowed to connect");
    assert!(!error.is_authentication());
    assert_eq!(
        packet(0, &error.payload),
        b"\x25\x00\x00\x00\xff\x6a\x04Host 'h' is not allowed to connect".as_slice()
    );

    let Err(GreetError::Refused(error)) = greet(b"\xff\x10\x04#08004Too many connections\x1b[2J") else {
        panic!("taken");
    };
    assert_eq!(error.to_string(), "1040 (08004): Too many connections\u{fffd}[2J");
    for short in [&b"\xff"[..], b"\xff\x10", b"\xff\x10\x04#0800"] {
        assert!(matches!(greet(short), Err(GreetError::Protocol(ProtocolError::Malformed(_)))));
    }
}

#[test]
fn what_is_no_greeting_of_a_server_of_today_is_refused() {
    assert_eq!(greet(&[9]), Err(ProtocolError::Version(9).into()));
    // Version, connection number, first part of the challenge and its end, lower half of the capabilities.
    let lower_end = 1 + "9.7.4-2\0".len() + 4 + 8 + 1 + 2;
    let mut old = bytes(MYSQL_9);
    // PLUGIN_AUTH, behind the collation and the status.
    old[lower_end + 3] &= !8;
    assert_eq!(greet(&old), Err(ProtocolError::NoPlugins.into()));
    // Ends at the capabilities, as that of MySQL 3.23 could.
    assert_eq!(greet(b"\x0a3.23.58\0\x01\0\0\0abcdefgh\0\x2c\x20"), Err(ProtocolError::NoPlugins.into()));
    let full = bytes(MYSQL_9);
    for length in (0..full.len()).filter(|length| *length != lower_end) {
        let error = ProtocolError::Malformed("server's greeting");
        assert_eq!(greet(&full[..length]), Err(error.into()), "{length}");
    }

    let refused = |header: [u8; 4]| run(Greet::new(), &header, &[], &mut whole).0;
    assert_eq!(refused([1, 0, 1, 0]), Err(ProtocolError::TooLong(0x1_0001).into()));
    assert_eq!(refused([0xff, 0xff, 0xff, 0]), Err(ProtocolError::TooLong(0xff_ffff).into()));
    assert_eq!(refused([1, 0, 0, 1]), Err(ProtocolError::OutOfOrder { expected: 0, found: 1 }.into()));
    // An HTTP server, an SSH server, a TLS alert.
    assert_eq!(refused(*b"HTTP"), Err(ProtocolError::TooLong(0x54_5448).into()));
    assert_eq!(refused(*b"SSH-"), Err(ProtocolError::TooLong(0x48_5353).into()));
}

/// Has the habits of MySQL's and MariaDB's libraries: begins with its plugin's answer where the greeting was for that plugin,
/// with nothing where it was not, and then waits to be asked.
struct Tried {
    /// The plugin that it begins with.
    plugin: Option<&'static str>,
    /// The plugins that it has.
    has: &'static [&'static str],
    password: &'static str,
    /// Removed from what it would ask for.
    without: Capabilities,
    tls: bool,
}

impl Default for Tried {
    fn default() -> Self {
        Self {
            plugin: None,
            has: &["caching_sha2_password", "mysql_native_password", "mysql_clear_password"],
            password: "s3cret",
            without: Capabilities::default(),
            tls: false,
        }
    }
}

impl Tried {
    fn proof(&self, plugin: &str, scramble: &[u8]) -> Vec<u8> {
        let password = self.password.as_bytes();
        match (plugin, password.is_empty()) {
            ("mysql_native_password", true) => Vec::new(),
            ("mysql_native_password", false) => native_proof(password, scramble).to_vec(),
            ("caching_sha2_password", true) => vec![0],
            ("caching_sha2_password", false) => sha2_proof(password, scramble).to_vec(),
            ("mysql_clear_password", _) => [password, &[0]].concat(),
            _ => panic!("`{plugin}` cannot be loaded"),
        }
    }

    /// Connects; what the server's side came to, and the last packet that the client got.
    fn connect(&self, mut server: Accept) -> (Result<Client, AcceptError>, Option<Vec<u8>>) {
        let (mut to_server, mut from_server) = (BytesMut::new(), BytesMut::new());
        assert_eq!(server.advance(&mut to_server, &mut from_server), Ok(Next::Read));
        let greeting = Greeting::parse(&take(&mut from_server, 0)).unwrap();
        assert_eq!(
            (greeting.scramble.len(), greeting.supports_tls()),
            (20, self.tls || greeting.supports_tls())
        );

        let with_plugins = !self.without.contains(Capabilities::PLUGIN_AUTH);
        let capabilities = (greeting.capabilities | Capabilities::MYSQL)
            .without(self.without | Capabilities::CONNECT_ATTRS | Capabilities::ZSTD_COMPRESSION_ALGORITHM)
            .without(Capabilities::MARIADB)
            .with(Capabilities::SSL, self.tls)
            .with(Capabilities::CONNECT_WITH_DB, false);
        let greeted = std::str::from_utf8(&greeting.plugin).unwrap();
        let plugin = match self.plugin {
            _ if !with_plugins => "mysql_native_password",
            Some(plugin) => plugin,
            None if self.has.contains(&greeted) => greeted,
            None => "mysql_native_password",
        };
        let writes_first = plugin == greeted || plugin == "mysql_clear_password" || !with_plugins;
        let proof = if writes_first { self.proof(plugin, &greeting.scramble) } else { Vec::new() };
        let client = Client {
            capabilities,
            plugin: with_plugins.then(|| Bytes::copy_from_slice(plugin.as_bytes())),
            ..Client::new("app", None)
        };
        let mut sequence = 1;
        if self.tls {
            sequence = put_packet(&mut to_server, sequence, &client.print_fixed());
            let end = server.advance(&mut to_server, &mut from_server);
            assert!(end == Ok(Next::StartTls) && from_server.is_empty());
        }
        sequence =
            put_packet(&mut to_server, sequence, &Answer { client, proof: Zeroizing::new(proof) }.print());
        let mut waits_for_more =
            writes_first && plugin == "caching_sha2_password" && !self.password.is_empty();
        loop {
            let next = server.advance(&mut to_server, &mut from_server);
            let payload = (!from_server.is_empty()).then(|| take(&mut from_server, sequence));
            assert!(from_server.is_empty() && to_server.is_empty());
            match next {
                Ok(Next::Read) => {
                    let payload = payload.expect("a request for another plugin");
                    let mut fields = Fields::new(&payload, "");
                    assert_eq!(fields.u8(), Ok(0xfe));
                    let plugin = std::str::from_utf8(fields.name().unwrap()).unwrap();
                    assert!(self.has.contains(&plugin), "`{plugin}` cannot be loaded");
                    let proof = self.proof(plugin, fields.name().unwrap());
                    assert!(fields.is_empty());
                    sequence = put_packet(&mut to_server, sequence.wrapping_add(1), &proof);
                    waits_for_more = plugin == "caching_sha2_password" && !self.password.is_empty();
                }
                Ok(Next::Done(client)) => {
                    assert_eq!(payload.as_deref(), waits_for_more.then_some(&[1, 3][..]));
                    let ok = if waits_for_more { sequence.wrapping_add(1) } else { sequence };
                    assert_eq!(take(&mut BytesMut::from(client.packet(OK)), ok), OK);
                    return (Ok(client), payload);
                }
                Ok(Next::StartTls) => panic!("TLS twice"),
                Err(error) => return (Err(error), payload),
            }
        }
    }
}

/// The packet at the front, which must have this number.
fn take(buffer: &mut BytesMut, sequence: u8) -> Vec<u8> {
    packet::take_packet(buffer, sequence).unwrap().expect("a whole packet").keep().to_vec()
}

fn open(tls: ClientTls) -> AcceptOptions {
    AcceptOptions { tls, auth: ClientAuth::Open, scramble: *SCRAMBLE }
}

fn password(tls: ClientTls, password: &str) -> AcceptOptions {
    let password = Zeroizing::new(password.as_bytes().to_vec());
    AcceptOptions {
        tls,
        auth: ClientAuth::Password { password, host: "127.0.0.1".to_owned() },
        scramble: *SCRAMBLE,
    }
}

const EVERY_PLUGIN: [Option<&str>; 5] = [
    None,
    Some("mysql_native_password"),
    Some("caching_sha2_password"),
    Some("mysql_clear_password"),
    // Not one of ours: it waits to be asked.
    Some("client_ed25519"),
];

#[test]
fn every_plugin_is_taken_whoever_the_server_is() {
    for hex in [MYSQL_9, MARIADB_10, MARIADB_11] {
        for plugin in EVERY_PLUGIN {
            for tls in [false, true] {
                for password in ["", "whatever"] {
                    let tried = Tried { plugin, password, tls, ..Tried::default() };
                    let (end, _) = tried.connect(Accept::new(&greeting(hex), open(ClientTls::Offered)));
                    let client = end.unwrap();
                    assert_eq!((client.user.as_ref(), client.tls), (&b"app"[..], tls));
                }
            }
        }
        // Libraries of before MySQL 8 have no other plugin; those of before 5.5.7 have none.
        let old = Tried { has: &["mysql_native_password"], ..Tried::default() };
        old.connect(Accept::new(&greeting(hex), open(ClientTls::Off))).0.unwrap();
        let without = Capabilities::PLUGIN_AUTH | Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA;
        let older = Tried { without, ..Tried::default() };
        older.connect(Accept::new(&greeting(hex), open(ClientTls::Off))).0.unwrap();
    }
}

#[test]
fn a_password_is_checked_by_every_plugin() {
    for hex in [MYSQL_9, MARIADB_11] {
        for plugin in EVERY_PLUGIN {
            for tls in [false, true] {
                let accept = || Accept::new(&greeting(hex), password(ClientTls::Offered, "s3cret"));
                let (end, _) = Tried { plugin, tls, ..Tried::default() }.connect(accept());
                assert!(end.is_ok(), "{plugin:?} {end:?}");
                for (wrong, used) in [("", "NO"), ("s3cre", "YES"), ("s3cret ", "YES")] {
                    let (end, said) =
                        Tried { plugin, tls, password: wrong, ..Tried::default() }.connect(accept());
                    assert!(matches!(end, Err(AcceptError::Denied { .. })), "{plugin:?} {end:?}");
                    let said = ServerError::parse(said.unwrap().into()).unwrap();
                    assert_eq!(
                        said.to_string(),
                        format!(
                            "1045 (28000): Access denied for user 'app'@'127.0.0.1' (using password: {used})"
                        )
                    );
                }
            }
        }
        let without = Capabilities::PLUGIN_AUTH | Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA;
        let accept = || Accept::new(&greeting(hex), password(ClientTls::Off, "s3cret"));
        Tried { without, ..Tried::default() }.connect(accept()).0.unwrap();
        Tried { without, password: "other", ..Tried::default() }.connect(accept()).0.unwrap_err();
    }
}

#[test]
fn nobody_is_let_in_by_an_empty_password() {
    for plugin in EVERY_PLUGIN {
        let accept = Accept::new(&greeting(MYSQL_9), password(ClientTls::Offered, ""));
        let (end, _) = Tried { plugin, password: "", tls: true, ..Tried::default() }.connect(accept);
        assert!(matches!(end, Err(AcceptError::Denied { password_used: false, .. })));
    }
}

#[test]
fn proofs_are_those_of_other_clients() {
    // As PyMySQL computes them.
    let native = bytes("7abe1a8776b59e931059451f81e596a60dbbf7a8");
    let sha2 = bytes("1a2da2573c2faa367e2afddb54cdfd11a95ed22eef0167151196a6fc8e3d3813");
    assert!(Method::Native.verify(b"secret", SCRAMBLE, &native));
    assert!(Method::CachingSha2.verify(b"secret", SCRAMBLE, &sha2));
    assert!(Method::Clear.verify(b"secret", SCRAMBLE, b"secret\0"));
    assert!(!Method::Native.verify(b"secret", SCRAMBLE, &native[..19]));
    assert!(!Method::CachingSha2.verify(b"secret", SCRAMBLE, &native));
}

#[test]
fn the_client_is_shown_what_the_server_can_do() {
    for hex in [MYSQL_9, MARIADB_10, MARIADB_11] {
        for tls in [ClientTls::Off, ClientTls::Offered, ClientTls::Required] {
            let server = greeting(hex);
            let scramble = [0; 20];
            let accept = Accept::new(&server, AcceptOptions { scramble, ..open(tls) });
            let (end, sent, _) = run(accept, &[], &[], &mut whole);
            assert_eq!(end, Ok(Next::Read));
            let shown = Greeting::parse(&take(&mut BytesMut::from(&sent[..]), 0)).unwrap();
            assert_eq!(shown.supports_tls(), tls != ClientTls::Off);
            let hidden = Capabilities::SSL | Capabilities::MULTI_FACTOR_AUTHENTICATION;
            assert_eq!(shown.capabilities.without(hidden), server.capabilities.without(hidden));
            assert!(!shown.capabilities.contains(Capabilities::MULTI_FACTOR_AUTHENTICATION));
            // A challenge is text.
            assert_eq!(shown.scramble, [1; 20].as_slice());
            let (capabilities, scramble) = (server.capabilities, server.scramble.clone());
            assert_eq!(Greeting { capabilities, scramble, ..shown }, server);
        }
    }
}

fn accept_error(options: AcceptOptions, plain: &[u8]) -> (AcceptError, BytesMut) {
    let (end, sent, _) = run(Accept::new(&greeting(MYSQL_9), options), plain, &[], &mut whole);
    let mut sent = BytesMut::from(&sent[..]);
    take(&mut sent, 0);
    (end.unwrap_err(), sent)
}

fn answer(client: Client, proof: &[u8]) -> Bytes {
    packet(1, &Answer { client, proof: Zeroizing::new(proof.to_vec()) }.print())
}

#[test]
fn tls_that_is_required_must_be_asked_for() {
    let plain = answer(Client::new("app", None), b"");
    let (error, mut sent) = accept_error(open(ClientTls::Required), &plain);
    assert_eq!(error, AcceptError::TlsRequired);
    let said = ServerError::parse(take(&mut sent, 2).into()).unwrap();
    assert_eq!((said.code, said.sqlstate.as_str()), (3159, "HY000"));
}

#[test]
fn what_follows_a_request_for_tls_is_tls() {
    let mut client = Client::new("app", None);
    client.capabilities = client.capabilities | Capabilities::SSL;
    let mut accept = Accept::new(&greeting(MYSQL_9), open(ClientTls::Offered));
    let (mut input, mut sent) = (BytesMut::new(), BytesMut::new());
    assert!(matches!(accept.advance(&mut input, &mut sent), Ok(Next::Read)));
    sent.clear();
    // A client does not wait for a word of the server's before it begins TLS.
    input.extend_from_slice(&packet(1, &client.print_fixed()));
    input.extend_from_slice(&answer(client.clone(), b""));
    let left = input.split_off(4 + FIXED);
    input.unsplit(left.clone());
    assert!(matches!(accept.advance(&mut input, &mut sent), Ok(Next::StartTls)));
    // Whatever it is, it is left to TLS.
    assert!(input == left && sent.is_empty());
    // No name is told in the clear.
    let (error, _) = accept_error(open(ClientTls::Offered), &answer(client.clone(), b"secret"));
    assert!(matches!(error, AcceptError::Protocol(ProtocolError::Malformed(_))));
    // Where no TLS is shown, nothing asks for it.
    let end =
        run(Accept::new(&greeting(MYSQL_9), open(ClientTls::Off)), &answer(client, b""), &[], &mut whole).0;
    assert!(matches!(end, Ok(Next::Read)), "{end:?}");
}

#[test]
fn clients_are_told_what_was_wrong() {
    // The protocol of before 4.1: two bytes of capabilities, no SQLSTATE in what is said.
    let (error, mut sent) = accept_error(open(ClientTls::Off), &packet(1, b"\x05\x00\x00\x00\x00app\0"));
    assert_eq!(error, AcceptError::TooOld);
    assert!(take(&mut sent, 2).starts_with(b"\xff\xe3\x04Client does not support"));

    let code = |bytes: &[u8]| {
        let (_, mut sent) = accept_error(open(ClientTls::Off), bytes);
        ServerError::parse(take(&mut sent, 2 - u8::from(bytes[3] == 0)).into()).unwrap().code
    };
    assert_eq!(code(&[0xff, 0xff, 0xff, 1]), 1153);
    assert_eq!(code(&[1, 0, 0, 3]), 1156);
    assert_eq!(code(&packet(1, &[])), 1043);
    assert_eq!(code(&packet(1, &Client::new("app", None).print_fixed())), 1043);
}

#[test]
fn a_long_name_does_not_hide_the_refusal() {
    let user = "ä".repeat(20_000);
    let client = Client { plugin: Some("caching_sha2_password".into()), ..Client::new(&user, None) };
    let (_, mut sent) = accept_error(password(ClientTls::Off, "s3cret"), &answer(client, b"x"));
    let said = ServerError::parse(take(&mut sent, 2).into()).unwrap();
    assert!(
        said.text.starts_with("Access denied for user 'ä") && said.text.ends_with("(using password: YES)")
    );
    let long = error_packet(0, 1, b"HY000", &"ä".repeat(300));
    assert_eq!(long.len(), 4 + 9 + 510);
}

#[test]
fn what_a_client_leaves_out_or_adds_is_borne_as_servers_bear_it() {
    let shown = greeting(MARIADB_11).capabilities;
    let mut client = Client::new("app", None);
    client.capabilities = client.capabilities | Capabilities::CONNECT_ATTRS;
    client.plugin = Some("mysql_native_password".into());
    let full = Answer { client: client.clone(), proof: Zeroizing::default() }.print();
    // Attributes were announced, and none sent.
    let read = Answer::parse(&full[..full.len() - 1], shown).unwrap().client;
    assert_eq!(read.attributes.as_deref(), Some(&[][..]));
    // A capability that was not shown does not count.
    client.capabilities = client.capabilities | Capabilities(1 << 28);
    let full = Answer { client, proof: Zeroizing::default() }.print();
    assert!(!Answer::parse(&full, shown).unwrap().client.capabilities.contains(Capabilities(1 << 28)));
    // Four bytes that are capabilities from a MariaDB client are filler from another.
    let mut fixed = full.to_vec();
    fixed[28..32].copy_from_slice(&[0xff; 4]);
    assert_eq!(Answer::parse(&fixed, shown).unwrap().client.capabilities.extended(), 0);
    fixed[0] &= !1;
    assert_eq!(Answer::parse(&fixed, shown).unwrap().client.capabilities.extended(), 0x3d);
}

/// A client with all that can be passed on.
fn rich_client() -> Client {
    Client {
        capabilities: Capabilities::new(0x0fff_77ff, 0).without(Capabilities::SSL),
        max_packet: 1 << 20,
        charset: 300,
        user: "local".into(),
        database: Some("shop".into()),
        plugin: Some("caching_sha2_password".into()),
        attributes: Some(Bytes::from_static(b"\x04_pid\x0242")),
        zstd_level: Some(7),
        tls: false,
        sequence: 3,
    }
}

fn login(greeting: &Greeting, client: &Client) -> Login {
    Login::new(greeting, client, "iam_user", Zeroizing::new(TOKEN.to_owned()))
}

fn contains_token(bytes: &[u8]) -> bool {
    bytes.windows(TOKEN.len()).any(|part| part == TOKEN.as_bytes())
}

#[test]
fn the_server_is_asked_for_what_the_client_asked_for() {
    let server = greeting(MYSQL_9);
    let client = rich_client();
    let (end, before, after) = run(login(&server, &client), &[], &packet(3, OK), &mut whole);
    assert_eq!(end, Ok(Next::Done(Session { ok: Bytes::from_static(OK) })));
    assert!(!contains_token(&before));
    let request = take(&mut BytesMut::from(&before[..]), 1);
    let payload = take(&mut BytesMut::from(&after[..]), 2);
    assert_eq!((request.len(), &payload[..32]), (32, &request[..]));
    let asked = Answer::parse(&payload, server.capabilities).unwrap();
    assert_eq!(asked.proof.as_slice(), [TOKEN.as_bytes(), &[0]].concat());
    assert_eq!(
        asked.client,
        Client {
            capabilities: client.capabilities
                | Capabilities::SSL
                | Capabilities::SECURE_CONNECTION
                | Capabilities::PLUGIN_AUTH,
            user: "iam_user".into(),
            plugin: Some("mysql_clear_password".into()),
            sequence: 0,
            ..client
        }
    );
    // An old client is given what a token needs, and no more.
    let old =
        Client { capabilities: Capabilities::PROTOCOL_41 | Capabilities::MYSQL, ..Client::new("u", None) };
    let (_, before, _) = run(login(&server, &old), &[], &[], &mut whole);
    let asked = Capabilities::new(u32::from_le_bytes(before[4..8].try_into().unwrap()), 0);
    assert_eq!(
        asked,
        old.capabilities
            | Capabilities::REQUIRED
            | Capabilities::SSL
            | Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA
    );
}

#[test]
fn mariadbs_own_capabilities_are_passed_on() {
    let server = greeting(MARIADB_11);
    let capabilities = Capabilities::new(0x0081_8200, 0x1c);
    let client = Client { capabilities, ..Client::new("u", None) };
    let (_, before, _) = run(login(&server, &client), &[], &[], &mut whole);
    assert_eq!(before[4] & 1, 0);
    assert_eq!(before[4 + 28..], [0x1c, 0, 0, 0]);
}

/// What the server says inside TLS, and what comes of it.
fn scripted(inside: &[u8]) -> (Result<Next<Session>, LoginError>, Vec<u8>) {
    let (end, before, after) = run(login(&greeting(MYSQL_9), &rich_client()), &[], inside, &mut whole);
    assert!(!contains_token(&before));
    (end, after)
}

#[test]
fn the_token_is_given_once_more_when_it_is_asked_for() {
    let ask = b"\xfemysql_clear_password\0";
    let (end, after) = scripted(&[packet(3, ask), packet(5, OK)].concat());
    assert!(matches!(end, Ok(Next::Done(_))));
    let again = packet(4, &[TOKEN.as_bytes(), &[0]].concat());
    assert!(after.ends_with(&again));

    let (end, after) = scripted(&[packet(3, ask), packet(5, ask)].concat());
    assert_eq!(end, Err(ProtocolError::Unexpected(0xfe).into()));
    assert!(after.ends_with(&again));
}

#[test]
fn no_other_plugin_gets_the_token() {
    let answered = scripted(&[]).1;
    for (ask, name) in [
        (&b"\xfecaching_sha2_password\0%\x165HdGeNaNTihJ5YV`yA\0"[..], "caching_sha2_password"),
        (b"\xfemysql_native_password\0{ei\\sOn]efRD>LABhb5\"\0", "mysql_native_password"),
        (b"\xfedialog\0\x04Password: ", "dialog"),
        (b"\xfe", "mysql_old_password"),
        (b"\xfe\x1b\0", "\u{fffd}"),
    ] {
        let (end, after) = scripted(&packet(3, ask));
        assert_eq!(end, Err(LoginError::OtherPlugin(name.to_owned())));
        assert_eq!(after, answered);
    }
}

#[test]
fn a_refusal_is_kept_word_for_word() {
    let payload = b"\xff\x15\x04#28000Access denied for user 'iam'@'localhost' (using password: YES)";
    let (Err(LoginError::Refused(error)), _) = scripted(&packet(3, payload)) else { panic!("let in") };
    assert!(error.is_authentication());
    assert_eq!((error.payload.as_ref(), error.sqlstate.as_str()), (&payload[..], "28000"));
    assert_eq!(rich_client().packet(&error.payload), packet(3, payload));
    let (Err(LoginError::Refused(error)), _) = scripted(&packet(3, b"\xff\x19\x04#42000Unknown database"))
    else {
        panic!("let in")
    };
    assert!(!error.is_authentication());
}

#[test]
fn a_server_that_says_something_else_is_refused() {
    for (payload, error) in [
        (&b""[..], ProtocolError::Malformed("server's verdict")),
        (b"\x00\x00\x00\x02\x00\x00", ProtocolError::Malformed("server's OK")),
        (b"\x00\xff\x00\x02\x00\x00\x00", ProtocolError::Malformed("server's OK")),
        (b"\x01\x04", ProtocolError::Unexpected(1)),
        (b"\x02authentication_webauthn_client\0", ProtocolError::Unexpected(2)),
        (b"\xfemysql_clear_password", ProtocolError::Malformed("server's request for another plugin")),
    ] {
        assert_eq!(scripted(&packet(3, payload)).0, Err(error.into()));
    }
    assert_eq!(scripted(&packet(2, OK)).0, Err(ProtocolError::OutOfOrder { expected: 3, found: 2 }.into()));
}

#[test]
fn no_token_without_tls() {
    let mut server = greeting(MYSQL_9);
    let (mut input, mut output) = (BytesMut::from(&b"x"[..]), BytesMut::new());
    let mut early = login(&server, &rich_client());
    assert_eq!(early.advance(&mut input, &mut output), Err(ProtocolError::BeforeTls.into()));
    assert_eq!(early.advance(&mut BytesMut::new(), &mut output), Err(ProtocolError::Over.into()));
    server.capabilities = server.capabilities.without(Capabilities::SSL);
    let (end, before, after) = run(login(&server, &rich_client()), &[], &packet(3, OK), &mut whole);
    assert!(end == Err(LoginError::NoTls) && before.is_empty() && after.is_empty() && output.is_empty());
}

#[test]
fn a_server_without_room_for_a_token_is_asked_to_ask() {
    let mut server = greeting(MYSQL_9);
    server.capabilities = server.capabilities.without(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA);
    // An account without a password.
    let (end, _, after) = run(login(&server, &rich_client()), &[], &packet(3, OK), &mut whole);
    assert!(end == Err(ProtocolError::Unexpected(0).into()) && !contains_token(&after));

    let inside = [packet(3, b"\xfemysql_clear_password\0"), packet(5, OK)].concat();
    let (end, _, after) = run(login(&server, &rich_client()), &[], &inside, &mut whole);
    assert!(matches!(end, Ok(Next::Done(_))));
    let mut after = BytesMut::from(&after[..]);
    let asked = Answer::parse(&take(&mut after, 2), server.capabilities).unwrap();
    assert!(asked.proof.is_empty() && asked.client.plugin.unwrap() == "caching_sha2_password");
    assert!(contains_token(&take(&mut after, 4)));
}

#[test]
fn names_end_at_a_nul() {
    let server = greeting(MYSQL_9);
    let token = || Zeroizing::new(TOKEN.to_owned());
    for (login, what) in [
        (Login::new(&server, &rich_client(), "root\0", token()), "user's name"),
        (Login::new(&server, &Client::new("u", Some("a\0b")), "u", token()), "database's name"),
        (Login::new(&server, &rich_client(), "u", Zeroizing::new("a\0".to_owned())), "token"),
    ] {
        let (end, sent, _) = run(login, &[], &[], &mut whole);
        assert!(end == Err(LoginError::Nul(what)) && sent.is_empty());
    }
}

#[test]
fn secrets_are_not_shown_to_people() {
    let shown = format!(
        "{:?} {:?}",
        login(&greeting(MYSQL_9), &rich_client()),
        Accept::new(&greeting(MYSQL_9), password(ClientTls::Off, "s3cret"))
    );
    assert!(!shown.contains("Signature") && !shown.contains("s3cret") && !shown.contains("115, 51"));
}

#[test]
fn payloads_longer_than_a_packet_go_on_in_the_next() {
    let long = packet(255, &vec![7; 0xff_ffff]);
    assert_eq!(long.len(), 4 + 0xff_ffff + 4);
    assert_eq!((&long[..4], &long[4 + 0xff_ffff..]), (&[255, 255, 255, 255][..], &[0, 0, 0, 0][..]));
}

fn name() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(1..=255u8, 0..40).prop_map(Bytes::from)
}

prop_compose! {
    fn any_greeting()(
        version in name(),
        connection_id: u32,
        basic: u32,
        extended: u32,
        charset: u8,
        status: u16,
        plugin in name(),
        scramble in prop::collection::vec(1..=255u8, 20..100),
    ) -> Greeting {
        let basic = Capabilities::new(basic, 0) | Capabilities::REQUIRED;
        let extended = if basic.contains(Capabilities::MYSQL) { 0 } else { extended };
        let capabilities = basic | Capabilities::new(0, extended);
        Greeting { version, connection_id, capabilities, charset, status, plugin, scramble: scramble.into() }
    }
}

prop_compose! {
    fn any_client()(
        basic: u32,
        extended in 0..=0x3fu32,
        max_packet: u32,
        charset: u16,
        (user, database, plugin) in (name(), name(), name()),
        attributes in prop::collection::vec(any::<u8>(), 0..400),
        zstd_level: u8,
    ) -> Client {
        let basic = Capabilities::new(basic, 0) | Capabilities::PROTOCOL_41;
        let extended = if basic.contains(Capabilities::MYSQL) { 0 } else { extended };
        let capabilities = basic | Capabilities::new(0, extended);
        let has = |flag, part: Bytes| capabilities.contains(flag).then_some(part);
        Client {
            capabilities,
            max_packet,
            charset,
            user,
            database: has(Capabilities::CONNECT_WITH_DB, database),
            plugin: has(Capabilities::PLUGIN_AUTH, plugin),
            attributes: has(Capabilities::CONNECT_ATTRS, attributes.into()),
            zstd_level: capabilities
                .contains(Capabilities::ZSTD_COMPRESSION_ALGORITHM)
                .then_some(zstd_level),
            tls: false,
            sequence: 0,
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_is_parsed(greeting in any_greeting(), client in any_client(), proof in prop::collection::vec(1..=255u8, 0..255)) {
        prop_assert_eq!(&Greeting::parse(&greeting.print()).unwrap(), &greeting);
        let printed = Answer { client: client.clone(), proof: Zeroizing::new(proof.clone()) }.print();
        let parsed = Answer::parse(&printed, Capabilities(u64::MAX)).unwrap();
        prop_assert_eq!(parsed.client, client);
        prop_assert_eq!(parsed.proof.as_slice(), proof);
    }

    #[test]
    fn integers_are_read_as_written(integer in prop_oneof![0..0x400usize, 0..0x200_0000usize, any::<usize>()]) {
        let mut written = Vec::new();
        put_integer(&mut written, integer);
        let mut fields = Fields::new(&written, "");
        prop_assert_eq!(fields.integer(), Ok(integer as u64));
        prop_assert!(fields.is_empty());
        prop_assert!(Fields::new(&written[..written.len() - 1], "").integer().is_err());
    }

    #[test]
    fn it_does_not_matter_how_bytes_are_cut(
        greeting in any_greeting(),
        client in any_client(),
        proof in prop::collection::vec(any::<u8>(), 0..64),
        pieces in prop::collection::vec(1..50usize, 1..20),
    ) {
        let cut = || {
            let mut pieces = pieces.iter().cycle();
            move || *pieces.next().unwrap()
        };
        let stream = packet(0, &greeting.print());
        let whole_end = run(Greet::new(), &stream, &[], &mut whole);
        prop_assert_eq!(&run(Greet::new(), &stream, &[], &mut cut()), &whole_end);
        prop_assert_eq!(whole_end.0, Ok(Next::Done(greeting.clone())));

        let plain = answer(Client { capabilities: client.capabilities.without(Capabilities::SSL), ..client.clone() }, &proof);
        let more = [&plain[..], &packet(3, &proof)[..]].concat();
        let accept = || Accept::new(&greeting, password(ClientTls::Offered, "s3cret"));
        prop_assert_eq!(run(accept(), &more, &[], &mut cut()), run(accept(), &more, &[], &mut whole));

        let inside = [packet(3, b"\xfemysql_clear_password\0"), packet(5, OK)].concat();
        prop_assert_eq!(
            run(login(&greeting, &client), &[], &inside, &mut cut()),
            run(login(&greeting, &client), &[], &inside, &mut whole)
        );
    }

    #[test]
    fn nothing_succeeds_that_is_cut_short(greeting in any_greeting(), client in any_client(), at: prop::sample::Index) {
        let stream = packet(0, &greeting.print());
        let cut = &stream[..at.index(stream.len())];
        prop_assert_eq!(run(Greet::new(), cut, &[], &mut whole).0, Ok(Next::Read));

        let capabilities = client.capabilities.without(Capabilities::SSL);
        let stream = answer(Client { capabilities, ..client.clone() }, b"");
        let cut = &stream[..at.index(stream.len())];
        let end = run(Accept::new(&greeting, open(ClientTls::Off)), cut, &[], &mut whole).0;
        prop_assert_eq!(end, Ok(Next::Read));

        if greeting.supports_tls() {
            let stream = packet(3, OK);
            let cut = &stream[..at.index(stream.len())];
            prop_assert_eq!(run(login(&greeting, &client), &[], cut, &mut whole).0, Ok(Next::Read));
        }
    }

    #[test]
    fn fields_that_are_cut_short_are_seen(client in any_client(), at: prop::sample::Index) {
        // Without what may be left out, every byte counts.
        let flags = Capabilities::PLUGIN_AUTH | Capabilities::CONNECT_ATTRS;
        let client = Client { capabilities: client.capabilities.without(flags), ..client };
        let printed = Answer { client, proof: Zeroizing::new(b"proof".to_vec()) }.print();
        let cut = &printed[..at.index(printed.len())];
        prop_assert!(Answer::parse(cut, Capabilities(u64::MAX)).is_err());
    }

    #[test]
    fn hostile_bytes_are_only_refused(plain in prop::collection::vec(any::<u8>(), 0..300)) {
        let framed = |sequence, payload: &[u8]| packet(sequence, payload);
        let mut greeting_like = vec![10];
        greeting_like.put_slice(&plain);
        for (plain, stream) in [(false, framed(0, &greeting_like)), (true, plain.clone().into())] {
            let end = run(Greet::new(), &stream, &[], &mut whole).0;
            prop_assert!(!plain || !matches!(end, Ok(Next::Done(_))));
        }
        let accept = || Accept::new(&greeting(MARIADB_11), password(ClientTls::Offered, "s3cret"));
        let mut answer_like = vec![0, 0x82];
        answer_like.put_slice(&plain);
        prop_assert!(!matches!(run(accept(), &framed(1, &answer_like), &[], &mut whole).0, Ok(Next::Done(_))));
        let end = run(login(&greeting(MYSQL_9), &rich_client()), &[], &framed(3, &plain), &mut whole).0;
        prop_assert!(plain.first() == Some(&0) || !matches!(end, Ok(Next::Done(_))));
    }
}
