//! libpam as a [`Host`]: the few functions, numbers and layouts of Linux-PAM that the module uses.
//!
//! The functions are declared and not linked: whatever loads a PAM module has libpam in its process already,
//! and a second copy would not know its handle. The password is asked for through the conversation itself and
//! not through `pam_get_authtok`, which would leave it in the handle for as long as the session lasts.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

use ipc::Secret;

use crate::host::{Code, Host, Level};

/// `pam_handle_t`, which only libpam looks into.
#[repr(C)]
#[derive(Debug)]
pub struct Handle {
    _private: [u8; 0],
}

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    _code: c_int,
}

type Converse = unsafe extern "C" fn(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Option<Converse>,
    data: *mut c_void,
}

unsafe extern "C" {
    fn pam_get_user(handle: *mut Handle, user: *mut *const c_char, prompt: *const c_char) -> c_int;
    fn pam_get_item(handle: *const Handle, item: c_int, value: *mut *const c_void) -> c_int;
    fn pam_syslog(handle: *const Handle, priority: c_int, format: *const c_char, ...);
}

// `pam_get_item`
const REMOTE_HOST: c_int = 4;
const CONVERSATION: c_int = 5;
// `pam_message.msg_style`
const PROMPT_ECHO_OFF: c_int = 1;
const ERROR_MESSAGE: c_int = 3;
// flags of the entry points
const SILENT: c_int = 0x8000;

/// One call into the module.
pub(crate) struct LibPam {
    handle: NonNull<Handle>,
    silent: bool,
}

impl LibPam {
    /// Wraps the handle of an entry point's call.
    ///
    /// # Safety
    /// `handle` is what libpam passed to the entry point, which has not returned yet.
    pub(crate) unsafe fn new(handle: NonNull<Handle>, flags: c_int) -> Self {
        Self { handle, silent: flags & SILENT != 0 }
    }

    /// Sends one message through the host's conversation and returns the answer, which may be absent.
    fn converse(&mut self, style: c_int, text: &CStr) -> Result<Option<Reply>, Code> {
        let mut item = ptr::null();
        // SAFETY: the handle is live (`new`) and `item` is a place for one pointer.
        let code = Code(unsafe { pam_get_item(self.handle.as_ptr(), CONVERSATION, &raw mut item) });
        if code != Code::SUCCESS {
            return Err(code);
        }
        let conversation = item.cast::<Conversation>();
        // SAFETY: the item is null or the `pam_conv` that the host gave to `pam_start`, valid until `pam_end`.
        let Some(conversation) = (unsafe { conversation.as_ref() }) else { return Err(Code::CONV_ERR) };
        let Some(converse) = conversation.converse else { return Err(Code::CONV_ERR) };

        let message = Message { style, text: text.as_ptr() };
        // One message, so that an array of pointers and a pointer to an array are the same thing.
        let mut messages = &raw const message;
        let mut responses = ptr::null_mut();
        // SAFETY: the host's own function with its own data, one message that outlives the call, and a place
        // for the pointer to the responses, which are ours to free afterwards.
        let code = Code(unsafe { converse(1, &raw mut messages, &raw mut responses, conversation.data) });
        let reply = NonNull::new(responses).map(Reply);
        if code == Code::SUCCESS { Ok(reply) } else { Err(code) }
    }
}

impl Host for LibPam {
    fn user(&mut self) -> Result<Vec<u8>, Code> {
        let mut user = ptr::null();
        // SAFETY: the handle is live, `user` is a place for one pointer, and a null prompt means the default.
        let code = Code(unsafe { pam_get_user(self.handle.as_ptr(), &raw mut user, ptr::null()) });
        if code != Code::SUCCESS || user.is_null() {
            return Err(code);
        }
        // SAFETY: on success it is a NUL-terminated string that libpam keeps; it is copied at once.
        Ok(unsafe { CStr::from_ptr(user) }.to_bytes().to_vec())
    }

    fn password(&mut self) -> Result<Secret, Code> {
        let reply = self.converse(PROMPT_ECHO_OFF, c"Password: ")?.ok_or(Code::CONV_ERR)?;
        reply.secret().ok_or(Code::CONV_ERR)
    }

    fn remote(&mut self) -> Vec<u8> {
        let mut item = ptr::null();
        // SAFETY: the handle is live and `item` is a place for one pointer.
        let code = Code(unsafe { pam_get_item(self.handle.as_ptr(), REMOTE_HOST, &raw mut item) });
        if code != Code::SUCCESS || item.is_null() {
            return Vec::new();
        }
        // SAFETY: this item is a NUL-terminated string that libpam keeps; it is copied at once.
        unsafe { CStr::from_ptr(item.cast()) }.to_bytes().to_vec()
    }

    fn log(&mut self, level: Level, line: &str) {
        let priority = match level {
            Level::Error => libc::LOG_ERR,
            Level::Notice => libc::LOG_NOTICE,
            Level::Info => libc::LOG_INFO,
        };
        // The lines are made of escaped text, so none has a NUL; one that had would not be worth a failed login.
        let Ok(line) = CString::new(line) else { return };
        // SAFETY: the handle is live; the format is ours and takes the one NUL-terminated string that follows.
        unsafe { pam_syslog(self.handle.as_ptr(), priority, c"%s".as_ptr(), line.as_ptr()) };
    }

    fn tell(&mut self, line: &str) {
        if self.silent {
            return;
        }
        if let Ok(line) = CString::new(line) {
            // A host that takes no messages has the line in PAM's log.
            drop(self.converse(ERROR_MESSAGE, &line));
        }
    }
}

/// A host's answer to one message: wiped and freed when dropped.
struct Reply(NonNull<Response>);

impl Reply {
    fn secret(&self) -> Option<Secret> {
        // SAFETY: the host allocated one response for our one message, and it is ours until dropped.
        let text = unsafe { self.0.as_ref() }.text;
        if text.is_null() {
            return None;
        }
        // SAFETY: a response's text is NUL-terminated, and nothing writes to it meanwhile.
        let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
        let mut secret = Secret::with_capacity(bytes.len());
        secret.extend(bytes);
        Some(secret)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // SAFETY: the host allocated the response with malloc, as PAM demands, and left it to us. Its text is
        // null or NUL-terminated, likewise allocated and ours; nothing refers to either any more.
        unsafe {
            let text = self.0.as_ref().text;
            if !text.is_null() {
                let length = libc::strlen(text);
                ipc::wipe(std::slice::from_raw_parts_mut(text.cast(), length));
                libc::free(text.cast());
            }
            libc::free(self.0.as_ptr().cast());
        }
    }
}
