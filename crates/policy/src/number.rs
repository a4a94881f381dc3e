//! The numbers that conditions compare: exact decimals, because a comparison that rounds can let somebody in.

/// Digits that may stand behind the point, and before it.
const PLACES: i64 = 18;

/// A decimal with at most 18 digits before and 18 behind the point, in units of the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number(i128);

impl Number {
    /// `-12.5`, `3`, `1e3`: what JSON writes, leading zeros allowed. `None` for everything else, and for what has more digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (digits, exponent) = match text.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, read_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let mut place = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
        let mut value: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            place = place.checked_sub(1)?;
            if digit != b'0' {
                let unit = u32::try_from(place + PLACES).ok().filter(|_| place < PLACES)?;
                value += i128::from(digit - b'0') * 10_i128.pow(unit);
            }
        }
        Some(Self(if negative { -value } else { value }))
    }

    pub(crate) fn from_integer(value: i64) -> Option<Self> {
        let limit = 10_i64.pow(18);
        (-limit < value && value < limit).then(|| Self(i128::from(value) * 10_i128.pow(18)))
    }
}

fn read_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Beyond this nothing but zero fits, and zero is zero.
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_their_value() {
        for (a, b) in
            [("1", "1.0"), ("007", "7"), ("1e3", "1000"), ("12.5e-1", "1.25"), ("-0", "0"), ("0e99", "0.000")]
        {
            assert_eq!(Number::parse(a).unwrap(), Number::parse(b).unwrap(), "{a} {b}");
        }
        let ordered = [
            "-100",
            "-1.5",
            "-0.1",
            "0",
            "0.000000000000000001",
            "9",
            "10",
            "9007199254740993",
            "999999999999999999.9",
        ];
        for pair in ordered.windows(2) {
            assert!(Number::parse(pair[0]).unwrap() < Number::parse(pair[1]).unwrap(), "{pair:?}");
        }
        assert_eq!(Number::from_integer(-25), Number::parse("-25"));
        assert_eq!(Number::from_integer(i64::MAX), None);
    }

    #[test]
    fn what_is_no_number_or_too_long_is_none() {
        for bad in [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            ".5",
            "1.",
            "1e",
            "1e+",
            "e1",
            "0x1",
            "1_0",
            "١",
            "NaN",
            "1000000000000000000",
            "0.0000000000000000001",
            "1e18",
            "1e-19",
            "1e99999999999999999999",
        ] {
            assert_eq!(Number::parse(bad), None, "{bad}");
        }
    }
}
