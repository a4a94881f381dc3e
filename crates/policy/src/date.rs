//! The shape of a date in a condition: what AWS's legacy parser takes, no more.
//!
//! It is looser than ISO 8601 (`01T` and a one-digit hour pass) because recorded documents show that AWS
//! accepts them. It does not compute a point in time.

use crate::json::is_integer;

/// Years that a signed 64-bit count of milliseconds can express.
const YEARS: std::ops::RangeInclusive<i64> = -292_275_054..=292_278_993;

/// An epoch in seconds, or `year[-month[-day]][T[hour[:minute[:second[.fraction]]]][zone]]`.
pub(crate) fn is_date(text: &str) -> bool {
    if is_integer(text) {
        return !text.starts_with('-') || text.parse().is_ok_and(|year| YEARS.contains(&year));
    }
    let lower = text.to_ascii_lowercase();
    match lower.split_once('t') {
        Some((date, time)) => is_calendar_date(date) && is_time(time),
        None => is_calendar_date(&lower),
    }
}

fn is_calendar_date(date: &str) -> bool {
    let (sign, digits) = match date.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, date),
    };
    let mut parts = digits.split('-');
    let year = parts.next().and_then(number).is_some_and(|year| YEARS.contains(&(sign * year)));
    let month = parts.next().is_none_or(|month| in_range(month, 1, 12));
    let day = parts.next().is_none_or(|day| in_range(day, 1, 31));
    year && month && day && parts.next().is_none()
}

fn is_time(time: &str) -> bool {
    let (clock, zone) = match time.find(['z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    is_zone(zone) && (clock.is_empty() || is_clock(clock))
}

fn is_clock(clock: &str) -> bool {
    let mut parts = clock.split(':');
    let hour = parts.next().is_some_and(|hour| in_range(hour, 0, 23));
    let minute = parts.next().is_none_or(|minute| in_range(minute, 0, 59));
    let second = parts.next().is_none_or(|second| match second.split_once('.') {
        Some((second, fraction)) => in_range(second, 0, 59) && in_range(fraction, 0, 999_999_999),
        None => in_range(second, 0, 59),
    });
    hour && minute && second && parts.next().is_none()
}

fn is_zone(zone: &str) -> bool {
    let Some(offset) = zone.strip_prefix(['+', '-']) else { return matches!(zone, "" | "z") };
    let two_digits = |part: &str, max| part.len() == 2 && in_range(part, 0, max);
    match offset.split_once(':') {
        Some((hours, minutes)) => two_digits(hours, 23) && two_digits(minutes, 59),
        None => two_digits(offset, 23),
    }
}

fn in_range(digits: &str, min: i64, max: i64) -> bool {
    number(digits).is_some_and(|n| (min..=max).contains(&n))
}

/// Digits only: `i64::from_str` alone would also take a sign.
fn number(digits: &str) -> Option<i64> {
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::is_date;

    #[test]
    fn takes_what_aws_was_seen_to_take() {
        for good in [
            "2019-07-01T13:20:15Z",
            "2016-12-13T21:20:37.593194+00:00",
            "2016-12-13t2:00:00.593194+23",
            "01T",
            "2017",
            "2017-07",
            "2017-07-01",
            "1498867200",
            "-292275054",
            "2017-07-01T00:00:00-05:00",
        ] {
            assert!(is_date(good), "{good}");
        }
    }

    #[test]
    fn refuses_what_aws_was_seen_to_refuse() {
        for bad in [
            "",
            "sdfdsf",
            "234-13",
            "2016-12-13t2:00:00.593194+1",
            "2016-12-13t2:00:00.1999999999+10:59",
            "9223372036854775808",
            "-292275055",
            "2017-07-32",
            "2017-07-01T24:00",
            "2017-07-01T1:2:3:4",
            "2017-07-01-01",
            "T",
            "+5",
            "1.5",
            "true",
            "2017-07-01T+",
            "2017-07-01Tz1",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
    }
}
