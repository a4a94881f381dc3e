//! Whether a value can be read as what its operator compares. It follows the evaluation's rules; it compares nothing.

use std::net::IpAddr;

use crate::condition::Test;
use crate::date;

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

    /// Whether variables are replaced in its values.
    pub(super) fn takes_variables(self) -> bool {
        matches!(self, Self::Text | Self::Bool | Self::Arn)
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

    /// Whether the value, in which nothing is left to replace, can be read.
    pub(super) fn reads(self, value: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Number => is_number(value),
            Self::Date => is_date(value),
            Self::Bool | Self::Presence => {
                value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
            }
            Self::Binary => is_base64(value),
            Self::Address => is_network(value),
            Self::Arn => value.split(':').count() >= 6,
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_number(value: &str) -> bool {
    const DIGITS: i64 = 18;
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if !is_digits(whole) || !is_digits(fraction) || !is_digits(exponent_digits) {
        return false;
    }
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return true;
    }
    let (Ok(exponent), Ok(length), Ok(point), Ok(trailing)) = (
        exponent.parse::<i64>(),
        i64::try_from(significant.len()),
        i64::try_from(whole.len()),
        i64::try_from(significant.trim_end_matches('0').len()),
    ) else {
        return false;
    };
    let leading = i64::try_from(digits.len()).unwrap_or(i64::MAX) - length;
    let before = (point - leading).saturating_add(exponent);
    before <= DIGITS && trailing.saturating_sub(before) <= DIGITS
}

/// The shape AWS takes, and a day that the calendar has.
fn is_date(value: &str) -> bool {
    if !date::is_date(value) {
        return false;
    }
    let day = value.split(['T', 't']).next().unwrap_or_default();
    let mut parts = day.strip_prefix('-').unwrap_or(day).split('-').map(|part| part.parse::<i64>().ok());
    let (Some(Some(year)), Some(Some(month)), Some(Some(day))) = (parts.next(), parts.next(), parts.next())
    else {
        return true;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    day <= days
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

fn is_network(value: &str) -> bool {
    let (address, length) = match value.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (value, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    length.is_none_or(|length| {
        is_digits(length)
            && (length == "0" || !length.starts_with('0'))
            && length.parse::<u8>().is_ok_and(|length| length <= most)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(family: Family, good: &[&str], bad: &[&str]) {
        for value in good {
            assert!(family.reads(value), "{family:?} {value}");
        }
        for value in bad {
            assert!(!family.reads(value), "{family:?} {value}");
        }
    }

    #[test]
    fn values_are_read_as_the_evaluation_reads_them() {
        check(
            Family::Number,
            &[
                "0",
                "007",
                "-1.5",
                "1e6",
                "1E+6",
                "2.50e-3",
                "0.000000000000000001",
                "999999999999999999",
                "0e99999",
                "1000e-3",
                "1.5e17",
                "0.0000000000000000010",
            ],
            &[
                "",
                "+1",
                "1.",
                ".5",
                "1e",
                "1 ",
                "x",
                "0x1",
                "1e18",
                "1e-19",
                "1000000000000000000",
                "1e99999999999999999999",
                "--1",
                "1.2.3",
            ],
        );
        check(
            Family::Date,
            &["2026-01-31T00:00:00Z", "1498867200", "2017", "2024-02-29", "2000-02-29", "2017-07"],
            &["", "soon", "2017-02-31", "2023-02-29", "1900-02-29", "2017-04-31T00:00Z"],
        );
        check(Family::Bool, &["true", "FALSE"], &["", "yes", "1"]);
        check(Family::Presence, &["true", "false"], &["null"]);
        check(
            Family::Binary,
            &["", "QQ==", "QUI=", "QUJD", "+/+/"],
            &["Q", "QQ", "QR==", "QUJ=", "QUJD\n", "Q===", "===="],
        );
        check(
            Family::Address,
            &[
                "10.0.0.1",
                "10.0.0.0/8",
                "0.0.0.0/0",
                "::1",
                "2001:db8::/32",
                "::ffff:10.0.0.1/128",
                "10.0.0.1/32",
            ],
            &["", "10.0.0", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/", "::1/129", "10.0.0.1 ", "any", "10.*"],
        );
        check(
            Family::Arn,
            &["arn:aws:iam::1:user/a", "*:*:*:*:*:*", "a:b:c:d:e:f:g"],
            &["", "*", "arn:aws:iam", "a:b:c:d:e"],
        );
    }
}
