//! The server's side of one login, as [`Client`]: the pointers that it passed, read and written in one place.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uchar};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use ipc::Secret;

use crate::abi::{
    AuthInfo, PASSWORD_NOT_MENTIONED, PASSWORD_USED, PROTOCOL_SOCKET, PROTOCOL_TCP, UNTOLD, Vio, VioInfo,
};
use crate::log::{Level, Log};
use crate::login::{Channel, Client, NoToken, Protocol, token_of};

/// One call of `authenticate_user`.
pub(crate) struct Session<const USER: usize> {
    vio: NonNull<Vio>,
    info: NonNull<AuthInfo<USER>>,
    log: Log,
}

impl<const USER: usize> Session<USER> {
    /// Wraps the arguments of an entry point's call.
    ///
    /// # Safety
    /// They are what the server passed to the entry point, which has not returned yet and uses them nowhere else.
    pub(crate) unsafe fn new(vio: NonNull<Vio>, info: NonNull<AuthInfo<USER>>, log: Log) -> Self {
        Self { vio, info, log }
    }

    /// The account's authentication string; in MariaDB, once a packet was read.
    pub(crate) fn string(&self) -> Vec<u8> {
        // SAFETY: the server's struct is live (`new`), and the pointer and the length are one field.
        unsafe {
            let info = self.info.as_ptr();
            bytes((*info).auth_string, usize::try_from((*info).auth_string_length).unwrap_or(0))
        }
        .unwrap_or_default()
    }

    /// Reads a packet if the user's name comes with it. Of a client that may use any plugin, nothing is asked.
    pub(crate) fn introduce(&mut self) {
        if self.user().is_none() {
            drop(self.token());
        }
    }

    /// The protocol, and the user id at the other end of a Unix socket.
    pub(crate) fn peer(&mut self) -> (Protocol, Option<u32>) {
        let told = self.describe();
        (protocol(&told), self.socket(&told).and_then(|socket| dial::peer_uid(socket).ok()))
    }

    fn describe(&self) -> VioInfo {
        let mut told = VioInfo { protocol: 0, socket: -1, tls: [UNTOLD; 4], reserve: [UNTOLD; 52] };
        // SAFETY: the server's struct and its function (`new`); there is room for more than any server writes.
        unsafe {
            if let Some(info) = (*self.vio.as_ptr()).info {
                info(self.vio.as_ptr(), &raw mut told);
            }
        }
        told
    }

    fn socket(&self, told: &VioInfo) -> Option<BorrowedFd<'_>> {
        // SAFETY: the connection is the server's and stays open until the entry point returns, and so for as
        // long as `self` is borrowed.
        (told.socket >= 0).then(|| unsafe { BorrowedFd::borrow_raw(told.socket) })
    }
}

impl<const USER: usize> Client for Session<USER> {
    fn introduced(&self) -> bool {
        // MariaDB forgets the user's name before each plugin and tells it again with the next packet; but there
        // no plugin of ours can be the default one, so the first packet was always read.
        matches!(self.log, Log::MariaDb(_)) || self.user().is_some()
    }

    fn user(&self) -> Option<Vec<u8>> {
        // SAFETY: the server's struct is live (`new`), and the pointer and the length are one field.
        unsafe {
            let info = self.info.as_ptr();
            bytes((*info).user_name, usize::try_from((*info).user_name_length).unwrap_or(0))
        }
    }

    fn channel(&mut self) -> Channel {
        let told = self.describe();
        let secure_transport_required = secure_transport_required();
        Channel { protocol: protocol(&told), tls: tls(told.tls), secure_transport_required }
    }

    fn token(&mut self) -> Result<Secret, NoToken> {
        let mut packet: *mut c_uchar = ptr::null_mut();
        // SAFETY: the server's struct and its function (`new`), and a place for a pointer.
        let length = unsafe {
            let Some(read) = (*self.vio.as_ptr()).read_packet else { return Err(NoToken::HungUp) };
            read(self.vio.as_ptr(), &raw mut packet)
        };
        let length = usize::try_from(length).map_err(|_| NoToken::HungUp)?;
        if length == 0 {
            return Ok(Secret::new());
        }
        if packet.is_null() {
            return Err(NoToken::HungUp);
        }
        // SAFETY: the server points at a packet of that length, and leaves it alone until the next one is read,
        // which is not before this returns.
        token_of(unsafe { std::slice::from_raw_parts(packet, length) })
    }

    fn remote(&mut self) -> String {
        let told = self.describe();
        let peer = self.socket(&told).and_then(|socket| rustix::net::getpeername(socket).ok().flatten());
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        peer.map(|peer| peer.ip().to_canonical().to_string()).unwrap_or_default()
    }

    fn password_used(&mut self) {
        // SAFETY: the server's struct is live (`new`).
        unsafe { (*self.info.as_ptr()).password_used = PASSWORD_USED };
    }

    fn no_password(&mut self) {
        // SAFETY: the server's struct is live (`new`).
        unsafe { (*self.info.as_ptr()).password_used = PASSWORD_NOT_MENTIONED };
    }

    fn external_user(&mut self, name: &str) -> bool {
        // SAFETY: the server's struct is live, and nothing else refers to this field meanwhile (`new`).
        let field = unsafe { &mut (*self.info.as_ptr()).external_user };
        // One byte is left for the terminating NUL.
        if name.len() >= field.len() || name.contains('\0') {
            return false;
        }
        for (to, from) in field.iter_mut().zip(name.bytes().chain([0])) {
            *to = from as c_char;
        }
        true
    }

    fn log(&self, level: Level, line: &str) {
        self.log.write(level, line);
    }
}

/// Copies the bytes that a pointer and a length of the server's mean; `None` for a null pointer.
///
/// # Safety
/// `start` is null or points at `length` bytes.
pub(crate) unsafe fn bytes(start: *const c_char, length: usize) -> Option<Vec<u8>> {
    // SAFETY: as the caller promises.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), length) }.to_vec())
}

fn protocol(told: &VioInfo) -> Protocol {
    match told.protocol {
        PROTOCOL_TCP => Protocol::Tcp,
        PROTOCOL_SOCKET => Protocol::UnixSocket,
        _ => Protocol::Other,
    }
}

/// What a server says of TLS, in one byte or in four; `None` if it wrote nothing.
fn tls(told: [u8; 4]) -> Option<bool> {
    let mut written = told.into_iter().filter(|byte| *byte != UNTOLD).peekable();
    written.peek()?;
    // A server that wrote a truth value wrote one 1, or none, and zeros around it.
    Some(written.filter(|byte| *byte != 0).eq([1]))
}

/// Whether the server refuses TCP connections without TLS. The variable may change at any time.
fn secure_transport_required() -> bool {
    // SAFETY: looks a name up, and reads a NUL-terminated string.
    let variable = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"opt_require_secure_transport".as_ptr()) };
    // SAFETY: under this name both products export a variable of one byte for the life of the process. It is
    // read as it is, since the server's threads write to it without a lock as well.
    !variable.is_null() && unsafe { variable.cast::<u8>().read_volatile() } == 1
}

/// Copies `string` to where a server wants it, if there is room.
///
/// # Safety
/// `out` points at as many bytes as `length` says, and `length` at its place, if they are not null.
pub(crate) unsafe fn hand_out(string: &[u8], out: *mut c_uchar, length: *mut usize) -> c_int {
    if out.is_null() || length.is_null() {
        return 1;
    }
    // SAFETY: as the caller promises, and no more than there is room for; a copy of ours overlaps nothing.
    unsafe {
        if string.len() > *length {
            return 1;
        }
        ptr::copy_nonoverlapping(string.as_ptr(), out, string.len());
        *length = string.len();
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_word_about_tls_in_either_width() {
        assert_eq!(tls([UNTOLD; 4]), None);
        assert_eq!(tls([1, UNTOLD, UNTOLD, UNTOLD]), Some(true));
        assert_eq!(tls([0, UNTOLD, UNTOLD, UNTOLD]), Some(false));
        assert_eq!(tls(1_u32.to_ne_bytes()), Some(true));
        assert_eq!(tls(1_u32.to_be_bytes()), Some(true));
        assert_eq!(tls([0; 4]), Some(false));
        assert_eq!(tls([2, 0, 0, 0]), Some(false));
        assert_eq!(tls([1, 1, 0, 0]), Some(false));
    }

    #[test]
    fn a_program_without_the_variable_requires_nothing() {
        assert!(!secure_transport_required());
    }
}
