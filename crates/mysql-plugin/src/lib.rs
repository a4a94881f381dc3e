//! `auth_countersign.so`: asks Countersign whether the password that a client sent to MySQL or MariaDB is a token
//! that may log in. One file for both products: each looks for declarations of its own name in it.
//!
//! It runs on the server's threads, so it does as little as it can: no thread, no lock that a login waits for, no
//! exit, no copy of the token that is not wiped, two seconds at most, and a refusal whenever anything is not as it
//! should be. `entry`, `server`, `status`, `log` and `abi` speak C; what they do is decided in `login` and
//! `administrator`; `countersign` asks.
//!
//! ```text
//! [mysqld]
//! plugin-load-add = AWSAuthenticationPlugin=auth_countersign.so
//! plugin-load-add = countersign_administrator=auth_countersign.so
//!
//! CREATE USER jane IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'
//! CREATE USER countersign@localhost IDENTIFIED WITH countersign_administrator AS '0'
//! ```
//!
//! `AWSAuthenticationPlugin` lets in who sends a token that Countersign allows. `countersign_administrator` lets in
//! who comes through the server's Unix socket as one of the operating system's user ids in its string: Countersign
//! itself, which so needs no password on the servers that it runs.

pub mod abi;
mod administrator;
mod countersign;
pub mod entry;
mod log;
mod login;
mod server;
mod status;
