//! The C entry points against a libpam of the test's own: this program defines the three functions that the
//! module takes from its host, so the calls cross the same boundary as in a database server.

#![allow(unsafe_code)]
// The helpers outside of the test functions fail a test as those do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::ptr;

use ipc::{Answer, Door, Question, RequestId, Status};
use pam_countersign::entry::{
    Handle, pam_sm_acct_mgmt, pam_sm_authenticate, pam_sm_chauthtok, pam_sm_close_session,
    pam_sm_open_session, pam_sm_setcred,
};

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Converse = extern "C" fn(c_int, *const *const Message, *mut *mut Response, *mut Host) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Option<Converse>,
    host: *mut Host,
}

/// What stands behind the handle.
struct Host {
    user: Option<CString>,
    remote: Option<CString>,
    password: Option<CString>,
    conversation: Conversation,
    messages: Vec<(c_int, String)>,
    log: Vec<(c_int, String)>,
}

impl Host {
    fn new(password: &str) -> Box<Self> {
        let mut host = Box::new(Self {
            user: Some(c"jane".into()),
            remote: Some(c"192.0.2.7".into()),
            password: Some(CString::new(password).unwrap()),
            conversation: Conversation { converse: Some(converse), host: ptr::null_mut() },
            messages: Vec::new(),
            log: Vec::new(),
        });
        host.conversation.host = &raw mut *host;
        host
    }

    fn authenticate(&mut self, arguments: &[&str]) -> c_int {
        let words: Vec<CString> = arguments.iter().map(|word| CString::new(*word).unwrap()).collect();
        let mut pointers: Vec<*const c_char> = words.iter().map(|word| word.as_ptr()).collect();
        let count = pointers.len() as c_int;
        pointers.push(ptr::null());
        let handle: *mut Handle = (&raw mut *self).cast();
        // SAFETY: the handle is what this program's libpam expects, and the arguments outlive the call.
        unsafe { pam_sm_authenticate(handle, 0, count, pointers.as_ptr()) }
    }
}

#[unsafe(no_mangle)]
extern "C" fn pam_get_user(host: *mut Host, user: *mut *const c_char, _prompt: *const c_char) -> c_int {
    // SAFETY: the module passes on the handle it was given, and a place for a pointer.
    unsafe { *user = (*host).user.as_ref().map_or(ptr::null(), |user| user.as_ptr()) };
    0
}

#[unsafe(no_mangle)]
extern "C" fn pam_get_item(host: *mut Host, item: c_int, value: *mut *const c_void) -> c_int {
    // SAFETY: as in `pam_get_user`.
    unsafe {
        *value = match item {
            4 => (*host).remote.as_ref().map_or(ptr::null(), |remote| remote.as_ptr().cast()),
            5 => (&raw const (*host).conversation).cast(),
            _ => return 29,
        };
    }
    0
}

/// Takes variable arguments in libpam; on the targets of these tests one pointer is passed alike either way.
#[unsafe(no_mangle)]
extern "C" fn pam_syslog(host: *mut Host, priority: c_int, format: *const c_char, line: *const c_char) {
    // SAFETY: as in `pam_get_user`; the strings are NUL-terminated.
    unsafe {
        assert_eq!(CStr::from_ptr(format), c"%s", "a line of text must never be a format");
        (*host).log.push((priority, CStr::from_ptr(line).to_str().unwrap().to_owned()));
    }
}

extern "C" fn converse(
    count: c_int,
    messages: *const *const Message,
    responses: *mut *mut Response,
    host: *mut Host,
) -> c_int {
    assert_eq!(count, 1);
    // SAFETY: the module sends one message and a place for a pointer; what is allocated here is its to free.
    unsafe {
        let message = &**messages;
        (*host).messages.push((message.style, CStr::from_ptr(message.text).to_str().unwrap().to_owned()));
        let text = match (message.style, &(*host).password) {
            (1, Some(password)) => libc::strdup(password.as_ptr()),
            (1, None) => return 19,
            _ => ptr::null_mut(),
        };
        let response = libc::malloc(size_of::<Response>()).cast::<Response>();
        response.write(Response { text, code: 0 });
        *responses = response;
    }
    0
}

/// Answers one question with `status` at a fresh socket, whose argument it returns.
fn countersign(token: String, status: Status) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("countersign.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        loop {
            let mut chunk = [0; 65_536];
            let read = stream.read(&mut chunk).unwrap();
            bytes.extend(&chunk[..read]);
            if let Some((question, _)) = Question::decode(&bytes).unwrap() {
                assert_eq!(
                    (question.door, question.user, question.remote),
                    (Door::Pam, &b"jane"[..], &b"192.0.2.7"[..])
                );
                assert!(question.token == token.as_bytes());
                break;
            }
        }
        stream.write_all(&Answer { request_id: RequestId(0xbeef), status }.encode().unwrap()).unwrap();
    });
    (directory, format!("socket={}", path.display()))
}

#[test]
fn a_token_goes_to_countersign_and_its_answer_to_the_host() {
    // The longest password that PostgreSQL passes on.
    let token = "x".repeat(65_530);
    let principal = "arn:aws:iam::123456789012:user/jane".to_owned();
    let (_directory, socket) = countersign(token.clone(), Status::Allowed { principal });
    let mut host = Host::new(&token);
    assert_eq!(host.authenticate(&[&socket]), 0);
    assert_eq!(host.messages, [(1, "Password: ".to_owned())]);
    assert_eq!(host.log[0].0, libc::LOG_INFO);

    let (_directory, socket) = countersign("t".to_owned(), Status::Refused);
    let mut host = Host::new("t");
    assert_eq!(host.authenticate(&[&socket]), 7);
    let line = "refused `jane`, request 000000000000beef; Countersign's log has the reason";
    assert_eq!(host.messages[1], (3, format!("pam_countersign: {line}")));
    assert_eq!(host.log, [(libc::LOG_NOTICE, line.to_owned())]);
}

#[test]
fn a_host_that_gives_nothing_gets_no_login() {
    let mut host = Host::new("t");
    assert_eq!(host.authenticate(&["socket=/nonexistent/c.sock"]), 9);
    assert_eq!(host.authenticate(&["bogus"]), 3);
    host.user = None;
    assert_eq!(host.authenticate(&[]), 3);
    let mut host = Host::new("t");
    host.password = None;
    assert_eq!(host.authenticate(&[]), 19);
    host.conversation.converse = None;
    assert_eq!(host.authenticate(&[]), 19);
    // SAFETY: a null handle is refused, and there are no arguments.
    assert_eq!(unsafe { pam_sm_authenticate(ptr::null_mut(), 0, 0, ptr::null()) }, 3);
}

#[test]
fn the_other_entry_points_have_fixed_answers() {
    let answers =
        [pam_sm_setcred, pam_sm_acct_mgmt, pam_sm_open_session, pam_sm_close_session, pam_sm_chauthtok]
            .map(|entry| entry(ptr::null_mut(), 0, 0, ptr::null()));
    assert_eq!(answers, [0, 0, 25, 25, 3]);
}

#[test]
fn the_module_exports_the_entry_points_and_nothing_else() {
    let tests = std::env::current_exe().unwrap();
    let module = tests.with_file_name("libpam_countersign.so");
    let symbols = |which: &str| -> Vec<String> {
        let output =
            Command::new("nm").args(["-D", which]).arg(&module).output().expect("needs `nm` (binutils)");
        assert!(
            output.status.success(),
            "nm {}: {}",
            module.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect()
    };
    assert_eq!(
        symbols("--defined-only"),
        [
            "pam_sm_acct_mgmt",
            "pam_sm_authenticate",
            "pam_sm_chauthtok",
            "pam_sm_close_session",
            "pam_sm_open_session",
            "pam_sm_setcred"
        ]
    );
    let mut wanted = symbols("--undefined-only");
    wanted.retain(|symbol| symbol.starts_with("pam_"));
    assert_eq!(wanted, ["pam_get_item", "pam_get_user", "pam_syslog"]);
}
