//! The doors' socket protocol: frames and the asking side.
//!
//! A door that lives inside a database server ([`pam`](Door::Pam), [`mysql`](Door::Mysql)) asks one
//! question over a Unix socket and reads one [`Answer`]; the connection may then be used again. This crate
//! is all that such a module depends on beside libc, so it has no dependencies of its own, starts no thread
//! and touches nothing but the socket it is given.

#![forbid(unsafe_code)]

pub mod client;
pub mod frame;
pub mod secret;

pub use client::{AskError, DEADLINE, ask};
pub use frame::{Answer, Door, FrameError, HEADER, MAX_FRAME, Question, RequestId, Status};
pub use secret::{Secret, wipe};
