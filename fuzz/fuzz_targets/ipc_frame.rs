//! Arbitrary bytes as frames of the doors' socket: never a panic, and what is read is written as the same bytes.
#![no_main]

use ipc::{Answer, HEADER, Question};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((question, taken))) = Question::decode(bytes) {
        assert_eq!(bytes.first_chunk::<HEADER>().map(Question::length), Some(Ok(taken)));
        assert!(question.encode().is_ok_and(|frame| frame.as_slice() == &bytes[..taken]));
        assert!(matches!(Question::decode(&bytes[..taken - 1]), Ok(None)));
    }
    if let Ok(Some((answer, taken))) = Answer::decode(bytes) {
        assert_eq!(answer.encode().as_deref(), Ok(&bytes[..taken]));
        assert!(matches!(Answer::decode(&bytes[..taken - 1]), Ok(None)));
    }
});
