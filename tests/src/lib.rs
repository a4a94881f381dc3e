//! The testkit: a real Countersign on a throw-away data directory, driven with the programs that its users have, `aws`
//! and `psql`. The scenarios are in `tests/`.
//!
//! A program that is missing fails a test by name; nothing is skipped in silence, and nothing is left running.

// A testkit fails by panicking, with all that was seen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod door;
mod program;
mod server;
mod session;
mod token;

pub use self::{
    door::Door,
    program::{Output, countersign, run},
    server::{Database, Server},
    session::OpenSession,
    token::{Key, Token, now},
};
