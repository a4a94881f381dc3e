//! The plugin as a server sees it: found through the exported declarations, and called through their C functions
//! with a connection of the test's own. What the servers themselves do with it is not told by these tests.

#![allow(unsafe_code)]
// The helpers outside of the test functions fail a test as those do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::ffi::{CStr, c_char, c_int, c_uchar};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use auth_countersign::abi::mariadb::{self, _maria_plugin_declarations_};
use auth_countersign::abi::mysql::{self, _mysql_plugin_declarations_, my_plugin_log_service};
use auth_countersign::abi::{AuthInfo, Authenticate, PROTOCOL_SOCKET, PROTOCOL_TCP, UNTOLD, Vio, VioInfo};
use ipc::{Answer, Door, Question, RequestId, Status};

const OK: c_int = -1;
const REFUSED: c_int = 1;
const FAILED: c_int = 3;
const JANE: &str = "arn:aws:iam::123456789012:user/jane";

/// How a server's series tells of TLS.
#[derive(Clone, Copy)]
enum Tls {
    /// MySQL: one byte.
    Byte(bool),
    /// MariaDB from 11.4 on: an `int`.
    Int(bool),
    /// It does not.
    Untold,
}

/// What stands behind the pointer that the plugin is given.
#[repr(C)]
struct Connection {
    vio: Vio,
    protocol: c_int,
    socket: c_int,
    tls: Tls,
    packet: Option<Vec<u8>>,
    /// The user, set when a packet is read, as MariaDB does it.
    late: Option<(*mut *const c_char, *const c_char)>,
    packets_read: usize,
}

impl Connection {
    fn new(tls: Tls, packet: &[u8]) -> Box<Self> {
        Box::new(Self {
            vio: Vio { read_packet: Some(read_packet), write_packet: None, info: Some(info) },
            protocol: PROTOCOL_TCP,
            socket: -1,
            tls,
            packet: Some(packet.to_vec()),
            late: None,
            packets_read: 0,
        })
    }
}

extern "C" fn read_packet(vio: *mut Vio, packet: *mut *mut c_uchar) -> c_int {
    let connection: *mut Connection = vio.cast();
    // SAFETY: the plugin passes on the pointer to the connection's first field, and a place for a pointer.
    unsafe {
        (*connection).packets_read += 1;
        if let Some((place, user)) = (*connection).late {
            *place = user;
        }
        match (*connection).packet.as_mut() {
            Some(bytes) => {
                *packet = bytes.as_mut_ptr();
                bytes.len() as c_int
            }
            None => -1,
        }
    }
}

extern "C" fn info(vio: *mut Vio, told: *mut VioInfo) {
    let connection: *mut Connection = vio.cast();
    // SAFETY: as in `read_packet`, and the plugin's own struct, which it filled before.
    unsafe {
        assert_eq!(((*told).tls, (*told).reserve), ([UNTOLD; 4], [UNTOLD; 52]));
        (*told).protocol = (*connection).protocol;
        (*told).socket = (*connection).socket;
        match (*connection).tls {
            Tls::Byte(tls) => (*told).tls = [tls.into(), 0, 0, 0],
            Tls::Int(tls) => (*told).tls = c_int::from(tls).to_ne_bytes(),
            Tls::Untold => {}
        }
    }
}

/// What a server's thread gives to a plugin, with fields around those of interest that must stay as they are.
fn auth_info<const USER: usize>(user: &'static CStr, string: &'static str) -> Box<AuthInfo<USER>> {
    let mut authenticated_as = [0x55; USER];
    authenticated_as[0] = b'j' as c_char;
    authenticated_as[1] = 0;
    Box::new(AuthInfo {
        user_name: user.as_ptr(),
        user_name_length: user.count_bytes() as u32,
        auth_string: string.as_ptr().cast(),
        auth_string_length: string.len() as u64,
        authenticated_as,
        external_user: [0; 512],
        password_used: 0,
        host_or_ip: c"localhost".as_ptr(),
        host_or_ip_length: 9,
    })
}

fn external_user<const USER: usize>(info: &AuthInfo<USER>) -> String {
    let bytes: Vec<u8> = info.external_user.iter().map(|byte| *byte as u8).collect();
    CStr::from_bytes_until_nul(&bytes).unwrap().to_str().unwrap().to_owned()
}

fn mysql_plugin(place: usize) -> &'static mysql::Descriptor {
    // SAFETY: the array is a static with three elements, of which the first two have a descriptor.
    unsafe { &*(*_mysql_plugin_declarations_.get())[place].info }
}

fn mariadb_plugin(place: usize) -> &'static mariadb::Descriptor {
    // SAFETY: as in `mysql_plugin`.
    unsafe { &*(*_maria_plugin_declarations_.get())[place].info }
}

fn call<const USER: usize>(
    authenticate: Authenticate<USER>,
    connection: &mut Connection,
    info: &mut AuthInfo<USER>,
) -> c_int {
    // SAFETY: both outlive the call; the connection's functions cast back to what is passed here.
    let code = unsafe { authenticate(ptr::from_mut(connection).cast(), ptr::from_mut(info)) };
    assert_eq!(info.authenticated_as[..3], [b'j' as c_char, 0, 0x55]);
    assert_eq!((info.host_or_ip, info.host_or_ip_length), (c"localhost".as_ptr(), 9));
    code
}

/// The plugin asks in the working directory and logs through a static, and a process has one of each.
struct DataDirectory {
    _directory: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

fn data_directory() -> DataDirectory {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    std::env::set_current_dir(directory.path()).unwrap();
    DataDirectory { _directory: directory, _alone: alone }
}

/// Answers one question, which must be for `token`, with `reply`, and hands back the client's address in it.
fn countersign(token: &'static [u8], reply: Vec<u8>) -> std::thread::JoinHandle<String> {
    let listener = UnixListener::bind("countersign.sock").unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        let mut chunk = [0; 65_536];
        loop {
            let read = stream.read(&mut chunk).unwrap();
            bytes.extend(&chunk[..read]);
            if let Some((question, _)) = Question::decode(&bytes).unwrap() {
                assert_eq!((question.door, question.user), (Door::Mysql, &b"jane"[..]));
                assert!(question.token == token);
                stream.write_all(&reply).unwrap();
                return String::from_utf8(question.remote.to_vec()).unwrap();
            }
        }
    })
}

fn answer(status: Status) -> Vec<u8> {
    Answer { request_id: RequestId(0xbeef), status }.encode().unwrap()
}

fn allowed() -> Vec<u8> {
    answer(Status::Allowed { principal: JANE.to_owned() })
}

#[test]
fn a_token_goes_to_countersign_and_its_answer_to_mysql() {
    let _directory = data_directory();
    // As long as a question has room for.
    let token: &'static [u8] = vec![b'x'; ipc::MAX_FRAME - 64].leak();
    let packet = [token, b"\0"].concat();
    let answering = countersign(token, allowed());
    let mut info = auth_info(c"jane", "RDS");
    let mut connection = Connection::new(Tls::Byte(true), &packet);
    assert_eq!(call(mysql_plugin(0).authenticate_user, &mut connection, &mut info), OK);
    assert_eq!((external_user(&info).as_str(), info.password_used), (JANE, 2));
    assert_eq!(answering.join().unwrap(), "");

    for (reply, code) in [
        (answer(Status::Refused), REFUSED),
        (answer(Status::Unavailable), FAILED),
        (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), FAILED),
        (Vec::new(), FAILED),
    ] {
        std::fs::remove_file("countersign.sock").unwrap();
        let answering = countersign(b"t", reply);
        let mut info = auth_info(c"jane", "RDS");
        let mut connection = Connection::new(Tls::Byte(true), b"t\0");
        assert_eq!(call(mysql_plugin(0).authenticate_user, &mut connection, &mut info), code);
        assert_eq!((external_user(&info).as_str(), info.password_used), ("", 1));
        answering.join().unwrap();
    }
}

#[test]
fn a_token_goes_to_countersign_and_its_answer_to_mariadb() {
    let _directory = data_directory();
    let answering = countersign(b"t", allowed());
    let mut info = auth_info(c"jane", "RDS");
    // MariaDB tells the user when the packet is read.
    let mut connection = Connection::new(Tls::Int(true), b"t\0");
    connection.late = Some((&raw mut info.user_name, info.user_name));
    info.user_name = ptr::null();
    assert_eq!(call(mariadb_plugin(0).authenticate_user, &mut connection, &mut info), OK);
    assert_eq!((external_user(&info).as_str(), info.password_used), (JANE, 2));
    answering.join().unwrap();
}

#[test]
fn the_clients_address_is_that_of_the_socket() {
    let _directory = data_directory();
    for (listen, remote) in [("127.0.0.1:0", "127.0.0.1"), ("[::]:0", "127.0.0.1"), ("[::1]:0", "::1")] {
        let listener = TcpListener::bind(listen).unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = if listen == "[::1]:0" { "[::1]" } else { "127.0.0.1" };
        let _client = TcpStream::connect(format!("{host}:{port}")).unwrap();
        let (server, _) = listener.accept().unwrap();
        let answering = countersign(b"t", allowed());
        let mut info = auth_info(c"jane", "RDS");
        let mut connection = Connection::new(Tls::Byte(true), b"t\0");
        connection.socket = server.as_raw_fd();
        assert_eq!(call(mysql_plugin(0).authenticate_user, &mut connection, &mut info), OK);
        assert_eq!(answering.join().unwrap(), remote, "{listen}");
        std::fs::remove_file("countersign.sock").unwrap();
    }
}

#[test]
fn nothing_is_read_from_a_client_without_tls() {
    let _alone = data_directory();
    for (tls, protocol) in [
        (Tls::Byte(false), PROTOCOL_TCP),
        (Tls::Int(false), PROTOCOL_TCP),
        (Tls::Int(false), PROTOCOL_SOCKET),
        // This program has no such variable as the servers that do not tell, so it requires nothing.
        (Tls::Untold, PROTOCOL_TCP),
        (Tls::Untold, PROTOCOL_SOCKET),
    ] {
        let mut info = auth_info(c"jane", "RDS");
        let mut connection = Connection::new(tls, b"t\0");
        connection.protocol = protocol;
        assert_eq!(call(mysql_plugin(0).authenticate_user, &mut connection, &mut info), REFUSED);
        assert_eq!((connection.packets_read, info.password_used), (0, 0));

        let mut info = auth_info(c"jane", "RDS");
        info.user_name = ptr::null();
        assert_eq!(call(mariadb_plugin(0).authenticate_user, &mut connection, &mut info), REFUSED);
        assert_eq!((connection.packets_read, info.password_used), (0, 0));
    }
}

#[test]
fn a_silent_countersign_is_waited_for_two_seconds() {
    let _directory = data_directory();
    let _listener = UnixListener::bind("countersign.sock").unwrap();
    let mut info = auth_info(c"jane", "RDS");
    let mut connection = Connection::new(Tls::Byte(true), b"t\0");
    let asked = Instant::now();
    assert_eq!(call(mysql_plugin(0).authenticate_user, &mut connection, &mut info), FAILED);
    let waited = asked.elapsed();
    assert!(waited >= Duration::from_secs(2) && waited < Duration::from_millis(2_500), "{waited:?}");
}

#[test]
fn what_is_no_token_or_no_connection_is_refused() {
    let _directory = data_directory();
    let mut info = auth_info(c"jane", "RDS");
    let mut connection = Connection::new(Tls::Byte(true), &vec![b'x'; 130_000]);
    assert_eq!(call(mysql_plugin(0).authenticate_user, &mut connection, &mut info), REFUSED);
    assert_eq!(info.password_used, 1);

    connection.packet = None;
    let mut info = auth_info(c"jane", "RDS");
    assert_eq!(call(mysql_plugin(0).authenticate_user, &mut connection, &mut info), FAILED);
    assert_eq!(info.password_used, 0);

    let answering = countersign(b"a\0b", answer(Status::Refused));
    connection.packet = Some(b"a\0b\0".to_vec());
    assert_eq!(call(mysql_plugin(0).authenticate_user, &mut connection, &mut info), REFUSED);
    answering.join().unwrap();

    connection.vio = Vio { read_packet: None, write_packet: None, info: None };
    assert_eq!(call(mysql_plugin(0).authenticate_user, &mut connection, &mut info), REFUSED);
    // SAFETY: null pointers are refused.
    unsafe {
        assert_eq!((mysql_plugin(0).authenticate_user)(ptr::null_mut(), ptr::null_mut()), FAILED);
        assert_eq!((mariadb_plugin(1).authenticate_user)(ptr::null_mut(), ptr::null_mut()), FAILED);
    }
}

#[test]
fn the_administrator_comes_through_the_socket_as_a_listed_user() {
    let _alone = data_directory();
    let (server, _client) = UnixStream::pair().unwrap();
    // SAFETY: takes nothing, and cannot fail.
    let ours = unsafe { libc::geteuid() };
    let listed: &'static str = format!("4000000000,{ours}").leak();
    for (protocol, string, code) in [
        (PROTOCOL_SOCKET, listed, OK),
        (PROTOCOL_TCP, listed, REFUSED),
        (PROTOCOL_SOCKET, "4000000000", REFUSED),
        (PROTOCOL_SOCKET, "", REFUSED),
    ] {
        let mut connection = Connection::new(Tls::Byte(false), b"");
        connection.protocol = protocol;
        connection.socket = server.as_raw_fd();
        let mut info = auth_info(c"countersign", string);
        assert_eq!(call(mysql_plugin(1).authenticate_user, &mut connection, &mut info), code, "{string}");
        assert_eq!(connection.packets_read, 0);
        let mut info = auth_info(c"countersign", string);
        assert_eq!(call(mariadb_plugin(1).authenticate_user, &mut connection, &mut info), code, "{string}");
    }
}

#[test]
fn accounts_have_rds_or_user_ids_and_no_passwords() {
    let text = |text: &str| (text.as_ptr().cast::<c_char>(), text.len());
    for (place, string, code) in [
        (0, "RDS", 0),
        (0, "rds", 0),
        (0, "", 0),
        (0, "secret", 1),
        (1, "0", 0),
        (1, "0,112", 0),
        (1, "", 1),
        (1, "root", 1),
    ] {
        let (start, length) = text(string);
        let mut out = [0_u8; 8];
        let mut out_length = out.len();
        let preprocess = mariadb_plugin(place).preprocess_hash.unwrap();
        // SAFETY: the strings and the places for the results outlive the calls.
        unsafe {
            assert_eq!((mysql_plugin(place).validate_authentication_string)(start, length as u32), code);
            assert_eq!(preprocess(start, length, out.as_mut_ptr(), &raw mut out_length), code);
        }
        if code == 0 {
            assert_eq!(&out[..out_length], string.as_bytes());
        }
    }
    let (start, length) = text("secret");
    let mut out = [0 as c_char; 8];
    let mut out_length = 8;
    let mut salt_length = 9;
    let mut error = 0;
    // SAFETY: as above.
    unsafe {
        let generate = mysql_plugin(0).generate_authentication_string;
        assert_eq!(generate(out.as_mut_ptr(), &raw mut out_length, start, length as u32), 1);
        assert_eq!(generate(out.as_mut_ptr(), &raw mut out_length, start, 0), 0);
        assert_eq!(out_length, 0);
        let generate = mysql_plugin(1).generate_authentication_string;
        assert_eq!(generate(out.as_mut_ptr(), &raw mut out_length, start, 0), 1);
        let salt = mysql_plugin(0).set_salt;
        assert_eq!(salt(start, 3, ptr::null_mut(), &raw mut salt_length), 0);
        assert_eq!(salt_length, 0);
        let compare = mysql_plugin(0).compare_password_with_hash;
        assert_eq!((compare(start, 6, start, 6, &raw mut error), error), (1, 1));
    }
    assert!(mariadb_plugin(0).hash_password.is_none() && mariadb_plugin(1).hash_password.is_none());
}

#[test]
fn both_products_find_two_plugins_and_the_end() {
    let name = |name: *const c_char| {
        // SAFETY: the declarations' names are NUL-terminated and static.
        unsafe { CStr::from_ptr(name) }.to_str().unwrap().to_owned()
    };
    // SAFETY: statics that nothing writes to here.
    let (mysql, mariadb) =
        unsafe { (&*_mysql_plugin_declarations_.get(), &*_maria_plugin_declarations_.get()) };
    for (place, expected) in ["AWSAuthenticationPlugin", "countersign_administrator"].iter().enumerate() {
        assert_eq!((name(mysql[place].name).as_str(), mysql[place].kind), (*expected, 7));
        assert_eq!((name(mariadb[place].name).as_str(), mariadb[place].kind), (*expected, 7));
    }
    assert!(mysql[2].info.is_null() && mariadb[2].info.is_null());
    assert_eq!(name(mysql_plugin(0).client_plugin), "mysql_clear_password");
    assert_eq!(name(mariadb_plugin(0).client_plugin), "mysql_clear_password");
    assert!(mysql_plugin(1).client_plugin.is_null() && mariadb_plugin(1).client_plugin.is_null());
}

#[test]
fn mysqls_log_gets_the_line_as_an_argument_and_not_as_a_format() {
    static LINES: Mutex<Vec<(usize, c_int, String)>> = Mutex::new(Vec::new());

    /// Takes variable arguments in the server; on the targets of these tests one pointer is passed alike either way.
    extern "C" fn message(
        plugin: *const *mut std::ffi::c_void,
        level: c_int,
        format: *const c_char,
        line: *const c_char,
    ) -> c_int {
        // SAFETY: the plugin passes a pointer to its handle, and NUL-terminated strings.
        unsafe {
            assert_eq!(CStr::from_ptr(format), c"%s");
            LINES.lock().unwrap().push((
                (*plugin).addr(),
                level,
                CStr::from_ptr(line).to_str().unwrap().to_owned(),
            ));
        }
        0
    }

    let _directory = data_directory();
    let mut service = (message as extern "C" fn(_, _, _, _) -> _) as *const ();
    // SAFETY: statics that nothing writes to here, and functions of the declarations.
    unsafe {
        let plugin = &(*_mysql_plugin_declarations_.get())[0];
        let before =
            my_plugin_log_service.swap((&raw mut service).cast(), std::sync::atomic::Ordering::SeqCst);
        let mut handle = 0_u8;
        let handle: *mut u8 = &raw mut handle;
        assert_eq!(plugin.init.unwrap()(handle.cast()), 0);
        let mut info = auth_info(c"ja%nne", "RDS");
        let mut connection = Connection::new(Tls::Byte(false), b"t\0");
        assert_eq!(call(mysql_plugin(0).authenticate_user, &mut connection, &mut info), REFUSED);
        let line = "refused `ja%nne`: tokens travel in TLS only; connect with TLS".to_owned();
        assert_eq!(*LINES.lock().unwrap(), [(handle.addr(), 1, line)]);
        assert_eq!(plugin.deinit.unwrap()(handle.cast()), 0);
        assert_eq!(call(mysql_plugin(0).authenticate_user, &mut connection, &mut info), REFUSED);
        assert_eq!(LINES.lock().unwrap().len(), 1);
        my_plugin_log_service.store(before, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn the_file_exports_the_declarations_and_nothing_else() {
    let tests = std::env::current_exe().unwrap();
    let plugin = tests.with_file_name("libauth_countersign.so");
    let output = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(&plugin)
        .output()
        .expect("needs `nm` (binutils)");
    assert!(output.status.success(), "nm {}", plugin.display());
    let text = String::from_utf8(output.stdout).unwrap();
    let symbols: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert_eq!(
        symbols,
        [
            "_maria_plugin_declarations_",
            "_maria_plugin_interface_version_",
            "_maria_sizeof_struct_st_plugin_",
            "_mysql_plugin_declarations_",
            "_mysql_plugin_interface_version_",
            "_mysql_sizeof_struct_st_plugin_",
            "my_plugin_log_service"
        ]
    );
}
