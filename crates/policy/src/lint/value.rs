//! Whether a value can be read as what its operator compares. It follows the evaluation's rules; it compares nothing.

use crate::condition::Test;
use crate::date::Instant;
use crate::network::Network;
use crate::number::Number;
use crate::variable::split_outside;

/// What an operator compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Text,
    Number,
    Date,
    Bool,
    Binary,
    Address,
    Arn,
    Presence,
}

impl Family {
    pub(super) fn of(test: Test) -> Self {
        match test {
            Test::StringEquals
            | Test::StringNotEquals
            | Test::StringEqualsIgnoreCase
            | Test::StringNotEqualsIgnoreCase
            | Test::StringLike
            | Test::StringNotLike => Self::Text,
            Test::NumericEquals
            | Test::NumericNotEquals
            | Test::NumericLessThan
            | Test::NumericLessThanEquals
            | Test::NumericGreaterThan
            | Test::NumericGreaterThanEquals => Self::Number,
            Test::DateEquals
            | Test::DateNotEquals
            | Test::DateLessThan
            | Test::DateLessThanEquals
            | Test::DateGreaterThan
            | Test::DateGreaterThanEquals => Self::Date,
            Test::Bool => Self::Bool,
            Test::BinaryEquals => Self::Binary,
            Test::IpAddress | Test::NotIpAddress => Self::Address,
            Test::ArnEquals | Test::ArnLike | Test::ArnNotEquals | Test::ArnNotLike => Self::Arn,
            Test::Null => Self::Presence,
        }
    }

    /// With its article, to end a sentence.
    pub(super) fn phrase(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Date => "a date",
            Self::Bool | Self::Presence => "`true` or `false`",
            Self::Binary => "base64",
            Self::Address => "an IP address or network",
            Self::Arn => "an ARN",
        }
    }

    /// What a value is to look like.
    pub(super) fn example(self) -> Option<&'static str> {
        match self {
            Self::Text => None,
            Self::Number => Some(
                "a number such as `42`, `-1.5` or `1e6`, with at most 18 digits before the point and 18 behind it",
            ),
            Self::Date => Some("a date such as `2026-01-31T00:00:00Z`, or an epoch in seconds"),
            Self::Bool => Some("`true` or `false`"),
            Self::Presence => Some("`true` where the key must be missing, `false` where it must be there"),
            Self::Binary => Some("base64 with its padding, such as `QmluYXJ5`"),
            Self::Address => Some(
                "an address such as `203.0.113.7`, or a network such as `203.0.113.0/24` or `2001:db8::/32`",
            ),
            Self::Arn => Some("six parts with `:` between, such as `arn:aws:iam::123456789012:user/jane`"),
        }
    }

    /// Whether the value can be read, apart from what stands for a variable.
    pub(super) fn reads(self, value: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Number => Number::parse(value).is_some(),
            Self::Date => Instant::parse(value).is_some(),
            Self::Bool | Self::Presence => {
                value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
            }
            Self::Binary => is_base64(value),
            Self::Address => Network::parse(value).is_some(),
            Self::Arn => split_outside(value, 6).len() == 6,
        }
    }
}

/// Canonical: padded, and no bit set that stands for nothing.
fn is_base64(value: &str) -> bool {
    let sextet = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let data = value.trim_end_matches('=');
    let unused = match value.len() - data.len() {
        0 => 0,
        1 => 0b11,
        2 => 0b1111,
        _ => return false,
    };
    let last = data.bytes().last().and_then(sextet).unwrap_or(0);
    value.len().is_multiple_of(4) && data.bytes().all(|b| sextet(b).is_some()) && last & unused == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entries, Kind, Operator, Policy, Request, Resource, Truth, Value};
    use proptest::prelude::*;

    const OPERATORS: [(&str, &str); 8] = [
        ("StringEquals", "x"),
        ("NumericEquals", "1"),
        ("DateEquals", "2026-01-31"),
        ("Bool", "true"),
        ("BinaryEquals", "QQ=="),
        ("IpAddress", "10.0.0.1"),
        ("ArnEquals", "arn:aws:iam::123456789012:user/x"),
        ("Null", "x"),
    ];

    /// Whether the evaluation reads a value of the policy, with a value of the request that can be read.
    fn evaluation_reads(operator: &str, request: &str, value: &str) -> Option<bool> {
        let value = serde_json::to_string(value).unwrap();
        let document = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"{operator}":{{"a:b":{value}}}}}}}}}"#
        );
        let policy = Policy::parse(&document, Kind::Managed).ok()?;
        let mut context = Entries::default();
        context.set("a:b", vec![Value::Text(request)]);
        let resource = Resource::parse("arn:aws:s3:::x").unwrap();
        let reports = policy.explain(&Request::new("s3:x", resource, &context));
        Some(reports[0].conditions[0].truth != Truth::Error)
    }

    proptest! {
        #[test]
        fn values_are_read_as_the_evaluation_reads_them(
            operator in prop::sample::select(OPERATORS.to_vec()),
            value in "[-+]?[0-9]{0,20}([.eE][-+]?[0-9]{0,20}){0,2}|[0-9]{1,4}-[0-9]{1,2}-[0-9]{1,2}(T[0-9:]{0,8}Z?)?|[Tt]rue|false|[A-Z+/=]{0,8}|[0-9.:/]{1,18}|([a*]{0,2}:){3,6}[a]|.{0,6}",
        ) {
            let (name, request) = operator;
            let family = Family::of(Operator::parse(name).unwrap().test);
            if let Some(reads) = evaluation_reads(name, request, &value).filter(|_| !value.contains("${")) {
                prop_assert_eq!(family.reads(&value), reads, "{} {:?}", name, value);
            }
        }
    }

    #[test]
    fn base64_is_padded_and_canonical() {
        for good in ["", "QQ==", "QUI=", "QUJD", "+/+/"] {
            assert!(Family::Binary.reads(good), "{good}");
        }
        for bad in ["Q", "QQ", "QR==", "QUJ=", "QUJD\n", "Q===", "===="] {
            assert!(!Family::Binary.reads(bad), "{bad}");
        }
    }
}
