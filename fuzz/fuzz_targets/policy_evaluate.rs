//! Generated policies and requests: the compiled policy decides and explains what the literal reference evaluator decides.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/policy/tests/reference/mod.rs"]
mod reference;

use libfuzzer_sys::fuzz_target;
use reference::compare::compare;
use reference::generate::{Bytes, case};

fuzz_target!(|bytes: &[u8]| {
    compare(&case(&mut Bytes::new(bytes)));
});
