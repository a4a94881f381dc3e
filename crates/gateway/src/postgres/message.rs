//! Messages on the wire: a letter, a length that counts itself, a body. The packets of a start-up lack the letter.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// A length or a layout that no honest peer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The length field is smaller than what every such message has, or larger than what is taken.
    #[error("a message has a length of {0} bytes")]
    Length(u32),
    /// The body is not laid out as its kind is.
    #[error("a message of kind `{}` is not laid out as such", .0.escape_ascii())]
    Layout(u8),
}

/// A message with its letter.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u8,
    /// With letter and length.
    pub(super) whole: Bytes,
}

/// The letter and the length.
const HEADER: usize = 5;

impl Message {
    pub(super) fn body(&self) -> &[u8] {
        self.whole.get(HEADER..).unwrap_or_default()
    }

    pub(super) fn layout(&self) -> Malformed {
        Malformed::Layout(self.kind)
    }
}

/// Takes the next message, whose length field may say up to `limit`, if all of it has come.
///
/// # Errors
/// As soon as the length has come, if it is out of bounds.
pub(super) fn take(input: &mut BytesMut, limit: usize) -> Result<Option<Message>, Malformed> {
    let Some(&[kind, a, b, c, d]) = input.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let whole = 1 + bounded([a, b, c, d], 4, limit)?;
    if input.len() < whole {
        return Ok(None);
    }
    Ok(Some(Message { kind, whole: input.split_to(whole).freeze() }))
}

/// Takes the next packet without a letter, whose length field may say `least` to `limit`, and gives what follows that field.
///
/// # Errors
/// As soon as the length has come, if it is out of bounds.
pub(super) fn take_packet(
    input: &mut BytesMut,
    least: usize,
    limit: usize,
) -> Result<Option<Bytes>, Malformed> {
    let Some(&length) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let whole = bounded(length, least, limit)?;
    if input.len() < whole {
        return Ok(None);
    }
    let mut packet = input.split_to(whole);
    packet.advance(4);
    // A copy: what is kept of it for the length of a session must not keep the buffer of the reads.
    Ok(Some(Bytes::copy_from_slice(&packet)))
}

/// Splits a message that is known to be whole, its letter and its body, from what follows.
pub(super) fn split_message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (length, _) = split_number(rest)?;
    let (message, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((kind, message.get(4..)?, rest))
}

fn bounded(length: [u8; 4], least: usize, limit: usize) -> Result<usize, Malformed> {
    // A negative one is a very large one here.
    let length = u32::from_be_bytes(length);
    match usize::try_from(length) {
        Ok(bytes) if (least..=limit).contains(&bytes) => Ok(bytes),
        _ => Err(Malformed::Length(length)),
    }
}

/// Appends a message: `letter` unless it is a packet of the start-up, and the length of what `parts` come to.
pub(super) fn put(output: &mut BytesMut, letter: Option<u8>, parts: &[&[u8]]) {
    let length = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    // At once: where a buffer moves while it grows, what was in it stays behind in memory that nobody wipes.
    output.reserve(1 + length);
    if let Some(letter) = letter {
        output.put_u8(letter);
    }
    output.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    for part in parts {
        output.put_slice(part);
    }
}

/// Splits a string from the NUL that ends it and from what follows.
pub(super) fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// Splits a big-endian number from what follows.
pub(super) fn split_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}
