//! Instants as SigV4 writes them. Plain numbers: this file must not read a clock.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z. The caller reads the clock and passes one of these in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A point of the UTC calendar, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// 0 to 9999.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 59; leap seconds have no number in Unix time.
    pub second: i64,
}

/// Text of `N` ASCII characters on the stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp<const N: usize>([u8; N]);

/// An instant in ISO 8601's basic format, `20260101T000000Z`: the form of `X-Amz-Date`.
pub type AmzDate = Stamp<16>;

/// A day, `20260101`: the form of the date in a credential scope.
pub type DateStamp = Stamp<8>;

/// The text is not an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a UTC time of the form `20260101T000000Z` that exists in the calendar")]
pub struct ParseTimestampError;

impl Timestamp {
    /// From seconds since the Unix epoch.
    #[must_use]
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Reads `YYYYMMDDTHHMMSSZ`, nothing looser.
    ///
    /// # Errors
    /// When the text has another form or names a time that the calendar does not have.
    pub fn parse_amz(text: &str) -> Result<Self, ParseTimestampError> {
        amz(text.as_bytes()).ok_or(ParseTimestampError)
    }

    /// Reads an HTTP `Date` header, `Sun, 30 Aug 2015 12:36:00 GMT`. The name of the day is not checked.
    ///
    /// # Errors
    /// When the text has another form or names a time that the calendar does not have.
    pub fn parse_http(text: &str) -> Result<Self, ParseTimestampError> {
        http(text.as_bytes()).ok_or(ParseTimestampError)
    }

    /// The instant at this point of the calendar; `None` for the 30th of February and its like.
    #[must_use]
    pub fn from_civil(civil: Civil) -> Option<Self> {
        let Civil { year, month, day, hour, minute, second } = civil;
        let real = (0..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second);
        real.then(|| Self(((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second))
    }

    /// The calendar's name for this instant. Before the year 0 and after 9999 it is the nearest end.
    #[must_use]
    pub fn civil(self) -> Civil {
        const FIRST: i64 = -62_167_219_200;
        const LAST: i64 = 253_402_300_799;
        let seconds = self.0.clamp(FIRST, LAST);
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        Civil { year, month, day, hour: of_day / 3600, minute: of_day / 60 % 60, second: of_day % 60 }
    }

    /// `20260101T000000Z`.
    #[must_use]
    pub fn amz_date(self) -> AmzDate {
        let Civil { year, month, day, hour, minute, second } = self.civil();
        let ([y1, y2], [y3, y4]) = (digits(year / 100), digits(year % 100));
        let ([m1, m2], [d1, d2]) = (digits(month), digits(day));
        let ([h1, h2], [n1, n2], [s1, s2]) = (digits(hour), digits(minute), digits(second));
        Stamp([y1, y2, y3, y4, m1, m2, d1, d2, b'T', h1, h2, n1, n2, s1, s2, b'Z'])
    }

    /// `20260101`, the day in UTC.
    #[must_use]
    pub fn date_stamp(self) -> DateStamp {
        let Stamp([y1, y2, y3, y4, m1, m2, d1, d2, ..]) = self.amz_date();
        Stamp([y1, y2, y3, y4, m1, m2, d1, d2])
    }

    /// `2026-01-01T00:00:00Z`, the form of API answers and logs.
    #[must_use]
    pub fn iso8601(self) -> Stamp<20> {
        let Stamp([y1, y2, y3, y4, m1, m2, d1, d2, t, h1, h2, n1, n2, s1, s2, z]) = self.amz_date();
        Stamp([y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, t, h1, h2, b':', n1, n2, b':', s1, s2, z])
    }

    /// This instant moved by `seconds`, which may be negative. Stops at the ends of the number range.
    #[must_use]
    pub const fn saturating_add(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this instant; negative when `earlier` is later.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.amz_date().as_str())
    }
}

impl<const N: usize> Stamp<N> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl<const N: usize> AsRef<str> for Stamp<N> {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> fmt::Display for Stamp<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Stamp<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn amz(text: &[u8]) -> Option<Timestamp> {
    let &[y1, y2, y3, y4, m1, m2, d1, d2, b'T', h1, h2, n1, n2, s1, s2, b'Z'] = text else { return None };
    Timestamp::from_civil(Civil {
        year: number([y1, y2])? * 100 + number([y3, y4])?,
        month: number([m1, m2])?,
        day: number([d1, d2])?,
        hour: number([h1, h2])?,
        minute: number([n1, n2])?,
        second: number([s1, s2])?,
    })
}

fn http(text: &[u8]) -> Option<Timestamp> {
    let &[_, _, _, b',', b' ', d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ', ref time @ ..] = text
    else {
        return None;
    };
    let &[h1, h2, b':', n1, n2, b':', s1, s2, b' ', b'G', b'M', b'T'] = time else { return None };
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    Timestamp::from_civil(Civil {
        year: number([y1, y2])? * 100 + number([y3, y4])?,
        month: (1..).zip(MONTHS).find(|(_, name)| **name == [m1, m2, m3])?.0,
        day: number([d1, d2])?,
        hour: number([h1, h2])?,
        minute: number([n1, n2])?,
        second: number([s1, s2])?,
    })
}

fn number(digits: [u8; 2]) -> Option<i64> {
    let [ten, one] = digits;
    (ten.is_ascii_digit() && one.is_ascii_digit()).then(|| i64::from(ten - b'0') * 10 + i64::from(one - b'0'))
}

fn digits(value: i64) -> [u8; 2] {
    let value = u8::try_from(value).unwrap_or_default();
    [b'0' + value / 10, b'0' + value % 10]
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// Years are counted from the 1st of March, so that the leap day is the last of its year; 400 of them are
// 146,097 days; and 719,468 days lie between 0000-03-01 and 1970-01-01.

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_instants() {
        for (unix, text) in [
            (0, "19700101T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (951_782_400, "20000229T000000Z"),
            (1_767_225_599, "20251231T235959Z"),
            (253_402_300_799, "99991231T235959Z"),
            (-62_167_219_200, "00000101T000000Z"),
        ] {
            assert_eq!(Timestamp::parse_amz(text), Ok(Timestamp::from_unix(unix)));
            assert_eq!(Timestamp::from_unix(unix).to_string(), text);
        }
        let time = Timestamp::from_unix(1_440_938_160);
        assert_eq!(time.date_stamp().as_str(), "20150830");
        assert_eq!(time.iso8601().as_str(), "2015-08-30T12:36:00Z");
        assert_eq!(Timestamp::parse_http("Sun, 30 Aug 2015 12:36:00 GMT"), Ok(time));
    }

    #[test]
    fn only_real_times_in_the_one_form() {
        for text in [
            "",
            "20260101",
            "2026-01-01T00:00:00Z",
            "20260101T000000",
            "20260101t000000z",
            "20260101T000000Z ",
            "20260230T000000Z",
            "20250229T000000Z",
            "20261301T000000Z",
            "20260100T000000Z",
            "20260101T240000Z",
            "20260101T006000Z",
            "20260101T000060Z",
            "+0260101T000000Z",
            "２0260101T00000Z",
        ] {
            assert_eq!(Timestamp::parse_amz(text), Err(ParseTimestampError), "{text}");
        }
        assert!(Timestamp::parse_http("Sun, 30 Foo 2015 12:36:00 GMT").is_err());
        assert!(Timestamp::parse_http("Sun, 30 Aug 2015 12:36:00 CET").is_err());
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(unix in -62_167_219_200_i64..=253_402_300_799) {
            let time = Timestamp::from_unix(unix);
            prop_assert_eq!(Timestamp::parse_amz(time.amz_date().as_str()), Ok(time));
        }

        #[test]
        fn any_number_can_be_printed(unix: i64) {
            prop_assert_eq!(Timestamp::from_unix(unix).amz_date().as_str().len(), 16);
        }
    }
}
