//! `pam_countersign.so`: asks Countersign whether the password that a client sent is a token that may log in.
//!
//! It runs inside a database server's backend, so it does as little as it can: no thread, no signal, no exit,
//! no copy of the token that is not wiped, two seconds at most, and a refusal whenever anything is not as it
//! should be. Only `entry` and `libpam` speak C; what they do is decided in `login`.
//!
//! ```text
//! /etc/pam.d/countersign
//!     auth     required  pam_countersign.so  [socket=PATH] [timeout_ms=N]
//!     account  required  pam_countersign.so
//! ```
//!
//! `socket` is Countersign's socket for this database, by default `countersign.sock` in the working directory,
//! which is the data directory of a PostgreSQL backend; `timeout_ms` is 1 to 2000 and 2000 by default.

mod arguments;
#[cfg(not(test))]
pub mod entry;
mod host;
#[cfg(not(test))]
mod libpam;
mod login;
