//! The start-up of MySQL's protocol (its "connection phase"), as MySQL 5.7 to 9 and MariaDB 10.6 to 12 speak it.
//!
//! A server speaks first, and what it says decides what its client may ask for. So whoever stands between the two begins
//! with the server: [`Greet`] reads its greeting, [`Accept`] shows the client one made from it and takes the client's answer,
//! [`Login`] asks the server for just what the client asked for, with a token in place of the client's password. The server's
//! OK then goes to the client by [`Client::packet`], and bytes pass: both connections have the same capabilities, so each
//! byte means the same on both.
//!
//! What cannot pass afterwards is `COM_CHANGE_USER`, for which the client would have to have a token itself.

mod accept;
mod capability;
mod client;
mod greeting;
mod login;
mod packet;
mod password;
#[cfg(test)]
mod tests;

pub use accept::{Accept, AcceptError, AcceptOptions, ClientAuth};
pub use capability::Capabilities;
pub use client::Client;
pub use greeting::{Greet, GreetError, Greeting};
pub use login::{Login, LoginError, Session};
pub use packet::{MAX_PACKET, ProtocolError, ServerError, error_packet, packet};
