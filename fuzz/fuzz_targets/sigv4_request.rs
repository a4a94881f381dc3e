//! Arbitrary text as a signed API request: never a panic, and never a good signature.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigv4::{
    KeyCache, SecretKey, Timestamp,
    request::{Body, Request, Rules, SignedRequest},
};

fuzz_target!(|text: &str| {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let target = lines.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(&str, &[u8])> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.as_bytes())).collect();
    let request =
        Request { method: "POST", path, query, headers: &headers, body: Body::Bytes(body.as_bytes()) };
    match SignedRequest::parse(&request) {
        Ok(signed) => {
            assert!(signed.signed_headers().any(|name| name == "host"));
            let _ = signed.check_time(Timestamp::from_unix(0)).map_err(|error| error.to_string());
            for rules in [Rules::DEFAULT, Rules::S3] {
                let refused =
                    signed.verify(&SecretKey::from("no vector has this secret"), &KeyCache::new(), &rules);
                assert!(!refused.unwrap_err().to_string().is_empty());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
