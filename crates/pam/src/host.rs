//! What a login needs of the program that loaded the module, and PAM's return codes. No C in here: the tests
//! stand in for libpam through [`Host`].

use ipc::Secret;

/// PAM's return codes, by the numbers of Linux-PAM's `<security/_pam_types.h>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) struct Code(pub(crate) i32);

impl Code {
    pub(crate) const SUCCESS: Self = Self(0);
    /// The module cannot work as it was set up.
    pub(crate) const SERVICE_ERR: Self = Self(3);
    /// The user is not who he says.
    pub(crate) const AUTH_ERR: Self = Self(7);
    /// Whether he is could not be found out.
    pub(crate) const AUTHINFO_UNAVAIL: Self = Self(9);
    /// The conversation gave no password.
    pub(crate) const CONV_ERR: Self = Self(19);
    /// This module has no part in it.
    pub(crate) const IGNORE: Self = Self(25);
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Notice,
    Info,
}

/// The program that loaded the module, as PAM shows it.
pub(crate) trait Host {
    /// The user that the client named.
    fn user(&mut self) -> Result<Vec<u8>, Code>;

    /// Asks the client for its password. It may wait as long as the host allows.
    fn password(&mut self) -> Result<Secret, Code>;

    /// The client's address as the host wrote it; empty if it did not.
    fn remote(&mut self) -> Vec<u8>;

    /// Writes a line to PAM's log.
    fn log(&mut self, level: Level, line: &str);

    /// Hands the host a line as an error message. PostgreSQL writes it to its own log and not to the client.
    fn tell(&mut self, line: &str);
}
