//! Conditions: the grammar of their operators, `[ForAllValues:|ForAnyValue:]Test[IfExists]`, and whether one holds.
//!
//! A test that cannot be made, because a value is not of the operator's type, counts against the request: what it would have
//! said is not known, and an error never becomes an Allow. See [`Truth`].

use crate::compile::Range;
use crate::context::{Context, Room, Value};
use crate::date::Instant;
use crate::nearest::nearest;
use crate::network::Network;
use crate::number::Number;
use crate::pattern::{Encoder, Expanded, KeyRef, Match, Pattern, Plain, Syntax, Texts};
use crate::variable::{BadVariable, split_outside};
use std::net::IpAddr;

/// A condition operator of the policy language, as parsed from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    /// How a key with many values is tested; `None` for keys with one value.
    pub quantifier: Option<Quantifier>,
    /// The comparison.
    pub test: Test,
    /// True on a missing key.
    pub if_exists: bool,
}

/// The prefix of an operator on a key with many values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantifier {
    /// `ForAllValues:`
    ForAllValues,
    /// `ForAnyValue:`
    ForAnyValue,
}

macro_rules! tests {
    ($($name:ident)*) => {
        /// The comparison an operator makes; the variants are AWS's names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "AWS's names")]
        pub enum Test { $($name),* }

        impl Test {
            const NAMES: &[&str] = &[$(stringify!($name)),*];

            fn parse(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Self::$name),)* _ => None }
            }
        }
    };
}

tests! {
    StringEquals StringNotEquals StringEqualsIgnoreCase StringNotEqualsIgnoreCase StringLike StringNotLike
    NumericEquals NumericNotEquals
    NumericLessThan NumericLessThanEquals NumericGreaterThan NumericGreaterThanEquals
    DateEquals DateNotEquals DateLessThan DateLessThanEquals DateGreaterThan DateGreaterThanEquals
    Bool BinaryEquals IpAddress NotIpAddress
    ArnEquals ArnLike ArnNotEquals ArnNotLike
    Null
}

impl Operator {
    /// `None` for a name that the policy language does not have; names are case-sensitive.
    pub fn parse(name: &str) -> Option<Self> {
        let (quantifier, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(Quantifier::ForAllValues), rest),
            Some(("ForAnyValue", rest)) => (Some(Quantifier::ForAnyValue), rest),
            Some(_) => return None,
            None => (None, name),
        };
        let (rest, if_exists) = match rest.strip_suffix("IfExists") {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let test = Test::parse(rest)?;
        // `Null` asks about presence itself, so neither form of "if present" has a meaning for it.
        if test == Test::Null && (if_exists || quantifier.is_some()) {
            return None;
        }
        Some(Self { quantifier, test, if_exists })
    }

    /// What somebody who wrote a name that is none may have meant.
    pub(crate) fn nearest(name: &str) -> Option<String> {
        let (prefix, rest) = match name.split_once(':') {
            Some((prefix, rest)) => (nearest(prefix, ["ForAllValues", "ForAnyValue"].into_iter())?, rest),
            None => ("", name),
        };
        let at = rest.len().saturating_sub("IfExists".len());
        let (rest, suffix) = match rest.split_at_checked(at) {
            Some((rest, suffix)) if suffix.eq_ignore_ascii_case("IfExists") => (rest, "IfExists"),
            _ => (rest, ""),
        };
        let colon = if prefix.is_empty() { "" } else { ":" };
        let test = nearest(rest, Test::NAMES.iter().copied())?;
        let meant = format!("{prefix}{colon}{test}{suffix}");
        Self::parse(&meant).map(|_| meant)
    }

    /// Whether the values are points in time.
    pub fn compares_dates(self) -> bool {
        matches!(self.test.comparison(), Comparison::Date(_))
    }

    /// Whether policy variables have a meaning in the values.
    pub fn takes_variables(self) -> bool {
        use Comparison::{Arn, Flag, IgnoringCase, Text, Wild};
        matches!(self.test.comparison(), Text | IgnoringCase | Wild | Arn | Flag)
    }
}

impl std::fmt::Display for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let prefix = match self.quantifier {
            Some(Quantifier::ForAllValues) => "ForAllValues:",
            Some(Quantifier::ForAnyValue) => "ForAnyValue:",
            None => "",
        };
        write!(f, "{prefix}{:?}{}", self.test, if self.if_exists { "IfExists" } else { "" })
    }
}

/// What a test compares, apart from whether it is negated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Text,
    IgnoringCase,
    Wild,
    Number(Order),
    Date(Order),
    Flag,
    Binary,
    Address,
    Arn,
    Presence,
}

/// How the request's value stands to the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: Ord>(self, request: &T, policy: &T) -> bool {
        let order = request.cmp(policy);
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Test {
    /// Whether the test holds where none of the policy's values matches.
    pub fn is_negated(self) -> bool {
        use Test::{
            ArnNotEquals, ArnNotLike, DateNotEquals, NotIpAddress, NumericNotEquals, StringNotEquals,
            StringNotEqualsIgnoreCase, StringNotLike,
        };
        matches!(
            self,
            StringNotEquals
                | StringNotEqualsIgnoreCase
                | StringNotLike
                | NumericNotEquals
                | DateNotEquals
                | NotIpAddress
                | ArnNotEquals
                | ArnNotLike
        )
    }

    fn comparison(self) -> Comparison {
        match self {
            Self::StringEquals | Self::StringNotEquals => Comparison::Text,
            Self::StringEqualsIgnoreCase | Self::StringNotEqualsIgnoreCase => Comparison::IgnoringCase,
            Self::StringLike | Self::StringNotLike => Comparison::Wild,
            Self::NumericEquals | Self::NumericNotEquals => Comparison::Number(Order::Equal),
            Self::NumericLessThan => Comparison::Number(Order::Less),
            Self::NumericLessThanEquals => Comparison::Number(Order::LessOrEqual),
            Self::NumericGreaterThan => Comparison::Number(Order::Greater),
            Self::NumericGreaterThanEquals => Comparison::Number(Order::GreaterOrEqual),
            Self::DateEquals | Self::DateNotEquals => Comparison::Date(Order::Equal),
            Self::DateLessThan => Comparison::Date(Order::Less),
            Self::DateLessThanEquals => Comparison::Date(Order::LessOrEqual),
            Self::DateGreaterThan => Comparison::Date(Order::Greater),
            Self::DateGreaterThanEquals => Comparison::Date(Order::GreaterOrEqual),
            Self::Bool => Comparison::Flag,
            Self::BinaryEquals => Comparison::Binary,
            Self::IpAddress | Self::NotIpAddress => Comparison::Address,
            Self::ArnEquals | Self::ArnLike | Self::ArnNotEquals | Self::ArnNotLike => Comparison::Arn,
            Self::Null => Comparison::Presence,
        }
    }
}

/// What a test, or all tests of a statement together, say of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be made: a value of the policy or of the request is not of the operator's type. An Allow does not apply, a
    /// Deny does.
    Error,
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// One operator on one key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConditionTest {
    pub(crate) operator: Operator,
    pub(crate) key: KeyRef,
    /// Of the policy's values.
    pub(crate) values: Range,
    /// Whether one of them is not of the operator's type.
    unreadable: bool,
}

/// A value of the policy that a test compares with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// As it was written.
    pub(crate) source: Plain,
    value: ExpectedValue,
}

#[derive(Debug, Clone, Copy)]
enum ExpectedValue {
    Text(Pattern),
    Number(Number),
    Time(Instant),
    Flag(bool),
    Network(Network),
    Arn([Pattern; 6]),
    Unreadable,
}

/// A value of the request that is not of the operator's type.
struct Unreadable;

/// Encodes one operator on one key; the values go behind those in `all`.
pub(crate) fn compile<'v>(
    operator: Operator,
    key: &str,
    values: impl Iterator<Item = &'v str>,
    variables: bool,
    encoder: &mut Encoder,
    all: &mut Vec<Expected>,
) -> Result<ConditionTest, BadVariable> {
    let key = encoder.key(key);
    let mut read = Vec::new();
    for source in values {
        let value = expect(operator, source, variables, encoder)?;
        read.push(Expected { source: encoder.plain(source), value });
    }
    let unreadable = read.iter().any(|expected| matches!(expected.value, ExpectedValue::Unreadable));
    Ok(ConditionTest { operator, key, values: Range::of(all, read.into_iter()), unreadable })
}

fn expect(
    operator: Operator,
    source: &str,
    variables: bool,
    encoder: &mut Encoder,
) -> Result<ExpectedValue, BadVariable> {
    let mut template =
        |source: &str, wildcards: bool| encoder.template(source, Syntax { wildcards, variables });
    let value = match operator.test.comparison() {
        Comparison::Text | Comparison::IgnoringCase => Some(ExpectedValue::Text(template(source, false)?)),
        Comparison::Wild => Some(ExpectedValue::Text(template(source, true)?)),
        Comparison::Number(_) => Number::parse(source).map(ExpectedValue::Number),
        Comparison::Date(_) => Instant::parse(source).map(ExpectedValue::Time),
        Comparison::Presence => read_flag(source).map(ExpectedValue::Flag),
        Comparison::Flag => match read_flag(source) {
            Some(flag) => Some(ExpectedValue::Flag(flag)),
            // With a variable it is known at evaluation whether it is one.
            None => {
                let pattern = template(source, false)?;
                pattern.has_variables().then_some(ExpectedValue::Text(pattern))
            }
        },
        Comparison::Binary if is_base64(source) => Some(ExpectedValue::Text(
            encoder.template(source, Syntax { wildcards: false, variables: false })?,
        )),
        Comparison::Binary => None,
        Comparison::Address => Network::parse(source).map(ExpectedValue::Network),
        Comparison::Arn => {
            let parts = if variables { split_outside(source, 6) } else { source.splitn(6, ':').collect() };
            match parts[..] {
                [head, partition, service, region, account, resource] => Some(ExpectedValue::Arn([
                    template(head, true)?,
                    template(partition, true)?,
                    template(service, true)?,
                    template(region, true)?,
                    template(account, true)?,
                    template(resource, true)?,
                ])),
                _ => None,
            }
        }
    };
    Ok(value.unwrap_or(ExpectedValue::Unreadable))
}

impl Expected {
    /// The keys of its variables that have neither a value nor a default.
    pub(crate) fn without_value<'t>(&self, texts: &'t Texts, context: &dyn Context) -> Vec<&'t str> {
        let patterns = match &self.value {
            ExpectedValue::Text(pattern) => std::slice::from_ref(pattern),
            ExpectedValue::Arn(patterns) => patterns,
            _ => &[],
        };
        patterns.iter().flat_map(|pattern| pattern.without_value(texts, context)).collect()
    }
}

impl ConditionTest {
    /// Whether the test holds. `expected` are the policy's values.
    pub(crate) fn truth(&self, expected: &[Expected], texts: &Texts, context: &dyn Context) -> Truth {
        let found = context.values(texts.key(self.key));
        let Operator { quantifier, test, if_exists } = self.operator;
        if test == Test::Null {
            let asks_for = |flag: bool| {
                expected.iter().any(|e| matches!(e.value, ExpectedValue::Flag(wanted) if wanted == flag))
            };
            return if self.unreadable { Truth::Error } else { asks_for(found.is_missing()).into() };
        }
        if found.is_missing() {
            return match quantifier {
                _ if if_exists => true,
                Some(Quantifier::ForAllValues) => true,
                Some(Quantifier::ForAnyValue) => false,
                None => test.is_negated(),
            }
            .into();
        }
        if expected.is_empty() {
            // Nothing to compare with: no value matches, whatever it is.
            return test.is_negated().into();
        }
        let values = found.as_slice();
        // Which of many values an operator for one was meant for is not known.
        if self.unreadable || (quantifier.is_none() && values.len() > 1) {
            return Truth::Error;
        }
        let (mut all, mut any) = (true, false);
        for value in values {
            match self.matches_any(value, expected, texts, context) {
                Ok(matches) if matches != test.is_negated() => any = true,
                Ok(_) => all = false,
                Err(Unreadable) => return Truth::Error,
            }
        }
        match quantifier {
            Some(Quantifier::ForAnyValue) => any.into(),
            Some(Quantifier::ForAllValues) | None => all.into(),
        }
    }

    /// Whether the request's value matches one of the policy's.
    fn matches_any(
        &self,
        value: &Value<'_>,
        expected: &[Expected],
        texts: &Texts,
        context: &dyn Context,
    ) -> Result<bool, Unreadable> {
        let mut room = Room::default();
        Ok(match self.operator.test.comparison() {
            Comparison::Text | Comparison::Wild => {
                let found = value.text(&mut room).as_bytes();
                any(
                    expected,
                    |e| matches!(e, ExpectedValue::Text(p) if p.matches_in(texts, found, context) == Match::Yes),
                )
            }
            Comparison::IgnoringCase => {
                let found = value.text(&mut room);
                any(
                    expected,
                    |e| matches!(e, ExpectedValue::Text(p) if equals_ignoring_case(*p, texts, found, context)),
                )
            }
            Comparison::Number(order) => {
                let found = read_number(value).ok_or(Unreadable)?;
                any(expected, |e| matches!(e, ExpectedValue::Number(wanted) if order.holds(&found, wanted)))
            }
            Comparison::Date(order) => {
                let found = read_time(value).ok_or(Unreadable)?;
                any(expected, |e| matches!(e, ExpectedValue::Time(wanted) if order.holds(&found, wanted)))
            }
            Comparison::Flag => return matches_flag(value, expected, texts, context),
            Comparison::Binary => {
                let found =
                    Some(value.text(&mut room)).filter(|text| is_base64(text)).ok_or(Unreadable)?.as_bytes();
                any(expected, |e| matches!(e, ExpectedValue::Text(p) if p.matches(texts, found)))
            }
            Comparison::Address => {
                let found = read_address(value).ok_or(Unreadable)?;
                any(expected, |e| matches!(e, ExpectedValue::Network(network) if network.contains(found)))
            }
            Comparison::Arn => {
                let found = read_arn(value.text(&mut room)).ok_or(Unreadable)?;
                let matches_arn = |patterns: &[Pattern; 6]| {
                    // From the end, where ARNs differ most.
                    let mut parts = patterns.iter().zip(found).rev();
                    parts.all(|(p, part)| p.matches_in(texts, part.as_bytes(), context) == Match::Yes)
                };
                any(expected, |e| matches!(e, ExpectedValue::Arn(patterns) if matches_arn(patterns)))
            }
            // Answered before.
            Comparison::Presence => false,
        })
    }
}

fn any(expected: &[Expected], matches: impl Fn(&ExpectedValue) -> bool) -> bool {
    expected.iter().any(|expected| matches(&expected.value))
}

/// A variable may turn out to be neither `true` nor `false`; each is looked at, so that the answer does not hang on the order.
fn matches_flag(
    value: &Value<'_>,
    expected: &[Expected],
    texts: &Texts,
    context: &dyn Context,
) -> Result<bool, Unreadable> {
    let found = match *value {
        Value::Flag(flag) => flag,
        Value::Text(text) => read_flag(text).ok_or(Unreadable)?,
        Value::Number(_) | Value::Time(_) | Value::Address(_) => return Err(Unreadable),
    };
    let mut any = false;
    for Expected { value, .. } in expected {
        let wanted = match value {
            ExpectedValue::Flag(flag) => Some(*flag),
            ExpectedValue::Text(pattern) => match pattern.expand(texts, context, &mut Expanded::default()) {
                Some(text) => Some(std::str::from_utf8(text).ok().and_then(read_flag).ok_or(Unreadable)?),
                None => None,
            },
            _ => None,
        };
        any |= wanted == Some(found);
    }
    Ok(any)
}

fn equals_ignoring_case(pattern: Pattern, texts: &Texts, found: &str, context: &dyn Context) -> bool {
    let mut expanded = Expanded::default();
    let wanted =
        pattern.expand(texts, context, &mut expanded).and_then(|text| std::str::from_utf8(text).ok());
    let folded =
        |text: &str| text.chars().flat_map(char::to_lowercase).eq(found.chars().flat_map(char::to_lowercase));
    wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(found) || folded(wanted))
}

fn read_flag(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        return Some(true);
    }
    text.eq_ignore_ascii_case("false").then_some(false)
}

fn read_number(value: &Value<'_>) -> Option<Number> {
    match *value {
        Value::Text(text) => Number::parse(text),
        Value::Number(number) => Number::from_integer(number),
        Value::Time(_) | Value::Flag(_) | Value::Address(_) => None,
    }
}

fn read_time(value: &Value<'_>) -> Option<Instant> {
    match *value {
        Value::Text(text) => Instant::parse(text),
        Value::Number(seconds) | Value::Time(seconds) => Some(Instant::from_unix(seconds)),
        Value::Flag(_) | Value::Address(_) => None,
    }
}

fn read_address(value: &Value<'_>) -> Option<IpAddr> {
    match *value {
        Value::Text(text) => text.parse().ok(),
        Value::Address(address) => Some(address),
        Value::Number(_) | Value::Time(_) | Value::Flag(_) => None,
    }
}

fn read_arn(text: &str) -> Option<[&str; 6]> {
    let mut parts = text.splitn(6, ':');
    let mut next = || parts.next();
    let arn = [next()?, next()?, next()?, next()?, next()?, next()?];
    (arn.first() == Some(&"arn")).then_some(arn)
}

/// Canonical base64: padded, and no bits that stand for nothing, so that equal bytes have equal texts.
fn is_base64(text: &str) -> bool {
    let bytes = text.as_bytes();
    let (padding, spare) = match bytes {
        [.., b'=', b'='] => (2, 0x0f),
        [.., b'='] => (1, 0x03),
        _ => (0, 0),
    };
    let digit = |byte: &u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let Some((digits, _)) = bytes.split_at_checked(bytes.len() - padding) else { return false };
    let last = digits.last().and_then(digit).unwrap_or(0);
    bytes.len().is_multiple_of(4) && digits.iter().all(|byte| digit(byte).is_some()) && last & spare == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_are_prefix_test_and_suffix() {
        let any_exists = Operator::parse("ForAnyValue:StringEqualsIfExists").unwrap();
        assert_eq!(any_exists.quantifier, Some(Quantifier::ForAnyValue));
        assert_eq!((any_exists.test, any_exists.if_exists), (Test::StringEquals, true));
        for unknown in
            ["x", "stringequals", "ForAnyValue::Bool", "NullIfExists", "ForAllValues:Null", "IfExists"]
        {
            assert_eq!(Operator::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn an_operator_is_shown_as_it_is_written() {
        for name in ["ForAllValues:StringNotEqualsIgnoreCaseIfExists", "ForAnyValue:Bool", "ArnLike", "Null"]
        {
            assert_eq!(Operator::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn a_name_that_is_nearly_one_is_known() {
        for (written, meant) in [
            ("StringEqual", Some("StringEquals")),
            ("stringequals", Some("StringEquals")),
            ("ForAnyValues:StringLikeIfexists", Some("ForAnyValue:StringLikeIfExists")),
            ("IPAddress", Some("IpAddress")),
            ("ArnMatches", None),
            ("NullIfExists", None),
            ("x:y:z", None),
        ] {
            assert_eq!(Operator::nearest(written).as_deref(), meant, "{written}");
        }
    }

    #[test]
    fn base64_has_one_text_for_each_value() {
        for good in ["", "QQ==", "QUE=", "QUFB", "+/+/"] {
            assert!(is_base64(good), "{good}");
        }
        for bad in ["Q", "QQ", "QQ=", "QR==", "QUF=", "=", "====", "Q===", "QQ==QQ==", "-_-_", "QU\nB"] {
            assert!(!is_base64(bad), "{bad}");
        }
    }
}
