//! Arbitrary bytes as LDAP messages: never a panic, and the length asked for is the length taken.
#![no_main]

use doors::ldap::message::{MAX_MESSAGE, Request, needed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    // As a connection is read: one message behind the other.
    while !rest.is_empty() {
        let Ok(length) = needed(rest) else {
            assert!(Request::decode(rest).is_err());
            return;
        };
        assert!((2..=MAX_MESSAGE).contains(&length));
        match Request::decode(rest) {
            Ok(Some((request, taken))) => {
                assert!(taken == length && request.id != 0);
                // What is cut short is asked for again, and never read as another message.
                assert_eq!(Request::decode(&rest[..taken - 1]), Ok(None));
                rest = &rest[taken..];
            }
            Ok(None) => {
                assert!(rest.len() < length);
                return;
            }
            Err(_) => return,
        }
    }
});
