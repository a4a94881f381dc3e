//! The compiled policy against a slow, literal evaluator that reads the document anew for every request, over generated
//! policies and requests. `make fuzz` runs the same comparison for as long as it is told.
//!
//! The reference shares no code with the crate: it works on the JSON and on text, from the written rules.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
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

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&[Kind::Managed, Kind::Inline, Kind::Trust, Kind::Session, Kind::ServiceControl][..])
}
