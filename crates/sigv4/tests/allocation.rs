//! A login with a warm signing key allocates nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use sigv4::{
    Decoy, KeyCache, SecretKey, Timestamp,
    rds_token::{Token, TokenError, TokenRequest, sign},
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: hands everything through to the system's allocator; the counter is const-initialised, so counting
// does not allocate itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on as they are.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn checking_a_token_allocates_nothing() {
    let secret = SecretKey::from("secret");
    let issued_at = Timestamp::from_unix(1_767_225_600);
    let session = "IQoJb3JpZ2luX2VjE/+EXAMPLE==".repeat(50);
    for (host, user, session_token) in
        [("db.example.com", "app", None), ("DB.Example.com", "jané +doe", Some(session.as_str()))]
    {
        let request = TokenRequest {
            host,
            port: 443,
            user,
            region: "us-east-1",
            access_key_id: "AKIAIOSFODNN7EXAMPLE",
            secret: &secret,
            session_token,
            issued_at,
            expires: 900,
        };
        let canonical = sign(&request).unwrap();
        // The slow path: spelled so that it has to be encoded again.
        let respelled = canonical.replace("%C3%A9", "%c3%a9");
        let (cache, decoy) = (KeyCache::new(), Decoy::new());
        let check = |text: &str| {
            let token = Token::parse(text).unwrap();
            token.check_time(issued_at).unwrap();
            assert!(token.user_eq(user));
            assert!(session_token.is_none_or(|session| token.security_token_eq(session.as_bytes())));
            assert!(session_token.is_none_or(|session| token.security_token_eq(session.as_bytes())));
            token.verify(&secret, &cache, &["db.example.com:443", "Db.Example.Com:443"]).unwrap();
            assert_eq!(token.verify_decoy(&decoy, &["db.example.com:443"]), TokenError::SignatureMismatch);
            Token::parse(&text[..text.len() - 1]).unwrap_err();
        };
        check(&canonical);
        let before = ALLOCATIONS.get();
        check(&canonical);
        check(&respelled);
        assert_eq!(ALLOCATIONS.get() - before, 0, "{user}");
    }
}
