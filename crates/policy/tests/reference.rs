//! The compiled policy against a slow, literal evaluator that reads the document anew for every request, over generated
//! policies and requests. `make fuzz` runs the same comparison for as long as it is told.
//!
//! The reference shares no code with the crate: it works on the JSON and on text, from the written rules.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test says so by panicking"
)]

#[path = "reference/mod.rs"]
mod reference;

use policy::{Kind, Policy};
use proptest::prelude::*;
use reference::compare::compare;
use reference::generate::{Bytes, case};

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compiled_equals_reference(bytes in prop::collection::vec(any::<u8>(), 200..700)) {
        compare(&case(&mut Bytes::new(&bytes)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in ".{0,80}", kind in kind()) {
        let _ignored = Policy::parse(&text, kind).is_ok();
    }

    #[test]
    fn no_damaged_document_makes_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 200..700),
        at in any::<prop::sample::Index>(),
        with in prop::sample::select(&["\"", "{", "}", "[", "]", ",", ":", "*", "${", "\\", "a", ""][..]),
        kind in kind(),
    ) {
        let mut text = case(&mut Bytes::new(&bytes)).document.to_string();
        let at = (0..=at.index(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        let end = (at + 1..=text.len()).find(|&i| text.is_char_boundary(i)).unwrap_or(text.len());
        text.replace_range(at..end, with);
        if let Err(error) = Policy::parse(&text, kind)
            && let Some(span) = error.span()
        {
            prop_assert!(text.get(span.start..span.end).is_some(), "{error} at {span:?} in {text}");
        }
    }
}

/// `make fuzz` asks for millions, without the fuzzer's instrumentation in the way: `COUNTERSIGN_CASES` documents, four
/// requests each. A failure names its document; the seed is the number of the case.
#[test]
#[ignore = "takes as long as it is told to: `make fuzz`"]
fn millions() {
    let cases: u64 = std::env::var("COUNTERSIGN_CASES").map_or(1_000_000, |text| text.parse().unwrap());
    let seed = std::env::var("COUNTERSIGN_SEED").map_or(1, |text| text.parse::<u64>().unwrap());
    let mut requests = 0;
    for number in seed..seed + cases {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let bytes: [u8; 640] = std::array::from_fn(|_| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        });
        let case = case(&mut Bytes::new(&bytes));
        requests += case.requests.len();
        compare(&case);
    }
    println!("{cases} policies and {requests} requests: compiled equals reference");
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&[Kind::Managed, Kind::Inline, Kind::Trust, Kind::Session, Kind::ServiceControl][..])
}
