//! Whole proxies on loopback, between clients and servers that the tests make up: well-behaved, slow, hostile and false ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod kit;
mod mysql;
mod relay;
mod startup;
