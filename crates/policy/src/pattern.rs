//! Wildcard patterns and the ARN-shaped patterns of `Resource`, encoded once and matched in linear space.
//!
//! In an encoded pattern a wildcard is a byte that UTF-8 never uses, so a literal `*` (written `${*}`, or the
//! value of a variable) can never be taken for one. Matching walks both sides with one retry point, the last
//! `*`: at worst the product of the lengths, never exponential. Nothing allocates while matching.

const ANY_RUN: u8 = 0xff;
const ANY_ONE: u8 = 0xfe;

/// Whether a pattern keeps the case of ASCII letters or is encoded in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    Sensitive,
    Folded,
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

/// The encoded patterns of a policy, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    pub(crate) text: Vec<u8>,
}

impl Encoder {
    pub(crate) fn pattern(&mut self, source: &str, case: Case) -> Pattern {
        let start = self.text.len();
        for byte in source.bytes() {
            match byte {
                // Two runs are one: without this, `**` would retry for nothing.
                b'*' if self.text.len() > start && self.text.last() == Some(&ANY_RUN) => {}
                b'*' => self.text.push(ANY_RUN),
                b'?' => self.text.push(ANY_ONE),
                _ if case == Case::Folded => self.text.push(byte.to_ascii_lowercase()),
                _ => self.text.push(byte),
            }
        }
        let encoded = self.text.get(start..).unwrap_or_default();
        let shape = match encoded.iter().position(|&byte| matches!(byte, ANY_RUN | ANY_ONE)) {
            None => Shape::Literal,
            Some(0) if encoded == [ANY_RUN] => Shape::Anything,
            // A longer prefix need not be known whole: the rest of it is matched byte by byte.
            Some(prefix) => Shape::Wild { prefix: u16::try_from(prefix).unwrap_or(0) },
        };
        self.place(start, shape)
    }

    pub(crate) fn literal(&mut self, source: &str) -> Pattern {
        let start = self.text.len();
        self.text.extend_from_slice(source.as_bytes());
        self.place(start, Shape::Literal)
    }

    /// `source` is a validated resource; what an incomplete ARN leaves out is `*`.
    pub(crate) fn resource(&mut self, source: &str) -> ResourcePattern {
        if source == "*" {
            return ResourcePattern::Everything;
        }
        let mut parts = source.splitn(6, ':').skip(1);
        ResourcePattern::Arn(std::array::from_fn(|_| {
            self.pattern(parts.next().unwrap_or("*"), Case::Sensitive)
        }))
    }

    fn place(&self, start: usize, shape: Shape) -> Pattern {
        // Documents are far below 4 GiB; were one not, an out-of-range pattern matches nothing.
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        Pattern { start, len: end - start, shape }
    }
}

impl Pattern {
    /// `text` is the policy's. Where the pattern was encoded [`Case::Folded`], the subject comes in lower case.
    pub(crate) fn matches(self, text: &[u8], subject: &[u8]) -> bool {
        if self.shape == Shape::Anything {
            return true;
        }
        let Some(pattern) = self.bytes(text) else { return false };
        let Shape::Wild { prefix } = self.shape else { return pattern == subject };
        let prefix = usize::from(prefix);
        match (pattern.split_at_checked(prefix), subject.split_at_checked(prefix)) {
            (Some((start, pattern)), Some((head, subject))) => {
                start == head && matches_wild(pattern, subject)
            }
            _ => false,
        }
    }

    pub(crate) fn bytes(self, text: &[u8]) -> Option<&[u8]> {
        let start = self.start as usize;
        text.get(start..start + self.len as usize)
    }
}

/// Matches a pattern as written, for the rules of documents: not for requests.
pub(crate) fn matches(source: &str, subject: &str) -> bool {
    let mut encoder = Encoder::default();
    encoder.pattern(source, Case::Sensitive).matches(&encoder.text, subject.as_bytes())
}

fn matches_wild(pattern: &[u8], subject: &[u8]) -> bool {
    let (mut p, mut s) = (0, 0);
    // Behind the last `*`, and how much of the subject that `*` has taken so far.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), subject.get(s)) {
            (None, None) => return true,
            (Some(&ANY_RUN), _) => {
                p += 1;
                if p == pattern.len() {
                    return true;
                }
                retry = Some((p, s));
                continue;
            }
            (Some(&ANY_ONE), Some(&lead)) => {
                p += 1;
                s += char_len(lead);
                continue;
            }
            (Some(want), Some(got)) if want == got => {
                p += 1;
                s += 1;
                continue;
            }
            _ => {}
        }
        // The run grows by whole characters, so that `?` never meets half of one.
        let Some((behind, taken)) = retry else { return false };
        let Some(&lead) = subject.get(taken) else { return false };
        p = behind;
        s = taken + char_len(lead);
        retry = Some((p, s));
    }
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
                folded.matches(&encoder.text, subject.as_bytes()),
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
    fn many_stars_cost_the_product_of_the_lengths_at_most() {
        // Exponential or cubic matching would not come back from this.
        let pattern = "*a".repeat(30_000) + "b";
        assert!(!matches(&pattern, &"a".repeat(60_000)));
    }

    #[test]
    fn a_literal_is_never_a_wildcard() {
        let mut encoder = Encoder::default();
        let star = encoder.literal("*");
        assert!(star.matches(&encoder.text, b"*"));
        assert!(!star.matches(&encoder.text, b"x"));
    }
}
