//! The canonical form of an API request's path, query and headers.
//!
//! Streams into a sink. Must read a request exactly as the rest of the program does: a byte that means one
//! thing here and another there is a hole.

use std::borrow::Cow;

use crate::encode::{Keep, Sink, encode_into, form_decode, percent_decode, percent_encode};

/// Whether `.`, `..` and empty segments of the path are resolved before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalize {
    /// As all services but S3 do.
    Yes,
    /// As S3 does, where such a path names another object.
    No,
}

/// How often the path of the URL is percent-encoded for the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathEncoding {
    /// The path as sent is encoded once more, so `%20` becomes `%2520`; all services but S3.
    Double,
    /// The path is decoded first; S3.
    Single,
}

/// Writes the canonical path for `path` as sent.
pub(crate) fn write_path(path: &str, normalize: Normalize, encoding: PathEncoding, sink: &mut impl Sink) {
    let path = if path.starts_with('/') { Cow::Borrowed(path) } else { Cow::Owned(format!("/{path}")) };
    let path = match normalize {
        Normalize::Yes => Cow::Owned(resolve(&path)),
        Normalize::No => path,
    };
    let bytes = match encoding {
        PathEncoding::Double => Cow::Borrowed(path.as_bytes()),
        PathEncoding::Single => percent_decode(&path),
    };
    encode_into(bytes.iter().copied(), Keep::UnreservedAndSlash, sink);
}

/// Writes the canonical query for `query` as sent, without the parameters that `leave_out` picks by their
/// decoded name.
pub(crate) fn write_query(query: &str, leave_out: impl Fn(&[u8]) -> bool, sink: &mut impl Sink) {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (form_decode(name), form_decode(value)))
        .filter(|(name, _)| !leave_out(name))
        .map(|(name, value)| (percent_encode(&name), percent_encode(&value)))
        .collect();
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            sink.put(b"&");
        }
        for piece in [name, "=", value] {
            sink.put(piece.as_bytes());
        }
    }
}

/// Writes a header value: trimmed, with each run of white space, folded lines too, as one space.
pub(crate) fn write_header_value(value: &[u8], sink: &mut impl Sink) {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            sink.put(b" ");
        }
        sink.put(word);
    }
}

/// RFC 3986, 5.2.4, and empty segments dropped as well.
fn resolve(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    let directory = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    let mut resolved = format!("/{}", kept.join("/"));
    if directory && !kept.is_empty() {
        resolved.push('/');
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn paths_are_resolved_and_encoded_by_the_service_s_rule() {
        use {Normalize::*, PathEncoding::*};
        for (path, normalize, encoding, canonical) in [
            ("", Yes, Double, "/"),
            ("/a/./b/../c/", Yes, Double, "/a/c/"),
            ("/../../x", Yes, Double, "/x"),
            ("/a/b/..", Yes, Double, "/a/"),
            ("//a//", Yes, Double, "/a/"),
            ("/a%20b", Yes, Double, "/a%2520b"),
            ("//a/../b%20c%2f", No, Single, "//a/../b%20c/"),
            ("/a b", No, Double, "/a%20b"),
        ] {
            assert_eq!(text(|out| write_path(path, normalize, encoding, out)), canonical, "{path}");
        }
    }

    #[test]
    fn queries_are_sorted_by_encoded_name_then_value() {
        let canonical = text(|out| write_query("b=2&a-b=1&a=z&&a=%2a&c&d=x+y", |name| name == b"b", out));
        assert_eq!(canonical, "a=%2A&a=z&a-b=1&c=&d=x%20y");
    }

    #[test]
    fn header_values_are_trimmed_and_folded() {
        assert_eq!(text(|out| write_header_value(b"  a   b\n  \t c ", out)), "a b c");
    }
}
