//! The testkit: a real Countersign on a throw-away data directory, driven with the programs that its users have, `aws`,
//! `psql`, `mysql`, `mariadb` and drivers. The scenarios are in `tests/`.
//!
//! A program that is missing fails a test by name; nothing is skipped in silence, and nothing is left running.

// A testkit fails by panicking, with all that was seen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod clock;
mod door;
mod driver;
pub mod installed;
mod mysql;
pub mod pretender;
mod program;
mod proxy;
pub mod refusal;
mod server;
mod session;
mod token;
pub mod wire;

pub use self::{
    clock::Clock,
    door::Door,
    installed::{Flavor, documented},
    mysql::{Driver, Login},
    program::{Output, countersign, run, run_with},
    proxy::{Proxy, Suite},
    server::{Database, Server, free_port},
    session::OpenSession,
    token::{Key, Token, now},
};
