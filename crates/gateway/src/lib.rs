//! The start-up of database connections, of PostgreSQL's protocol and of MySQL's, both sides of it: what stands between a
//! client that has no token and a server that wants one, up to the moment at which a session begins.
//!
//! No I/O, no clock, no randomness: bytes come in, bytes go out, and what only the outside can do (read more, begin TLS) is
//! said as [`Next`]. So everything that a peer may send, in whatever pieces, is tried in tests and by the fuzzer without
//! a socket. Once a session has begun, nothing here looks at its bytes any more.
//!
//! A peer is not trusted with memory: each conversation takes messages up to a fixed length, a fixed number of them, and
//! refuses the rest.

pub mod mysql;
pub mod postgres;

use bytes::BytesMut;

/// One side's part of a start-up.
pub trait Conversation {
    /// What it comes to.
    type Outcome;
    /// Why it ends without.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Takes from `input` what can be taken of the bytes that the peer has sent, and appends to `output` what the peer is
    /// to be sent. Bytes that are left in `input` belong to what follows.
    ///
    /// Whoever drives it sends `output` before doing anything else, also after an error: it may hold the words that tell
    /// the peer why.
    ///
    /// # Errors
    /// The peer broke the protocol, asked for what is not offered, or refused.
    fn advance(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Result<Next<Self::Outcome>, Self::Error>;
}

/// Whether there is TLS for clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTls {
    /// No; they go on without if they want to.
    Off,
    /// If they ask for it.
    Offered,
    /// Nobody begins a session without. PostgreSQL's request to cancel is taken without all the same, as its server does: older
    /// clients have no other.
    Required,
}

/// What a [`Conversation`] waits for.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// More bytes from the peer, then [`Conversation::advance`].
    Read,
    /// TLS: as its client where the peer is a server, as its server where the peer is a client. What is left in `input` is the
    /// beginning of it: a client of MySQL's does not wait for an answer before it begins. It goes to TLS, and is never read as
    /// anything else. Then [`Conversation::advance`], with what came inside.
    StartTls,
    /// It is over, and came to this.
    Done(T),
}
