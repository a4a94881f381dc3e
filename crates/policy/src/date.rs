//! Dates in conditions: the shapes that AWS's legacy parser takes, and the points in time that they mean.
//!
//! The shapes are looser than ISO 8601 (`01T` and a one-digit hour pass) because recorded documents show that AWS
//! accepts them. A shape with no such day in the calendar is taken and means no point in time.

use crate::json::is_integer;
use std::fmt;

/// Years that a signed 64-bit count of milliseconds can express.
const YEARS: std::ops::RangeInclusive<i64> = -292_275_054..=292_278_993;

const SECONDS_PER_DAY: i64 = 86_400;

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant {
    /// Since 1970.
    seconds: i64,
    nanoseconds: u32,
}

impl Instant {
    pub(crate) fn from_unix(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }

    /// What the text means: four digits are a year, other digits an epoch in seconds, and anything else
    /// `year[-month[-day]][T[hour[:minute[:second[.fraction]]]][zone]]`, in UTC where no zone is given.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match Date::parse(text)? {
            Date::Epoch(seconds) => Some(Self::from_unix(seconds)),
            Date::Calendar { year, month, day, time } => {
                let days = days_since_1970(year, month, day)?;
                let seconds = time.hour * 3600 + time.minute * 60 + time.second - time.offset_minutes * 60;
                Some(Self { seconds: days * SECONDS_PER_DAY + seconds, nanoseconds: time.nanoseconds? })
            }
        }
    }
}

/// `2026-01-31T00:00:00Z`, without a fraction.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.seconds.div_euclid(SECONDS_PER_DAY));
        let second = self.seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Whether AWS's parser takes the text for a date.
pub(crate) fn is_date(text: &str) -> bool {
    Date::parse(text).is_some()
}

enum Date {
    /// Seconds since 1970.
    Epoch(i64),
    Calendar {
        year: i64,
        month: i64,
        day: i64,
        time: Time,
    },
}

#[derive(Default)]
struct Time {
    hour: i64,
    minute: i64,
    second: i64,
    /// None where the fraction has more digits than nanoseconds have.
    nanoseconds: Option<u32>,
    offset_minutes: i64,
}

impl Time {
    const MIDNIGHT: Self = Self { hour: 0, minute: 0, second: 0, nanoseconds: Some(0), offset_minutes: 0 };
}

impl Date {
    fn parse(text: &str) -> Option<Self> {
        if is_integer(text) {
            let number: i64 = text.parse().ok()?;
            let is_year = text.starts_with('-') || text.len() == 4;
            return match is_year {
                false => Some(Self::Epoch(number)),
                true => YEARS.contains(&number).then_some(Self::Calendar {
                    year: number,
                    month: 1,
                    day: 1,
                    time: Time::MIDNIGHT,
                }),
            };
        }
        let (date, time) = match text.find(['T', 't']) {
            Some(at) => (text.get(..at)?, read_time(text.get(at + 1..)?)?),
            None => (text, Time::MIDNIGHT),
        };
        let (year, month, day) = read_calendar(date)?;
        Some(Self::Calendar { year, month, day, time })
    }
}

fn read_calendar(date: &str) -> Option<(i64, i64, i64)> {
    let (sign, digits) = match date.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, date),
    };
    let mut parts = digits.split('-');
    let year = parts.next().and_then(number).map(|year| sign * year).filter(|year| YEARS.contains(year))?;
    let month = parts.next().map_or(Some(1), |month| in_range(month, 1, 12))?;
    let day = parts.next().map_or(Some(1), |day| in_range(day, 1, 31))?;
    parts.next().is_none().then_some((year, month, day))
}

fn read_time(time: &str) -> Option<Time> {
    let (clock, zone) = match time.find(['z', 'Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    let offset_minutes = read_zone(zone)?;
    if clock.is_empty() {
        return Some(Time { offset_minutes, ..Time::MIDNIGHT });
    }
    let mut parts = clock.split(':');
    let hour = in_range(parts.next()?, 0, 23)?;
    let minute = parts.next().map_or(Some(0), |minute| in_range(minute, 0, 59))?;
    let (second, nanoseconds) =
        match parts.next().map(|second| second.split_once('.').unwrap_or((second, "0"))) {
            Some((second, fraction)) => (in_range(second, 0, 59)?, read_fraction(fraction)?),
            None => (0, Some(0)),
        };
    parts.next().is_none().then_some(Time { hour, minute, second, nanoseconds, offset_minutes })
}

fn read_fraction(digits: &str) -> Option<Option<u32>> {
    let value = in_range(digits, 0, 999_999_999)?;
    let missing = 9_usize.checked_sub(digits.len()).and_then(|n| u32::try_from(n).ok());
    Some(missing.and_then(|zeros| u32::try_from(value * 10_i64.pow(zeros)).ok()))
}

/// Minutes east of Greenwich.
fn read_zone(zone: &str) -> Option<i64> {
    let Some(offset) = zone.strip_prefix(['+', '-']) else {
        return matches!(zone, "" | "z" | "Z").then_some(0);
    };
    let two_digits = |part: &str, max| (part.len() == 2).then(|| in_range(part, 0, max)).flatten();
    let minutes = match offset.split_once(':') {
        Some((hours, minutes)) => two_digits(hours, 23)? * 60 + two_digits(minutes, 59)?,
        None => two_digits(offset, 23)? * 60,
    };
    Some(if zone.starts_with('-') { -minutes } else { minutes })
}

fn in_range(digits: &str, min: i64, max: i64) -> Option<i64> {
    number(digits).filter(|n| (min..=max).contains(n))
}

/// Digits only: `i64::from_str` alone would also take a sign.
fn number(digits: &str) -> Option<i64> {
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar; `None` for a day that its month does not have.
///
/// Years are counted from March, so that the day that comes and goes is the last of the year.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let from_march = if month > 2 { year } else { year - 1 };
    let era = from_march.div_euclid(400);
    let year_of_era = from_march.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    // A day too many comes back as one of the next month.
    (civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of a count of days from 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_date_means_a_point_in_time() {
        for (text, seconds, nanoseconds) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1767225600", 1_767_225_600, 0),
            ("2026-01-01T00:00:00Z", 1_767_225_600, 0),
            ("2026", 1_767_225_600, 0),
            ("2026-01", 1_767_225_600, 0),
            ("2026-01-01t01:00+01", 1_767_225_600, 0),
            ("2025-12-31T18:30:00-05:30", 1_767_225_600, 0),
            ("2026-01-01T00:00:00.5Z", 1_767_225_600, 500_000_000),
            ("2026-01-01T00:00:00.000000001Z", 1_767_225_600, 1),
            ("2024-02-29", 1_709_164_800, 0),
            ("2000-02-29T", 951_782_400, 0),
            ("1969-12-31T23:59:59", -1, 0),
            ("0", 0, 0),
            ("12345", 12345, 0),
            ("-1", -62_198_755_200, 0),
            ("01T", -62_135_596_800, 0),
        ] {
            assert_eq!(Instant::parse(text), Some(Instant { seconds, nanoseconds }), "{text}");
        }
        for nowhen in ["2023-02-29", "1900-02-29", "2026-04-31", "2026-01-01T00:00:00.0000000001", "soon"] {
            assert_eq!(Instant::parse(nowhen), None, "{nowhen}");
        }
        assert!(Instant::parse("2026-01-01T00:00:00.5Z") > Instant::parse("2026-01-01"));
    }

    #[test]
    fn the_calendar_goes_both_ways() {
        for days in (-800_000..800_000).step_by(17) {
            let (year, month, day) = civil(days);
            assert_eq!(days_since_1970(year, month, day), Some(days));
        }
        assert_eq!(Instant::from_unix(253_402_300_799).to_string(), "9999-12-31T23:59:59Z");
    }
}
