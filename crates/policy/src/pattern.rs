//! Wildcard patterns and the ARN-shaped patterns of `Resource`, encoded once and matched in linear space.
//!
//! In an encoded pattern a wildcard is a byte that UTF-8 never uses, so a literal `*` (written `${*}`, or the
//! value of a variable) can never be taken for one. Matching looks for the parts between the stars one after the other, and
//! never goes back. Nothing allocates while matching, unless the values of variables make a pattern longer than [`Expanded`]
//! has room for.

use crate::context::{Context, Global, Key, Room, Value};
use crate::json::Span;
use crate::variable::{BadVariable, Piece, pieces};

const ANY_RUN: u8 = 0xff;
const ANY_ONE: u8 = 0xfe;
/// A variable: its number in the policy follows in two bytes.
const VARIABLE: u8 = 0xfd;

/// Whether a pattern keeps the case of ASCII letters or is encoded in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    Folded,
}

/// What has a meaning in a text besides its characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Syntax {
    /// `*` and `?`.
    pub(crate) wildcards: bool,
    /// `${...}`.
    pub(crate) variables: bool,
}

/// An encoded pattern: a place in the text of its policy, with what is known about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pattern {
    start: u32,
    len: u32,
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `*`
    Anything,
    /// No wildcard.
    Literal,
    /// So many bytes before the first wildcard, which most subjects fail to start with.
    Wild { prefix: u16 },
    /// With variables; what it is worth is known when a request is evaluated. So many bytes before the first variable or
    /// wildcard.
    Template { prefix: u16 },
}

/// Whether a pattern with variables matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    No,
    /// A variable has no value and no default.
    NoValue,
}

impl From<bool> for Match {
    fn from(matches: bool) -> Self {
        if matches { Self::Yes } else { Self::No }
    }
}

/// One entry of `Resource` or `NotResource`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResourcePattern {
    /// `*`: any resource, and calls that have none.
    Everything,
    /// Partition, service, region, account, resource: matched one by one, so that no wildcard crosses a colon of
    /// the first five; the last takes the rest, colons and slashes included.
    Arn([Pattern; 5]),
}

/// The texts of a policy, one behind the other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    /// Encoded patterns.
    pub(crate) patterns: Box<[u8]>,
    /// Plain text: names of keys, values as they were written, Sids.
    plain: Box<str>,
    variables: Box<[VariableRef]>,
}

/// A place in the plain text of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plain {
    start: u32,
    end: u32,
}

/// A context key that a policy names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRef {
    name: Plain,
    global: Option<Global>,
    /// What follows the slash of the name.
    tag: Option<Plain>,
}

#[derive(Debug, Clone, Copy)]
struct VariableRef {
    key: KeyRef,
    default: Option<Plain>,
}

impl Texts {
    pub(crate) fn plain(&self, at: Plain) -> &str {
        self.plain.get(at.start as usize..at.end as usize).unwrap_or_default()
    }

    pub(crate) fn key(&self, key: KeyRef) -> Key<'_> {
        Key::known(self.plain(key.name), key.global, key.tag.map(|tag| self.plain(tag)))
    }

    /// The keys that variables ask for.
    pub(crate) fn variable_keys(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| self.plain(variable.key.name))
    }
}

/// Encodes the texts of a policy.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    patterns: Vec<u8>,
    plain: String,
    variables: Vec<VariableRef>,
}

impl Encoder {
    pub(crate) fn finish(self) -> Texts {
        Texts { patterns: self.patterns.into(), plain: self.plain.into(), variables: self.variables.into() }
    }

    /// A pattern without variables.
    pub(crate) fn pattern(&mut self, source: &str, case: Case) -> Pattern {
        let start = self.patterns.len();
        self.push_wild(start, source, case);
        self.place(start)
    }

    /// A pattern in which what `syntax` names has a meaning.
    pub(crate) fn template(&mut self, source: &str, syntax: Syntax) -> Result<Pattern, BadVariable> {
        let start = self.patterns.len();
        let text = |encoder: &mut Self, text: &str| match syntax.wildcards {
            true => encoder.push_wild(start, text, Case::Sensitive),
            false => encoder.patterns.extend_from_slice(text.as_bytes()),
        };
        if !syntax.variables {
            text(self, source);
            return Ok(self.place(start));
        }
        for piece in pieces(source) {
            match piece? {
                Piece::Text(piece) => text(self, piece),
                Piece::Character(character) => self.patterns.extend_from_slice(character.as_bytes()),
                Piece::Variable(variable) => {
                    let (key, default) =
                        (self.key(variable.key), variable.default.map(|text| self.plain(text)));
                    let Ok(number) = u16::try_from(self.variables.len()) else {
                        let at = Span { start: 0, end: source.len() };
                        return Err(BadVariable { at, problem: "a policy has at most 65,536 variables" });
                    };
                    self.variables.push(VariableRef { key, default });
                    self.patterns.push(VARIABLE);
                    self.patterns.extend(number.to_be_bytes());
                }
            }
        }
        Ok(self.place(start))
    }

    /// `source` is a validated resource; what an incomplete ARN leaves out is `*`. A variable has a meaning behind the fifth
    /// colon only.
    pub(crate) fn resource(&mut self, source: &str, variables: bool) -> Result<ResourcePattern, BadVariable> {
        if source == "*" {
            return Ok(ResourcePattern::Everything);
        }
        let mut parts = source.splitn(6, ':').skip(1);
        let mut next = |last: bool| {
            let syntax = Syntax { wildcards: true, variables: variables && last };
            self.template(parts.next().unwrap_or("*"), syntax)
        };
        let (partition, service, region) = (next(false)?, next(false)?, next(false)?);
        Ok(ResourcePattern::Arn([partition, service, region, next(false)?, next(true)?]))
    }

    pub(crate) fn plain(&mut self, text: &str) -> Plain {
        let start = self.plain.len();
        self.plain.push_str(text);
        Plain { start: index(start), end: index(self.plain.len()) }
    }

    pub(crate) fn key(&mut self, name: &str) -> KeyRef {
        let (key, at) = (Key::new(name), self.plain(name));
        let tag = key.tag().map(|tag| Plain { start: at.end - index(tag.len()), end: at.end });
        KeyRef { name: at, global: key.global(), tag }
    }

    fn push_wild(&mut self, start: usize, source: &str, case: Case) {
        for byte in source.bytes() {
            match byte {
                // Two runs are one: without this, `**` would retry for nothing.
                b'*' if self.patterns.len() > start && self.ends_with_run(start) => {}
                b'*' => self.patterns.push(ANY_RUN),
                b'?' => self.patterns.push(ANY_ONE),
                _ if case == Case::Folded => self.patterns.push(byte.to_ascii_lowercase()),
                _ => self.patterns.push(byte),
            }
        }
    }

    /// The number of a variable may look like a wildcard.
    fn ends_with_run(&self, start: usize) -> bool {
        let encoded = self.patterns.get(start..).unwrap_or_default();
        let number = encoded.len().checked_sub(3).and_then(|at| encoded.get(at));
        encoded.last() == Some(&ANY_RUN) && number != Some(&VARIABLE)
    }

    fn place(&self, start: usize) -> Pattern {
        let encoded = self.patterns.get(start..).unwrap_or_default();
        // A longer prefix need not be known whole: the rest of it is matched byte by byte.
        let prefix = |at: usize| u16::try_from(at).unwrap_or(0);
        let special = encoded.iter().position(|&byte| matches!(byte, ANY_RUN | ANY_ONE | VARIABLE));
        let shape = match special {
            None => Shape::Literal,
            Some(at) if encoded.contains(&VARIABLE) => Shape::Template { prefix: prefix(at) },
            Some(0) if encoded == [ANY_RUN] => Shape::Anything,
            Some(at) => Shape::Wild { prefix: prefix(at) },
        };
        Pattern { start: index(start), len: index(encoded.len()), shape }
    }
}

/// Documents are far below 4 GiB; were one not, what lies out of range matches nothing.
fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

impl Pattern {
    /// For a pattern without variables; one with them has no value here. Where the pattern was encoded
    /// [`Case::Folded`], the subject comes in lower case.
    #[inline]
    pub(crate) fn matches(self, texts: &Texts, subject: &[u8]) -> bool {
        let Some(pattern) = self.bytes(texts) else { return false };
        match self.shape {
            Shape::Anything => true,
            Shape::Literal => pattern == subject,
            Shape::Wild { prefix } => matches_behind(pattern, subject, prefix),
            Shape::Template { .. } => false,
        }
    }

    /// For a pattern that may have variables.
    #[inline]
    pub(crate) fn matches_in(self, texts: &Texts, subject: &[u8], context: &dyn Context) -> Match {
        match self.shape {
            Shape::Template { prefix } => self.template_matches(texts, subject, context, prefix),
            _ => self.matches(texts, subject).into(),
        }
    }

    fn template_matches(self, texts: &Texts, subject: &[u8], context: &dyn Context, prefix: u16) -> Match {
        let mut expanded = Expanded::default();
        match self.expand(texts, context, &mut expanded) {
            Some(pattern) => matches_behind(pattern, subject, prefix).into(),
            None => Match::NoValue,
        }
    }

    /// The pattern with the values of its variables, without wildcards of their own; `None` where one has no value.
    pub(crate) fn expand<'e>(
        self,
        texts: &'e Texts,
        context: &dyn Context,
        expanded: &'e mut Expanded,
    ) -> Option<&'e [u8]> {
        let mut rest = self.bytes(texts)?;
        if !matches!(self.shape, Shape::Template { .. }) {
            return Some(rest);
        }
        while let Some(at) = rest.iter().position(|&byte| byte == VARIABLE) {
            let (before, [_, high, low, behind @ ..]) = rest.split_at_checked(at)? else { return None };
            expanded.push(before);
            let variable = texts.variables.get(usize::from(u16::from_be_bytes([*high, *low])))?;
            match *context.values(texts.key(variable.key)).as_slice() {
                [Value::Text(text)] => expanded.push(text.as_bytes()),
                [value] => expanded.push(value.text(&mut Room::default()).as_bytes()),
                // Of many values none is the one that was meant.
                _ => expanded.push(texts.plain(variable.default?).as_bytes()),
            }
            rest = behind;
        }
        expanded.push(rest);
        Some(expanded.bytes())
    }

    fn variables(self, texts: &Texts) -> impl Iterator<Item = &VariableRef> {
        let mut rest = self.bytes(texts).unwrap_or_default();
        std::iter::from_fn(move || {
            let at = rest.iter().position(|&byte| byte == VARIABLE)?;
            let [_, high, low, behind @ ..] = rest.get(at..)? else { return None };
            rest = behind;
            texts.variables.get(usize::from(u16::from_be_bytes([*high, *low])))
        })
    }

    /// The keys of its variables that have neither a value nor a default.
    pub(crate) fn without_value<'t>(
        self,
        texts: &'t Texts,
        context: &dyn Context,
    ) -> impl Iterator<Item = &'t str> {
        let unknown = self.variables(texts).filter(|variable| {
            let found = context.values(texts.key(variable.key));
            found.as_slice().len() != 1 && variable.default.is_none()
        });
        unknown.map(|variable| texts.plain(variable.key.name))
    }

    /// Whether a variable stands in it.
    pub(crate) fn has_variables(self) -> bool {
        matches!(self.shape, Shape::Template { .. })
    }

    /// The pattern as it was written, but for its case where that does not matter.
    pub(crate) fn written(self, texts: &Texts) -> String {
        let mut written = Vec::new();
        let mut rest = self.bytes(texts).unwrap_or_default();
        while let [first, behind @ ..] = rest {
            rest = behind;
            match *first {
                ANY_RUN => written.push(b'*'),
                ANY_ONE => written.push(b'?'),
                VARIABLE => {
                    let [high, low, behind @ ..] = rest else { break };
                    rest = behind;
                    let number = usize::from(u16::from_be_bytes([*high, *low]));
                    let Some(variable) = texts.variables.get(number) else { break };
                    let default = variable.default.map(|text| format!(", '{}'", texts.plain(text)));
                    let key = texts.plain(variable.key.name);
                    written.extend(format!("${{{key}{}}}", default.unwrap_or_default()).into_bytes());
                }
                b'*' => written.extend(b"${*}"),
                b'?' => written.extend(b"${?}"),
                byte => written.push(byte),
            }
        }
        String::from_utf8_lossy(&written).into_owned()
    }

    pub(crate) fn bytes(self, texts: &Texts) -> Option<&[u8]> {
        let start = self.start as usize;
        texts.patterns.get(start..start + self.len as usize)
    }
}

impl ResourcePattern {
    /// The pattern as it was written, completed.
    pub(crate) fn written(&self, texts: &Texts) -> String {
        match self {
            Self::Everything => "*".to_owned(),
            Self::Arn(parts) => {
                let parts = parts.iter().map(|part| part.written(texts)).collect::<Vec<_>>();
                format!("arn:{}", parts.join(":"))
            }
        }
    }
}

/// Room for a pattern with the values of its variables: more than an ARN of a database user has. What is longer still
/// matches right, at the price of an allocation.
pub(crate) struct Expanded {
    room: [u8; 256],
    len: usize,
    longer: Vec<u8>,
}

impl Default for Expanded {
    fn default() -> Self {
        Self { room: [0; 256], len: 0, longer: Vec::new() }
    }
}

impl Expanded {
    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.room.get_mut(self.len..end).filter(|_| self.longer.is_empty()) {
            Some(room) => room.copy_from_slice(bytes),
            None => {
                if self.longer.is_empty() {
                    self.longer.extend_from_slice(self.room.get(..self.len).unwrap_or_default());
                }
                self.longer.extend_from_slice(bytes);
            }
        }
        self.len = end;
    }

    fn bytes(&self) -> &[u8] {
        if self.longer.is_empty() { self.room.get(..self.len).unwrap_or_default() } else { &self.longer }
    }
}

/// Matches a pattern as written, for the rules of documents: not for requests.
pub(crate) fn matches(source: &str, subject: &str) -> bool {
    let mut encoder = Encoder::default();
    let pattern = encoder.pattern(source, Case::Sensitive);
    pattern.matches(&encoder.finish(), subject.as_bytes())
}

/// `prefix` bytes of the pattern are known to be plain.
#[inline]
fn matches_behind(pattern: &[u8], subject: &[u8], prefix: u16) -> bool {
    let prefix = usize::from(prefix);
    // ARNs begin alike and differ later: the last byte of the prefix turns most of them away.
    if let Some(last) = prefix.checked_sub(1)
        && pattern.get(last) != subject.get(last)
    {
        return false;
    }
    match (pattern.split_at_checked(prefix), subject.split_at_checked(prefix)) {
        (Some((start, pattern)), Some((head, subject))) => start == head && matches_wild(pattern, subject),
        _ => false,
    }
}

/// The parts between the stars are looked for one after the other, each at its first place; the first stands at the start
/// of the subject, the last at its end. No star is ever tried again, since what a part leaves for those behind it can only get
/// less: the work is linear in pattern and subject, but for parts with a `?`, which are tried at each place.
fn matches_wild(pattern: &[u8], subject: &[u8]) -> bool {
    let Some((first, mut rest)) = split_at_run(pattern) else {
        return match_start(pattern, subject) == Some(subject.len());
    };
    let Some(mut left) = match_start(first, subject).and_then(|end| subject.get(end..)) else { return false };
    while let Some((part, behind)) = split_at_run(rest) {
        match find(part, left) {
            Some(behind_part) => left = behind_part,
            None => return false,
        }
        rest = behind;
    }
    matches_end(rest, left)
}

/// What stands before and behind the first run.
fn split_at_run(pattern: &[u8]) -> Option<(&[u8], &[u8])> {
    let run = pattern.iter().position(|&byte| byte == ANY_RUN)?;
    Some((pattern.get(..run)?, pattern.get(run + 1..)?))
}

/// How many bytes at the start of the subject the part matches.
fn match_start(part: &[u8], subject: &[u8]) -> Option<usize> {
    let mut at = 0;
    for &want in part {
        let &got = subject.get(at)?;
        match want {
            ANY_ONE => at += char_len(got),
            _ if want == got => at += 1,
            _ => return None,
        }
    }
    Some(at)
}

/// What is left of the subject behind the first place where the part matches.
fn find<'s>(part: &[u8], subject: &'s [u8]) -> Option<&'s [u8]> {
    if part.contains(&ANY_ONE) {
        let mut left = subject;
        loop {
            if let Some(length) = match_start(part, left) {
                return left.get(length..);
            }
            left = left.get(char_len(*left.first()?)..)?;
        }
    }
    let at = memchr::memmem::find(subject, part)?;
    subject.get(at + part.len()..)
}

/// Whether the part matches the end of the subject.
fn matches_end(part: &[u8], subject: &[u8]) -> bool {
    if !part.contains(&ANY_ONE) {
        return subject.ends_with(part);
    }
    let mut left = subject;
    for &want in part.iter().rev() {
        let Some((&last, before)) = left.split_last() else { return false };
        left = before;
        if want == ANY_ONE {
            // Back to the first byte of the character.
            let mut byte = last;
            while byte & 0xc0 == 0x80 {
                let Some((&last, before)) = left.split_last() else { return false };
                (byte, left) = (last, before);
            }
        } else if want != last {
            return false;
        }
    }
    true
}

fn char_len(lead: u8) -> usize {
    match lead {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, character by character.
    fn naive(pattern: &[char], subject: &[char]) -> bool {
        match (pattern.split_first(), subject.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => (0..=subject.len()).any(|n| naive(rest, &subject[n..])),
            (Some(('?', rest)), Some((_, tail))) => naive(rest, tail),
            (Some((want, rest)), Some((got, tail))) => want == got && naive(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn agrees_with_the_definition(pattern in "[aé€*?]{0,7}", subject in "[aé€😀]{0,7}") {
            let p: Vec<char> = pattern.chars().collect();
            let s: Vec<char> = subject.chars().collect();
            prop_assert_eq!(matches(&pattern, &subject), naive(&p, &s));
        }

        #[test]
        fn a_folded_pattern_is_that_of_its_lower_case(pattern in "[aAbB:*?]{0,8}", subject in "[ab:]{0,10}") {
            let mut encoder = Encoder::default();
            let folded = encoder.pattern(&pattern, Case::Folded);
            prop_assert_eq!(
                folded.matches(&encoder.finish(), subject.as_bytes()),
                matches(&pattern.to_lowercase(), &subject)
            );
        }
    }

    #[test]
    fn a_question_mark_is_one_character_not_one_byte() {
        assert!(matches("?", "é"));
        assert!(!matches("??", "é"));
        assert!(!matches("*??", "€"));
        assert!(!matches("*???", "😀"));
        assert!(matches("*?", "€é"));
    }

    #[test]
    fn many_stars_cost_what_their_text_costs() {
        // Matching that goes back, by a product of these lengths or worse, would not come back from this.
        let pattern = "*a".repeat(30_000) + "b";
        assert!(!matches(&pattern, &"a".repeat(60_000)));
        let pattern = format!("*{}b*", "a".repeat(60_000));
        assert!(!matches(&pattern, &"a".repeat(1_000_000)));
        assert!(matches(&("*?".repeat(30_000) + "*"), &"é".repeat(30_000)));
    }

    #[test]
    fn an_escaped_or_substituted_character_is_never_a_wildcard() {
        struct Starred;
        impl Context for Starred {
            fn values<'c>(&'c self, key: Key<'_>) -> crate::Values<'c> {
                crate::Values::optional(key.is("a:star").then_some(crate::Value::Text("*?")))
            }
        }
        let mut encoder = Encoder::default();
        let syntax = Syntax { wildcards: true, variables: true };
        let escaped = encoder.template("${*}", syntax).unwrap();
        let value = encoder.template("<${a:star}>*", syntax).unwrap();
        let absent = encoder.template("${a:b}*", syntax).unwrap();
        let default = encoder.template("*${a:b, '*'}", syntax).unwrap();
        let texts = encoder.finish();
        assert!(escaped.matches(&texts, b"*") && !escaped.matches(&texts, b"x"));
        assert_eq!(value.matches_in(&texts, b"<*?>x", &Starred), Match::Yes);
        assert_eq!(value.matches_in(&texts, b"<ab>x", &Starred), Match::No);
        assert_eq!(absent.matches_in(&texts, b"x", &Starred), Match::NoValue);
        assert_eq!(default.matches_in(&texts, b"xx*", &Starred), Match::Yes);
        assert_eq!(default.matches_in(&texts, b"xxx", &Starred), Match::No);
        assert_eq!(value.written(&texts), "<${a:star}>*");
        assert_eq!(default.written(&texts), "*${a:b, '*'}");
        assert_eq!(escaped.written(&texts), "${*}");
    }

    #[test]
    fn a_value_of_any_length_is_matched_whole() {
        struct Long(String);
        impl Context for Long {
            fn values<'c>(&'c self, _: Key<'_>) -> crate::Values<'c> {
                crate::Values::One(crate::Value::Text(&self.0))
            }
        }
        let mut encoder = Encoder::default();
        let pattern = encoder.template("a${k}b${k}c*", Syntax { wildcards: true, variables: true }).unwrap();
        let texts = encoder.finish();
        for length in [0, 1, 100, 125, 126, 127, 128, 250, 256, 300, 5000] {
            let long = Long("x".repeat(length));
            let subject = format!("a{0}b{0}c!", long.0);
            assert_eq!(pattern.matches_in(&texts, subject.as_bytes(), &long), Match::Yes, "{length}");
            assert_eq!(pattern.matches_in(&texts, &subject.as_bytes()[1..], &long), Match::No, "{length}");
        }
    }

    #[test]
    fn the_number_of_a_variable_is_not_taken_for_a_wildcard() {
        let mut encoder = Encoder::default();
        let syntax = Syntax { wildcards: true, variables: true };
        let many: Vec<Pattern> = (0..300).map(|_| encoder.template("${k, 'v'}*", syntax).unwrap()).collect();
        let texts = encoder.finish();
        for pattern in many {
            assert_eq!(pattern.matches_in(&texts, b"vx", &crate::NoContext), Match::Yes);
        }
    }
}
