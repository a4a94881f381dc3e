//! The start-up of PostgreSQL's frontend/backend protocol, versions 3.0 and 3.2, both sides of it.
//!
//! [`Accept`] stands towards a client: TLS if it wants it, a local password if one is asked for, and the
//! [`Startup`] that it sent. [`Login`] stands towards a server: TLS without exception, the start-up message, a token
//! where the server asks for one in clear text, and the [`Session`] that begins. [`Cancel`] takes a request to cancel
//! to the server, in TLS too.
//!
//! # Attacks, and what answers them
//!
//! **Bytes injected before TLS.** Whoever sits on the network may put plain bytes behind the request for TLS, or behind
//! the server's `S`, in the hope that they are taken for the first bytes of what is encrypted (CVE-2021-23214,
//! CVE-2021-23222). Both sides refuse a connection on which anything lies there when TLS is to begin.
//!
//! **Stripping TLS.** A server's `N` ends a [`Login`] and a [`Cancel`]: there is no way on without TLS. Towards clients
//! it is [`ClientTls::Required`] that holds; a client that speaks plainly is told so before it is asked for a password.
//!
//! **Errors before TLS.** A server's error in answer to the request for TLS may be anybody's (CVE-2024-10977): its text is
//! neither read nor passed on.
//!
//! **A server that asks for something else.** The token is sent once, in TLS, in answer to a request for a password in
//! clear text, and to nothing else. No request for a hash, for SCRAM or for a ticket is answered: what a token hashes to
//! would be as good as the token. A second question is an error.
//!
//! **Parameters smuggled in a name.** Names and values are counted by their NUL bytes on the wire, so one with a NUL in it would
//! be read as several. [`Startup`] takes none. Of a parameter that is sent twice the last counts, as it does for the
//! server: both see the same user.
//!
//! **Memory.** Each message has a limit, so has their number and what they come to together. A length that is
//! negative, too small or too large is refused before the message is waited for. Slow peers are for whoever holds the clock.
//!
//! **Guessing the local password.** It is proven with SCRAM-SHA-256: it does not cross the connection, proofs are compared
//! in constant time, and the costly part is done once, in [`Verifier::new`], not for each stranger. Whether the user name
//! exists is for the server to say; a wrong password gives the same answer for every name.
//!
//! **Cancelling the queries of others.** The key is the proof, and the whole of it must match; it is not in `Debug` output.

mod accept;
mod login;
mod message;
mod report;
mod scram;
mod startup;

pub use self::accept::{Accept, AcceptError, AcceptOptions, Arrival, ClientAuth};
pub use self::login::{Cancel, Login, LoginError, ProtocolError, Session};
pub use self::message::Malformed;
pub use self::report::{ServerError, error_response};
pub use self::scram::{ScramError, Verifier};
pub use self::startup::{CancelKey, NulByte, Startup, StartupError};

#[cfg(test)]
mod tests;
