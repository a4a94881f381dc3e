//! Percent-encoding as SigV4 wants it, hexadecimal, and the sink that canonical text is streamed into.
//!
//! Everything a login passes through works on borrowed bytes and stack buffers and must not allocate.

use std::borrow::Cow;

use hmac::Mac;
use sha2::{Digest, Sha256};

use crate::key::HmacSha256;

/// Percent-encodes `bytes` as RFC 3986 asks: everything but `A-Z a-z 0-9 - . _ ~` becomes `%XX`.
#[must_use]
pub fn percent_encode(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 4);
    encode_into(bytes.iter().copied(), Keep::Unreserved, &mut out);
    into_text(out)
}

/// Percent-decodes `text`. A `+` stays a `+`, and a `%` that no two hexadecimal digits follow stays a `%`.
#[must_use]
pub fn percent_decode(text: &str) -> Cow<'_, [u8]> {
    decode_query(text, Plus::Literal)
}

/// Decodes one name or value of a query string or an HTML form: `+` is a space.
///
/// Signed requests are canonicalised with this same reading. Whoever acts on a query must decode it with
/// this function too, or a request could be signed for one meaning and obeyed in another.
#[must_use]
pub fn form_decode(text: &str) -> Cow<'_, [u8]> {
    decode_query(text, Plus::Space)
}

/// Lower-case hexadecimal of a digest.
#[must_use]
pub fn hex(digest: &[u8; 32]) -> [u8; 64] {
    let mut out = [0; 64];
    for (pair, byte) in out.as_chunks_mut().0.iter_mut().zip(digest) {
        *pair = [hex_digit(byte >> 4, b'a'), hex_digit(byte & 15, b'a')];
    }
    out
}

/// Reads 64 hexadecimal digits of either case; anything else is `None`.
#[must_use]
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    // No way out of the loop before its end, so that it becomes vector code.
    let (mut values, mut all_digits) = ([0; 64], true);
    for (value, digit) in values.iter_mut().zip(digits) {
        all_digits &= digit.is_ascii_hexdigit();
        *value = nibble(*digit);
    }
    let mut out = [0; 32];
    for (byte, [high, low]) in out.iter_mut().zip(values.as_chunks().0) {
        *byte = high << 4 | low;
    }
    all_digits.then_some(out)
}

/// Splits at the first `separator`, an ASCII character.
#[inline]
pub(crate) fn split_once(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(separator, text.as_bytes())?;
    let (before, rest) = text.split_at_checked(at)?;
    Some((before, rest.get(1..)?))
}

/// Whether `text` has nothing but visible ASCII characters: no control character, no space.
pub(crate) fn is_graphic(text: &str) -> bool {
    text.bytes().fold(true, |all, byte| all & byte.is_ascii_graphic())
}

/// The byte that two hexadecimal digits stand for.
#[inline]
pub(crate) fn from_hex_pair([high, low]: [u8; 2]) -> Option<u8> {
    Some(from_hex(high)? << 4 | from_hex(low)?)
}

/// Where canonical text goes: a running hash on the login path, a buffer when a person wants to read it.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Sha256 {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Sink for HmacSha256 {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// How a raw `+` in a query is read: RFC 3986 says literally, form encoders mean a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plus {
    Literal,
    Space,
}

/// The bytes that are not escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Unreserved,
    /// In a path the separators stay as well.
    UnreservedAndSlash,
}

/// Gathers what `write` puts on the stack and hands it to `sink` in one piece, or few: feeding a hash small
/// pieces costs more than the hashing.
#[inline]
pub(crate) fn gather<S: Sink>(sink: &mut S, write: impl FnOnce(&mut Gathered<'_, S>)) {
    let mut gathered = Gathered { sink, bytes: [0; 512], used: 0 };
    write(&mut gathered);
    gathered.flush();
}

/// Streams the encoding of `bytes` into `sink`, in chunks.
pub(crate) fn encode_into(bytes: impl Iterator<Item = u8>, keep: Keep, sink: &mut impl Sink) {
    gather(sink, |sink| {
        for byte in bytes {
            if is_unreserved(byte) || (byte == b'/' && keep == Keep::UnreservedAndSlash) {
                sink.put(&[byte]);
            } else {
                sink.put(&[b'%', hex_digit(byte >> 4, b'A'), hex_digit(byte & 15, b'A')]);
            }
        }
    });
}

/// Streams `text` with its ASCII letters lower-cased into `sink`.
pub(crate) fn lowercase_into(text: &str, sink: &mut impl Sink) {
    gather(sink, |sink| {
        for byte in text.bytes() {
            sink.put(&[byte.to_ascii_lowercase()]);
        }
    });
}

/// The bytes that percent-encoded `text` stands for, one by one.
pub(crate) fn decoded(text: &str, plus: Plus) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (&first, tail) = rest.split_first()?;
        rest = tail;
        Some(match (first, tail) {
            (b'%', [high, low, after @ ..]) => match (from_hex(*high), from_hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => first,
            },
            (b'+', _) if plus == Plus::Space => b' ',
            _ => first,
        })
    })
}

/// What a look at an encoded value tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Decoding and encoding again would give the same text: it can be hashed as it stands.
    pub canonical: bool,
    /// There is a raw `+`.
    pub plus: bool,
}

/// Checks that each `%` of `value` begins an escape, and finds out how the value is spelled.
pub(crate) fn scan(value: &str) -> Option<Scan> {
    let mut found = Scan { canonical: true, plus: false };
    let mut rest = value.as_bytes();
    loop {
        let plain = rest.iter().position(|&byte| !is_unreserved(byte)).unwrap_or(rest.len());
        rest = match rest.get(plain..)? {
            [] => return Some(found),
            [b'%', high, low, tail @ ..] => {
                let byte = from_hex(*high)? << 4 | from_hex(*low)?;
                let upper = !high.is_ascii_lowercase() && !low.is_ascii_lowercase();
                found.canonical &= upper && !is_unreserved(byte);
                tail
            }
            [b'%', ..] => return None,
            [byte, tail @ ..] => {
                found.canonical = false;
                found.plus |= *byte == b'+';
                tail
            }
        };
    }
}

/// Turns bytes that are text by construction into a `String`.
pub(crate) fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[inline]
pub(crate) fn is_unreserved(byte: u8) -> bool {
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse it")]
    const UNRESERVED: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            byte += 1;
        }
        table
    };
    UNRESERVED.get(usize::from(byte)).copied().unwrap_or_default()
}

fn decode_query(text: &str, plus: Plus) -> Cow<'_, [u8]> {
    let plain = text.bytes().all(|byte| byte != b'%' && (byte != b'+' || plus == Plus::Literal));
    if plain { Cow::Borrowed(text.as_bytes()) } else { Cow::Owned(decoded(text, plus).collect()) }
}

/// What a hexadecimal digit counts; nonsense for any other byte. In ASCII the low half of `A` is 1.
#[inline]
fn nibble(digit: u8) -> u8 {
    (digit & 15) + 9 * (digit >> 6)
}

fn hex_digit(value: u8, ten: u8) -> u8 {
    if value < 10 { b'0' + value } else { ten + (value - 10) }
}

#[inline]
fn from_hex(digit: u8) -> Option<u8> {
    const NONE: u8 = 0xff;
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse it")]
    const VALUES: [u8; 256] = {
        let mut table = [NONE; 256];
        let mut value = 0_u8;
        while value < 16 {
            table[b"0123456789abcdef"[value as usize] as usize] = value;
            table[b"0123456789ABCDEF"[value as usize] as usize] = value;
            value += 1;
        }
        table
    };
    VALUES.get(usize::from(digit)).copied().filter(|value| *value != NONE)
}

/// Pieces of text on their way into a sink.
pub(crate) struct Gathered<'a, S: Sink> {
    sink: &'a mut S,
    bytes: [u8; 512],
    used: usize,
}

impl<S: Sink> Gathered<'_, S> {
    #[cold]
    fn overflow(&mut self, piece: &[u8]) {
        self.flush();
        self.sink.put(piece);
    }

    fn flush(&mut self) {
        self.sink.put(self.bytes.get(..self.used).unwrap_or_default());
        self.used = 0;
    }
}

impl<S: Sink> Sink for Gathered<'_, S> {
    #[inline]
    fn put(&mut self, piece: &[u8]) {
        match self.bytes.get_mut(self.used..self.used + piece.len()) {
            Some(room) => {
                room.copy_from_slice(piece);
                self.used += piece.len();
            }
            None => self.overflow(piece),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_every_byte_but_the_unreserved() {
        assert_eq!(percent_encode("a b+c@d/é~*'()".as_bytes()), "a%20b%2Bc%40d%2F%C3%A9~%2A%27%28%29");
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(percent_decode(&percent_encode(&all)).as_ref(), all);
    }

    #[test]
    fn a_plus_is_a_space_in_a_form_only() {
        assert_eq!(percent_decode("a+b%2Bc").as_ref(), b"a+b+c");
        assert_eq!(form_decode("a+b%2Bc").as_ref(), b"a b+c");
        assert_eq!(percent_decode("50%, %4").as_ref(), b"50%, %4");
    }

    #[test]
    fn a_scan_sees_what_encoding_again_would_change() {
        let canonical = |value| scan(value).map(|found| found.canonical);
        assert_eq!(canonical("a-Z_0.~%2F%C3%A9"), Some(true));
        assert_eq!(canonical("%2f"), Some(false));
        assert_eq!(canonical("%41"), Some(false));
        assert_eq!(canonical("a@b"), Some(false));
        assert_eq!(canonical("%4"), None);
        assert_eq!(canonical("%zz"), None);
        assert_eq!(scan("a+b"), Some(Scan { canonical: false, plus: true }));
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        let digest: [u8; 32] = std::array::from_fn(|i| (i * 8 + 1) as u8);
        let text = hex(&digest);
        assert_eq!(unhex(std::str::from_utf8(&text).unwrap()), Some(digest));
        assert_eq!(unhex(&"AB".repeat(32)), Some([0xab; 32]));
        assert_eq!(unhex(&"g0".repeat(32)), None);
        assert_eq!(unhex("ab"), None);
    }
}
