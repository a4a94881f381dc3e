//! The local proxy: applications connect without a password, over loopback or a Unix socket; the proxy opens a verified TLS
//! connection to the database, logs in with a token made for that very connection, and then passes bytes untouched.
//!
//! Each accepted connection is given to one of a few threads and stays there: its two sockets, its TLS and its future are
//! touched by no other, so bytes pass without a lock or a wake-up across threads. Accepting, signals and metrics live
//! apart, on the runtime of whoever calls [`start`].
//!
//! What may be said to a client and what a log or a metric calls it is one closed list, [`Reason`].

mod access;
mod credentials;
mod failure;
mod listen;
mod metrics;
mod mysql;
mod postgres;
mod relay;
mod service;
mod session;
mod settings;
mod shared;
mod stream;
mod upstream;
mod workers;

#[cfg(test)]
mod tests;

pub use access::{Access, AccessError, Identity};
pub use failure::Reason;
pub use listen::{Listen, ListenError, SocketMode};
pub use metrics::Metrics;
pub use service::{Running, StartError, raise_file_limit, start};
pub use settings::{Clock, Engine, Limits, Settings, Target};
