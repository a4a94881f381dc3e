//! A small strict JSON reader (RFC 8259) that keeps byte spans, for policy documents only.
//!
//! Duplicate keys, lone surrogates, trailing text and excessive depth are errors: a document that two
//! readers could understand differently is never accepted. It must not know what a policy is.

use std::borrow::Cow;
use std::str::FromStr;

use thiserror::Error;

/// Nesting beyond this is refused; the policy grammar itself needs seven levels.
pub(crate) const MAX_DEPTH: usize = 32;

/// A range of bytes in the document's text, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node<'t> {
    pub(crate) value: Value<'t>,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'t> {
    Null,
    Bool(bool),
    /// As written: the policy language treats numbers as text.
    Number(&'t str),
    String(Cow<'t, str>),
    Array(Vec<Node<'t>>),
    Object(Vec<Member<'t>>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member<'t> {
    pub(crate) key: Cow<'t, str>,
    pub(crate) key_span: Span,
    pub(crate) node: Node<'t>,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{problem}")]
pub(crate) struct JsonError {
    pub(crate) problem: Problem,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Problem {
    #[error("expected {0}")]
    Expected(&'static str),
    #[error("the document goes on after its end")]
    TrailingText,
    #[error("a string has no closing quote")]
    Unterminated,
    #[error("a control character in a string must be written as an escape")]
    ControlCharacter,
    #[error("an escape must be one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t or \\u and four hexadecimal digits")]
    BadEscape,
    #[error("a \\u escape is half of a surrogate pair")]
    LoneSurrogate,
    #[error("the key `{0}` appears twice")]
    DuplicateKey(String),
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

pub(crate) fn read(text: &str) -> Result<Node<'_>, JsonError> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_whitespace();
    let node = reader.value(0)?;
    reader.skip_whitespace();
    if reader.at < text.len() {
        return Err(JsonError {
            problem: Problem::TrailingText,
            span: Span { start: reader.at, end: text.len() },
        });
    }
    Ok(node)
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn value(&mut self, depth: usize) -> Result<Node<'t>, JsonError> {
        if depth >= MAX_DEPTH {
            return Err(self.error_here(Problem::TooDeep));
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            _ => return Err(self.error_here(Problem::Expected("a JSON value"))),
        };
        Ok(Node { value, span: self.span_from(start) })
    }

    fn object(&mut self, depth: usize) -> Result<Value<'t>, JsonError> {
        self.at += 1;
        let mut members = Vec::new();
        self.skip_whitespace();
        if self.take(b'}') {
            return Ok(Value::Object(members));
        }
        loop {
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.error_here(Problem::Expected("a key in quotes")));
            }
            let key = self.string()?;
            let key_span = self.span_from(start);
            self.skip_whitespace();
            if !self.take(b':') {
                return Err(self.error_here(Problem::Expected("`:`")));
            }
            self.skip_whitespace();
            let node = self.value(depth + 1)?;
            members.push(Member { key, key_span, node });
            self.skip_whitespace();
            if self.take(b'}') {
                break;
            }
            if !self.take(b',') {
                return Err(self.error_here(Problem::Expected("`,` or `}`")));
            }
            self.skip_whitespace();
        }
        refuse_duplicates(&members)?;
        Ok(Value::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Value<'t>, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.skip_whitespace();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_whitespace();
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take(b',') {
                return Err(self.error_here(Problem::Expected("`,` or `]`")));
            }
            self.skip_whitespace();
        }
    }

    fn string(&mut self) -> Result<Cow<'t, str>, JsonError> {
        let open = self.at;
        self.at += 1;
        let mut owned = String::new();
        let mut run = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let tail = self.slice(run, self.at);
                    self.at += 1;
                    if owned.is_empty() {
                        return Ok(Cow::Borrowed(tail));
                    }
                    owned.push_str(tail);
                    return Ok(Cow::Owned(owned));
                }
                Some(b'\\') => {
                    owned.push_str(self.slice(run, self.at));
                    owned.push(self.escape()?);
                    run = self.at;
                }
                Some(0..=0x1f) => return Err(self.error_here(Problem::ControlCharacter)),
                Some(_) => self.at += 1,
                None => {
                    return Err(JsonError { problem: Problem::Unterminated, span: self.span_from(open) });
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        self.at += 1;
        let escaped = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape(start);
            }
            _ => return Err(JsonError { problem: Problem::BadEscape, span: self.span_from(start) }),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, JsonError> {
        let lone = |reader: &Self| JsonError {
            problem: Problem::LoneSurrogate,
            span: Span { start, end: reader.at },
        };
        let first = self.four_hex(start)?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or_else(|| lone(self));
        }
        if first >= 0xdc00 || !(self.take(b'\\') && self.take(b'u')) {
            return Err(lone(self));
        }
        let second = self.four_hex(start)?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(lone(self));
        }
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        char::from_u32(code).ok_or_else(|| lone(self))
    }

    fn four_hex(&mut self, start: usize) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|d| u32::from_str_radix(d, 16).ok());
        let Some(code) = code else {
            return Err(JsonError { problem: Problem::BadEscape, span: self.span_from(start) });
        };
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<&'t str, JsonError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(self.slice(start, self.at))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.error_here(Problem::Expected("a digit"))) } else { Ok(()) }
    }

    fn word(&mut self, word: &str, value: Value<'t>) -> Result<Value<'t>, JsonError> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.error_here(Problem::Expected("a JSON value")))
        }
    }

    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.at += 1;
        }
        found
    }

    fn slice(&self, start: usize, end: usize) -> &'t str {
        self.text.get(start..end).unwrap_or_default()
    }

    fn span_from(&self, start: usize) -> Span {
        Span { start, end: self.at.min(self.text.len()) }
    }

    fn error_here(&self, problem: Problem) -> JsonError {
        let end = (self.at..self.text.len()).find(|&i| i > self.at && self.text.is_char_boundary(i));
        JsonError { problem, span: Span { start: self.at, end: end.unwrap_or(self.text.len()) } }
    }
}

fn refuse_duplicates(members: &[Member<'_>]) -> Result<(), JsonError> {
    // Sorted rather than pairwise: an object of thousands of keys must not cost their square.
    let mut by_key: Vec<&Member<'_>> = members.iter().collect();
    by_key.sort_by(|a, b| (&a.key, a.key_span.start).cmp(&(&b.key, b.key_span.start)));
    for pair in by_key.windows(2) {
        if let [first, second] = pair
            && first.key == second.key
        {
            return Err(JsonError {
                problem: Problem::DuplicateKey(second.key.clone().into_owned()),
                span: second.key_span,
            });
        }
    }
    Ok(())
}

/// Whether `text` is an integer of 64 bits as JSON or a quoted policy value writes it.
pub(crate) fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && i64::from_str(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keeps_spans_of_keys_and_values() {
        let text = r#" {"a": [1, "x\u00e9"]} "#;
        let node = read(text).unwrap();
        let Value::Object(members) = node.value else { panic!("an object") };
        assert_eq!(&text[members[0].key_span.start..members[0].key_span.end], r#""a""#);
        let Value::Array(items) = &members[0].node.value else { panic!("an array") };
        assert_eq!(&text[items[1].span.start..items[1].span.end], r#""x\u00e9""#);
        assert_eq!(items[1].value, Value::String("xé".into()));
    }

    #[test]
    fn refuses_what_two_readers_could_understand_differently() {
        let problem = |text: &str| read(text).unwrap_err().problem;
        assert_eq!(problem(r#"{"a":1,"b":2,"a":3}"#), Problem::DuplicateKey("a".into()));
        assert_eq!(problem(r#"{"a":1,"\u0061":3}"#), Problem::DuplicateKey("a".into()));
        assert_eq!(problem("{} {}"), Problem::TrailingText);
        assert_eq!(problem("[1,]"), Problem::Expected("a JSON value"));
        assert_eq!(problem(r#"{"a":1,}"#), Problem::Expected("a key in quotes"));
        assert_eq!(problem(r#""\ud800""#), Problem::LoneSurrogate);
        assert_eq!(problem(r#""\udc00\ud800""#), Problem::LoneSurrogate);
        assert_eq!(problem("\"a\nb\""), Problem::ControlCharacter);
        assert_eq!(problem(r#""\x""#), Problem::BadEscape);
        assert_eq!(problem(r#""\u+123""#), Problem::BadEscape);
        assert_eq!(problem("\"abc"), Problem::Unterminated);
        assert_eq!(problem("01"), Problem::TrailingText);
        assert_eq!(problem("\u{feff}{}"), Problem::Expected("a JSON value"));
        assert_eq!(problem(&"[".repeat(100_000)), Problem::TooDeep);
    }

    fn same(ours: &Value<'_>, theirs: &serde_json::Value) -> bool {
        match (ours, theirs) {
            (Value::Null, serde_json::Value::Null) => true,
            (Value::Bool(a), serde_json::Value::Bool(b)) => a == b,
            (Value::Number(a), serde_json::Value::Number(b)) => a.parse::<f64>().ok() == b.as_f64(),
            (Value::String(a), serde_json::Value::String(b)) => a == b,
            (Value::Array(a), serde_json::Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.value, b))
            }
            (Value::Object(a), serde_json::Value::Object(b)) => {
                a.len() == b.len()
                    && a.iter().all(|m| b.get(m.key.as_ref()).is_some_and(|b| same(&m.node.value, b)))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{},: "\\abu0-9eE+.\-tfn\n]{0,24}|"([a-zé*$]|\\n|\\u00[0-9a-f]{2}|\\ud83d\\ude00)*""#) {
            match (read(&text), serde_json::from_str::<serde_json::Value>(&text)) {
                (Ok(ours), Ok(theirs)) => prop_assert!(same(&ours.value, &theirs), "{text}"),
                (Err(e), Ok(_)) => prop_assert!(matches!(e.problem, Problem::DuplicateKey(_)), "{text}: {e}"),
                // serde_json refuses numbers outside the range of f64; as text they are well-formed.
                (Ok(_), Err(theirs)) => prop_assert!(theirs.to_string().contains("number out of range"), "{text}"),
                (Err(_), Err(_)) => {}
            }
        }
    }
}
