//! Bytes that are overwritten before their memory is given back: a token, and every frame that carries one.
//!
//! Written by hand because a module inside a database server depends on nothing but this crate and libc. It
//! does by safe means what a wiping library does by volatile writes: after the bytes are set to zero they are
//! shown to [`std::hint::black_box`], which the optimiser must treat as a reader of them, and a compiler fence
//! keeps the writes before whatever frees the memory. `black_box` is promised only as "best effort"; on every
//! target with a code generator that we ship for it is an opaque use of the memory, and the stores are kept.

use std::fmt;
use std::sync::atomic::{Ordering, compiler_fence};

/// Overwrites `bytes` with zeros in a way that the optimiser does not remove.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
    compiler_fence(Ordering::SeqCst);
}

/// An owned byte string that is wiped when dropped, when it shrinks and when it moves to a larger allocation.
///
/// It shows its length but never its bytes in `Debug`.
#[derive(Default)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// An empty secret.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// An empty secret with room for `capacity` bytes, so that filling it copies nothing.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to read into.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Appends `bytes`.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Makes it `length` bytes long: wipes what is cut off, fills what is added with zeros.
    pub fn resize(&mut self, length: usize) {
        if let Some(cut) = self.0.get_mut(length..) {
            wipe(cut);
        }
        self.reserve(length.saturating_sub(self.0.len()));
        self.0.resize(length, 0);
    }

    // `Vec` would leave the old allocation's bytes behind when it moves.
    fn reserve(&mut self, additional: usize) {
        let needed = self.0.len().saturating_add(additional);
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(self.0.capacity().saturating_mul(2)));
            larger.extend_from_slice(&self.0);
            wipe(&mut self.0);
            self.0 = larger;
        }
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_and_shrinking_keep_the_prefix() {
        let mut secret = Secret::with_capacity(2);
        secret.extend(b"token");
        secret.extend(b"-more");
        assert_eq!(secret.as_slice(), b"token-more");
        secret.resize(5);
        secret.resize(7);
        assert_eq!(secret.as_slice(), b"token\0\0");
        secret.as_mut_slice()[5] = b'!';
        wipe(secret.as_mut_slice());
        assert_eq!(secret.as_slice(), [0; 7]);
    }

    #[test]
    fn debug_shows_no_byte() {
        let mut secret = Secret::new();
        secret.extend(b"hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(7 bytes)");
    }
}
